import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.unit.web.fakes import FakeReader, FakeStore, serving
from tusd_s3.errors import StoreBusy
from tusd_s3.interfaces import Chunk
from tusd_s3.model import ObjectStat

BUSY = StoreBusy("get", "k", "SlowDown")


@pytest.mark.parametrize(("fail", "shorten"), [({"chunks": BUSY}, 0), ({}, 1)])
async def test_failure_midway_cuts_the_connection(fail: dict[str, Exception], shorten: int) -> None:
    """A body that misses bytes never looks whole, also if the store says nothing."""
    store = FakeStore(shorten=shorten if not fail else 10)
    store.add("a", content=bytes(200_000))
    store.fail.update(fail)
    async with serving(store) as tus:
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await tus.get(tus.url + "a")


async def test_failure_after_the_client_left() -> None:
    """There is nothing left to cut."""
    left = asyncio.Event()

    class Reader(FakeReader):
        async def chunks(self) -> AsyncIterator[Chunk]:
            yield b"abc"
            await left.wait()
            raise BUSY

    class Store(FakeStore):
        @asynccontextmanager
        async def download(
            self, upload_id: str, *, start: int = 0, end: int | None = None
        ) -> AsyncIterator[FakeReader]:
            yield Reader(ObjectStat("k", 9, "e", 0.0), b"")

    store = Store()
    store.add("a", content=bytes(9))
    async with serving(store) as tus:
        async with tus.begun("GET", tus.url + "a", {}) as connection:
            assert not await connection.is_silent(1)
            connection.reset()
        await tus.options()
        await tus.options()
        left.set()
        assert (await tus.options()).status == 200


async def test_failure_to_open_is_an_answer() -> None:
    """As long as nothing was sent the client can be told."""
    store = FakeStore(fail={"download": BUSY})
    store.add("a", content=b"abc")
    async with serving(store) as tus:
        response = await tus.get(tus.url + "a")

    assert response.status == 503
    assert b"SlowDown" not in response.body


async def test_client_that_leaves_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing above debug level is logged."""
    store = FakeStore()
    store.add("a", content=bytes(30_000_000))
    async with serving(store) as tus:
        async with tus.begun("GET", tus.url + "a", {}) as connection:
            assert not await connection.is_silent(1)
            connection.reset()
        await tus.options()

    assert [record for record in caplog.records if record.levelname in {"WARNING", "ERROR"}] == []


@pytest.mark.parametrize("tag", ['"etag"', 'W/"etag"', '"a", "etag"', "*"])
async def test_known_object_is_not_sent_again(tag: str) -> None:
    """`If-None-Match` compares weakly, with a list and with `*`."""
    store = FakeStore()
    store.add("a", content=b"abc")
    async with serving(store) as tus:
        response = await tus.get(tus.url + "a", If_None_Match=tag)

    assert (response.status, response["ETag"]) == (304, '"etag"')


async def test_other_object_is_sent() -> None:
    """`If-None-Match` with another tag."""
    store = FakeStore()
    store.add("a", content=b"abc")
    async with serving(store) as tus:
        response = await tus.get(tus.url + "a", If_None_Match='"other"')

    assert (response.status, response.body) == (200, b"abc")


@pytest.mark.parametrize(
    ("condition", "status", "body"),
    [('"etag"', 206, b"bc"), ('W/"etag"', 200, b"abc"), ("etag", 200, b"abc"), (None, 206, b"bc")],
)
async def test_range_needs_the_same_object(condition: str | None, status: int, body: bytes) -> None:
    """`If-Range` compares strongly."""
    store = FakeStore()
    store.add("a", content=b"abc")
    more = {} if condition is None else {"If_Range": condition}
    async with serving(store) as tus:
        response = await tus.get(tus.url + "a", Range="bytes=1-", **more)

    assert (response.status, response.body) == (status, body)


async def test_head_tells_the_state_not_the_download() -> None:
    """HEAD belongs to tus."""
    store = FakeStore()
    store.add("a", content=b"abc")
    async with serving(store) as tus:
        response = await tus.head(tus.url + "a")

    assert response.offset == 3
    assert response.get("ETag") is None
