"""Facts about `Upload-Metadata` and about what is made of it."""

import base64
import re
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.strategies import field_values, is_safe_field_value, metadata, spelled_metadata
from tusd_s3.errors import InvalidMetadata
from tusd_s3.protocol.metadata import (
    OCTET_STREAM,
    content_type_of,
    filename_of,
    format_disposition,
    format_metadata,
    is_metadata_key,
    parse_metadata,
    text,
)

HOSTILE = [
    b"x\r\nSet-Cookie: a=b",
    b'"; filename=evil.html; x="',
    b"../../x",
    b"\0",
    b"\xff\xfe",
    b"",
    "\u202egpj.exe".encode(),
    b"a" * 5000,
]


@given(meant=metadata)
def test_metadata_survive_the_way_there_and_back(meant: dict[str, bytes]) -> None:
    """CRE-10, CLI-09: keys, order and binary values."""
    decoded = parse_metadata(format_metadata(meant))

    assert list(decoded.items()) == list(meant.items())


@given(spelled=spelled_metadata())
def test_blanks_around_commas_mean_nothing(spelled: tuple[dict[str, bytes], str]) -> None:
    """AMB-19: every way to write metadata is read alike."""
    meant, raw = spelled

    assert parse_metadata(raw) == meant


@given(raw=field_values | st.text())
def test_any_text_is_metadata_or_refused(raw: str) -> None:
    """CRE-12, CRE-13: what is accepted is printable ASCII, so it can be echoed and stored."""
    try:
        decoded = parse_metadata(raw)
    except InvalidMetadata:
        return

    assert is_safe_field_value(raw.replace("\t", " "))
    assert parse_metadata(format_metadata(decoded)) == decoded


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("", {}),
        (" \t", {}),
        ("filename d29ybGQ=,is_confidential", {"filename": b"world", "is_confidential": b""}),
        ("k", {"k": b""}),
        ("k ", {"k": b""}),
        ("k ,b QQ==", {"k": b"", "b": b"A"}),
        ("a QQ==,k", {"a": b"A", "k": b""}),
        ("a QQ== , b Qg==", {"a": b"A", "b": b"B"}),
        ("a QUJD", {"a": b"ABC"}),
        ("a=b QQ==", {"a=b": b"A"}),
    ],
)
def test_these_are_metadata(raw: str, expected: dict[str, bytes]) -> None:
    """CRE-10, CRE-15, AMB-19: a value may be empty, with or without its blank."""
    assert parse_metadata(raw) == expected


@pytest.mark.parametrize(
    "raw",
    [
        ",a dmFs",
        "a dmFs,",
        "a,,b",
        ",",
        "a b dmFs",
        "a  dmFs",
        "a\tdmFs",
        "ä dmFs",
        "a\x7f dmFs",
        "a QQ==,a Qg==",
        "a,a",
        "a !!!!",
        "a QQ",
        "a QQ=",
        "a QQ===",
        "a =",
        "a Q",
        "a QQ==QQ==",
        "a -_-_",
        "a QQ==\n",
        "a ٣٣٣٣",
    ],
)
def test_these_are_not(raw: str) -> None:
    """CRE-11..14, AMB-19, AMB-21: bad keys, repeated keys, bad Base64: 400."""
    with pytest.raises(InvalidMetadata) as refusal:
        parse_metadata(raw)

    assert refusal.value.status == 400


@pytest.mark.parametrize("key", ["", "a b", "a,b", "ä", "a\n"])
def test_a_key_that_the_header_cannot_carry_is_not_written(key: str) -> None:
    """CRE-11: a fault of the program, not of the client."""
    with pytest.raises(ValueError, match="not a metadata key"):
        format_metadata({key: b"x"})


def test_an_empty_value_is_written_without_a_blank() -> None:
    """CRE-15: HTTP would strip it at the end of the line anyway."""
    assert format_metadata({"a": b"", "b": b"A"}) == "a,b QQ=="


@given(value=st.binary())
def test_every_value_can_be_read_as_text(value: bytes) -> None:
    """CRE-16: what is not UTF-8 is marked, never raised or kept as a surrogate."""
    text(value).encode()


@pytest.mark.parametrize(
    "given_type",
    [
        "image/png",
        "text/plain;charset=utf-8",
        "text/plain ; charset=utf-8 ; x=y",
        'text/plain; title="a \\" b"',
        "application/vnd.api+json",
    ],
)
def test_a_media_type_is_used_as_given(given_type: str) -> None:
    """CRE-16: with its parameters."""
    assert content_type_of({"filetype": given_type.encode()}) == given_type


@pytest.mark.parametrize(
    "value",
    [
        *HOSTILE,
        b"png",
        b"image/",
        b"/png",
        b"image/png;",
        b"image/png\r\nX: y",
        b"image/png\n",
        b'text/plain; x="\r\n"',
        "text/plain; x=ä".encode(),
        b"a/" + b"b" * 300,
    ],
)
def test_anything_else_is_bytes(value: bytes) -> None:
    """CRE-16: what is no media type cannot smuggle in a header."""
    assert content_type_of({"filetype": value}) == OCTET_STREAM


