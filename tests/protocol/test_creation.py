"""The creation extension."""

from urllib.parse import urlsplit

import pytest

from tests.protocol.conftest import Serve
from tests.protocol.wire import Tus, encoded
from tusd_s3.web.options import WebOptions


async def test_creation_is_offered(tus: Tus) -> None:
    """CRE-01, CRE-02: and advertised."""
    assert "creation" in (await tus.options()).members("Tus-Extension")


async def test_one_length_is_needed(tus: Tus) -> None:
    """CRE-03, CRE-20, AMB-15: neither or both lengths are 400."""
    neither = await tus.post()
    both = await tus.post(5, Upload_Defer_Length="1")

    assert (neither.status, both.status) == (400, 400)
    assert (neither.get("Location"), both.get("Location")) == (None, None)


async def test_created(tus: Tus) -> None:
    """CRE-04, CRE-05, CRE-07: 201, a `Location` that works, offset 0."""
    response = await tus.post(5)

    assert response.status == 201
    assert (await tus.head(tus.resolve(response["Location"]))).offset == 0


async def test_locations_differ(tus: Tus) -> None:
    """CRE-05: every creation makes a new resource."""
    urls = {await tus.create(5) for _ in range(20)}

    assert len(urls) == 20


async def test_location_is_absolute(tus: Tus) -> None:
    """CRE-06, AMB-22: by default `Location` is an absolute URL of the host that was asked."""
    location = (await tus.post(5))["Location"]

    assert urlsplit(location).netloc == urlsplit(tus.url).netloc


async def test_location_may_be_relative(serve: Serve) -> None:
    """CRE-06, AMB-22: as an option `Location` is a path."""
    tus = await serve(options=WebOptions(relative_location=True))

    location = (await tus.post(5))["Location"]

    assert location.startswith("/files/")
    assert await tus.offset(tus.resolve(location)) == 0


async def test_empty_upload(tus: Tus) -> None:
    """CRE-08, AMB-14: an upload of no bytes is complete when it is created."""
    url = await tus.create(0)
    told = await tus.head(url)

    assert (told.offset, told["Upload-Length"]) == (0, "0")
    assert (await tus.get(url)).body == b""
    assert (await tus.patch(url, 0, b"")).status == 204


async def test_empty_post_may_have_any_type(tus: Tus) -> None:
    """AMB-23, PITFALLS 20: the type of a body that is empty does not matter."""
    response = await tus.post(5, Content_Type="application/octet-stream")

    assert response.status == 201


async def test_maximum_size(limited: Tus) -> None:
    """CRE-09, CRE-20: exactly the maximum is accepted, one byte more is 413."""
    allowed = await limited.post(1000)
    refused = await limited.post(1001)

    assert (allowed.status, refused.status) == (201, 413)
    assert refused.get("Location") is None


METADATA = [
    "filename d29ybGQ=,is_confidential",
    "a QQ==,b Qg==,c Qw==",
    "z Qg==,a QQ==",
    "bin " + encoded(bytes(range(256))),
    "latin " + encoded("é".encode("latin-1")),
    "k",
    "k,b QQ==",
    "a QQ==,k",
    "a QQ==, b Qg==",
]


@pytest.mark.parametrize("metadata", METADATA)
async def test_metadata_round_trip(tus: Tus, metadata: str) -> None:
    """CRE-10, CRE-13, CRE-15, CRE-17, CRE-18, AMB-20: HEAD gives back what was sent, exactly."""
    url = await tus.create(5, Upload_Metadata=metadata)

    assert (await tus.head(url))["Upload-Metadata"] == metadata
    await tus.patch(url, 0, b"hello")
    assert (await tus.head(url))["Upload-Metadata"] == metadata


@pytest.mark.parametrize("metadata", ["k ,b QQ==", "k ", "a QQ==,k "])
async def test_empty_values_may_keep_their_space(tus: Tus, metadata: str) -> None:
    """CRE-15, CLI-09: a key with a space and no value is a key with the empty value."""
    response = await tus.post(5, Upload_Metadata=metadata)

    assert response.status == 201
    assert (await tus.head(tus.resolve(response["Location"])))[
        "Upload-Metadata"
    ] == metadata.strip()


