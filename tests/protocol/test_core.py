"""Core protocol: headers that every request and response share, and version negotiation."""

import pytest

from tests.protocol.conftest import Serve
from tests.protocol.wire import OFFSET_TYPE, VERSION, Tus, patching
from tusd_s3.protocol.rules import Terms
from tusd_s3.web.options import WebOptions

NOT_NUMBERS = ["-1", "abc", "", "1.5", "1e3", "0x10", "9" * 30, "+5", "1 0", "\u0661"]
WRONG_VERSIONS = ["0.2.2", "2.0.0", "1.0", "1.0.0, 1.0.0", "", "1.0.0x"]
EXTENSIONS = {"creation", "creation-with-upload", "creation-defer-length", "termination"}
KNOWN_EXTENSIONS = EXTENSIONS | {
    "expiration",
    "checksum",
    "checksum-trailer",
    "concatenation",
    "concatenation-unfinished",
}


@pytest.mark.parametrize("value", NOT_NUMBERS)
async def test_offset_that_is_no_number_is_refused(tus: Tus, value: str) -> None:
    """CORE-01, AMB-09, AMB-39: anything but decimal digits as `Upload-Offset` is 400."""
    url = await tus.create(10)
    before = await tus.state(url)

    response = await tus.patch(url, 0, b"abc", Upload_Offset=value)

    assert response.status == 400
    assert await tus.state(url) == before


async def test_two_different_offsets_are_refused(tus: Tus) -> None:
    """CORE-01: a PATCH with two different copies of `Upload-Offset` is not stored."""
    url = await tus.create(10)
    headers = [*patching(0).items(), ("Upload-Offset", "5")]

    response = await tus.request("PATCH", url, headers, b"abc")

    assert response.status == 400
    assert await tus.offset(url) == 0


async def test_missing_offset_is_refused(tus: Tus) -> None:
    """AMB-09: a PATCH without `Upload-Offset` is 400."""
    url = await tus.create(10)
    headers = {**VERSION, "Content-Type": OFFSET_TYPE}

    response = await tus.request("PATCH", url, headers, b"abc")

    assert response.status == 400
    assert await tus.offset(url) == 0


@pytest.mark.parametrize("value", NOT_NUMBERS)
async def test_length_that_is_no_number_is_refused(tus: Tus, value: str) -> None:
    """CORE-02, CRE-20, AMB-39: nothing is created for a malformed `Upload-Length`."""
    response = await tus.post(Upload_Length=value)

    assert response.status == 400
    assert response.get("Location") is None


async def test_two_different_lengths_are_refused(tus: Tus) -> None:
    """CORE-02: a creation with two different copies of `Upload-Length` creates nothing."""
    headers = [*VERSION.items(), ("Upload-Length", "1"), ("Upload-Length", "2")]

    response = await tus.request("POST", tus.url, headers, b"")

    assert response.status == 400
    assert response.get("Location") is None


async def test_versions_are_listed(tus: Tus) -> None:
    """CORE-03, CORE-04: one version is spoken, so the list is exactly that."""
    response = await tus.options()

    assert response["Tus-Version"] == "1.0.0"


async def test_every_kind_of_answer_names_the_version(tus: Tus) -> None:
    """CORE-05, CORE-06, AMB-42: `Tus-Resumable: 1.0.0` is on successes and on every error."""
    url = await tus.create(5)
    responses = [
        await tus.head(url),
        await tus.patch(url, 1, b"x"),
        await tus.patch(url, 0, b"toolong"),
        await tus.request("PATCH", url, VERSION, b"x"),
        await tus.patch(url, 0, b"hello"),
        await tus.get(url),
        await tus.get(url, Range="bytes=99-"),
        await tus.post(),
        await tus.head(url + "x"),
        await tus.request("PUT", url, VERSION, b""),
        await tus.request("GET", "/nowhere/else", VERSION),
        await tus.delete(url),
    ]

    assert [r.status for r in responses] == [
        *(200, 409, 413, 415, 204, 200, 416, 400, 404, 405, 404, 204)
    ]
    assert {r["Tus-Resumable"] for r in responses} == {"1.0.0"}


async def test_unmet_expectation_names_the_version(tus: Tus) -> None:
    """CORE-05: the 417 for an unknown `Expect` has `Tus-Resumable` too."""
    headers = {**VERSION, "Upload-Length": "1", "Expect": "200-ok"}

    response = await tus.request("POST", tus.url, headers, b"")

    assert response.status == 417


@pytest.mark.parametrize("method", ["POST", "HEAD", "PATCH", "DELETE"])
async def test_request_without_version_is_not_processed(tus: Tus, method: str) -> None:
    """CORE-07, CORE-09, AMB-01, AMB-02: without `Tus-Resumable` 412, with `Tus-Version`."""
    url = await tus.create(5)
    target = tus.url if method == "POST" else url
    headers = {**patching(0), "Upload-Length": "5"}
    del headers["Tus-Resumable"]

    response = await tus.request(method, target, headers, b"hello")

    assert response.status == 412
    assert response["Tus-Version"] == "1.0.0"
    assert response.get("Location") is None
    assert await tus.offset(url) == 0


