"""The termination extension."""

import asyncio

import pytest

from tests.protocol.wire import Tus, patching


async def test_it_is_advertised(tus: Tus) -> None:
    """TRM-01."""
    assert "termination" in (await tus.options()).members("Tus-Extension")


@pytest.mark.parametrize("stage", ["new", "half", "finished", "empty", "deferred"])
async def test_delete(tus: Tus, stage: str) -> None:
    """TRM-02, TRM-04, TRM-05, AMB-32: 204 at every stage, and afterwards nothing is there."""
    match stage:
        case "new":
            url = await tus.create(10)
        case "half":
            url = await tus.create(10, b"01234")
        case "finished":
            url = await tus.create(10, b"0123456789")
        case "empty":
            url = await tus.create(0)
        case _:
            url = await tus.create()

    response = await tus.delete(url)
    afterwards = [
        await tus.head(url),
        await tus.patch(url, 0, b"x"),
        await tus.get(url),
        await tus.delete(url),
    ]

    assert (response.status, response.body) == (204, b"")
    assert {r.status for r in afterwards} <= {404, 410}
    assert afterwards[0].get("Upload-Offset") is None


async def test_delete_of_one_leaves_others(tus: Tus) -> None:
    """TRM-03, TRM-08: what is freed belongs to that upload alone."""
    gone, kept = await tus.create(5, b"hello"), await tus.create(5, b"world")

    await tus.delete(gone)

    assert (await tus.get(kept)).body == b"world"


async def test_delete_of_an_unknown_upload(tus: Tus) -> None:
    """TRM-06: 404."""
    assert (await tus.delete(tus.url + "unknown")).status == 404


async def test_delete_while_bytes_arrive(tus: Tus) -> None:
    """TRM-07: the running PATCH ends, and does not bring the upload back."""
    url = await tus.create(10)
    headers = {**patching(0), "Content-Length": "10"}
    async with tus.begun("PATCH", url, headers, b"01234") as connection:
        await connection.is_silent()
        async with asyncio.timeout(5):
            response = await tus.delete(url)
        interrupted = await connection.receive()
        await connection.rest()

    assert response.status == 204
    assert interrupted.status >= 400
    assert (await tus.head(url)).status in {404, 410}
    assert (await tus.patch(url, 5, b"56789")).status in {404, 410}
