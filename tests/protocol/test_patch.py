"""PATCH: appending bytes, and what happens when that goes wrong."""

import asyncio
import random

import pytest

from tests.protocol.conftest import Serve
from tests.protocol.wire import OFFSET_TYPE, VERSION, Response, Tus, patching
from tusd_s3.web.options import WebOptions

KIB = 1024


@pytest.mark.parametrize("pieces", [1, 2, 7])
async def test_upload_in_pieces(tus: Tus, pieces: int) -> None:
    """CORE-30, CORE-37, CORE-38, CORE-39: every piece is 204 with the offset behind it."""
    content = random.Random(pieces).randbytes(210 * KIB)
    size = len(content) // pieces
    url = await tus.create(len(content))

    for offset in range(0, len(content), size):
        response = await tus.patch(url, offset, content[offset : offset + size])

        assert response.status == 204
        assert response.get("Content-Length") in {None, "0"}
        assert response.offset == offset + size
        assert await tus.offset(url) == offset + size

    assert (await tus.get(url)).body == content


@pytest.mark.parametrize("content_type", [OFFSET_TYPE, OFFSET_TYPE.upper(), OFFSET_TYPE + "; a=b"])
async def test_content_type(tus: Tus, content_type: str) -> None:
    """CORE-31, AMB-08: case and parameters of the type do not matter."""
    url = await tus.create(3)

    response = await tus.patch(url, 0, b"abc", Content_Type=content_type)

    assert response.status == 204


@pytest.mark.parametrize(
    "content_type",
    [None, "", "application/octet-stream", "text/plain", "application/offset+octet-streams"],
)
async def test_other_content_type_is_refused(tus: Tus, content_type: str | None) -> None:
    """CORE-32, AMB-08: 415, and nothing is stored."""
    url = await tus.create(3)
    headers = {**patching(0), "Content-Type": content_type or ""}
    if content_type is None:
        del headers["Content-Type"]

    response = await tus.request("PATCH", url, headers, b"abc")

    assert response.status == 415
    assert await tus.offset(url) == 0


@pytest.mark.parametrize("offset", [0, 4, 6, 10, 11, 10**17])
async def test_wrong_offset(tus: Tus, offset: int) -> None:
    """CORE-33, CORE-34, CORE-35, AMB-12: 409 with the right offset, and nothing changes."""
    url = await tus.create(10)
    await tus.patch(url, 0, b"01234")
    before = await tus.state(url)

    response = await tus.patch(url, offset, b"xxxxx")

    assert response.status == 409
    assert response.offset == 5
    assert await tus.state(url) == before
    await tus.patch(url, 5, b"56789")
    assert (await tus.get(url)).body == b"0123456789"


async def test_wrong_offset_with_a_large_or_chunked_body(tus: Tus) -> None:
    """CORE-35: the answer can be read although the body was not, and nothing changes."""
    url = await tus.create(4 * KIB * KIB)
    await tus.patch(url, 0, b"0123")
    body = bytes(2 * KIB * KIB)

    plain = await tus.patch(url, 0, body)
    chunked = await tus.chunked("PATCH", url, patching(0), body, body)

    assert (plain.status, chunked.status) == (409, 409)
    assert await tus.offset(url) == 4


async def test_wrong_offset_on_a_complete_upload(tus: Tus) -> None:
    """CORE-34: a complete upload has one right offset too."""
    url = await tus.create(5, b"hello")

    assert (await tus.patch(url, 0, b"hello")).status == 409
    assert (await tus.get(url)).body == b"hello"


async def test_a_hundred_single_bytes(tus: Tus) -> None:
    """CORE-36: many small sequential requests work."""
    content = bytes(range(100))
    url = await tus.create(100)

    for offset in range(100):
        response = await tus.patch(url, offset, content[offset : offset + 1])
        assert (response.status, response.offset) == (204, offset + 1)

    assert (await tus.get(url)).body == content


@pytest.mark.parametrize("stored", [0, 3, 5])
async def test_empty_patch(tus: Tus, stored: int) -> None:
    """CORE-36, CORE-38, AMB-10, AMB-13: a PATCH of no bytes is 204 and changes nothing."""
    url = await tus.create(5)
    await tus.patch(url, 0, b"hello"[:stored])

    response = await tus.patch(url, stored, b"")

    assert (response.status, response.offset) == (204, stored)
    assert await tus.offset(url) == stored


async def test_complete_upload_takes_no_more(tus: Tus) -> None:
    """AMB-10: bytes behind the end are refused, never dropped in silence."""
    url = await tus.create(5, b"hello")

    response = await tus.patch(url, 5, b"!")

    assert 400 <= response.status < 500
    assert (await tus.get(url)).body == b"hello"


