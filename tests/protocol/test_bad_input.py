"""Requests that no client sends by accident."""

import pytest

from tests.protocol.wire import VERSION, Tus, patching


async def is_alive(tus: Tus) -> bool:
    """Return whether the server still works."""
    url = await tus.create(5, b"hello")
    return (await tus.get(url)).body == b"hello"


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET\r\n\r\n",
        b"post /files/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /files/ HTTP/1.1\r\nHost: a\r\nContent-Type: a/b\r\nContent-Type: a/b\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"PUT /f HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"PATCH /files/x HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
        b"POST /files/ HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
        b"POST /files/ HTTP/1.1\r\nHost: a\r\nUpload-Length : 5\r\n\r\n",
        b"POST /files/ HTTP/1.1\r\nHost: a\r\nUpload-Metadata: a\x00b\r\n\r\n",
    ],
)
async def test_bad_framing(tus: Tus, garbage: bytes) -> None:
    """CORE-41: malformed HTTP is 4xx or a closed connection, and harms nobody.

    These answers are the HTTP library's own; they have no tus headers (docs/deviations.md).
    """
    connection = await tus.connect()
    await connection.send(garbage)
    connection.finish()

    answer = await connection.rest()

    assert answer == b"" or answer.split(b" ")[1].startswith(b"4")
    assert await is_alive(tus)


async def test_bad_chunk(tus: Tus) -> None:
    """CORE-44: chunks before a malformed one are kept, and the upload can be resumed.

    The HTTP library tells the handler nothing: the request ends with its connection, with the
    next request for the upload, or when the client has been silent for too long.
    """
    url = await tus.create(10)
    headers = {**patching(0), "Transfer-Encoding": "chunked"}
    async with tus.begun("PATCH", url, headers) as connection:
        await connection.send_chunk(b"01234")
        await connection.is_silent()
        await connection.send(b"zz\r\n56789\r\n")

    offset = await tus.settled_offset(url)
    response = await tus.patch(url, offset, b"0123456789"[offset:])

    assert offset in {0, 5}
    assert response.status == 204
    assert (await tus.get(url)).body == b"0123456789"


async def test_length_and_chunks_together(tus: Tus) -> None:
    """CORE-45: a request with both framings is refused or read as chunked, never smuggled."""
    url = await tus.create(10)
    headers = {**patching(0), "Transfer-Encoding": "chunked", "Content-Length": "3"}
    async with tus.begun("PATCH", url, headers) as connection:
        await connection.send_chunk(b"01234")
        await connection.send_chunk(b"")
        connection.finish()
        await connection.rest()

    assert await tus.offset(url) in {0, 5}


@pytest.mark.parametrize("name", ["Upload-Offset", "Tus-Resumable"])
async def test_identical_copies(tus: Tus, name: str) -> None:
    """CORE-01: copies of a header that agree (a proxy may double it) do no harm or are refused."""
    url = await tus.create(5)
    headers = patching(0)

    response = await tus.request("PATCH", url, [*headers.items(), (name, headers[name])], b"hello")

    assert response.status in {204, 400, 412, 415}


async def test_contradicting_copies(tus: Tus) -> None:
    """CORE-08: two different versions are no version."""
    url = await tus.create(5)
    headers = [*patching(0).items(), ("Tus-Resumable", "0.2.2")]

    assert (await tus.request("PATCH", url, headers, b"hello")).status == 412
    assert await tus.offset(url) == 0


async def test_checksum_is_not_taken_for_verified(tus: Tus) -> None:
    """AMB-30: `Upload-Checksum` where it is not offered is ignored, like any unknown header."""
    if "checksum" in (await tus.options()).members("Tus-Extension"):
        pytest.skip("checksum is offered")
    url = await tus.create(5)

    assert (await tus.patch(url, 0, b"hello", Upload_Checksum="sha1 AAAA")).status == 204


@pytest.mark.parametrize("method", ["PUT", "TRACE", "MKCOL"])
async def test_other_methods(tus: Tus, method: str) -> None:
    """AMB-42: 405 or 501, with `Allow`; an upload is not touched."""
    url = await tus.create(5)

    response = await tus.request(method, url, VERSION)

    assert response.status in {405, 501}
    assert response.get("Allow") or response.status != 405
    assert await tus.offset(url) == 0


async def test_http_1_0(tus: Tus) -> None:
    """CORE-26: an HTTP/1.0 client gets a whole answer and a closed connection."""
    connection = await tus.connect()
    await connection.send(f"OPTIONS {tus.target(tus.url)} HTTP/1.0\r\n\r\n".encode())

    answer = await connection.rest()

    assert answer.startswith(b"HTTP/1.")
    assert b"Tus-Version: 1.0.0" in answer


async def test_query_strings_do_not_matter(tus: Tus) -> None:
    """CORE-22: an upload is named by its path."""
    url = await tus.create(5)

    assert (await tus.head(url + "?token=a%2Fb")).offset == 0


async def test_body_on_requests_that_have_none(tus: Tus) -> None:
    """TRM-04: a body on HEAD, OPTIONS or DELETE does not confuse the connection."""
    url = await tus.create(5)

    assert (await tus.request("OPTIONS", tus.url, (), b"hello")).status in {200, 204}
    assert (await tus.request("HEAD", url, VERSION, b"hello")).status == 200
    assert (await tus.request("DELETE", url, VERSION, b"hello")).status == 204


async def test_early_error_reaches_a_client_that_is_sending(tus: Tus) -> None:
    """PITFALLS 28: an error sent before the body was read can be read by its client."""
    headers = {**patching(0), "Content-Length": str(50_000_000)}
    async with tus.begun("PATCH", tus.url + "unknown", headers, bytes(300_000)) as connection:
        response = await connection.receive()

    assert response.status == 404
    assert response["Connection"] == "close"
