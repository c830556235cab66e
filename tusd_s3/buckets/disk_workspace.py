"""The private part of a bucket's folder, and what each process keeps there while it lives."""

import errno
import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

from tusd_s3.buckets.disk_files import Temporary, flush_directory, try_lock, write_durably

PRIVATE = ".tusd-s3"
_ROOMS = ("tmp", "meta", "multipart", "locks")


class Workspace:
    """``<directory>/.tusd-s3``; temporary files are in a folder per process.

    A process shows that it lives by a lock that it holds until it ends, however it ends. Process
    ids would not do: containers that share the folder all have process 1.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.private = directory / PRIVATE
        self._process = "closed"
        self._alive_fd: int | None = None

    @property
    def mine(self) -> Path:
        """The folder of this process's temporary files."""
        return self.private / "tmp" / self._process

    def fresh_path(self) -> Path:
        """Return a path for a temporary file."""
        return self.mine / secrets.token_hex(8)

    def temporary(self) -> Temporary:
        """Return a new file without a name in the bucket."""
        return Temporary(self.fresh_path())

    def open(self) -> None:
        """Create what is missing, and remove what processes that died left behind.

        Raises:
            OSError: the folder cannot be used.
        """
        for room in _ROOMS:
            (self.private / room).mkdir(parents=True, exist_ok=True)
        flush_directory(self.private)
        flush_directory(self._directory)
        with suppress(PermissionError):  # the parent need not be readable to us
            flush_directory(self._directory.parent)
        self._process = secrets.token_hex(8)
        self._alive_fd = _open_lock(self._alive(self._process))
        self._try_out_locks(self._alive_fd)
        self.mine.mkdir()
        self._try_out_rename()
        self._remove_leftovers()

    def close(self) -> None:
        """Remove this process's temporary files; doing it again is harmless."""
        if self._alive_fd is None:
            return
        shutil.rmtree(self.mine, ignore_errors=True)
        with suppress(OSError):
            self._alive(self._process).unlink()
        os.close(self._alive_fd)
        self._alive_fd = None

    def check(self) -> None:
        """See that the folder is still there and can be written to.

        Raises:
            OSError: it was unmounted, deleted or made read-only.
        """
        os.utime(self.mine)

    def _alive(self, process: str) -> Path:
        return self.private / "locks" / f"process-{process}"

    def _try_out_locks(self, fd: int) -> None:
        if not try_lock(fd):
            raise OSError(errno.ENOLCK, "a fresh file is locked")
        other = _open_lock(self._alive(self._process))
        try:
            if try_lock(other):
                raise OSError(errno.ENOLCK, "locks have no effect")
        finally:
            os.close(other)

    def _try_out_rename(self) -> None:
        """Replace a file by renaming, as every write will."""
        old, new = self.fresh_path(), self.fresh_path()
        write_durably(old, b"old")
        write_durably(new, b"new")
        new.rename(old)
        if old.read_bytes() != b"new":
            raise OSError(errno.EIO, "renaming does not replace")
        old.unlink()

    def _remove_leftovers(self) -> None:
        for folder in (self.private / "tmp").iterdir():
            alive = self._alive(folder.name)
            fd = _open_lock(alive)
            try:
                if try_lock(fd):
                    shutil.rmtree(folder, ignore_errors=True)
                    alive.unlink(missing_ok=True)
            finally:
                os.close(fd)


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
