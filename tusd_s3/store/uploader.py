"""The pump: one request body becomes parts, sent concurrently, and at most one tail.

The order of things is what keeps acknowledged bytes safe:

1. A part is sent only when it is whole; the tail that it began with is deleted afterwards.
2. The tail of an unfinished part is written when every part before it is stored.
3. An upload slot is taken when a part is whole and given back when the bucket has answered; no
   slot is held while waiting for a client.
"""

import asyncio
from collections.abc import Callable

import structlog

from tusd_s3.digests import Digest
from tusd_s3.errors import (
    ConditionFailed,
    LeaseLost,
    MaxSizeExceeded,
    MultipartMissing,
    ObjectMissing,
    OutOfRoom,
    PartConflict,
    StoreError,
    TusError,
    UploadGone,
)
from tusd_s3.interfaces import Body
from tusd_s3.model import Ended, ObjectHeaders
from tusd_s3.store.buffer import BufferContent, PartBuffer
from tusd_s3.store.depot import Depot
from tusd_s3.store.state import Snapshot, Tail

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
        self._headers = headers
        self._remembered = remembered
        self._open = set() if remembered is None else {remembered}
        self._in_flight = asyncio.Semaphore(depot.parts_per_upload)
        self._object_key = depot.names.object(snapshot.id.object_id)
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
            if not self._is_stored_already(buffer, number):
                async with self._depot.slots:
                    await self._send(buffer, number)
            answered = True
            await self._drop_tail(number)
        except MultipartMissing as exc:
            gone = UploadGone(exc.operation, exc.key, "the multipart upload vanished")
            gone.__cause__ = exc
            self._fail(gone)
        except StoreError as exc:
            self._fail(exc)
        except OSError as exc:  # a temporary file that cannot be read back
            self._fail(StoreError("upload_part", self._object_key, f"temporary file: {exc}"))
        finally:
            await buffer.close(answered=answered)
            self._open.discard(buffer)
            self._in_flight.release()

    def _is_stored_already(self, buffer: PartBuffer, number: int) -> bool:
        """Whether the part is in the bucket with the same checksum (it lay behind a gap).

        Raises:
            PartConflict: it is there with another checksum: the client sent other bytes than the
                first time. That must never become an object.
        """
        known = self._ledger.stored(number)
        if known is None or known.checksum is None:
            return False
        if known.checksum.algorithm != buffer.checksum.algorithm:
            return False
        if known.checksum != buffer.checksum:
            _log.error(
                "a part was sent again with other bytes", upload=str(self._snapshot.id), part=number
            )
            raise PartConflict("upload_part", self._object_key, f"part {number} has other bytes")
        return True

    async def _send(self, buffer: PartBuffer, number: int) -> None:
        content = BufferContent(buffer)
        bucket = self._depot.bucket
        multipart_id = self._snapshot.id.multipart_id
        if multipart_id is None:  # the whole upload fits in one part: this is the object
            await bucket.put(self._object_key, content, headers=self._headers)
            self._snapshot.object_exists = True
            return
        self._ledger.add(await bucket.upload_part(self._object_key, multipart_id, number, content))

    async def _drop_tail(self, number: int) -> None:
        """Delete the tail of a part that is stored; left behind it would do no harm."""
        tail = self._snapshot.tail
        if tail is None or tail.number != number or self._snapshot.id.multipart_id is None:
            return  # a single object replaces its tail only when `.info` says so: see `Held`
        self._snapshot.tail = None
        await self._delete_quietly(tail.key)

    async def _keep_tail(self, buffer: PartBuffer) -> None:
        """Store the beginning of the next part, unless it would not count."""
        number = self._number
        if self._ledger.next_number != number:  # a part before failed, or it lay behind a gap
            return
        old = self._snapshot.tail
        key = self._depot.names.tail(self._snapshot.id.object_id, number)
        await buffer.seal()
        try:
            etag = await self._put_tail(buffer, key, old)
        except StoreError as exc:
            self._fail(exc)
            return
        finally:
            buffer.sending = False
        self._snapshot.tail = Tail(number, key, buffer.size, etag)
        if old is not None and old.key != key:  # tusd's plain tail: ours counts from now on
            await self._delete_quietly(old.key)

    async def _put_tail(self, buffer: PartBuffer, key: str, old: Tail | None) -> str:
        """Write a tail over the one we know, and over no other (conditional writes)."""
        content = BufferContent(buffer)
        replaces = old.etag if old is not None and old.key == key else None
        try:
            async with self._depot.slots:
                return await self._depot.bucket.put(
                    key, content, if_match=replaces, if_absent=replaces is None
                )
        except ConditionFailed as exc:
            etag = await self._stored_by_us(key, content)
            if etag is None:
                raise LeaseLost("put", key, "the tail belongs to somebody else") from exc
            return etag

    async def _stored_by_us(self, key: str, content: BufferContent) -> str | None:
        """Return the ETag of the object if it has exactly our bytes: only the answer was lost."""
        digest = Digest(content.checksum.algorithm)
        try:
            async with self._depot.bucket.get(key) as reader:
                if reader.stat.size != content.size:
                    return None
                async for chunk in reader.chunks():
                    digest.update(chunk)
                return reader.stat.etag if digest.checksum == content.checksum else None
        except ObjectMissing:
            return None

    async def _delete_quietly(self, key: str) -> None:
        """Delete what does not count any more; left behind it would do no harm."""
        try:
            await self._depot.bucket.delete([key])
        except StoreError as exc:
            _log.warning("a tail was left behind", key=key, error=str(exc))

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
