"""Reading objects of a folder."""

import errno
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, TypeVar

from tusd_s3.buckets.disk_files import Temporary
from tusd_s3.digests import Digest
from tusd_s3.errors import StoreBusy
from tusd_s3.interfaces import Chunk
from tusd_s3.model import MIB, ObjectStat

T = TypeVar("T")
READ_STEP = MIB  # bytes per hop to a thread


class OpenFile:
    """A file open for reading; reading and closing exclude each other, as in `Temporary`."""

    def __init__(self) -> None:
        self._fd: int | None = None
        self._mutex = threading.Lock()
        self.ended = False

    def adopt(self, fd: int) -> None:
        """Take a descriptor over.

        Raises:
            OSError: ECANCELED after `close`; the descriptor is closed.
        """
        with self._mutex:
            if self.ended:
                os.close(fd)
                raise OSError(errno.ECANCELED, "closed")
            self._fd = fd

    def read_at(self, at: int, count: int) -> bytes:
        """Return up to ``count`` bytes from offset ``at``."""
        with self._mutex:
            if self._fd is None:
                raise OSError(errno.ECANCELED, "closed")
            return os.pread(self._fd, count, at)

    def close(self) -> None:
        """Close the file; doing it again is harmless."""
        with self._mutex:
            self.ended = True
            if self._fd is not None:
                os.close(self._fd)
                self._fd = None


def copy_with_digest(
    source: OpenFile, target: Temporary, digest: Digest, start: int, end: int
) -> None:
    """Append bytes ``start <= i < end`` to a file and take them into a checksum.

    They have to be read for the checksum anyway, so the kernel's copying would gain nothing.

    Raises:
        OSError: EIO if the source ends too early.
    """
    at = start
    while at < end:
        data = source.read_at(at, min(READ_STEP, end - at))
        if not data:
            raise OSError(errno.EIO, "file is shorter than it was")
        digest.update(data)
        target.append([data])
        at += len(data)


class Run(Protocol):
    """Runs a step in a thread."""

    def __call__(self, function: Callable[..., T], *args: object) -> Awaitable[T]: ...


class DiskReader:
    """The `ObjectReader` of a `DiskBucket`; what comes later does not change what it reads."""

    def __init__(
        self, run: Run, file: OpenFile, stat: ObjectStat, first: bytes, *, at: int, stop: int
    ) -> None:
        self._run = run
        self._file = file
        self._stat = stat
        self._first = first
        self._at = at
        self._stop = stop

    @property
    def stat(self) -> ObjectStat:
        return self._stat

    async def chunks(self) -> AsyncIterator[Chunk]:
        chunk = self._first
        at = self._at
        while at < self._stop:
            if not chunk:
                raise StoreBusy("get", self._stat.key, "the object was cut short")
            yield chunk
            at += len(chunk)
            if at < self._stop:
                chunk = await self._run(self._file.read_at, at, min(self._stop - at, READ_STEP))