@pytest.mark.parametrize(
    ("given_types", "expected"),
    [
        ({"filetype": b"a/b", "contentType": b"c/d"}, "a/b"),
        ({"contentType": b"c/d"}, "c/d"),
        ({"filetype": b"", "contentType": b"c/d"}, "c/d"),
        ({}, OCTET_STREAM),
    ],
)
def test_filetype_goes_before_content_type(given_types: dict[str, bytes], expected: str) -> None:
    """The first of the two keys that holds a media type decides."""
    assert content_type_of(given_types) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"cat.jpg", "cat.jpg"),
        ("Übung 1.pdf".encode(), "Übung 1.pdf"),
        (b"../../etc/passwd", "passwd"),
        (b"C:\\temp\\x.txt", "x.txt"),
        (b"a\r\nb\0c", "abc"),
        ("x\u202egpj.exe".encode(), "xgpj.exe"),
        (b" spaced ", "spaced"),
        (b"bad\xffbyte", "bad\ufffdbyte"),
        (b"", None),
        (b"..", None),
        (b"a/.", None),
        (b"folder/", None),
        (b"\r\n", None),
    ],
)
def test_a_filename_is_made_harmless(value: bytes, expected: str | None) -> None:
    """CRE-16, PITFALLS 30: no folders, no control characters."""
    assert filename_of({"filename": value}) == expected


@pytest.mark.parametrize(
    ("given_names", "expected"),
    [
        ({"filename": b"a", "name": b"b"}, "a"),
        ({"name": b"b"}, "b"),
        ({"filename": b"", "name": b"b"}, "b"),
        ({}, None),
    ],
)
def test_filename_goes_before_name(given_names: dict[str, bytes], expected: str | None) -> None:
    """Some clients call it `name`."""
    assert filename_of(given_names) == expected


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        ("a" * 300 + ".jpeg", ".jpeg"),
        ("ü" * 300 + ".jpeg", "ü.jpeg"),
        ("a" * 300, "a"),
        ("a." + "b" * 300, "b"),
        ("." + "b" * 300, "b"),
    ],
)
def test_a_long_filename_keeps_its_extension(name: str, ending: str) -> None:
    """PITFALLS 35: headers and file systems have limits, the type of the file matters."""
    cut = filename_of({"filename": name.encode()})

    assert cut is not None
    assert 250 < len(cut.encode()) <= 255
    assert cut.endswith(ending)


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        (None, "attachment"),
        ("", "attachment"),
        ("a b.txt", 'attachment; filename="a b.txt"'),
        ("€.txt", "attachment; filename=\"_.txt\"; filename*=UTF-8''%E2%82%AC.txt"),
        ('a".txt', "attachment; filename=\"a_.txt\"; filename*=UTF-8''a%22.txt"),
        ("100%.txt", "attachment; filename=\"100_.txt\"; filename*=UTF-8''100%25.txt"),
        (
            "a\\b'(c)*;",
            "attachment; filename=\"a_b'(c)*;\"; filename*=UTF-8''a%5Cb%27%28c%29%2A%3B",
        ),
    ],
)
def test_a_disposition_names_the_file_twice_where_needed(
    filename: str | None, expected: str
) -> None:
    """PITFALLS 35, RFC 6266 appendix D, RFC 8187."""
    assert format_disposition(filename, inline=False) == expected


def test_a_disposition_may_be_inline() -> None:
    """RFC 6266, 4.2."""
    assert format_disposition("a.png", inline=True) == 'inline; filename="a.png"'


@given(filename=st.text(min_size=1))
@example("\ud800")
@example("x\r\nSet-Cookie: a=b")
def test_every_filename_can_be_said(filename: str) -> None:
    """CRE-16, PITFALLS 35: safe as a header, and a reader gets the exact name back."""
    value = format_disposition(filename, inline=False)

    assert is_safe_field_value(value)
    named = re.fullmatch(
        r"attachment; filename=\"([^\"]*)\"(?:; filename\*=UTF-8''([^ ;]+))?", value
    )
    assert named is not None
    read_back = named[1] if named[2] is None else unquote(named[2])
    assert read_back == filename.encode("utf-8", "replace").decode()


@given(value=st.binary() | st.sampled_from(HOSTILE))
def test_no_value_gets_out_of_its_header(value: bytes) -> None:
    """CRE-16: not as a type, not as a name, and names stay short and without folders."""
    meant = parse_metadata(f"filename {base64.b64encode(value).decode()}")
    filename = filename_of(meant)

    assert is_safe_field_value(content_type_of({"filetype": value}))
    assert is_safe_field_value(format_disposition(filename, inline=True))
    assert filename is None or not set(filename) & set("/\\\r\n\0")
    assert len(format_disposition(filename, inline=True)) < 1_100


@pytest.mark.parametrize(
    ("key", "fits"), [("name", True), ("", False), ("a b", False), ("a,b", False), ("ä", False)]
)
def test_a_key_is_one_that_the_header_can_carry(key: str, fits: bool) -> None:
    """CRE-11, CRE-12: visible ASCII without a comma."""
    assert is_metadata_key(key) == fits
