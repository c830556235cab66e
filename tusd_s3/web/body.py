"""A request body as a bounded, time-limited, stoppable stream that remembers why it ended.

One `asyncio` timer per body watches for silence; a read that finds bytes in aiohttp's buffer costs
neither a task nor a timer.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator

from aiohttp import StreamReader
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web import RequestPayloadError

from tusd_s3.model import Ended

# How aiohttp says that a body will not come to its end: connection lost, framing that makes no
# sense; RuntimeError if the connection was lost before the request began to be handled.
_BROKEN = (ConnectionError, RequestPayloadError, HttpProcessingError, RuntimeError)


class Body:
    """`interfaces.Body` over aiohttp's stream.

    Invariants:
        1. At most ``limit`` bytes are handed out.
        2. What had arrived is handed out before the end is told, whatever the end.
        3. ``ended`` is set once, at the latest when `read` returns ``b""``.

    Args:
        content: the request's stream.
        idle_timeout_s: how long the client may send nothing while it is waited for.
        invite: awaited once, before the first byte is waited for (`100 Continue`).
    """

    def __init__(
        self,
        content: StreamReader,
        *,
        idle_timeout_s: float,
        invite: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.limit: int | None = None
        self.received = 0
        self._content = content
        self._idle_timeout_s = idle_timeout_s
        self._invite = invite
        self._loop = asyncio.get_running_loop()
        self._on_stop: Callable[[], None] = _nobody_waits
        self._ended: Ended | None = None
        self._stopping: Ended | None = None
        self._waiting_since: float | None = None
        self._waiting: asyncio.Timeout | None = None
        self._idle_timer: asyncio.TimerHandle | None = None

    @property
    def ended(self) -> Ended | None:
        return self._ended

    @property
    def silent_s(self) -> float:
        """Seconds for which the client has been waited for in vain.

        0.0 while nobody waits: as long as the reader is busy with what came before, silence is
        not the client's fault. Infinite once the body has ended: nothing will come any more, so
        a HEAD had better wait for what the reader makes of it than tell an offset that is
        about to rise.
        """
        if self._ended is not None:
            return float("inf")
        return 0.0 if self._waiting_since is None else self._loop.time() - self._waiting_since

    def on_stop(self, callback: Callable[[], None]) -> None:
        self._on_stop = callback

    def stop(self, why: Ended) -> None:
        if self._stopping is not None:
            return
        self._stopping = why
        self._on_stop()
        if self._waiting is not None:
            self._waiting.reschedule(self._loop.time())

    def close(self) -> None:
        """Let go of the timer; the body may not have been read to its end."""
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None

    async def read(self) -> bytes:
        data = b""
        while not data and self._ended is None:
            data = self._buffered()
            if not data:
                self._ended = self._why_nothing_more_comes()
                if self._ended is None:
                    data = await self._next()
        return self._bounded(data) if data else b""

    def _buffered(self) -> bytes:
        """Return what aiohttp holds, also after the connection broke.

        aiohttp's reads raise before they hand out what is buffered; with a slow store most of
        what a vanished client had sent would be lost. So the exception is lifted for the read.
        """
        broken = self._content.exception()
        if broken is None:
            return self._content.read_nowait()
        self._content.set_exception(None)  # type: ignore[arg-type]  # stored, not raised
        try:
            return self._content.read_nowait()
        finally:
            self._content.set_exception(broken)

    def _why_nothing_more_comes(self) -> Ended | None:
        """Return the reason, None if something may come. aiohttp's buffer is empty."""
        if self._content.is_eof():  # first: a whole body is whole, whoever hung up since
            return Ended.COMPLETE
        if self._content.exception() is not None:
            return Ended.DISCONNECTED
        return self._stopping

    async def _next(self) -> bytes:
        """Wait for bytes; ``b""`` if an end, a fault or `stop` came instead."""
        self._waiting_since = self._loop.time()
        if self._idle_timer is None:
            self._idle_timer = self._loop.call_later(self._idle_timeout_s, self._check_idle)
        try:
            # A wait that is cancelled has taken nothing: readany pops after it has woken up.
            async with asyncio.timeout(None) as self._waiting:
                await self._invite_once()
                return await self._content.readany()
        except TimeoutError:
            return b""  # stopped
        except _BROKEN as exc:
            if self._content.exception() is None:
                self._content.set_exception(exc)
            return b""
        finally:
            self._waiting = None
            self._waiting_since = None

    async def _invite_once(self) -> None:
        invite, self._invite = self._invite, None
        if invite is not None:
            await invite()

    def _bounded(self, data: bytes) -> bytes:
        """Cut off what the reader may not take; end here if somebody asked for it."""
        if self.limit is not None and self.received + len(data) > self.limit:
            data = data[: self.limit - self.received]
            self._ended = Ended.OVERRUN
        elif self._stopping is not None:  # the client may send faster than the reader reads
            self._ended = Ended.COMPLETE if self._content.at_eof() else self._stopping
        self.received += len(data)
        self._invite = None  # a client that sends needs no invitation
        return data

    def _check_idle(self) -> None:
        """End the body, or look again when the present wait will have lasted too long."""
        self._idle_timer = None
        if self._waiting_since is None:
            return  # the next wait arms it again
        left_s = self._waiting_since + self._idle_timeout_s - self._loop.time()
        if left_s > 0:
            self._idle_timer = self._loop.call_later(left_s, self._check_idle)
        else:
            self.stop(Ended.IDLE)


def _nobody_waits() -> None:
    """Do nothing: the reader is reading."""


class LiveBodies:
    """The bodies that are being read, so that all can be ended at once."""

    def __init__(self) -> None:
        self._bodies: set[Body] = set()
        self._why: Ended | None = None

    @property
    def are_ending(self) -> bool:
        """Whether `stop_all` was called."""
        return self._why is not None

    @contextlib.contextmanager
    def holding(self, body: Body) -> Iterator[Body]:
        """Count a body among the live ones for the duration of the block."""
        self._bodies.add(body)
        if self._why is not None:
            body.stop(self._why)
        try:
            yield body
        finally:
            self._bodies.discard(body)
            body.close()

    def stop_all(self, why: Ended) -> None:
        """End every body, and at once every body that will come."""
        self._why = why
        for body in tuple(self._bodies):
            body.stop(why)
