"""Multipart uploads in a folder. Runs in threads; no asyncio.

``multipart/<id>/record`` says which object it is for; ``multipart/<id>/<number>`` is a part: its
bytes and, behind them, a footer with its checksum. So one rename replaces all of a part.
"""

import errno
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tusd_s3.buckets.disk_files import (
    COPY_STEP,
    Temporary,
    flush_directory,
    write_durably,
)
from tusd_s3.buckets.disk_folder import Folder
from tusd_s3.buckets.disk_names import format_headers, parse_headers
from tusd_s3.errors import MultipartMissing, PartsRefused, StoreBusy, StoreError
from tusd_s3.model import Checksum, Limits, ObjectHeaders, Part

_FOOTER = 64  # bytes; algorithm, a space, the Base64 digest, padded with spaces
_ID = re.compile(r"[0-9a-f]{32}")
_PART = re.compile(r"[0-9]{5,}")
_RECORD = "record"


@dataclass(frozen=True, slots=True)
class Record:
    """What a multipart upload is for."""

    key: str
    headers: ObjectHeaders
    algorithm: str


class MultipartFolder:
    """The multipart uploads of a `Folder`."""

    def __init__(self, folder: Folder, limits: Limits) -> None:
        self._folder = folder
        self._limits = limits
        # as on S3, where a preferred size below the documented minimum is one that was tried out
        self._min_part = min(limits.min_part, limits.preferred_part)

    def create(self, record: Record) -> str:
        """Begin a multipart upload and return its id."""
        self._folder.path("create_multipart", record.key)
        multipart_id = secrets.token_hex(16)
        fresh = self._folder.workspace.mine / multipart_id
        fresh.mkdir()
        text = {
            "key": record.key,
            "headers": format_headers(record.headers),
            "algorithm": record.algorithm,
        }
        write_durably(fresh / _RECORD, json.dumps(text).encode())
        flush_directory(fresh)
        home = self._home(multipart_id)
        fresh.rename(home)
        flush_directory(home.parent)
        return multipart_id

    def read(self, operation: str, key: str, multipart_id: str) -> Record:
        """Return what a multipart upload is for.

        Raises:
            MultipartMissing: there is none with this id and key.
        """
        if not _ID.fullmatch(multipart_id):
            raise self._missing(operation, key)
        try:
            text = json.loads((self._home(multipart_id) / _RECORD).read_bytes())
        except FileNotFoundError as exc:
            raise self._missing(operation, key) from exc
        if text["key"] != key:
            raise self._missing(operation, key)
        return Record(key, parse_headers(text["headers"]), text["algorithm"])

    def check_part(
        self, operation: str, key: str, multipart_id: str, number: int, *, size: int
    ) -> Record:
        """See that a part of this size may be stored, and return what it is for.

        Raises:
            MultipartMissing: there is no such multipart upload.
            StoreError: its number or size is out of bounds.
        """
        record = self.read(operation, key, multipart_id)
        if not 1 <= number <= self._limits.max_parts:
            raise StoreError(operation, key, f"no part can have the number {number}")
        if size > self._limits.max_part:
            raise StoreError(operation, key, f"a part cannot have {size} bytes")
        return record

    def store_part(
        self, key: str, multipart_id: str, number: int, file: Temporary, checksum: Checksum
    ) -> Part:
        """Give a finished file, without footer so far, the name of a part.

        Raises:
            MultipartMissing: there is no such multipart upload any more.
        """
        size = file.size
        footer = f"{checksum.algorithm} {checksum.value}".ljust(_FOOTER).encode()
        file.append([footer])
        file.flush()
        home = self._home(multipart_id)
        try:
            file.path.rename(home / f"{number:05d}")
            file.release()
            flush_directory(home)
        except FileNotFoundError as exc:
            raise self._missing("upload_part", key) from exc
        return _describe(number, size, checksum)

    def list(self, operation: str, key: str, multipart_id: str) -> list[Part]:
        """Return all parts in order of their numbers.

        Raises:
            MultipartMissing: there is no such multipart upload.
        """
        self.read(operation, key, multipart_id)
        home = self._home(multipart_id)
        try:
            numbers = sorted(
                int(entry.name) for entry in home.iterdir() if _PART.fullmatch(entry.name)
            )
            return [_read_part(home, number) for number in numbers]
        except FileNotFoundError as exc:
            raise self._missing(operation, key) from exc

    def plan(self, key: str, multipart_id: str, parts: Sequence[Part]) -> Record:
        """See that parts can be completed, and return what for.

        Raises:
            MultipartMissing: there is no such multipart upload.
            PartsRefused: a part is missing, too small, out of order or another one.
        """
        record = self.read("complete_multipart", key, multipart_id)
        stored = {part.number: part for part in self.list("complete_multipart", key, multipart_id)}
        numbers = [part.number for part in parts]
        if not parts or numbers != sorted(set(numbers)):
            raise PartsRefused("complete_multipart", key, "no parts, or not in ascending order")
        for part in parts:
            _compare(key, part, stored.get(part.number))
        for number in numbers[:-1]:
            if stored[number].size < self._min_part:
                raise PartsRefused("complete_multipart", key, f"part {number} is too small")
        return record

    def assemble(
        self, key: str, multipart_id: str, parts: Sequence[Part], target: Temporary
    ) -> Iterator[None]:
        """Copy parts into a file; yields whenever about `COPY_STEP` bytes were made durable.

        Raises:
            MultipartMissing: the multipart upload went away.
            PartsRefused: a part was replaced by another one.
        """
        home = self._home(multipart_id)
        target.append([])
        flushed = 0
        for part in parts:
            for at in range(0, max(part.size, 1), COPY_STEP):
                count = min(part.size - at, COPY_STEP)
                self._copy(key, home, part, target, at=at, count=count)
                if target.size - flushed >= COPY_STEP:
                    target.flush()
                    flushed = target.size
                    yield

    def _copy(
        self, key: str, home: Path, part: Part, target: Temporary, *, at: int, count: int
    ) -> None:
        try:
            fd = os.open(home / f"{part.number:05d}", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as exc:
            raise self._missing("complete_multipart", key) from exc
        try:
            _compare(key, part, _parse_part(fd, part.number))
            target.append_from(fd, at=at, count=count)
        finally:
            os.close(fd)

    @contextmanager
    def ending(self, operation: str, key: str, multipart_id: str) -> Iterator[None]:
        """Do what ends a multipart upload, under its key's lock; afterwards the upload is gone.

        Complete and abort both come by here, so that only one of them happens.

        Raises:
            MultipartMissing: there is no such multipart upload (any more).
        """
        self.read(operation, key, multipart_id)
        yield
        home = self._home(multipart_id)
        gone = self._folder.workspace.mine / f"gone-{multipart_id}"
        home.rename(gone)
        flush_directory(home.parent)

    def abort(self, key: str, multipart_id: str) -> None:
        """End a multipart upload without an object.

        Raises:
            MultipartMissing: there is no such multipart upload.
        """
        self.read("abort_multipart", key, multipart_id)
        with self._folder.lock(key), self.ending("abort_multipart", key, multipart_id):
            pass
        self.sweep(multipart_id)

    def sweep(self, multipart_id: str) -> None:
        """Delete the parts of a multipart upload that has ended."""
        shutil.rmtree(self._folder.workspace.mine / f"gone-{multipart_id}", ignore_errors=True)

    def _home(self, multipart_id: str) -> Path:
        return self._folder.workspace.private / "multipart" / multipart_id

    def _missing(self, operation: str, key: str) -> StoreError:
        error = self._folder.missing(operation, key)
        if isinstance(error, StoreBusy):
            return error
        return MultipartMissing(operation, key, "no such multipart upload")


def _compare(key: str, wanted: Part, found: Part | None) -> None:
    differs = found is None or found.etag != wanted.etag
    if differs or (wanted.checksum is not None and found and found.checksum != wanted.checksum):
        raise PartsRefused(
            "complete_multipart", key, f"part {wanted.number} is missing or another one"
        )


def _describe(number: int, size: int, checksum: Checksum) -> Part:
    """Return a part; equal bytes have equal ETags, as on S3, so that retries do no harm."""
    return Part(number, size, f'"{checksum.value}-{size:x}"', checksum)


def _read_part(home: Path, number: int) -> Part:
    fd = os.open(home / f"{number:05d}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _parse_part(fd, number)
    finally:
        os.close(fd)


def _parse_part(fd: int, number: int) -> Part:
    size = os.fstat(fd).st_size - _FOOTER
    words = os.pread(fd, _FOOTER, size).decode("ascii").split() if size >= 0 else []
    if len(words) != 2:
        raise OSError(errno.EIO, "a part has no footer")
    return _describe(number, size, Checksum(words[0], words[1]))
