"""Facts about what is stored with an object besides its bytes."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tusd_s3.store.objects import TAG, object_headers

keys = st.text(st.sampled_from(string.ascii_letters + string.digits + "-_. :éK"), max_size=8)
metadata = st.dictionaries(keys, st.binary(max_size=40) | st.text().map(str.encode), max_size=8)
tags = st.none() | st.just("0a1b+2c3d")


def size_of(stored: dict[str, str]) -> int:
    """Bytes of names and values, as S3 counts them."""
    return sum(len(name) + len(value) for name, value in stored.items())


@given(given_=metadata, tag=tags)
def test_every_value_can_be_a_header(given_: dict[str, bytes], tag: str | None) -> None:
    """Printable ASCII, nothing at the ends that HTTP would strip; names of S3's grammar."""
    headers, _ = object_headers(given_, tag)

    for name, value in headers.metadata.items():
        assert value.isascii()
        assert value.isprintable()
        assert value == value.strip()
        assert name == name.lower()
        assert set(name) <= set(string.ascii_lowercase + string.digits + "-_.")


@given(given_=metadata, tag=tags)
def test_every_key_is_stored_or_named_as_left_out(
    given_: dict[str, bytes], tag: str | None
) -> None:
    """Nothing disappears without a word; names that differ in case only cannot both stay."""
    headers, left_out = object_headers(given_, tag)
    stored = set(headers.metadata) - {TAG}

    assert {key.lower() for key in given_ if key not in left_out} == stored
    assert len(given_) == len(stored) + len(left_out)


@given(sizes=st.lists(st.integers(0, 1500), max_size=6), tag=tags)
def test_at_most_two_kib_are_stored(sizes: list[int], tag: str | None) -> None:
    """S3 refuses more; a later value that is short enough is still stored."""
    given_ = {f"k{number}": b"x" * size for number, size in enumerate(sizes)}
    headers, left_out = object_headers(given_, tag)
    room = 2048 - size_of(dict(headers.metadata))

    assert room >= 0
    assert all(len(key) + len(given_[key]) > room for key in left_out)


def test_exactly_two_kib_fit() -> None:
    """2,048 bytes of names and values together."""
    headers, left_out = object_headers({"name": b"x" * 2044}, None)

    assert (size_of(dict(headers.metadata)), left_out) == (2048, ())
    assert object_headers({"name": b"x" * 2045}, None)[1] == ("name",)


@pytest.mark.parametrize("key", [TAG, "Tus-Upload-Id", "TUS-UPLOAD-ID"])
@pytest.mark.parametrize("tag", ["0a1b+2c3d", None])
def test_a_client_cannot_say_whose_object_it_is(key: str, tag: str | None) -> None:
    """Its own `tus-upload-id` is left out, whether there is one of ours or not."""
    headers, left_out = object_headers({key: b"somebody else's"}, tag)

    assert headers.metadata == ({} if tag is None else {TAG: tag})
    assert left_out == (key,)


@pytest.mark.parametrize(
    ("raw", "stored"),
    [
        (b"plain", "plain"),
        ("Menü".encode(), "Men?"),
        (b"a\r\nx-amz-acl: public-read", "a??x-amz-acl: public-read"),
        (b"\xff\0", "??"),
        (b"  inner  blank  ", "inner  blank"),
        (b"", ""),
    ],
)
def test_what_is_not_printable_becomes_a_question_mark(raw: bytes, stored: str) -> None:
    """`.info` and HEAD have the exact original."""
    headers, _ = object_headers({"name": raw}, None)

    assert headers.metadata == {"name": stored}


@pytest.mark.parametrize("key", ["", "a b", ".a", "a.", "a..b", "a:b", "é", "a/b", "a\n"])
def test_what_is_no_name_is_left_out(key: str) -> None:
    """It would break the request, or be taken for another header."""
    headers, left_out = object_headers({key: b"x", "ok": b"y"}, None)

    assert (headers.metadata, left_out) == ({"ok": "y"}, (key,))


@pytest.mark.parametrize(
    ("given_", "content_type"),
    [
        ({"filetype": b"text/plain", "contentType": b"text/html"}, "text/plain"),
        ({"contentType": b"text/html"}, "text/html"),
        ({"filetype": b"no type\r\n"}, "application/octet-stream"),
        ({}, "application/octet-stream"),
    ],
)
def test_the_object_has_the_type_that_the_client_named(
    given_: dict[str, bytes], content_type: str
) -> None:
    """`filetype`, else `contentType`, else bytes."""
    assert object_headers(given_, None)[0].content_type == content_type
