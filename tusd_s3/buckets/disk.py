"""A bucket in a folder: the same promises as S3's, kept by one file system.

The work is done in threads by `disk_folder` (objects) and `disk_multipart`; this module brings
bytes to them.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

from tusd_s3.buckets.disk_files import COPY_STEP, Incoming
from tusd_s3.buckets.disk_folder import Folder
from tusd_s3.buckets.disk_multipart import MultipartFolder, Record
from tusd_s3.buckets.disk_names import walk
from tusd_s3.buckets.disk_reader import READ_STEP, DiskReader, OpenFile, copy_with_digest
from tusd_s3.buckets.disk_threads import Threads
from tusd_s3.digests import ALGORITHMS, Digest
from tusd_s3.errors import ConditionFailed, ConfigError, CopyRefused, StoreError
from tusd_s3.interfaces import Chunk, Content
from tusd_s3.model import MIB, Features, Limits, ObjectHeaders, ObjectStat, Part

T = TypeVar("T")
_HOP = MIB  # bytes per hop to a thread: a hop costs about what writing 100 KiB costs
_PAGE = 1000  # objects listed or deleted per hop


class DiskBucket:
    """The `Bucket` interface on a folder.

    Args:
        directory: created by `start` if it is missing; may be shared by processes.
        checksum: name of the algorithm for new multipart uploads and other writes.
        timeout_s: limit of each step on the disk and of each wait for another process.
    """

    def __init__(
        self,
        directory: Path,
        *,
        limits: Limits = Limits(),
        checksum: str = "CRC64NVME",
        timeout_s: float = 60.0,
    ) -> None:
        if checksum not in ALGORITHMS:
            raise ConfigError(f"unknown checksum algorithm {checksum!r}")
        self._limits = limits
        self._features = Features(conditional_writes=True, checksum=checksum)
        self._directory = directory
        self._folder = Folder(directory, timeout_s=timeout_s / 2)
        self._multiparts = MultipartFolder(self._folder, limits)
        self._threads = Threads(timeout_s=timeout_s)

    @property
    def limits(self) -> Limits:
        return self._limits

    @property
    def features(self) -> Features:
        return self._features

    async def start(self) -> None:
        if self._threads.running:
            return
        self._threads.start()
        try:
            await self._threads.run("start", "", self._folder.open)
        except StoreError as exc:
            await self.close()
            raise ConfigError(
                f"the folder {str(self._directory)!r} cannot be used as a bucket: {exc.reason}"
            ) from exc

    async def close(self) -> None:
        await self._threads.stop(self._folder.workspace.close)

    async def check(self) -> None:
        await self._threads.run("check", "", self._folder.workspace.check)

    async def put(
        self,
        key: str,
        content: Content,
        *,
        headers: ObjectHeaders = ObjectHeaders(),
        if_match: str | None = None,
        if_absent: bool = False,
    ) -> str:
        check = partial(
            self._folder.check_conditions, "put", key, if_match=if_match, if_absent=if_absent
        )

        def finish(incoming: Incoming) -> str:
            incoming.verify("put", key)
            return self._folder.publish(
                "put",
                key,
                incoming.file,
                headers=headers,
                if_match=if_match,
                if_absent=if_absent,
            )

        return await self._receive("put", key, content, begin=check, finish=finish)

    @asynccontextmanager
    async def get(
        self, key: str, *, start: int = 0, end: int | None = None, if_match: str | None = None
    ) -> AsyncIterator[DiskReader]:
        file = OpenFile()

        def open_it() -> tuple[ObjectStat, int, bytes]:
            fd, stat = self._folder.open_object("get", key)
            file.adopt(fd)
            if if_match is not None and stat.etag != if_match:
                raise ConditionFailed("get", key, "is another version")
            stop = stat.size if end is None else min(end, stat.size)
            if start and start >= stop:
                raise StoreError("get", key, "the range lies outside the object")
            first = file.read_at(start, min(stop - start, READ_STEP))
            if len(first) == stop - start:
                file.close()
            return stat, stop, first

        try:
            stat, stop, first = await self._threads.run("get", key, open_it)
            yield DiskReader(
                partial(self._threads.run, "get", key), file, stat, first, at=start, stop=stop
            )
        finally:
            if not file.ended:
                await self._threads.clean_up(file.close)

    async def head(self, key: str) -> ObjectStat:
        return await self._threads.run("head", key, self._folder.describe, "head", key)

    async def delete(self, keys: Sequence[str]) -> None:
        failed: list[StoreError] = []
        for first in range(0, len(keys), _PAGE):
            failed += await self._threads.run(
                "delete", keys[first], self._folder.delete, keys[first : first + _PAGE]
            )
        if failed:
            raise failed[0]

    async def list_objects(self, prefix: str) -> AsyncIterator[ObjectStat]:
        walking = walk(self._folder.directory, prefix)
        while page := await self._threads.run(
            "list_objects", prefix, lambda: list(islice(walking, _PAGE))
        ):
            for stat in page:
                yield stat

    async def create_multipart(self, key: str, *, headers: ObjectHeaders, checksum: str) -> str:
        if checksum not in ALGORITHMS:
            raise StoreError("create_multipart", key, f"unknown checksum algorithm {checksum!r}")
        record = Record(key, headers, checksum)
        return await self._threads.run("create_multipart", key, self._multiparts.create, record)

    async def upload_part(self, key: str, multipart_id: str, number: int, content: Content) -> Part:
        checksum = content.checksum

        def check() -> None:
            record = self._multiparts.check_part(
                "upload_part", key, multipart_id, number, size=content.size
            )
            if checksum.algorithm != record.algorithm:
                reason = f"its parts have {record.algorithm} checksums"
                raise StoreError("upload_part", key, reason)

        def finish(incoming: Incoming) -> Part:
            incoming.verify("upload_part", key)
            return self._multiparts.store_part(key, multipart_id, number, incoming.file, checksum)

        return await self._receive("upload_part", key, content, begin=check, finish=finish)

    async def copy_part(
        self,
        key: str,
        multipart_id: str,
        number: int,
        source: str,
        *,
        start: int,
        end: int,
        source_etag: str,
    ) -> Part:
        run = partial(self._threads.run, "copy_part", key)
        file = self._folder.workspace.temporary()
        original = OpenFile()

        def begin() -> Digest:
            record = self._multiparts.check_part(
                "copy_part", key, multipart_id, number, size=end - start
            )
            fd, stat = self._folder.open_object("copy_part", source)
            original.adopt(fd)
            if stat.etag != source_etag:
                raise ConditionFailed("copy_part", source, "is another version")
            if not 0 <= start < end <= stat.size:
                raise CopyRefused("copy_part", source, f"{start}..{end} of {stat.size} bytes")
            return Digest(record.algorithm)

        try:
            digest = await run(begin)
            for at in range(start, end, COPY_STEP):
                stop = min(at + COPY_STEP, end)
                await run(copy_with_digest, original, file, digest, at, stop)
            return await run(
                self._multiparts.store_part, key, multipart_id, number, file, digest.checksum
            )
        finally:
            await self._threads.clean_up(original.close)
            if not file.ended:
                await self._threads.clean_up(file.discard)

    async def list_parts(self, key: str, multipart_id: str) -> list[Part]:
        return await self._threads.run(
            "list_parts", key, self._multiparts.list, "list_parts", key, multipart_id
        )

    async def complete_multipart(self, key: str, multipart_id: str, parts: Sequence[Part]) -> None:
        run = partial(self._threads.run, "complete_multipart", key)
        record = await run(self._multiparts.plan, key, multipart_id, parts)
        file = self._folder.workspace.temporary()
        ending = partial(self._multiparts.ending, "complete_multipart", key, multipart_id)

        def finish() -> None:
            self._folder.publish(
                "complete_multipart", key, file, headers=record.headers, around=ending
            )
            self._multiparts.sweep(multipart_id)

        try:
            steps = self._multiparts.assemble(key, multipart_id, parts, file)
            while not await run(_has_ended, steps):
                pass
            await run(finish)
        finally:
            if not file.ended:
                await self._threads.clean_up(file.discard)

    async def abort_multipart(self, key: str, multipart_id: str) -> None:
        await self._threads.run("abort_multipart", key, self._multiparts.abort, key, multipart_id)

    async def _receive(
        self,
        operation: str,
        key: str,
        content: Content,
        *,
        begin: Callable[[], object],
        finish: Callable[[Incoming], T],
    ) -> T:
        """Write content to a file and give it to ``finish``; short content takes a single hop.

        ``begin`` raises if that would be in vain.
        """
        file = self._folder.workspace.temporary()
        incoming = Incoming(file, size=content.size, checksum=content.checksum)
        batch: list[Chunk] = []
        gathered = 0
        begun = False

        def write() -> None:
            if not begun:
                begin()
            incoming.append(batch)

        def write_last() -> T:
            write()
            return finish(incoming)

        try:
            async for chunk in content.chunks():
                batch.append(chunk)
                gathered += len(chunk)
                if gathered >= _HOP:
                    await self._threads.run(operation, key, write)
                    begun, batch, gathered = True, [], 0
            return await self._threads.run(operation, key, write_last)
        finally:
            if not file.ended:
                await self._threads.clean_up(file.discard)


def _has_ended(steps: Iterator[None]) -> bool:
    """Do the next step; return whether there was none."""
    return next(steps, _END) is _END


_END = object()
