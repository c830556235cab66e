"""Part buffers: memory while the budget lasts, then temporary files, then back-pressure.

Invariants:
    1. The buffers of all uploads together never hold more than the two budgets.
    2. A buffer that is being sent to the bucket gives its room back within the bucket's time
       limits; so whoever waits for room waits only while something is being sent.
    3. When nothing is being sent and no room is left, the buffer that has been idle longest is
       asked to end its request (it is flushed as a tail), so half-filled buffers never block
       each other for ever.
"""

import asyncio
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiofiles.tempfile
from aiofiles.threadpool.binary import AsyncFileIO

from tusd_s3.digests import Digest
from tusd_s3.errors import OutOfRoom
from tusd_s3.interfaces import Chunk
from tusd_s3.model import KIB, Checksum

_SMALL = 4 * KIB  # chunks below this are gathered: each bytes object costs some 33 bytes more
_GATHER = 64 * KIB
_READ = 256 * KIB  # from temporary files; the size S3 clients send best


class Spool:
    """The room that all part buffers of the process share.

    Args:
        memory_budget: bytes of memory for part buffers.
        disk_budget: bytes of temporary files for part buffers.
        directory: where the temporary files go; None for the system's place.
        wait_s: how long a writer waits for room before it gives up.
    """

    def __init__(
        self,
        *,
        memory_budget: int,
        disk_budget: int,
        directory: Path | None = None,
        wait_s: float = 60.0,
    ) -> None:
        self.memory_free = memory_budget
        self.disk_free = disk_budget
        self.directory = directory
        self.largest_part = disk_budget or memory_budget
        self.on_pressure: Callable[[], bool] = lambda: False
        self._disk_budget = disk_budget
        self._wait_s = wait_s
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._buffers: set[PartBuffer] = set()

    def buffer(self, algorithm: str, on_evict: Callable[[], None]) -> "PartBuffer":
        """Return an empty buffer. ``on_evict`` asks its request to end and flush."""
        buffer = PartBuffer(self, algorithm, on_evict)
        self._buffers.add(buffer)
        return buffer

    def take_memory(self, size: int) -> bool:
        """Reserve memory if there is any; remembered tails make room first."""
        while size > self.memory_free:
            if not self.on_pressure():
                return False
        self.memory_free -= size
        return True

    async def take_disk(self, size: int, asker: "PartBuffer") -> None:
        """Reserve temporary disk space, waiting while something is being sent.

        Raises:
            OutOfRoom: the asker is the one that has to go, or waiting took too long.
        """
        if asker.on_disk + size > self._disk_budget:
            raise OutOfRoom
        deadline = time.monotonic() + self._wait_s
        while size > self.disk_free:
            if asker.evicted:  # others wait for it to go
                raise OutOfRoom
            asker.waiting = True
            try:
                self._evict_unless_sending()
                await self._released(deadline)
            finally:
                asker.waiting = False
        self.disk_free -= size

    def give_back(self, buffer: "PartBuffer", memory: int, disk: int) -> None:
        """Return room; everybody who waits looks again, in order of arrival."""
        self._buffers.discard(buffer)
        self.refund(memory, disk)

    def refund(self, memory: int, disk: int = 0) -> None:
        """Return room of a buffer that goes on."""
        self.memory_free += memory
        self.disk_free += disk
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)

    async def _released(self, deadline: float) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                await waiter
        except TimeoutError:
            raise OutOfRoom from None

    def _evict_unless_sending(self) -> None:
        if any(buffer.sending for buffer in self._buffers):
            return
        if any(buffer.evicted for buffer in self._buffers):
            return  # on its way out: it will be sent, then give its room back
        idle = [buffer for buffer in self._buffers if buffer.on_disk and not buffer.waiting]
        if not idle:
            raise OutOfRoom
        victim = min(idle, key=lambda buffer: buffer.touched)
        victim.evicted = True
        victim.on_evict()