@pytest.mark.parametrize("method", ["HEAD", "PATCH", "DELETE", "GET"])
async def test_unknown_upload(tus: Tus, method: str) -> None:
    """CORE-40, TRM-06: 404 for an upload that never was."""
    body = b"abc" if method == "PATCH" else None

    response = await tus.request(method, tus.url + "unknown", patching(0), body)

    assert response.status == 404


async def test_unknown_upload_comes_before_other_errors(tus: Tus) -> None:
    """AMB-37: 404 wins over 415 and 400."""
    broken: list[dict[str, str]] = [{"Content-Type": "text/plain"}, {"Upload-Offset": "x"}]
    statuses = [
        (await tus.request("PATCH", tus.url + "unknown", {**patching(0), **more}, b"x")).status
        for more in broken
    ]

    assert statuses == [404, 404]


@pytest.mark.parametrize("cut", ["reset", "finish", "close"])
@pytest.mark.parametrize("chunked", [False, True])
async def test_cut_connection(tus: Tus, cut: str, *, chunked: bool) -> None:
    """CORE-41, CORE-44: what arrived before the connection broke is kept, and can be resumed."""
    content = random.Random(1).randbytes(300 * KIB)
    url = await tus.create(len(content))
    half = content[: 150 * KIB]
    framing = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(len(content))}
    async with tus.begun("PATCH", url, {**patching(0), **framing}) as connection:
        await (connection.send_chunk(half) if chunked else connection.send(half))
        await arrival(tus, url)
        if cut == "reset":
            connection.reset()
        elif cut == "finish":
            connection.finish()
            await connection.rest()

    offset = await tus.settled_offset(url)
    while (response := await tus.patch(url, offset, content[offset:])).status == 409:
        offset = response.offset  # the server had not seen the end of the connection by then

    assert 0 <= offset <= len(half)
    assert offset == len(half) or cut == "reset"  # a RST may overtake what was sent
    assert (response.status, response.offset) == (204, len(content))
    assert (await tus.get(url)).body == content


async def arrival(tus: Tus, url: str) -> None:
    """Give the server a chance to read what was sent: a round trip on another connection."""
    for _ in range(3):
        await tus.options(url)


async def test_silent_client(serve: Serve) -> None:
    """CORE-42, CORE-43, CORE-44: silence ends the request, keeps the bytes and is retryable."""
    tus = await serve(options=WebOptions(body_idle_timeout_s=0.3))
    url = await tus.create(10)
    headers = {**patching(0), "Content-Length": "10"}
    async with tus.begun("PATCH", url, headers, b"01234") as connection:
        response = await connection.receive()
        rest = await connection.rest()

    assert (response.status, response.offset) == (503, 5)
    assert response["Connection"] == "close"
    assert int(response["Retry-After"]) > 0
    assert rest == b""
    assert await tus.offset(url) == 5


@pytest.mark.parametrize("size", [6, 2 * KIB * KIB])
async def test_announced_overrun(tus: Tus, size: int) -> None:
    """CORE-45, AMB-11: 413 for a body that announces more than is left, and nothing is stored."""
    url = await tus.create(5)

    response = await tus.patch(url, 0, bytes(size))

    assert response.status == 413
    assert await tus.offset(url) == 0


async def test_chunked_overrun(tus: Tus) -> None:
    """CORE-45, AMB-11b: a body that grows too long is 413 and never grows the upload."""
    url = await tus.create(5)

    response = await tus.chunked("PATCH", url, patching(0), b"hel", b"lo, world")

    assert response.status == 413
    assert await tus.offset(url) <= 5
    if await tus.offset(url) == 5:
        assert (await tus.get(url)).body == b"hello"


async def test_chunked_body(tus: Tus) -> None:
    """CORE-30: a PATCH needs no `Content-Length`."""
    url = await tus.create(10)

    response = await tus.chunked("PATCH", url, patching(0), b"01234", b"5678", b"9")

    assert (response.status, response.offset) == (204, 10)
    assert (await tus.get(url)).body == b"0123456789"


async def test_two_patches_at_once(tus: Tus) -> None:
    """CORE-46, AMB-26: at most one of two requests at the same offset advances the upload."""
    content = bytes(200 * KIB)
    url = await tus.create(len(content))

    async def patch() -> Response:
        return await tus.patch(url, 0, content)

    answers = await asyncio.gather(patch(), patch(), patch())

    statuses = sorted(answer.status for answer in answers)
    assert statuses.count(204) <= 1
    assert set(statuses) <= {204, 400, 409, 423}
    offset = await tus.offset(url)
    if offset < len(content):
        await tus.patch(url, offset, content[offset:])
    assert (await tus.get(url)).body == content


