"""Objects in a folder: names, versions, headers, locks. Runs in threads; no asyncio."""

import json
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from tusd_s3.buckets.disk_files import (
    Temporary,
    flush_directory,
    locked_file,
    translated,
    write_durably,
)
from tusd_s3.buckets.disk_names import (
    NO_SUCH_FILE,
    digest_of,
    etag_of,
    format_headers,
    is_key,
    parse_headers,
    status_of,
)
from tusd_s3.buckets.disk_tree import RETRIES, Tree
from tusd_s3.buckets.disk_workspace import Workspace
from tusd_s3.errors import ConditionFailed, ObjectMissing, StoreBusy, StoreError
from tusd_s3.model import ObjectHeaders, ObjectStat

_LOCKS = 4096  # keys share lock files, so that those need never be deleted


class Folder:
    """A folder of objects.

    Invariants:
        1. ``<directory>/<key>`` is exactly the object; everything else is under `PRIVATE`.
        2. A name appears by one rename of a file that is complete and flushed.
        3. An object's headers are in ``meta/``, in a file per key that maps versions (ETags) to
           headers. It names the new version before the rename and still the old one, so the
           rename alone replaces bytes and headers together. A file that was changed by hand
           has another version, and no headers.
        4. Whatever decides by the present version and then changes it holds the key's lock.
    """

    def __init__(self, directory: Path, *, timeout_s: float) -> None:
        self.directory = directory.absolute()
        self.workspace = Workspace(self.directory)
        self._tree = Tree(self.directory)
        self._timeout_s = timeout_s

    def open(self) -> None:
        """Create the folder where it is missing, and see that it can hold objects.

        Raises:
            OSError: it cannot.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        self.workspace.open()

    # --- names ------------------------------------------------------------------------------

    def path(self, operation: str, key: str) -> Path:
        """Return where an object is, or is to be.

        Raises:
            StoreError: no object can have this key here.
        """
        if not is_key(key):
            raise StoreError(operation, key, "a folder cannot hold an object of this name")
        return self.directory / key

    def lock(self, key: str) -> AbstractContextManager[None]:
        """Hold the key (and those that share its lock file): see `locked_file`."""
        number = int.from_bytes(digest_of(key)[:8], "big") % _LOCKS
        path = self.workspace.private / "locks" / f"{number:03x}"
        return locked_file(path, timeout_s=self._timeout_s, key=key)

    def _headers_path(self, key: str) -> Path:
        name = digest_of(key).hex()
        return self.workspace.private / "meta" / name[:2] / name[2:]

    def missing(self, operation: str, key: str) -> StoreError:
        """Return the error for a file that is not there.

        With the whole folder gone (unmounted), nothing is known about any object: clients would
        throw away uploads that are only out of sight.
        """
        if not self.workspace.mine.exists():
            return StoreBusy(operation, key, "the folder is gone")
        return ObjectMissing(operation, key, "no such key")

    # --- reading ----------------------------------------------------------------------------

    def open_object(self, operation: str, key: str) -> tuple[int, ObjectStat]:
        """Return an object's descriptor, to be closed by the caller, and description.

        Raises:
            ObjectMissing: there is no such key.
        """
        if not is_key(key):
            raise self.missing(operation, key)
        path = self.directory / key
        for _ in range(RETRIES):
            fd = self._open_file(path, operation, key)
            try:
                found = self._describe(fd, path, key)
            except BaseException:
                os.close(fd)
                raise
            if found is not None:
                return fd, found
            os.close(fd)
        raise StoreBusy(operation, key, "replaced again and again")

    def describe(self, operation: str, key: str) -> ObjectStat:
        """Return an object's description.

        Raises:
            ObjectMissing: there is no such key.
        """
        fd, found = self.open_object(operation, key)
        os.close(fd)
        return found

    def _open_file(self, path: Path, operation: str, key: str) -> int:
        try:
            # a pipe put there by hand must not block us, nor a link lead elsewhere
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as exc:
            if exc.errno in NO_SUCH_FILE:
                raise self.missing(operation, key) from exc
            raise
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise self.missing(operation, key)
        return fd

    def _describe(self, fd: int, path: Path, key: str) -> ObjectStat | None:
        """Describe an open file; None if it was replaced before its headers were read."""
        status = os.fstat(fd)
        etag = etag_of(status)
        record = self._read_versions(key).get(etag)
        if record is None:
            present = status_of(path)
            if present is None or etag_of(present) != etag:
                return None
            record = {}
        return ObjectStat(
            key, status.st_size, etag, status.st_mtime_ns / 1e9, parse_headers(record)
        )

    def _read_versions(self, key: str) -> dict[str, dict[str, Any]]:
        try:
            versions: dict[str, dict[str, Any]] = json.loads(self._headers_path(key).read_bytes())
        except FileNotFoundError:
            return {}
        return versions

    # --- writing ----------------------------------------------------------------------------

    def check_conditions(
        self, operation: str, key: str, *, if_match: str | None, if_absent: bool
    ) -> os.stat_result | None:
        """Return the present version, if the conditions of a write hold.

        Raises:
            ConditionFailed: they do not.
        """
        present = status_of(self.path(operation, key))
        if if_absent and present is not None:
            raise ConditionFailed(operation, key, "exists")
        if if_match is not None and (present is None or etag_of(present) != if_match):
            raise ConditionFailed(operation, key, "is another version")
        return present

    def publish(
        self,
        operation: str,
        key: str,
        file: Temporary,
        *,
        headers: ObjectHeaders,
        if_match: str | None = None,
        if_absent: bool = False,
        around: Callable[[], AbstractContextManager[None]] | None = None,
    ) -> str:
        """Give a finished file its name, and return its ETag.

        ``around`` is entered when the key is held and left when the object is there.

        Raises:
            ConditionFailed: another version is there than demanded.
            StoreBusy: the key was held by somebody else for too long.
        """
        path = self.path(operation, key)
        status = file.stamp_newer_than(0)  # before the lock: this waits for the disk
        with self.lock(key), (around or _nothing)():
            present = self.check_conditions(operation, key, if_match=if_match, if_absent=if_absent)
            if present is not None and status.st_mtime_ns <= present.st_mtime_ns:
                status = file.stamp_newer_than(present.st_mtime_ns)
            self._announce(key, present, etag_of(status), headers)
            self._tree.rename(operation, key, file.path, path)
            file.release()
            if not format_headers(headers):
                self._headers_path(key).unlink(missing_ok=True)
            return etag_of(status)

    def _announce(
        self, key: str, present: os.stat_result | None, etag: str, headers: ObjectHeaders
    ) -> None:
        """Make the headers of a version durable before the version is."""
        if not (record := format_headers(headers)):
            return
        versions = {etag: record}
        if present is not None:
            old = etag_of(present)
            versions[old] = self._read_versions(key).get(old, {})
        target = self._headers_path(key)
        temporary = self.workspace.fresh_path()
        write_durably(temporary, json.dumps(versions).encode())
        target.parent.mkdir(exist_ok=True)
        temporary.rename(target)
        flush_directory(target.parent)
        flush_directory(target.parent.parent)  # whoever made the folder may not have come so far

    # --- deleting ---------------------------------------------------------------------------

    def delete(self, keys: Sequence[str]) -> list[StoreError]:
        """Delete objects durably, and folders that become empty; return what went wrong."""
        failed: list[StoreError] = []
        touched: dict[Path, str] = {}
        for key in filter(is_key, keys):
            path = self.directory / key
            try:
                with translated("delete", key), self.lock(key):
                    if status_of(path) is not None:
                        path.unlink()
                        touched[path.parent] = key
                    self._headers_path(key).unlink(missing_ok=True)
            except StoreError as exc:
                failed.append(exc)
        for folder, key in touched.items():
            try:
                with translated("delete", key):
                    self._tree.settle(folder)
            except StoreError as exc:
                failed.append(exc)
        return failed


@contextmanager
def _nothing() -> Iterator[None]:
    yield