class PartBuffer:
    """The bytes of one part from its beginning, with their running checksum."""

    def __init__(self, spool: Spool, algorithm: str, on_evict: Callable[[], None]) -> None:
        self.size = 0
        self.on_evict = on_evict
        self.touched = time.monotonic()
        self.sending = False
        self.waiting = False
        self.evicted = False
        self._spool = spool
        self._digest = Digest(algorithm)
        self._chunks: list[bytes] = []
        self._small = bytearray()
        self._file: AsyncFileIO | None = None
        self._memory = 0
        self._disk = 0

    @property
    def checksum(self) -> Checksum:
        """The checksum of the bytes so far."""
        return self._digest.checksum

    @property
    def on_disk(self) -> int:
        """Bytes of temporary disk that the buffer has reserved."""
        return self._disk

    @property
    def in_memory(self) -> bool:
        """Whether no byte has gone to a temporary file."""
        return self._file is None

    async def write(self, data: bytes) -> None:
        """Append bytes.

        Raises:
            OutOfRoom: neither memory nor disk has space; the buffer is as it was before.
        """
        self.touched = time.monotonic()
        if self._file is None and self._spool.take_memory(len(data)):
            self._memory += len(data)
            self._keep(data)
        else:
            if self._file is None:
                await self._move_to_file()
            assert self._file is not None  # noqa: S101 - it was moved there
            await self._write_file(self._file, data)
        self._digest.update(data)
        self.size += len(data)

    def reuse(self, on_evict: Callable[[], None]) -> None:
        """Go on with a buffer that was remembered, for another request."""
        self.on_evict = on_evict
        self.sending = self.evicted = False
        self.touched = time.monotonic()

    async def chunks(self) -> AsyncIterator[Chunk]:
        """Iterate over the bytes from the beginning; nothing is written meanwhile."""
        if self._file is None:
            self._gather()
            for chunk in self._chunks:
                yield chunk
            return
        position = 0
        while position < self.size:
            # Positioned reads: an attempt that was given up may still be at it in a thread.
            data = await asyncio.to_thread(
                os.pread, self._file.fileno(), min(_READ, self.size - position), position
            )
            if not data:
                raise OSError("a temporary file is shorter than what was written to it")
            position += len(data)
            yield data

    async def close(self) -> None:
        """Give the room back. Closing twice is harmless."""
        file, self._file = self._file, None
        try:
            if file is not None:
                await file.close()
        finally:
            self.forget()

    def forget(self) -> None:
        """Close a buffer that is in memory, at once."""
        self._chunks.clear()
        self._small.clear()
        memory, self._memory, disk, self._disk = self._memory, 0, self._disk, 0
        self._spool.give_back(self, memory, disk)

    def _keep(self, data: bytes) -> None:
        if len(data) < _SMALL:
            self._small += data
            if len(self._small) >= _GATHER:
                self._gather()
            return
        self._gather()
        self._chunks.append(data)

    def _gather(self) -> None:
        if self._small:
            self._chunks.append(bytes(self._small))
            self._small.clear()

    async def _move_to_file(self) -> None:
        await self._take_disk(self.size)
        self._gather()
        try:
            file = await aiofiles.tempfile.TemporaryFile(
                "w+b", buffering=0, dir=self._spool.directory
            )
        except OSError as exc:
            self._refund_disk(self.size)
            raise OutOfRoom from exc
        try:
            for chunk in self._chunks:
                await _write_all(file, chunk)
        except OSError as exc:
            await file.close()
            self._refund_disk(self.size)
            raise OutOfRoom from exc
        self._file = file
        self._chunks.clear()
        memory, self._memory = self._memory, 0
        self._spool.refund(memory)

    async def _write_file(self, file: AsyncFileIO, data: bytes) -> None:
        await self._take_disk(len(data))
        try:
            await file.seek(self.size)  # what a failed write left behind does not count
            await _write_all(file, data)
        except OSError as exc:
            self._refund_disk(len(data))
            raise OutOfRoom from exc

    async def _take_disk(self, size: int) -> None:
        await self._spool.take_disk(size, self)
        self._disk += size

    def _refund_disk(self, size: int) -> None:
        self._disk -= size
        self._spool.refund(0, size)


async def _write_all(file: AsyncFileIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[await file.write(view) :]


class BufferContent:
    """A part buffer as `Content`: fixed at the size it has now."""

    def __init__(self, buffer: PartBuffer) -> None:
        self._buffer = buffer
        self.size = buffer.size
        self.checksum = buffer.checksum

    def chunks(self) -> AsyncIterator[Chunk]:
        """Iterate over the bytes from the beginning."""
        return self._buffer.chunks()


class BytesContent:
    """Bytes that are all there as `Content`: records and empty objects."""

    def __init__(self, data: bytes, algorithm: str) -> None:
        digest = Digest(algorithm)
        digest.update(data)
        self._data = data
        self.size = len(data)
        self.checksum = digest.checksum

    async def chunks(self) -> AsyncIterator[Chunk]:
        """Iterate over the bytes from the beginning."""
        if self._data:
            yield self._data