@pytest.mark.parametrize(
    "metadata",
    ["a b dmFs", "a dmFs,", ",a dmFs", "a dmFs,,b", "a  dmFs", "a dm\tFs"],
)
async def test_malformed_pairs_are_refused(tus: Tus, metadata: str) -> None:
    """CRE-11, CRE-20, AMB-19: a key is not empty and has neither space nor comma."""
    response = await tus.post(5, Upload_Metadata=metadata)

    assert response.status == 400
    assert response.get("Location") is None


async def test_key_that_is_not_ascii(tus: Tus) -> None:
    """CRE-12: such a key crashes nothing."""
    response = await tus.post(5, Upload_Metadata="schlüssel QQ==")

    assert response.status in {201, 400}


@pytest.mark.parametrize("value", ["!!!", "QQ=", "QQ", "QQ===", "Q", "-_-_", "QQ==QQ==", "é"])
async def test_values_are_base64(tus: Tus, value: str) -> None:
    """CRE-13, CRE-20, AMB-21: another alphabet or wrong padding is 400."""
    response = await tus.post(5, Upload_Metadata="a " + value)

    assert response.status == 400
    assert response.get("Location") is None


async def test_keys_are_unique(tus: Tus) -> None:
    """CRE-14, CRE-20: the same key twice is 400."""
    response = await tus.post(5, Upload_Metadata="a QQ==,a Qg==")

    assert response.status == 400
    assert response.get("Location") is None


HOSTILE = [
    b"x\r\nSet-Cookie: a=b",
    b'"; filename=evil.html; "',
    b"../../evil.txt",
    b"a\x00b",
    b"\xff\xfe\x80",
    "naïve \u202egpj.exe".encode(),
    b"\\" * 50 + b'"',
    b"%0d%0aX: y",
    b"x" * 3000,
]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("key", ["filename", "filetype"])
async def test_hostile_values_stay_values(tus: Tus, value: bytes, key: str) -> None:
    """CRE-16, PITFALLS 30 and 35: metadata cannot add a header to any answer, or move a file."""
    url = await tus.create(5, b"hello", Upload_Metadata=f"{key} {encoded(value)}")

    answers = [await tus.head(url), await tus.get(url)]

    assert [answer.status for answer in answers] == [200, 200]
    assert answers[1].body == b"hello"
    for answer in answers:
        assert answer.get("Set-Cookie") is None
        assert answer.get("X") is None
    assert answers[1]["Content-Disposition"].startswith("attachment")
    assert all(32 <= ord(character) < 127 for character in answers[1]["Content-Disposition"])


async def test_no_metadata(tus: Tus) -> None:
    """CRE-19: where none was sent HEAD has none."""
    assert (await tus.head(await tus.create(5))).get("Upload-Metadata") is None


async def test_empty_metadata_header(tus: Tus) -> None:
    """AMB-19, PITFALLS 20: an empty header is as good as none."""
    url = await tus.create(5, Upload_Metadata="")

    assert (await tus.head(url)).get("Upload-Metadata") is None


async def test_long_metadata(tus: Tus) -> None:
    """CRE-18: metadata longer than aiohttp's usual 8 KiB per header come back whole."""
    metadata = "long " + encoded(bytes(12_000))

    url = await tus.create(5, Upload_Metadata=metadata)

    assert (await tus.head(url))["Upload-Metadata"] == metadata


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE", "PUT"])
async def test_other_methods_on_the_creation_url(tus: Tus, method: str) -> None:
    """CRE-05: nothing but creating and asking is done at the creation URL."""
    headers = {"Tus-Resumable": "1.0.0"}

    response = await tus.request(method, tus.url, headers, b"" if method != "GET" else None)

    assert response.status in {404, 405}