async def test_second_patch_takes_over(tus: Tus) -> None:
    """AMB-26, PITFALLS 16 and 17: a client that comes back is not shut out by its old request."""
    url = await tus.create(10)
    headers = {**patching(0), "Content-Length": "10"}
    async with tus.begun("PATCH", url, headers, b"01234") as stalled:
        await arrival(tus, url)
        async with asyncio.timeout(5):
            mismatch = await tus.patch(url, 0, b"")  # does not know how far it came
            resumed = await tus.patch(url, mismatch.offset, b"0123456789"[mismatch.offset :])
        old = await stalled.receive()
        rest = await stalled.rest()

    assert mismatch.status == 409
    assert mismatch.offset == 5
    assert (resumed.status, resumed.offset) == (204, 10)
    assert (old.status, old.offset) == (423, 5)
    assert old["Connection"] == "close"
    assert int(old["Retry-After"]) > 0
    assert rest == b""
    assert (await tus.get(url)).body == b"0123456789"


async def test_head_of_a_stalled_upload(serve: Serve) -> None:
    """CORE-47, PITFALLS 17: HEAD frees an upload whose client is silent; its offset is right."""
    tus = await serve(options=WebOptions(silent_takeover_s=0.2))
    url = await tus.create(10)
    headers = {**patching(0), "Content-Length": "10"}
    async with tus.begun("PATCH", url, headers, b"01234") as stalled:
        assert await stalled.is_silent(0.4)
        async with asyncio.timeout(5):
            offset = await tus.offset(url)
        response = await tus.patch(url, offset, b"0123456789"[offset:])

    assert offset == 5
    assert response.status == 204
    assert (await tus.get(url)).body == b"0123456789"


async def test_head_of_an_upload_that_has_just_stalled(tus: Tus) -> None:
    """CORE-47: the offset may rise, never fall, and a client that is told so can go on."""
    url = await tus.create(10)
    headers = {**patching(0), "Content-Length": "10"}
    async with tus.begun("PATCH", url, headers, b"01234") as stalled:
        await stalled.is_silent()
        async with asyncio.timeout(10):
            told = offset = await tus.offset(url)
            while (response := await tus.patch(url, offset, b"0123456789"[offset:])).status == 409:
                offset = response.offset

    assert told <= offset <= 5
    assert response.status == 204
    assert (await tus.get(url)).body == b"0123456789"


async def test_length_may_be_repeated(tus: Tus) -> None:
    """AMB-16, PITFALLS 18 and 20: a PATCH may repeat the length, also an empty last one."""
    url = await tus.create(5)

    first = await tus.patch(url, 0, b"hello", Upload_Length="5")
    again = await tus.patch(url, 5, b"", Upload_Length="5")

    assert (first.status, again.status) == (204, 204)


async def test_repeated_concat_header_is_ignored(tus: Tus) -> None:
    """PITFALLS 20: clients send the creation's `Upload-Concat` on HEAD and PATCH too."""
    url = await tus.create(5)

    assert (await tus.patch(url, 0, b"hello", Upload_Concat="partial")).status == 204
    assert (await tus.head(url, Upload_Concat="partial")).status == 200


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "identity, gzip"])
async def test_encoded_body_is_refused(tus: Tus, coding: str) -> None:
    """PITFALLS 13: an encoded body is 415; it is neither inflated nor stored as it is."""
    url = await tus.create(5)

    response = await tus.patch(url, 0, b"hello", Content_Encoding=coding)

    assert response.status == 415
    assert await tus.offset(url) == 0


async def test_connection_is_kept_after_success(tus: Tus) -> None:
    """CORE-36: requests of one upload can share a connection."""
    url = await tus.create(6)
    connection = await tus.connect()
    for offset in (0, 3):
        headers = {**patching(offset), "Content-Length": "3"}
        await connection.head("PATCH", tus.target(url), headers, host=tus.host)
        await connection.send(b"abc")
        assert (await connection.receive()).status == 204
    await connection.head("HEAD", tus.target(url), VERSION, host=tus.host)

    assert (await connection.receive()).offset == 6


async def test_stalled_clients_delay_nobody(tus: Tus) -> None:
    """PITFALLS 14: with many uploads that send nothing another one is served at once."""
    urls = [await tus.create(100) for _ in range(40)]
    for url in urls:
        connection = await tus.connect()
        headers = {**patching(0), "Content-Length": "100"}
        await connection.head("PATCH", tus.target(url), headers, host=tus.host)
        await connection.send(b"x")

    async with asyncio.timeout(3):
        url = await tus.create(16 * KIB)
        response = await tus.patch(url, 0, bytes(16 * KIB))

    assert response.status == 204
