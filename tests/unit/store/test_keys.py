"""Facts about the names of an upload's objects, and about ids that strangers send."""

import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tusd_s3.errors import UploadNotFound
from tusd_s3.store.keys import Names, UploadId, is_multipart_id, is_object_id, parse_upload_id

LETTERS = string.ascii_letters + string.digits + "._~@=+,()-"

segments = st.text(st.sampled_from(LETTERS), min_size=1, max_size=12)
object_ids = st.lists(segments, min_size=1, max_size=3).map("/".join).filter(is_object_id)
multipart_ids = st.text(
    st.sampled_from(string.ascii_letters + string.digits + "._~=-"), min_size=1, max_size=20
)
prefixes = st.sampled_from(["", "files/", "a/b/", "x.info/", "x.part/"])
nearly_ids = st.text(st.sampled_from("ab./+%\\ \n\0é1") | st.sampled_from(LETTERS), max_size=20)

REFUSED = [
    "",
    "/",
    "a/",
    "/a",
    "a//b",
    ".",
    "..",
    "../a",
    "a/../b",
    "a/.",
    ".hidden",
    "a/.hidden",
    "a.info",
    "a.part",
    "a.part.1",
    "a.part.001",
    "b/a.info",
    "a b",
    "a%2Fb",
    "a\\b",
    "a\n",
    "a.info\n",
    "a\0",
    "é",
    "a?b",
    "a#b",
    "a" * 241,
    "/".join(["a" * 200] * 4),
]


@given(object_id=object_ids, multipart_id=multipart_ids)
def test_ids_survive_the_way_there_and_back(object_id: str, multipart_id: str) -> None:
    """An id is taken apart at its last `+`: object ids may contain one, multipart ids not."""
    upload_id = UploadId(object_id, multipart_id)

    assert parse_upload_id(str(upload_id)) == upload_id


@given(object_id=object_ids.filter(lambda text: "+" not in text))
def test_an_upload_without_multipart_is_named_by_its_object(object_id: str) -> None:
    """An id without `+` has no multipart id."""
    upload_id = UploadId(object_id, None)

    assert str(upload_id) == object_id
    assert parse_upload_id(object_id) == upload_id


@given(raw=st.text() | nearly_ids)
def test_any_text_is_an_id_or_not_found(raw: str) -> None:
    """What is accepted is printable ASCII, has no dot segments, and is written back as it was."""
    try:
        parsed = parse_upload_id(raw)
    except UploadNotFound:
        return

    assert str(parsed) == raw
    assert raw.isascii()
    assert raw.isprintable()
    assert all(piece and not piece.startswith(".") for piece in parsed.object_id.split("/"))


@pytest.mark.parametrize("text", REFUSED)
def test_what_could_lead_out_or_be_mistaken_is_no_id(text: str) -> None:
    """Neither alone nor in front of a multipart id."""
    assert not is_object_id(text)
    for raw in (text, text + "+abc"):
        with pytest.raises(UploadNotFound):
            parse_upload_id(raw)


@pytest.mark.parametrize(
    "text",
    ["a" * 240, "/".join(["a" * 191] * 4), "a.b", "a.information", "a.part.x", "-", "A/b/c", "~"],
)
def test_names_that_only_look_odd_are_ids(text: str) -> None:
    """The longest segment and id, dots in the middle, suffixes that are not ours."""
    assert is_object_id(text)


@pytest.mark.parametrize("text", ["", "a/b", "a b", "a\n", "é", "a%", "a" * 1025])
def test_odd_multipart_ids_are_refused(text: str) -> None:
    """They stand in URLs and in queries to the bucket."""
    assert not is_multipart_id(text)
    with pytest.raises(UploadNotFound):
        parse_upload_id("a+" + text)


def test_no_multipart_id_has_a_plus() -> None:
    """The last one in an upload id would be taken for the separator."""
    assert not is_multipart_id("a+b")
    assert parse_upload_id("a+b+c") == UploadId("a+b", "c")


@given(first=object_ids, second=object_ids, one=prefixes, other=prefixes | st.none(),
       number=st.integers(1, 10_000))  # fmt: skip
def test_no_upload_can_touch_another_ones_objects(
    first: str, second: str, one: str, other: str | None, number: int
) -> None:
    """The keys of two uploads differ, and stay under their prefixes."""
    assume(first != second)
    names = Names.of(one, other)

    def keys(object_id: str) -> set[str]:
        return {
            names.object(object_id),
            names.info(object_id),
            names.plain_tail(object_id),
            names.tail(object_id, number),
        }

    assert len(keys(first)) == 4
    assert not keys(first) & keys(second)
    assert names.object(first).startswith(names.object_prefix)
    assert all(key.startswith(names.metadata_prefix) for key in keys(first) - {one + first})


@given(first=object_ids, second=object_ids, number=st.integers(1, 10_000))
def test_only_an_uploads_own_tails_are_its_tails(first: str, second: str, number: int) -> None:
    """A listing by prefix finds more than that, since an id may begin with another one."""
    names = Names.of("", "meta")

    assert names.is_tail(names.tail(first, number), first)
    assert names.is_tail(names.plain_tail(first), first)
    assert not names.is_tail(names.info(first), first)
    assert not names.is_tail(names.object(first), first)
    assert first == second or not names.is_tail(names.tail(second, number), first)


@pytest.mark.parametrize("ending", ["a.part.", "a.part.x", "a.part.²", "a.partial", "a.part.1x"])
def test_a_tail_has_a_plain_number(ending: str) -> None:
    """Other digits of Unicode are no numbers of parts."""
    assert not Names().is_tail(ending, "a")


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        (("", None), Names("", "")),
        (("files", None), Names("files/", "files/")),
        (("files/", "meta"), Names("files/", "meta/")),
        (("files", ""), Names("files/", "")),
        (("", "meta/"), Names("", "meta/")),
    ],
)
def test_prefixes_end_in_a_slash(settings: tuple[str, str | None], names: Names) -> None:
    """The metadata prefix is that of the objects unless it is given."""
    assert Names.of(*settings) == names
