"""The bytes of one part, in memory or in a temporary file, with their running checksum."""

import asyncio
import mmap
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Protocol

import aiofiles.tempfile
from aiofiles.threadpool.binary import AsyncFileIO

from tusd_s3.digests import Digest
from tusd_s3.errors import OutOfRoom
from tusd_s3.interfaces import Chunk
from tusd_s3.model import KIB, MIB, Checksum
from tusd_s3.store.maps import MapPool

_PIECE = 4 * MIB  # handed to the transport at once
_READ = MIB  # from temporary files: each read is a hop to a thread
_MAPPED = 256 * KIB  # reservations from this on are memory maps, which go back to the system


class Room(Protocol):
    """What a buffer needs of the spool."""

    maps: MapPool
    directory: Path | None

    def take_memory_now(self, size: int) -> bool: ...
    def refund_memory(self, size: int) -> None: ...
    async def take_disk(self, size: int, asker: "PartBuffer") -> None: ...
    def take_disk_now(self, size: int) -> None: ...
    def refund_disk(self, size: int) -> None: ...
    def forget(self, buffer: "PartBuffer") -> None: ...


class PartBuffer:
    """The bytes of one part from its beginning.

    Args:
        room: where memory and disk come from.
        algorithm: of the checksum.
        whole: bytes to reserve when more come than were expected.
        on_evict: asks the request to end and flush.

    Attributes:
        size: bytes so far.
        sending: on its way to the bucket: not to be moved or evicted.
        remembered: kept between requests; dropped, not moved, when others need the room.
        waiting: for disk space.
        evicted: asked to end.
        touched, born: monotonic seconds of the last and the first byte.
    """

    def __init__(
        self, room: Room, algorithm: str, whole: int, on_evict: Callable[[], None]
    ) -> None:
        self.size = 0
        self.sending = False
        self.remembered = False
        self.waiting = False
        self.evicted = False
        self.touched = self.born = time.monotonic()
        self._whole = whole
        self._on_evict = on_evict
        self._room = room
        self._digest = Digest(algorithm)
        self._map: mmap.mmap | None = None
        self._view: memoryview | None = None
        self._capacity = 0
        self._disk = 0
        self._file: AsyncFileIO | None = None
        self._changing = asyncio.Lock()

    @property
    def checksum(self) -> Checksum:
        """The checksum of the bytes so far."""
        return self._digest.checksum

    @property
    def in_memory(self) -> bool:
        """Whether the bytes are in memory."""
        return self._view is not None

    @property
    def on_disk(self) -> int:
        """Bytes of temporary disk that the buffer has reserved."""
        return self._disk

    @property
    def is_movable(self) -> bool:
        """Whether it may be moved to a file."""
        return (
            self._view is not None
            and not (self.sending or self.remembered)
            and not self._changing.locked()
        )

    def use_memory(self, capacity: int) -> bool:
        """Begin in memory that was reserved; False if the system has none."""
        try:
            used = self._room.maps.take(capacity) if capacity >= _MAPPED else None
            self._view = memoryview(bytearray(capacity) if used is None else used)
        except (OSError, MemoryError):
            return False
        self._map = used
        self._capacity = capacity
        return True

    async def use_file(self) -> None:
        """Begin in a temporary file.

        Raises:
            OutOfRoom: there can be none.
        """
        self._file = await self._make_file()

    async def _make_file(self) -> AsyncFileIO:
        try:
            return await aiofiles.tempfile.TemporaryFile(
                "w+b", buffering=0, dir=self._room.directory
            )
        except OSError as exc:
            raise OutOfRoom from exc

    async def seal(self) -> None:
        """Let nothing move the bytes any more: they are about to be sent."""
        async with self._changing:
            self.sending = True

    def remember(self) -> None:
        """Keep the bytes for the next request."""
        self.remembered = True
        self._on_evict = _stay

    def reuse(self, on_evict: Callable[[], None]) -> None:
        """Go on with a buffer that was remembered, for another request."""
        self._on_evict = on_evict
        self.sending = self.evicted = self.remembered = False
        self.touched = self.born = time.monotonic()

    def evict(self) -> None:
        """Ask the request to end and flush."""
        self.evicted = True
        self._on_evict()

    async def write(self, data: Chunk) -> None:
        """Append bytes.

        Raises:
            OutOfRoom: neither memory nor disk has space; the buffer is as it was before.
        """
        self.touched = time.monotonic()
        end = self.size + len(data)
        async with self._changing:
            if self._view is not None and end > self._capacity:
                await self._grow(max(end, self._whole))
            if self._view is not None:
                self._view[self.size : end] = data
            else:
                await self._append_to_file(data)
            self._digest.update(data)
            self.size = end

    async def move_to_file(self) -> None:
        """Give the memory back.

        Raises:
            OutOfRoom: there is no disk for it; it stays where it is.
        """
        async with self._changing:
            if self._view is None or self.sending:
                return
            self._room.take_disk_now(self.size)
            await self._to_file()

    async def chunks(self) -> AsyncIterator[Chunk]:
        """Iterate over the bytes from the beginning; nothing is written meanwhile."""
        position = 0
        while position < self.size:
            if self._view is not None:
                piece: Chunk = self._view[position : min(position + _PIECE, self.size)]
            else:
                assert self._file is not None  # noqa: S101 - it is in memory or in a file
                # Positioned reads: an attempt that was given up may be at it in a thread.
                count = min(_READ, self.size - position)
                piece = await asyncio.to_thread(os.pread, self._file.fileno(), count, position)
                if not piece:
                    raise OSError("a temporary file is shorter than what was written to it")
            position += len(piece)
            yield piece

    async def close(self, *, answered: bool = False) -> None:
        """Give the room back. Closing twice is harmless.

        Args:
            answered: no transport can still refer to the bytes.
        """
        async with self._changing:
            file, self._file = self._file, None
            try:
                if file is not None:
                    await file.close()
            finally:
                self.forget(answered=answered)

    def forget(self, *, answered: bool = False) -> None:
        """Close a buffer that is in memory, at once."""
        self._room.forget(self)
        self._drop_memory(answered=answered)
        disk, self._disk = self._disk, 0
        self._room.refund_disk(disk)

    def _drop_memory(self, *, answered: bool) -> None:
        used, self._map, self._view = self._map, None, None
        if used is not None and answered:
            self._room.maps.give_back(used)
        capacity, self._capacity = self._capacity, 0
        if capacity:
            self._room.refund_memory(capacity)

    async def _grow(self, capacity: int) -> None:
        """Move to a larger piece of memory, or at once to a file if there is none.

        Whoever holds memory does not wait for more of it: others might wait for him.
        """
        if self._room.take_memory_now(capacity):
            old, previous = self._view, self._capacity
            if self.use_memory(capacity):
                if self._view is not None and old is not None:
                    self._view[: self.size] = old[: self.size]
                self._room.refund_memory(previous)
                return
            self._room.refund_memory(capacity)
        await self._room.take_disk(self.size, self)
        await self._to_file()

    async def _to_file(self) -> None:
        """Write what is in memory to a file; the disk for it is reserved."""
        assert self._view is not None  # noqa: S101 - the callers looked
        try:
            file = await self._make_file()
            try:
                await asyncio.to_thread(_write_at, file.fileno(), self._view[: self.size], 0)
            except BaseException:
                await file.close()
                raise
        except BaseException as exc:
            self._room.refund_disk(self.size)
            if isinstance(exc, OSError):
                raise OutOfRoom from exc
            raise
        self._file = file
        self._disk += self.size
        self._drop_memory(answered=True)

    async def _append_to_file(self, data: Chunk) -> None:
        assert self._file is not None  # noqa: S101 - it is in memory or in a file
        await self._room.take_disk(len(data), self)
        self._disk += len(data)
        try:
            # at its place: what a failed write left behind does not count
            await asyncio.to_thread(_write_at, self._file.fileno(), data, self.size)
        except OSError as exc:
            self._disk -= len(data)
            self._room.refund_disk(len(data))
            raise OutOfRoom from exc


def _stay() -> None:
    """Ignore being asked to end: nobody is at work on this buffer."""


def _write_at(fd: int, data: Chunk, position: int) -> None:
    view = memoryview(data)
    while view:
        count = os.pwrite(fd, view, position)
        view, position = view[count:], position + count