async def test_download_needs_no_version(tus: Tus) -> None:
    """AMB-01: a browser may follow the URL of a finished upload."""
    url = await tus.create(5, b"hello")

    response = await tus.get(url)

    assert (response.status, response.body) == (200, b"hello")


@pytest.mark.parametrize("version", WRONG_VERSIONS)
@pytest.mark.parametrize("method", ["POST", "HEAD", "PATCH", "DELETE"])
async def test_unsupported_version_is_not_processed(tus: Tus, method: str, version: str) -> None:
    """CORE-08, CORE-09, CORE-10: 412 with `Tus-Version`, and nothing has changed."""
    url = await tus.create(5)
    target = tus.url if method == "POST" else url
    headers = {**patching(0), "Upload-Length": "5", "Tus-Resumable": version}

    response = await tus.request(method, target, headers, b"hello")

    assert response.status == 412
    assert response["Tus-Version"] == "1.0.0"
    assert response.get("Location") is None
    assert await tus.offset(url) == 0


@pytest.mark.parametrize(
    "broken",
    [
        {"Upload-Offset": "3"},
        {"Content-Type": "text/plain"},
        {"Upload-Offset": "x"},
    ],
)
@pytest.mark.parametrize("suffix", ["", "unknown"])
async def test_version_is_checked_first(tus: Tus, broken: dict[str, str], suffix: str) -> None:
    """CORE-10: 412 wins over 404, 409, 415 and 400."""
    url = await tus.create(5)
    headers = {**patching(0), **broken, "Tus-Resumable": "0.2.2"}

    response = await tus.request("PATCH", url + suffix, headers, b"x")

    assert response.status == 412


async def test_extensions_are_listed(tus: Tus) -> None:
    """CORE-11, CORE-54: the list has known members only, each once, without spaces."""
    members = (await tus.options())["Tus-Extension"].split(",")

    assert set(members) <= KNOWN_EXTENSIONS
    assert len(members) == len(set(members))
    assert set(members) >= EXTENSIONS


async def test_unlisted_extension_is_off(serve: Serve) -> None:
    """CORE-11, TRM-01: where termination is not advertised DELETE is 405 and the upload lives."""
    tus = await serve(Terms(termination=False))
    url = await tus.create(5)

    response = await tus.delete(url)

    assert "termination" not in (await tus.options()).members("Tus-Extension")
    assert response.status == 405
    assert "DELETE" not in response["Allow"]
    assert await tus.offset(url) == 0


async def test_unlisted_concatenation_is_refused(tus: Tus) -> None:
    """CORE-11, AMB-38: a partial upload is not taken for an ordinary one."""
    if "concatenation" in (await tus.options()).members("Tus-Extension"):
        pytest.skip("concatenation is offered")

    response = await tus.post(5, Upload_Concat="partial")

    assert response.status in {400, 501}
    assert response.get("Location") is None


async def test_maximum_size_is_told(limited: Tus, serve: Serve) -> None:
    """CORE-13, CORE-14, CORE-52: `Tus-Max-Size` is sent exactly where there is a limit."""
    unlimited = await serve()

    assert (await limited.options())["Tus-Max-Size"] == "1000"
    assert (await unlimited.options()).get("Tus-Max-Size") is None


async def test_base_path_with_and_without_slash(tus: Tus) -> None:
    """CRE-05: uploads can be created at the creation URL with and without its last slash."""
    bare = Tus(tus.url.rstrip("/"))

    locations = [(await tus.post(5))["Location"], (await bare.post(5))["Location"]]

    for location in locations:
        assert tus.resolve(location).startswith(tus.url)
        assert await tus.offset(tus.resolve(location)) == 0


@pytest.mark.parametrize("base_path", ["/", "/a/b/", "/uploads/"])
async def test_other_base_paths(serve: Serve, base_path: str) -> None:
    """CRE-05: `Location` is below whatever the creation URL is."""
    tus = await serve(options=WebOptions(base_path=base_path))

    url = await tus.create(5, b"hello")

    assert url.startswith(tus.url)
    assert (await tus.get(url)).body == b"hello"


async def test_upload_ids_survive_encoding(tus: Tus) -> None:
    """An id is percent-decoded once: a `+` may be sent as it is or encoded."""
    url = await tus.create()  # deferred uploads have a + in their id

    spellings = {url, url.replace("%2B", "+"), url.replace("+", "%2B"), url.replace("%2B", "%2b")}

    for spelling in spellings:
        assert await tus.offset(spelling) == 0
    assert (await tus.head(url.replace("%2B", "%252B"))).status in {200, 404}


async def test_errors_are_plain_text_in_our_words(tus: Tus) -> None:
    """PITFALLS 29: an error body is one line with a code."""
    response = await tus.post()

    assert response["Content-Type"].startswith("text/plain")
    assert response.body.startswith(b"ERR_INVALID_UPLOAD_LENGTH: ")


async def test_request_id_is_echoed(tus: Tus) -> None:
    """A harmless `X-Request-ID` comes back; another one is replaced."""
    kept = await tus.options(headers={"X-Request-ID": "job-17/a.b"})
    replaced = await tus.options(headers={"X-Request-ID": 'x" onload="y'})

    assert kept["X-Request-ID"] == "job-17/a.b"
    assert "onload" not in replaced["X-Request-ID"]
