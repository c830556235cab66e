"""Folders in a folder: made for objects that come, removed after those that go. No asyncio."""

import errno
from pathlib import Path

from tusd_s3.buckets.disk_files import flush_directory
from tusd_s3.errors import StoreBusy, StoreError

RETRIES = 100  # races with others that prune folders or replace objects; each is won at once


class Tree:
    """The folders that the slashes of keys make of one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def rename(self, operation: str, key: str, source: Path, target: Path) -> None:
        """Rename durably, making folders; others may prune them while they are empty.

        Args:
            operation: the bucket's operation, for errors.
            key: the object that gets its name.
            source: a file that is complete and flushed.
            target: below the directory.

        Raises:
            StoreError: another object is where a folder is needed, or below the target.
            StoreBusy: others pruned the folder again and again.
        """
        for _ in range(RETRIES):
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                source.rename(target)
                self._flush_upwards(target.parent)
            except (FileExistsError, NotADirectoryError) as exc:
                if self._is_below_an_object(target):
                    raise StoreError(operation, key, "a part of its path is an object") from exc
            except IsADirectoryError as exc:
                if not _prune(target):  # an empty folder, left by a crash, is no obstacle
                    raise StoreError(operation, key, "other objects are below it") from exc
            except FileNotFoundError:
                if not source.exists():
                    raise
            else:
                return
        raise StoreBusy(operation, key, "its folder vanished again and again")

    def settle(self, folder: Path) -> None:
        """Prune empty folders, and make what was deleted in the first one that stays durable."""
        while folder != self._directory:
            if not _prune(folder):
                try:
                    flush_directory(folder)
                except (FileNotFoundError, NotADirectoryError):
                    pass  # pruned by somebody else just now
                else:
                    return
            folder = folder.parent
        flush_directory(folder)

    def _is_below_an_object(self, path: Path) -> bool:
        above = (self._directory / name for name in path.relative_to(self._directory).parents)
        return any(folder.exists() and not folder.is_dir() for folder in above)

    def _flush_upwards(self, path: Path) -> None:
        """Make a folder's names durable, and its own name, which somebody may just have made."""
        flush_directory(path)
        while path != self._directory:
            path = path.parent
            flush_directory(path)


def _prune(folder: Path) -> bool:
    """Remove a folder if it is empty; return whether it is gone."""
    try:
        folder.rmdir()
    except OSError as exc:
        return exc.errno in {errno.ENOENT, errno.ENOTDIR}
    return True
