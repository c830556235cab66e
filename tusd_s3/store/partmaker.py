"""Make the parts of a final upload, one by one: copy them within the bucket, or send them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

import structlog

from tusd_s3.errors import (
    ConditionFailed,
    CopyRefused,
    ObjectMissing,
    OutOfRoom,
    StoreBusy,
    StoreError,
    UploadGone,
)
from tusd_s3.model import ObjectHeaders, ObjectStat, Part
from tusd_s3.store.buffer import PartBuffer
from tusd_s3.store.concat import PlannedPart, Range
from tusd_s3.store.content import BufferContent
from tusd_s3.store.depot import Depot

_log = structlog.get_logger()
_PAUSES_S = (0.1, 0.5)  # before the second and third attempt at a part
_T = TypeVar("_T")


class PartMaker:
    """Makes parts of one multipart upload.

    A slot is held only while a part is copied or sent, never while it is downloaded.

    Args:
        key: of the final object.
        sources: the partials' objects, in the order of the plan.
        checksum: algorithm of the parts that are sent.
    """

    def __init__(
        self,
        depot: Depot,
        key: str,
        sources: Sequence[ObjectStat],
        multipart_id: str,
        checksum: str,
    ) -> None:
        self._depot = depot
        self._key = key
        self._sources = sources
        self._multipart_id = multipart_id
        self._checksum = checksum
        self._stitching = asyncio.Semaphore(depot.parts_per_upload)

    async def make(self, planned: PlannedPart) -> Part:
        """Make a part, trying again what may pass.

        Raises:
            CopyRefused: the bucket does not copy.
            UploadGone: a source is not there any more, or is another object.
            StoreError: the part is not there.
        """
        with _sources_needed():
            if planned.is_copy:
                try:
                    return await _persist(lambda: self._copy(planned))
                except CopyRefused:
                    if planned.size >= self._depot.bucket.limits.min_part:
                        raise
                    # some stores do not copy a few bytes: send them
            return await _persist(lambda: self._stitch(planned))

    async def _copy(self, planned: PlannedPart) -> Part:
        wanted = planned.ranges[0]
        source = self._sources[wanted.source]
        async with self._depot.slots:
            return await self._depot.bucket.copy_part(
                self._key,
                self._multipart_id,
                planned.number,
                source.key,
                start=wanted.start,
                end=wanted.end,
                source_etag=source.etag,
            )

    async def _stitch(self, planned: PlannedPart) -> Part:
        """Download the ranges of a part and upload them as one."""
        async with (
            self._stitching,
            _filled(self._depot, self._checksum, self._sources, planned.ranges) as buffer,
            self._depot.slots,
        ):
            return await self._depot.bucket.upload_part(
                self._key, self._multipart_id, planned.number, BufferContent(buffer)
            )


async def put_whole(
    depot: Depot, key: str, sources: Sequence[ObjectStat], headers: ObjectHeaders
) -> None:
    """Store all that there is, less than one part, with one PutObject.

    Raises:
        UploadGone: a source is not there any more, or is another object.
        StoreError: the object is not there, as far as is known.
    """
    ranges = [Range(index, 0, source.size) for index, source in enumerate(sources) if source.size]
    algorithm = depot.bucket.features.checksum
    with _sources_needed():
        async with _filled(depot, algorithm, sources, ranges) as buffer, depot.slots:
            await depot.bucket.put(key, BufferContent(buffer), headers=headers)


@asynccontextmanager
async def _filled(
    depot: Depot, algorithm: str, sources: Sequence[ObjectStat], ranges: Sequence[Range]
) -> AsyncIterator[PartBuffer]:
    """Return a buffer with these ranges in it, ready to be sent in the block.

    Raises:
        ObjectMissing, ConditionFailed: a source is not there any more, or is another object.
        StoreError: the bytes could not be had, or there is no room for them.
    """
    size = sum(wanted.size for wanted in ranges)
    sent = False
    try:
        buffer = await depot.spool.buffer(algorithm, size, _stay)
    except OutOfRoom as exc:
        raise StoreBusy("get", "", "no room to stitch a part") from exc
    try:
        for wanted in ranges:
            await _fill(depot, buffer, sources[wanted.source], wanted)
        if buffer.size != size:
            raise StoreError("get", sources[0].key, "a partial's object was cut short")
        buffer.sending = True  # it gives its room back as soon as the bucket lets it
        yield buffer
        sent = True
    except OSError as exc:
        raise StoreError("get", "", f"a temporary file cannot be read back: {exc}") from exc
    finally:
        await buffer.close(answered=sent)


async def _fill(depot: Depot, buffer: PartBuffer, source: ObjectStat, wanted: Range) -> None:
    """Download a range into a buffer."""
    async with depot.bucket.get(
        source.key, start=wanted.start, end=wanted.end, if_match=source.etag
    ) as reader:
        try:
            async for chunk in reader.chunks():
                await buffer.write(chunk)
        except OutOfRoom as exc:
            raise StoreBusy("get", source.key, "no room to stitch a part") from exc


@contextmanager
def _sources_needed() -> Iterator[None]:
    """Turn the loss of a source into the loss of the final upload."""
    try:
        yield
    except (ObjectMissing, ConditionFailed) as exc:
        raise UploadGone(exc.operation, exc.key, "a partial's object changed") from exc


def _stay() -> None:
    """Ignore being asked for room: a part that is being stitched ends by itself, soon."""


async def _persist(attempt: Callable[[], Awaitable[_T]]) -> _T:
    """Do what may fail and pass again, a few times."""
    for pause_s in _PAUSES_S:
        try:
            return await attempt()
        except StoreBusy as exc:
            _log.info("trying a part again", operation=exc.operation, reason=exc.reason)
            await asyncio.sleep(pause_s)
    return await attempt()
