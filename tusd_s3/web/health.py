"""Liveness and readiness, for those who start and watch the server."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from tusd_s3 import log
from tusd_s3.web.body import LiveBodies
from tusd_s3.web.options import WebOptions

_log = log.get_logger(__name__)


class Health:
    """Answers `/health/live` and `/health/ready`.

    However many ask, at most one check runs at a time, and its result is remembered for a moment:
    a probe must not become a load on the bucket.

    Args:
        ready: raises if the server cannot do its work.
        bodies: says whether the server is shutting down.
    """

    def __init__(
        self, ready: Callable[[], Awaitable[None]], bodies: LiveBodies, options: WebOptions
    ) -> None:
        self._ready = ready
        self._bodies = bodies
        self._options = options
        self._lock = asyncio.Lock()
        self._checked_at = float("-inf")
        self._is_ready = False

    async def live(self, request: web.Request) -> web.Response:
        """Answer 200 as long as the event loop turns."""
        del request
        return web.Response(text="ok\n")

    async def ready(self, request: web.Request) -> web.Response:
        """Answer 200 if requests should be sent here, else 503."""
        del request
        if self._bodies.are_ending:
            return web.Response(status=503, text="shutting down\n")
        async with self._lock:
            if time.monotonic() - self._checked_at >= self._options.ready_cache_s:
                self._is_ready = await self._check()
                self._checked_at = time.monotonic()
        if self._is_ready:
            return web.Response(text="ready\n")
        return web.Response(status=503, text="storage does not answer\n")

    async def _check(self) -> bool:
        try:
            async with asyncio.timeout(self._options.ready_timeout_s):
                await self._ready()
        except Exception as exc:  # noqa: BLE001  # whatever it is, the answer is "not ready"
            _log.warning("not ready", reason=f"{type(exc).__name__}: {exc}")
            return False
        return True
