"""The pump: one request body becomes parts, sent concurrently, and at most one tail.

The order of things is what keeps acknowledged bytes safe:

1. A part is sent only when it is whole.
2. The tail of an unfinished part is written when every part before it is stored.
"""

import asyncio
from collections.abc import Callable

import structlog

from tusd_s3.errors import (
    ConditionFailed,
    LeaseLost,
    MaxSizeExceeded,
    ObjectMissing,
    OutOfRoom,
    PartConflict,
    StoreError,
    TusError,
    UploadGone,
)
from tusd_s3.interfaces import Body
from tusd_s3.model import Ended, ObjectHeaders
from tusd_s3.store.buffer import PartBuffer
from tusd_s3.store.depot import Depot
from tusd_s3.store.sender import PartSender
from tusd_s3.store.snapshot import Snapshot

_log = structlog.get_logger()


class Uploader:
    """Stores bytes of one upload from its present offset on, and keeps its snapshot up to date.

    Args:
        snapshot: an open upload; changed as parts and tails are stored.
        headers: of the object, for an upload that is a single PutObject.
        remembered: the tail's bytes, if this process still has them; owned from now on.
    """

    def __init__(
        self,
        depot: Depot,
        snapshot: Snapshot,
        headers: ObjectHeaders,
        *,
        remembered: PartBuffer | None = None,
    ) -> None:
        assert snapshot.ledger is not None  # noqa: S101 - only open uploads are written to
        self._depot = depot
        self._snapshot = snapshot
        self._ledger = snapshot.ledger
        self._sender = PartSender(depot, snapshot, headers)
        self._remembered = remembered
        self._open = set() if remembered is None else {remembered}
        self._in_flight = asyncio.Semaphore(depot.parts_per_upload)
        self._stop: Callable[[Ended], None] = lambda _: None
        self._expected: int | None = 0
        self._waiting: asyncio.Timeout | None = None
        self._number = self._ledger.next_number  # of the part that is being filled
        self.failure: StoreError | None = None
        self.refusal: TusError | None = None

    async def run(self, body: Body, expected: int | None = None) -> PartBuffer | None:
        """Store a body to its end, however it ends.

        Args:
            body: the bytes.
            expected: how many the client has announced, None if it has not.

        Returns:
            The buffer with the tail's bytes if there is a tail and it is still in memory; the
            caller owns it. ``failure`` is set if something could not be stored, ``refusal`` if
            the body was not read to its end because no more of it can be taken.
        """
        self._stop = body.stop
        self._expected = expected
        body.on_stop(self._stop_waiting)
        rest: PartBuffer | None = None
        try:
            async with asyncio.TaskGroup() as group:
                rest = await self._fill(body, group)
            if rest is not None and rest.size:
                await self._keep_tail(rest)
            if rest is None or not rest.in_memory or not self._is_tail(rest):
                return None
            self._open.discard(rest)
            return rest
        finally:
            await self._close_all()

    async def promote_tail(self) -> None:
        """Store the tail as the last part: the length was declared where the tail ends.

        Raises:
            StoreError: it could not be read or stored.
        """
        try:
            buffer = await self._begin(self._number)
            await buffer.seal()
            await self._in_flight.acquire()
            await self._store_part(buffer, self._number)
        finally:
            await self._close_all()
        if self.failure is not None:
            raise self.failure

    # -- filling buffers -----------------------------------------------------------------------

    async def _fill(self, body: Body, group: asyncio.TaskGroup) -> PartBuffer | None:
        """Cut the body into parts and send those that are whole; return the rest."""
        buffer: PartBuffer | None = None
        try:
            while chunk := await body.read():
                data = chunk
                while data:
                    if buffer is None:
                        buffer = await self._begin_unless_stopped()
                    room = self._room(buffer)
                    if room <= 0:
                        raise MaxSizeExceeded("the bucket cannot hold a larger object")
                    piece, data = (data, b"") if len(data) <= room else (data[:room], data[room:])
                    await buffer.write(piece)
                    if buffer.size == self._size(self._number):
                        await buffer.seal()
                        await self._in_flight.acquire()
                        group.create_task(self._store_part(buffer, self._number))
                        buffer = None
                        self._number += 1
        except (OutOfRoom, MaxSizeExceeded) as exc:
            self.refusal = exc
        except TimeoutError:  # somebody asked for the upload while we waited for room
            await _read_out(body)
        except StoreError as exc:  # the tail could not be read back
            self._fail(exc)
        return buffer

    def _size(self, number: int) -> int:
        return self._ledger.grid.size(number, self._ledger.length)

    def _room(self, buffer: PartBuffer) -> int:
        """Return how many bytes the part still takes, and the largest object."""
        start = self._ledger.grid.start(self._number)
        last = self._depot.bucket.limits.max_object - start
        return min(self._size(self._number), last) - buffer.size

    async def _begin_unless_stopped(self) -> PartBuffer:
        """Begin the next part.

        Raises:
            TimeoutError: the body was stopped meanwhile.
        """
        try:
            async with asyncio.timeout(None) as self._waiting:
                return await self._begin(self._number)
        finally:
            self._waiting = None

    async def _begin(self, number: int) -> PartBuffer:
        """Return the buffer of a part, with the tail's bytes in it if the part has a tail."""
        tail = self._snapshot.tail
        if tail is None or tail.number != number:
            return await self._new_buffer(self._expected)
        if self._remembered is not None:
            buffer, self._remembered = self._remembered, None
            buffer.reuse(self._evict)
            return buffer
        buffer = await self._new_buffer()
        try:
            async with self._depot.bucket.get(tail.key, if_match=tail.etag) as reader:
                async for chunk in reader.chunks():
                    await buffer.write(bytes(chunk))
            if buffer.size != tail.size:
                raise StoreError("get", tail.key, "the tail is not as long as it was said to be")
        except (ConditionFailed, ObjectMissing) as exc:
            raise LeaseLost("get", tail.key, "the tail was changed by somebody else") from exc
        return buffer

    async def _new_buffer(self, expected: int | None = None) -> PartBuffer:
        """Return an empty buffer; what has a tail comes in small pieces and gets room for all."""
        buffer = await self._depot.spool.buffer(
            self._snapshot.record.checksum,
            self._size(self._number),
            self._evict,
            expected=expected,
        )
        self._open.add(buffer)
        return buffer

    def _stop_waiting(self) -> None:
        """End a wait for room, or the download of a tail, because the body was stopped."""
        if self._waiting is not None:
            self._waiting.reschedule(asyncio.get_running_loop().time())

    def _evict(self) -> None:
        self._stop(Ended.OUT_OF_ROOM)

    # -- storing -------------------------------------------------------------------------------

    async def _store_part(self, buffer: PartBuffer, number: int) -> None:
        """Store a whole part; a failure is noted, so that the other parts go on."""
        answered = False
        try:
            await self._sender.store_part(buffer, number)
            answered = True
        except StoreError as exc:
            self._fail(exc)
        finally:
            await buffer.close(answered=answered)
            self._open.discard(buffer)
            self._in_flight.release()

    async def _keep_tail(self, buffer: PartBuffer) -> None:
        """Store the beginning of the next part, unless it would not count."""
        if self._ledger.next_number != self._number:  # a part before failed, or lay behind a gap
            return
        await buffer.seal()
        try:
            await self._sender.store_tail(buffer, self._number)
        except StoreError as exc:
            self._fail(exc)
        finally:
            buffer.sending = False

    # -- ending --------------------------------------------------------------------------------

    @property
    def has_jumped(self) -> bool:
        """Whether parts that lay behind a gap count now: the next tail has not been looked at."""
        return self._ledger.next_number > self._number

    def _is_tail(self, buffer: PartBuffer) -> bool:
        """Whether the buffer has exactly the bytes of the tail as it is stored."""
        tail = self._snapshot.tail
        return tail is not None and (tail.number, tail.size) == (self._number, buffer.size)

    def _fail(self, exc: StoreError) -> None:
        if self.failure is None or isinstance(exc, UploadGone | PartConflict):
            self.failure = exc
        self._stop(Ended.FAILED)

    async def _close_all(self) -> None:
        """Give all room back; a task that was cancelled before it began could not do it."""
        while self._open:
            await self._open.pop().close()


async def _read_out(body: Body) -> None:
    """Let a body that was stopped say so; what it still hands out has no place."""
    while body.ended is None:
        await body.read()
