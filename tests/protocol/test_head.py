"""HEAD: where an upload stands."""

import asyncio

import pytest

from tests.protocol.wire import VERSION, Tus, patching

UNKNOWN = [
    "0123456789abcdef",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/etc/passwd",
    "../../etc/passwd",
    "a%00b",
    "a%0d%0aSet-Cookie:%20x",
    "%ff%fe",
    "x.info",
    "x.part",
    "%25",
    "a" * 2000,
    "+",
    "a+",
    "+b",
    ".",
]


async def test_offset_is_told_at_every_stage(tus: Tus) -> None:
    """CORE-20, CORE-24, CRE-07: new, half-way and complete uploads all tell their offset."""
    url = await tus.create(10)
    told = [await tus.head(url)]
    await tus.patch(url, 0, b"01234")
    told.append(await tus.head(url))
    await tus.patch(url, 5, b"56789")
    told.append(await tus.head(url))

    assert [response.offset for response in told] == [0, 5, 10]
    assert {response.status for response in told} <= {200, 204}


async def test_length_is_told_when_known(tus: Tus) -> None:
    """CORE-21: `Upload-Length` is there from creation on, for deferred ones from declaration."""
    fixed = await tus.create(10)
    deferred = await tus.create()
    before = await tus.head(deferred)
    await tus.patch(deferred, 0, b"abc", Upload_Length="3")

    assert (await tus.head(fixed))["Upload-Length"] == "10"
    assert before.get("Upload-Length") is None
    assert (await tus.head(deferred))["Upload-Length"] == "3"


@pytest.mark.parametrize("upload_id", UNKNOWN)
async def test_unknown_upload(tus: Tus, upload_id: str) -> None:
    """CORE-22, CORE-23, CORE-25: 404 for any id that is none, without an offset, not cached."""
    response = await tus.head(tus.url.rstrip("/") + "/" + upload_id)

    assert response.status in {403, 404, 410}
    assert response.get("Upload-Offset") is None
    assert response["Cache-Control"] == "no-store"


async def test_success_is_not_cached(tus: Tus) -> None:
    """CORE-25: `Cache-Control: no-store`."""
    response = await tus.head(await tus.create(10))

    assert "no-store" in response.members("Cache-Control")


@pytest.mark.parametrize("suffix", ["", "unknown"])
async def test_head_has_no_body(tus: Tus, suffix: str) -> None:
    """CORE-26, AMB-06: nothing follows the headers, and the connection can be used again."""
    url = await tus.create(10) + suffix
    async with tus.begun("HEAD", url, VERSION) as connection:
        first = await connection.receive()

        assert await connection.is_silent()
        assert first.get("Content-Length") in {None, "0"}

        await connection.head("HEAD", tus.target(url), VERSION, host=tus.host)
        second = await connection.receive()

    assert first.status == second.status


async def test_error_body_is_left_out_after_an_override(tus: Tus) -> None:
    """CORE-26, CORE-15: a POST that means HEAD gets no body either."""
    headers = {**VERSION, "X-HTTP-Method-Override": "HEAD"}

    response = await tus.request("POST", tus.url + "unknown", headers, b"")

    assert response.status == 404
    assert response.body == b""
    assert response["Cache-Control"] == "no-store"


async def test_progress_can_be_watched(tus: Tus) -> None:
    """PITFALLS 15: HEAD while bytes are arriving is answered at once and disturbs nobody."""
    url = await tus.create(6)
    headers = {**patching(0), "Content-Length": "6"}
    async with tus.begun("PATCH", url, headers, b"abc") as connection:
        for _ in range(3):
            await connection.send(b"d")
            async with asyncio.timeout(2):
                response = await tus.head(url)
            assert response.status == 200
            assert 0 <= response.offset <= 6
        patched = await connection.receive()

    assert (patched.status, patched.offset) == (204, 6)


async def test_creation_url_has_no_state(tus: Tus) -> None:
    """HEAD of the creation URL is 405 and says what is allowed."""
    response = await tus.request("HEAD", tus.url, VERSION)

    assert response.status in {404, 405}
