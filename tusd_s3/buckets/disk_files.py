"""Files that survive a crash: whole or absent, never half. Knows files, not objects."""

import errno
import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tusd_s3.digests import Digest
from tusd_s3.errors import (
    ContentCorrupted,
    StoreBusy,
    StoreError,
    StoreFull,
    StoreRefused,
)
from tusd_s3.interfaces import Chunk
from tusd_s3.model import MIB, Checksum

COPY_STEP = 64 * MIB  # between two looks at the clock, and between two flushes
_MAX_BUFFERS = 512  # IOV_MAX is 1024 on Linux; POSIX promises 16 and nobody has less than this

_MEANING: dict[int, type[StoreError]] = {
    errno.ENOSPC: StoreFull,
    errno.EDQUOT: StoreFull,
    errno.EACCES: StoreRefused,
    errno.EPERM: StoreRefused,
    errno.EROFS: StoreRefused,
    # what may pass: descriptors and memory run short, a network file system hiccups
    errno.EMFILE: StoreBusy,
    errno.ENFILE: StoreBusy,
    errno.ENOMEM: StoreBusy,
    errno.ENOLCK: StoreBusy,
    errno.EAGAIN: StoreBusy,
    errno.ETIMEDOUT: StoreBusy,
    errno.ESTALE: StoreBusy,
}
_NO_COPY_IN_KERNEL = {errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.EBADF}


@contextmanager
def translated(operation: str, key: str) -> Iterator[None]:
    """Turn an OSError, raised in the block, into one of ours."""
    try:
        yield
    except OSError as exc:
        number = exc.errno or 0
        reason = errno.errorcode.get(number, type(exc).__name__)
        raise _MEANING.get(number, StoreError)(operation, key, reason) from exc
    except (json.JSONDecodeError, UnicodeDecodeError) as exc:
        raise StoreError(operation, key, "a record of the bucket cannot be read") from exc


def flush_directory(path: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_durably(path: Path, data: bytes) -> None:
    """Create or replace a small file that nobody reads yet; its name is not flushed."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_all(fd: int, buffers: Sequence[Chunk]) -> None:
    """Write buffers one after the other, without joining them."""
    pending = [view for view in (memoryview(buffer).cast("B") for buffer in buffers) if view]
    while pending:
        written = os.writev(fd, pending[:_MAX_BUFFERS])
        done = 0
        while done < len(pending) and written >= pending[done].nbytes:
            written -= pending[done].nbytes
            done += 1
        del pending[:done]
        if written:
            pending[0] = pending[0][written:]


def copy_bytes(source: int, target: int, *, at: int, count: int) -> None:
    """Append ``count`` bytes, found in ``source`` at ``at``, to ``target``.

    Inside the kernel where it can (file systems with shared extents then copy nothing at all).

    Raises:
        OSError: EIO if the source ends too early.
    """
    in_kernel = hasattr(os, "copy_file_range")
    while count:
        try:
            if in_kernel:
                copied = os.copy_file_range(source, target, count, offset_src=at)
            else:
                data = os.pread(source, min(count, MIB), at)
                write_all(target, [data])
                copied = len(data)
        except OSError as exc:
            if not in_kernel or exc.errno not in _NO_COPY_IN_KERNEL:
                raise
            in_kernel = False
            continue
        if not copied:
            raise OSError(errno.EIO, "file is shorter than it was")
        at += copied
        count -= copied


@contextmanager
def locked_file(path: Path, *, timeout_s: float, key: str) -> Iterator[None]:
    """Hold an exclusive lock between processes (and threads) for the block.

    `flock` cannot wait with a limit, so it is asked again and again. The file stays: deleting
    a lock file lets two holders lock two files of one name.

    Raises:
        StoreBusy: somebody else holds it for longer than ``timeout_s``.
    """
    deadline = time.monotonic() + timeout_s
    pause_s = 0.000_2
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        while not try_lock(fd):
            if time.monotonic() >= deadline:
                raise StoreBusy("lock", key, "held by somebody else")
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, 0.01)
        yield
    finally:
        os.close(fd)


def try_lock(fd: int) -> bool:
    """Try to take the exclusive lock of an open file; closing the file gives it back."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Temporary:
    """A file that is being written and has no name in the bucket yet.

    Its methods run in threads. A thread cannot be cancelled, so the task that started it may
    be gone, and already be discarding the file, while it still writes. Hence the lock: closing
    a descriptor under a running write could send the bytes into whatever is opened next.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None
        self._mutex = threading.Lock()
        self.ended = False
        self.size = 0

    @contextmanager
    def opened(self) -> Iterator[int]:
        """Use the descriptor alone; the first use creates the file.

        Raises:
            OSError: ECANCELED after `discard` or `release`.
        """
        with self._mutex:
            if self.ended:
                raise OSError(errno.ECANCELED, "discarded")
            if self._fd is None:
                flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                self._fd = os.open(self.path, flags, 0o666)
            yield self._fd

    def append(self, buffers: Sequence[Chunk]) -> None:
        """Write buffers at the end."""
        with self.opened() as fd:
            write_all(fd, buffers)
            self.size += sum(memoryview(buffer).nbytes for buffer in buffers)

    def append_from(self, source: int, *, at: int, count: int) -> None:
        """Copy bytes of another file to the end."""
        with self.opened() as fd:
            copy_bytes(source, fd, at=at, count=count)
            self.size += count

    def flush(self) -> None:
        """Make the bytes durable (not yet the file's times)."""
        with self.opened() as fd:
            os.fdatasync(fd)

    def stamp_newer_than(self, mtime_ns: int) -> os.stat_result:
        """Give the file a modification time later than ``mtime_ns`` and make it all durable.

        File systems round times, some to two seconds, so what is stored is read back.
        """
        with self.opened() as fd:
            step, wanted = 1, max(time.time_ns(), mtime_ns + 1)
            os.utime(fd, ns=(wanted, wanted))
            while (stat := os.fstat(fd)).st_mtime_ns <= mtime_ns:
                step *= 2
                wanted += step
                os.utime(fd, ns=(wanted, wanted))
            os.fsync(fd)
            return stat

    def release(self) -> None:
        """Close the file, which now has a name, or is to be removed by somebody else."""
        with self._mutex:
            self.ended = True
            if self._fd is not None:
                os.close(self._fd)
                self._fd = None

    def discard(self) -> None:
        """Close and remove the file, unless it was released."""
        with self._mutex:
            if self.ended:
                return
            self.ended = True
            if self._fd is not None:
                os.close(self._fd)
                self._fd = None
                with suppress(OSError):  # the next start cleans it up
                    self.path.unlink()


class Incoming:
    """Content on its way into a `Temporary`, checked against its size and checksum."""

    def __init__(self, file: Temporary, *, size: int, checksum: Checksum) -> None:
        self.file = file
        self._size = size
        self._checksum = checksum
        self._digest = Digest(checksum.algorithm)

    def append(self, buffers: Sequence[Chunk]) -> None:
        """Take in the next bytes."""
        for buffer in buffers:
            self._digest.update(buffer)
        self.file.append(buffers)

    def verify(self, operation: str, key: str) -> None:
        """See that exactly the announced bytes arrived.

        Raises:
            ContentCorrupted: they did not.
        """
        if self.file.size != self._size:
            raise ContentCorrupted(operation, key, f"{self.file.size} bytes, not {self._size}")
        if self._digest.checksum != self._checksum:
            raise ContentCorrupted(operation, key, f"{self._checksum.algorithm} differs")
