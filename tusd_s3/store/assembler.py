"""Make the object of a final upload from the objects of its partials.

Everything is idempotent: the plan follows from the partials' sizes and the way, which is recorded
with the multipart id before the first part is made. Whoever comes after a crash finds both, keeps
the parts that are there with the right size, makes the others, and completes.

The multipart upload is made without a checksum algorithm: not every store returns the checksum of
a part that it copied, and Complete would ask for it. Copies never leave the bucket and are guarded
by the source's ETag; stitched parts are sent with Content-MD5.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from typing import TypeVar

import structlog

from tusd_s3.errors import (
    ConditionFailed,
    CopyRefused,
    MaxSizeExceeded,
    MultipartMissing,
    ObjectMissing,
    OutOfRoom,
    PartsRefused,
    StoreBusy,
    StoreError,
    UploadGone,
)
from tusd_s3.interfaces import Chunk
from tusd_s3.model import ObjectHeaders, ObjectStat, Part
from tusd_s3.store.concat import PlannedPart, Range, Way, plan_parts
from tusd_s3.store.depot import Depot
from tusd_s3.store.grid import choose_part_size
from tusd_s3.store.info import Assembly, Record
from tusd_s3.store.keys import parse_upload_id
from tusd_s3.store.spool import BufferContent, BytesContent, PartBuffer
from tusd_s3.store.state import Snapshot, StateReader

_log = structlog.get_logger()
_PARTS_AT_ONCE = 8  # of one final, within the process-wide slots
_STITCHED = "MD5"
_T = TypeVar("_T")


class Assembler:
    """Makes one final's object.

    Args:
        snapshot: the final, open, with all its partials finished.
        headers: of the object.
        rewrite: saves a changed record (conditionally) before anything that depends on it.
    """

    def __init__(
        self,
        depot: Depot,
        reader: StateReader,
        snapshot: Snapshot,
        headers: ObjectHeaders,
        rewrite: Callable[[Record], Awaitable[None]],
    ) -> None:
        self._depot = depot
        self._reader = reader
        self._snapshot = snapshot
        self._headers = headers
        self._rewrite = rewrite
        self._key = depot.names.object(snapshot.id.object_id)
        self._sources: list[ObjectStat] = []

    async def make_object(self) -> None:
        """Assemble the object, trying the ways that the store takes.

        Raises:
            UploadGone: a partial's object is not there any more.
            MaxSizeExceeded: the object would be larger than the bucket takes.
            StoreError: it could not be made; nothing but what a later call goes on with is left.
        """
        self._sources = await self._find_sources()
        total = sum(source.size for source in self._sources)
        if total < self._depot.bucket.limits.min_part:
            await self._rewrite(self._snapshot.record.with_length(total))
            await self._put_whole()
            return
        while True:
            way = await self._begin(total)
            try:
                await self._make_parts_and_complete(way)
            except (CopyRefused, PartsRefused) as exc:
                await self._abort()
                if not self._find_another_way(way, exc):
                    raise
            except (StoreError, MaxSizeExceeded):
                await self._abort()
                raise
            else:
                return

    # -- what there is -------------------------------------------------------------------------

    async def _find_sources(self) -> list[ObjectStat]:
        """Describe the partials' objects, in order."""
        assert self._snapshot.partials is not None  # noqa: S101 - the caller looked
        at_once = asyncio.Semaphore(_PARTS_AT_ONCE)

        async def find(upload_id: str) -> ObjectStat:
            parsed = parse_upload_id(upload_id)
            async with at_once:
                record, _ = await self._reader.record(parsed)
                stat = await self._reader.our_object(record, parsed)
            if stat is None:
                raise UploadGone("head", upload_id, "the object of a partial upload is gone")
            return stat

        ids = [partial.id for partial in self._snapshot.partials]
        stats = await _all([find(upload_id) for upload_id in dict.fromkeys(ids)])
        by_id = dict(zip(dict.fromkeys(ids), stats, strict=True))
        return [by_id[upload_id] for upload_id in ids]

    async def _begin(self, total: int) -> Way:
        """Return the way that is recorded, or begin a multipart upload and record it."""
        record = self._snapshot.record
        if record.assembly is not None and await self._is_open(record.assembly.multipart_id):
            return Way(record.assembly.way)
        way = self._depot.copying.way
        multipart_id = await self._depot.bucket.create_multipart(
            self._key, headers=self._headers, checksum=_STITCHED
        )
        assembly = Assembly(multipart_id, way.value)
        try:
            await self._rewrite(replace(record.with_length(total), assembly=assembly))
        except BaseException:
            await asyncio.shield(self._abort_quietly(multipart_id))
            raise
        return way

    async def _is_open(self, multipart_id: str) -> bool:
        try:
            await self._depot.bucket.list_parts(self._key, multipart_id)
        except MultipartMissing:
            return False
        return True

    def _find_another_way(self, way: Way, exc: StoreError) -> bool:
        """Note what the store does not take; False if nothing is left to try."""
        if isinstance(exc, CopyRefused) and way is not Way.STREAM:
            self._depot.copying.way = Way.STREAM
        elif isinstance(exc, PartsRefused) and way is Way.COPY:
            self._depot.copying.way = Way.EQUAL
        else:
            return False
        _log.info("assembling in another way", way=self._depot.copying.way.value, reason=exc.reason)
        return True

    # -- making it -----------------------------------------------------------------------------

    async def _make_parts_and_complete(self, way: Way) -> None:
        assembly = self._snapshot.record.assembly
        assert assembly is not None  # noqa: S101 - it was recorded
        sizes = [source.size for source in self._sources]
        part_size = choose_part_size(sum(sizes), self._depot.limits)
        plan = plan_parts(sizes, self._depot.bucket.limits, way, part_size=part_size)
        multipart_id = assembly.multipart_id
        listed = await self._depot.bucket.list_parts(self._key, multipart_id)
        there = {part.number: part for part in listed}
        at_once = asyncio.Semaphore(_PARTS_AT_ONCE)

        async def make(planned: PlannedPart) -> Part:
            known = there.get(planned.number)
            if known is not None and known.size == planned.size:
                return known
            async with at_once, self._depot.slots:
                return await self._make(multipart_id, planned)

        parts = await _all([make(planned) for planned in plan])
        try:
            await self._depot.bucket.complete_multipart(self._key, multipart_id, parts)
        except MultipartMissing as exc:  # an earlier Complete may have done it
            if await self._reader.our_object(self._snapshot.record, self._snapshot.id) is None:
                raise StoreBusy(exc.operation, exc.key, "the assembly vanished") from exc

    async def _make(self, multipart_id: str, planned: PlannedPart) -> Part:
        if planned.is_copy:
            try:
                return await self._copy(multipart_id, planned)
            except CopyRefused:
                if planned.size >= self._depot.limits.min_part:
                    raise
                # some stores do not copy a few bytes: send them
            except (ObjectMissing, ConditionFailed) as exc:
                raise UploadGone(exc.operation, exc.key, "a partial's object changed") from exc
        return await self._stitch(multipart_id, planned)

    async def _copy(self, multipart_id: str, planned: PlannedPart) -> Part:
        wanted = planned.ranges[0]
        source = self._sources[wanted.source]
        return await self._depot.bucket.copy_part(
            self._key,
            multipart_id,
            planned.number,
            source.key,
            start=wanted.start,
            end=wanted.end,
            source_etag=source.etag,
        )

    async def _stitch(self, multipart_id: str, planned: PlannedPart) -> Part:
        """Download the ranges of a part and upload them as one."""
        buffer = self._depot.spool.buffer(_STITCHED, _stay)
        try:
            await self._fill(buffer, planned.ranges)
            return await self._depot.bucket.upload_part(
                self._key, multipart_id, planned.number, BufferContent(buffer)
            )
        finally:
            await buffer.close()

    async def _put_whole(self) -> None:
        """Store all that there is with one PutObject."""
        sizes = enumerate(source.size for source in self._sources)
        ranges = [Range(index, 0, size) for index, size in sizes if size]
        if not ranges:
            nothing = BytesContent(b"", _STITCHED)
            await self._depot.bucket.put(self._key, nothing, headers=self._headers)
            return
        async with self._depot.slots:
            buffer = self._depot.spool.buffer(_STITCHED, _stay)
            try:
                await self._fill(buffer, ranges)
                content = BufferContent(buffer)
                await self._depot.bucket.put(self._key, content, headers=self._headers)
            finally:
                await buffer.close()

    async def _fill(self, buffer: PartBuffer, ranges: Sequence[Range]) -> None:
        buffer.sending = True  # it gives its room back as soon as the bucket lets it
        try:
            for wanted in ranges:
                async for chunk in self._read(wanted):
                    await buffer.write(bytes(chunk))
        except (ObjectMissing, ConditionFailed) as exc:
            raise UploadGone(exc.operation, exc.key, "a partial's object changed") from exc
        except OutOfRoom as exc:
            raise StoreBusy("assemble", self._key, "no room to stitch parts") from exc
        if buffer.size != sum(wanted.size for wanted in ranges):
            raise StoreError("get", self._key, "a partial's object was cut short")

    async def _read(self, wanted: Range) -> AsyncIterator[Chunk]:
        source = self._sources[wanted.source]
        async with self._depot.bucket.get(
            source.key, start=wanted.start, end=wanted.end, if_match=source.etag
        ) as reader:
            async for chunk in reader.chunks():
                yield chunk

    # -- giving up -----------------------------------------------------------------------------

    async def _abort(self) -> None:
        assembly = self._snapshot.record.assembly
        if assembly is not None:
            await asyncio.shield(self._abort_quietly(assembly.multipart_id))

    async def _abort_quietly(self, multipart_id: str) -> None:
        try:
            await self._depot.bucket.abort_multipart(self._key, multipart_id)
        except StoreError as exc:
            _log.warning("an assembly was left behind", key=self._key, error=str(exc))


def _stay() -> None:
    """Ignore being asked for room: what is being stitched is on its way to the bucket."""


async def _all(calls: Sequence[Coroutine[None, None, _T]]) -> list[_T]:
    """Run calls at once; the first failure cancels the others and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call) for call in calls]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from failed
    return [task.result() for task in tasks]
