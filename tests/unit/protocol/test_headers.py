"""Facts about the request headers of tus 1.0.0."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from tests.strategies import field_values, header_sources, numbers, spelled_metadata
from tusd_s3.errors import (
    BadRequest,
    InvalidConcat,
    InvalidContentEncoding,
    InvalidContentType,
    InvalidDeferLength,
    InvalidMetadata,
    InvalidOffset,
    InvalidUploadLength,
    MethodNotAllowed,
    ModifyFinal,
    RangeNotSatisfiable,
    TusError,
    UnsupportedVersion,
)
from tusd_s3.model import Kind
from tusd_s3.protocol.concat import Concat
from tusd_s3.protocol.headers import (
    METHODS,
    OFFSET_OCTET_STREAM,
    Append,
    Creation,
    HeaderSource,
    parse_append,
    parse_creation,
    parse_method_override,
    parse_number,
    parse_range,
    parse_version,
)

NOT_NUMBERS = ["", "-1", "+5", "abc", "1.5", "1e3", "0x10", "9" * 30, "5, 5", " 5", "٣", "5\n"]


def sent(*lines: tuple[str, str]) -> HeaderSource:
    """Return headers as aiohttp hands them over."""
    return CIMultiDictProxy(CIMultiDict(lines))


def patch(*lines: tuple[str, str]) -> HeaderSource:
    """Return the headers of a PATCH at 5, and these."""
    return sent(("Content-Type", OFFSET_OCTET_STREAM), ("Upload-Offset", "5"), *lines)


@given(number=numbers)
def test_every_number_of_up_to_18_digits_is_read(number: int) -> None:
    """CORE-01, AMB-39: decimal digits mean what they say, leading zeros included."""
    assert parse_number(str(number)) == number
    assert parse_number(str(number).zfill(18)) == number


@pytest.mark.parametrize("value", NOT_NUMBERS)
def test_anything_but_digits_is_no_number(value: str) -> None:
    """CORE-01, CORE-02, AMB-39: no sign, point, exponent, list, blank or foreign digit."""
    with pytest.raises(InvalidOffset):
        parse_number(value, InvalidOffset)


@given(value=st.text())
def test_a_number_is_read_or_refused_whatever_the_text(value: str) -> None:
    """AMB-39: the refusal is the one that was asked for, and nothing else is raised."""
    try:
        number = parse_number(value)
    except BadRequest:
        return

    assert 0 <= number < 10**18
    assert value.isascii()


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["0.2.2"],
        ["2.0.0"],
        ["1.0"],
        ["1.0.0, 1.0.0"],
        [""],
        ["1.0.0", "0.2.2"],
    ],
)
def test_another_version_or_none_is_refused_with_ours(lines: list[str]) -> None:
    """CORE-07, CORE-08, CORE-09, AMB-02: 412, and `Tus-Version` tells what would do."""
    with pytest.raises(UnsupportedVersion) as refusal:
        parse_version(sent(*(("Tus-Resumable", line) for line in lines)))

    assert refusal.value.status == 412
    assert refusal.value.headers == {"Tus-Version": "1.0.0"}


@pytest.mark.parametrize("copies", [1, 2])
def test_our_version_is_accepted(copies: int) -> None:
    """CORE-08: also if a proxy doubled the line."""
    parse_version(sent(*[("tus-resumable", "1.0.0")] * copies))


@pytest.mark.parametrize("method", METHODS)
def test_a_post_stands_for_the_method_it_names(method: str) -> None:
    """CORE-15, CORE-16, AMB-07, CLI-06: in any case of letters."""
    headers = sent(("X-HTTP-Method-Override", method.lower()))

    assert parse_method_override("POST", headers) == method


@pytest.mark.parametrize("carrier", ["GET", "HEAD", "PATCH", "OPTIONS", "DELETE", "PUT"])
def test_only_a_post_can_stand_for_another_method(carrier: str) -> None:
    """AMB-07: a GET stays safe whatever headers it carries."""
    headers = sent(("X-HTTP-Method-Override", "DELETE"))

    assert parse_method_override(carrier, headers) == carrier


def test_a_post_without_override_is_a_post() -> None:
    """CORE-15: the header is optional."""
    assert parse_method_override("POST", sent()) == "POST"


@pytest.mark.parametrize("named", ["", "BREW", "po\u017ft", "PATCH, DELETE"])
def test_an_unknown_override_is_refused(named: str) -> None:
    """CORE-15: 405, never the behaviour of the method that carried it."""
    with pytest.raises(MethodNotAllowed) as refusal:
        parse_method_override("POST", sent(("X-HTTP-Method-Override", named)))

    assert "PATCH" in refusal.value.headers["Allow"]


def test_two_overrides_are_refused() -> None:
    """CORE-15: a request cannot have two methods."""
    headers = sent(("X-HTTP-Method-Override", "PATCH"), ("X-HTTP-Method-Override", "DELETE"))

    with pytest.raises(BadRequest):
        parse_method_override("POST", headers)


def test_a_creation_has_a_length_and_metadata() -> None:
    """CRE-03, CRE-10, CRE-18: the metadata are decoded and kept as they were sent."""
    headers = sent(("Upload-Length", "5"), ("Upload-Metadata", "filename d29ybGQ=,secret"))

    assert parse_creation(headers, has_body=False) == Creation(
        length=5,
        metadata_raw="filename d29ybGQ=,secret",
        metadata={"filename": b"world", "secret": b""},
        has_body=False,
        body_length=None,
    )


@pytest.mark.parametrize("lines", [[], [("Upload-Metadata", "")], [("Upload-Metadata", " \t")]])
def test_empty_metadata_are_none(lines: list[tuple[str, str]]) -> None:
    """CRE-19, AMB-19: tuspy sends an empty header."""
    creation = parse_creation(sent(("Upload-Length", "5"), *lines), has_body=False)

    assert creation.metadata_raw is None
    assert creation.metadata == {}


@given(spelled=spelled_metadata())
def test_metadata_are_kept_byte_for_byte(spelled: tuple[dict[str, bytes], str]) -> None:
    """CRE-18, AMB-20: order, blanks and valueless keys included."""
    meant, raw = spelled
    headers = sent(("Upload-Length", "5"), ("Upload-Metadata", raw))

    creation = parse_creation(headers, has_body=False)

    assert creation.metadata_raw == raw
    assert creation.metadata == meant


def test_a_deferred_length_is_none() -> None:
    """DEF-02, CLI-11: `Upload-Defer-Length: 1` stands in for the length."""
    assert parse_creation(sent(("Upload-Defer-Length", "1")), has_body=False).length is None


@pytest.mark.parametrize("value", NOT_NUMBERS)
def test_a_malformed_length_creates_nothing(value: str) -> None:
    """CORE-02: 400."""
    with pytest.raises(InvalidUploadLength) as refusal:
        parse_creation(sent(("Upload-Length", value)), has_body=False)

    assert refusal.value.status == 400


@pytest.mark.parametrize("value", ["0", "2", "true", "01", "", "1, 1"])
def test_a_length_is_deferred_by_1_only(value: str) -> None:
    """DEF-02, DEF-03, AMB-17: 400."""
    with pytest.raises(InvalidDeferLength) as refusal:
        parse_creation(sent(("Upload-Defer-Length", value)), has_body=False)

    assert refusal.value.status == 400


def test_a_creation_needs_a_length() -> None:
    """CRE-03, AMB-15: neither header is 400."""
    with pytest.raises(InvalidUploadLength):
        parse_creation(sent(), has_body=False)


def test_a_length_cannot_be_both_known_and_deferred() -> None:
    """CRE-03, AMB-15: both headers are 400."""
    headers = sent(("Upload-Length", "5"), ("Upload-Defer-Length", "1"))

    with pytest.raises(InvalidDeferLength):
        parse_creation(headers, has_body=False)


def test_a_partial_upload_is_created_like_any_other() -> None:
    """CAT-02: with a length, a deferred one, or a body."""
    concat = Concat(Kind.PARTIAL, "partial")
    partial = ("Upload-Concat", "partial")
    body = (("Content-Type", OFFSET_OCTET_STREAM), ("Content-Length", "3"))

    known = parse_creation(sent(partial, ("Upload-Length", "5")), has_body=False)
    deferred = parse_creation(sent(partial, ("Upload-Defer-Length", "1")), has_body=False)
    with_body = parse_creation(sent(partial, ("Upload-Length", "5"), *body), has_body=True)

    assert known == Creation(5, None, {}, has_body=False, body_length=None, concat=concat)
    assert (deferred.length, deferred.concat) == (None, concat)
    assert (with_body.body_length, with_body.concat) == (3, concat)


def test_a_partial_upload_needs_a_length() -> None:
    """CAT-02, CRE-03: 400."""
    with pytest.raises(InvalidUploadLength):
        parse_creation(sent(("Upload-Concat", "partial")), has_body=False)


def test_a_final_upload_has_urls_and_metadata_but_no_length() -> None:
    """CAT-03, CAT-08, CAT-11, CAT-21: the value is kept as it was sent."""
    raw = "final; /files/a  http://h/files/b"
    headers = sent(("Upload-Concat", raw), ("Upload-Metadata", "a QQ=="))

    assert parse_creation(headers, has_body=False) == Creation(
        length=None,
        metadata_raw="a QQ==",
        metadata={"a": b"A"},
        has_body=False,
        body_length=None,
        concat=Concat(Kind.FINAL, raw, ("/files/a", "http://h/files/b")),
    )


@pytest.mark.parametrize("line", [("Upload-Length", "5"), ("Upload-Defer-Length", "1")])
def test_a_final_upload_cannot_say_a_length(line: tuple[str, str]) -> None:
    """CAT-08, AMB-35: 400."""
    with pytest.raises(InvalidUploadLength) as refusal:
        parse_creation(sent(("Upload-Concat", "final;/files/a"), line), has_body=False)

    assert refusal.value.status == 400


@pytest.mark.parametrize("content_type", [OFFSET_OCTET_STREAM, "text/plain"])
def test_a_final_upload_brings_no_bytes(content_type: str) -> None:
    """AMB-25: 403, whatever they are."""
    headers = sent(("Upload-Concat", "final;/files/a"), ("Content-Type", content_type))

    with pytest.raises(ModifyFinal) as refusal:
        parse_creation(headers, has_body=True)

    assert refusal.value.status == 403


@pytest.mark.parametrize("value", ["foo", "", "Partial", "final;", "final: /files/a"])
def test_concatenation_is_never_taken_for_an_ordinary_upload(value: str) -> None:
    """CAT-04, checklist 12: 400, before the length is looked at."""
    with pytest.raises(InvalidConcat):
        parse_creation(sent(("Upload-Concat", value), ("Upload-Length", "x")), has_body=False)


def test_bad_metadata_create_nothing() -> None:
    """CRE-13, AMB-19: 400."""
    headers = sent(("Upload-Length", "5"), ("Upload-Metadata", "a !!"))

    with pytest.raises(InvalidMetadata) as refusal:
        parse_creation(headers, has_body=False)

    assert refusal.value.status == 400


@pytest.mark.parametrize(
    ("lines", "refusal"),
    [
        ([("Upload-Length", "6")], InvalidUploadLength),
        ([("Upload-Defer-Length", "1"), ("Upload-Defer-Length", "0")], InvalidDeferLength),
        ([("Upload-Metadata", "a"), ("Upload-Metadata", "b")], InvalidMetadata),
        ([("Upload-Concat", "partial"), ("Upload-Concat", "final;/files/a")], InvalidConcat),
    ],
)
def test_a_creation_that_contradicts_itself_is_refused(
    lines: list[tuple[str, str]], refusal: type[TusError]
) -> None:
    """CORE-01, CORE-02: copies of a header with different values are 400."""
    with pytest.raises(refusal) as caught:
        parse_creation(sent(("Upload-Length", "5"), *lines), has_body=False)

    assert caught.value.status == 400


def test_copies_that_agree_count_once() -> None:
    """CORE-02: a proxy may double a line."""
    headers = sent(("Upload-Length", "5"), ("Upload-Length", "5"))

    assert parse_creation(headers, has_body=False).length == 5


@pytest.mark.parametrize(
    ("line", "expected"),
    [(("Content-Length", "3"), 3), (("Transfer-Encoding", "chunked"), None)],
)
def test_a_creation_may_bring_bytes(line: tuple[str, str], expected: int | None) -> None:
    """CWU-03, CWU-04, CLI-07: a body of known or unknown length."""
    headers = sent(("Upload-Length", "5"), ("Content-Type", OFFSET_OCTET_STREAM), line)
    creation = parse_creation(headers, has_body=True)

    assert creation.has_body
    assert creation.body_length == expected


def test_a_creation_body_of_another_type_is_refused() -> None:
    """AMB-23: 415, rather than dropping the bytes."""
    headers = sent(("Upload-Length", "5"), ("Content-Type", "application/octet-stream"))

    with pytest.raises(InvalidContentType):
        parse_creation(headers, has_body=True)


def test_the_type_of_an_empty_creation_body_does_not_matter() -> None:
    """AMB-23: aiotus sends `application/octet-stream` there."""
    headers = sent(
        ("Upload-Length", "5"),
        ("Content-Type", "application/octet-stream"),
        ("Content-Encoding", "gzip"),
        ("Content-Length", "0"),
    )

    assert parse_creation(headers, has_body=False).body_length is None


def test_a_patch_has_an_offset() -> None:
    """CORE-33: and the announced length of its body."""
    assert parse_append(patch(("Content-Length", "3"))) == Append(
        offset=5, declared_length=None, body_length=3
    )


def test_a_patch_may_declare_the_length() -> None:
    """DEF-06: `Upload-Length` is read on PATCH."""
    assert parse_append(patch(("Upload-Length", "8"))).declared_length == 8


def test_a_patch_without_any_length_has_no_body() -> None:
    """RFC 9112, 6.3: neither Content-Length nor chunks mean zero bytes."""
    assert parse_append(patch()).body_length == 0


def test_the_length_of_a_chunked_patch_is_unknown() -> None:
    """CORE-45: its bytes are counted as they come."""
    headers = patch(("Transfer-Encoding", "chunked"), ("Content-Length", "3"))

    assert parse_append(headers).body_length is None


@pytest.mark.parametrize("value", ["partial", "final;/files/a", "foo"])
def test_concatenation_is_ignored_on_a_patch(value: str) -> None:
    """PITFALLS 20: tus-js-client and aiotus repeat the header there."""
    assert parse_append(patch(("Upload-Concat", value))).offset == 5


def test_a_checksum_is_ignored_while_it_is_not_offered() -> None:
    """AMB-30: also a malformed one."""
    assert parse_append(patch(("Upload-Checksum", "sha1 !!"))).offset == 5


@pytest.mark.parametrize(
    "content_type",
    [
        OFFSET_OCTET_STREAM,
        "Application/Offset+Octet-Stream",
        "application/offset+octet-stream; charset=utf-8",
        "application/offset+octet-stream ;x",
    ],
)
def test_case_and_parameters_of_the_type_do_not_matter(content_type: str) -> None:
    """AMB-08: RFC 9110 says that they mean the same."""
    headers = sent(("Content-Type", content_type), ("Upload-Offset", "0"))

    assert parse_append(headers).offset == 0


@pytest.mark.parametrize(
    "content_type", [None, "", "application/octet-stream", "text/plain", "application/offset"]
)
def test_a_patch_of_another_type_is_refused(content_type: str | None) -> None:
    """CORE-32, and before the offset that is missing too: 415."""
    headers = sent(*([] if content_type is None else [("Content-Type", content_type)]))

    with pytest.raises(InvalidContentType) as refusal:
        parse_append(headers)

    assert refusal.value.status == 415


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip", "deflate"])
def test_encoded_bodies_are_refused(coding: str) -> None:
    """PITFALLS 13: offsets count bytes as sent, so 415."""
    with pytest.raises(InvalidContentEncoding) as refusal:
        parse_append(patch(("Content-Encoding", coding)))

    assert refusal.value.status == 415


@pytest.mark.parametrize("coding", ["identity", "Identity", ""])
def test_the_identity_encoding_is_none(coding: str) -> None:
    """PITFALLS 13: it changes nothing."""
    assert parse_append(patch(("Content-Encoding", coding))).offset == 5


@pytest.mark.parametrize("value", [None, *NOT_NUMBERS])
def test_a_patch_needs_a_proper_offset(value: str | None) -> None:
    """CORE-01, AMB-09: 400, missing or malformed."""
    lines = [] if value is None else [("Upload-Offset", value)]

    with pytest.raises(InvalidOffset) as refusal:
        parse_append(sent(("Content-Type", OFFSET_OCTET_STREAM), *lines))

    assert refusal.value.status == 400


@pytest.mark.parametrize(
    ("line", "refusal"),
    [
        (("Upload-Offset", "6"), InvalidOffset),
        (("Content-Type", "text/plain"), BadRequest),
        (("Upload-Length", "x"), InvalidUploadLength),
        (("Content-Length", "-1"), BadRequest),
        (("Content-Length", "9" * 19), BadRequest),
    ],
)
def test_a_patch_that_contradicts_itself_is_refused(
    line: tuple[str, str], refusal: type[TusError]
) -> None:
    """CORE-01: a second, different value and a malformed number are 400."""
    with pytest.raises(refusal) as caught:
        parse_append(patch(line))

    assert caught.value.status == 400


@given(headers=header_sources(), method=st.sampled_from(METHODS), has_body=st.booleans())
def test_any_headers_are_understood_or_refused(
    headers: CIMultiDict[str], method: str, *, has_body: bool
) -> None:
    """CORE-01, CRE-11..13: no header makes anything but a refusal, and none is a 500."""
    statuses = set()
    for parse in (
        parse_version,
        parse_append,
        lambda source: parse_creation(source, has_body=has_body),
        lambda source: parse_method_override(method, source),
    ):
        try:
            parse(headers)
        except TusError as refusal:
            statuses.add(refusal.status)

    assert statuses <= {400, 403, 405, 412, 415}


@given(offset=numbers, length=st.none() | numbers, body=st.none() | numbers)
def test_what_a_client_says_is_what_is_read(
    offset: int, length: int | None, body: int | None
) -> None:
    """CORE-33, DEF-06: every PATCH that can be said is read back unchanged."""
    lines = [("Content-Type", OFFSET_OCTET_STREAM), ("Upload-Offset", str(offset))]
    if length is not None:
        lines.append(("Upload-Length", str(length)))
    chunked = ("Transfer-Encoding", "chunked")
    lines.append(chunked if body is None else ("Content-Length", str(body)))

    assert parse_append(sent(*lines)) == Append(offset, length, body)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=0-9", (0, 10)),
        ("bytes=2-", (2, 10)),
        ("bytes=2-99", (2, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-99", (0, 10)),
        ("Bytes= 0-4 ", (0, 5)),
        ("bytes=0-" + "9" * 5000, (0, 10)),
        ("bytes=" + "0" * 5000 + "1-4", (1, 5)),
        ("bytes=-" + "9" * 5000, (0, 10)),
    ],
)
def test_one_range_is_served(value: str, expected: tuple[int, int]) -> None:
    """RFC 9110, 14.1.2: the end is exclusive here, and cut to the object."""
    assert parse_range(value, 10) == expected


@pytest.mark.parametrize(
    "value",
    [
        None, "", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=5-2", "bytes=0-1,4-5",
        "bytes=0-1,", "lines=0-1", "bytes 0-1", "bytes=--1", "bytes=٣-4",
    ],
)  # fmt: skip
def test_other_ranges_are_ignored(value: str | None) -> None:
    """RFC 9110, 14.2: several ranges, other units and nonsense get the whole."""
    assert parse_range(value, 10) is None


@pytest.mark.parametrize("value", ["bytes=10-", "bytes=10-12", "bytes=-0", f"bytes={'9' * 5000}-"])
def test_a_range_behind_the_end_is_refused(value: str) -> None:
    """RFC 9110, 15.5.17: 416 tells the size."""
    with pytest.raises(RangeNotSatisfiable) as refusal:
        parse_range(value, 10)

    assert refusal.value.status == 416
    assert refusal.value.headers == {"Content-Range": "bytes */10"}


def test_the_end_of_an_empty_object_is_the_whole_of_it() -> None:
    """RFC 9110, 14.1.2: satisfiable, but no `Content-Range` could say so."""
    assert parse_range("bytes=-5", 0) is None


@given(value=field_values | st.from_regex(r"bytes=[0-9]*-[0-9]*", fullmatch=True), size=numbers)
def test_a_range_lies_within_the_object(value: str, size: int) -> None:
    """Whatever is asked for, bytes outside the object are never promised."""
    with suppress(RangeNotSatisfiable):
        served = parse_range(value, size)

        assert served is None or 0 <= served[0] < served[1] <= size


@given(size=st.integers(1, 100), data=st.data())
def test_every_range_within_the_object_is_served(size: int, data: st.DataObject) -> None:
    """RFC 9110, 14.1.2: first and last byte as asked for."""
    start = data.draw(st.integers(0, size - 1))
    last = data.draw(st.integers(start, size - 1))

    assert parse_range(f"bytes={start}-{last}", size) == (start, last + 1)
