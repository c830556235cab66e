"""The server under test: ours in this process on a folder, or any other with ``--server URL``."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Protocol

import pytest
from aiohttp import web

from tests.protocol.wire import Tus
from tusd_s3.buckets.disk import DiskBucket
from tusd_s3.lockers.memory import MemoryLocker
from tusd_s3.protocol.rules import Terms
from tusd_s3.store.keys import Names
from tusd_s3.store.spool import Spool
from tusd_s3.store.store import Store, StoreOptions
from tusd_s3.web.options import WebOptions
from tusd_s3.web.routes import make_application

MIB = 1024 * 1024


class Serve(Protocol):
    """Starts another server of ours and returns a client for it."""

    def __call__(
        self,
        terms: Terms = Terms(),
        options: WebOptions = WebOptions(),
        *,
        wrap: Callable[[web.Application], web.Application] = lambda app: app,
        path: str | None = None,
    ) -> Awaitable[Tus]: ...


@asynccontextmanager
async def running(
    folder: Path,
    terms: Terms,
    options: WebOptions,
    wrap: Callable[[web.Application], web.Application],
) -> AsyncIterator[str]:
    """Run our server on a free port; yields its origin."""
    bucket = DiskBucket(folder)
    await bucket.start()
    spool = Spool(memory_budget=64 * MIB, disk_budget=64 * MIB, directory=folder.parent)
    store = Store(bucket, names=Names.of("", ""), spool=spool, options=StoreOptions())
    app = wrap(
        make_application(
            store=store, locker=MemoryLocker(), terms=terms, options=options, ready=bucket.check
        )
    )
    runner = web.AppRunner(
        app,
        access_log=None,
        auto_decompress=False,
        max_field_size=65536,
        max_line_size=65536,
        lingering_time=0.5,
        shutdown_timeout=5,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        _, port = runner.addresses[0][:2]
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()
        await bucket.close()


@pytest.fixture
async def serve(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Serve]:
    """Start servers of ours with other settings; skips when another server is tested."""
    if request.config.getoption("--server", None):
        pytest.skip("needs a server with other settings")
    async with AsyncExitStack() as stack:
        started = 0

        async def start(
            terms: Terms = Terms(),
            options: WebOptions = WebOptions(),
            *,
            wrap: Callable[[web.Application], web.Application] = lambda app: app,
            path: str | None = None,
        ) -> Tus:
            nonlocal started
            started += 1
            folder = tmp_path / f"bucket-{started}"
            folder.mkdir()
            origin = await stack.enter_async_context(running(folder, terms, options, wrap))
            tus = Tus(origin + (path or options.base_path))
            stack.push_async_callback(tus.close)
            return tus

        yield start


@pytest.fixture
async def base_url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """The creation URL of the server under test, no maximum size."""
    given: str | None = request.config.getoption("--server", None)
    if given:
        yield given
        return
    folder = tmp_path / "bucket"
    folder.mkdir()
    options = WebOptions(silent_takeover_s=0.3, lock_timeout_s=3)
    async with running(folder, Terms(), options, lambda app: app) as origin:
        yield origin + options.base_path


@pytest.fixture
async def tus(base_url: str) -> AsyncIterator[Tus]:
    """A client of the server under test."""
    client = Tus(base_url)
    yield client
    await client.close()


@pytest.fixture
async def limited(serve: Serve) -> Tus:
    """A client of a server that takes uploads of at most 1000 bytes."""
    return await serve(Terms(max_size=1000))
