"""Make the object of a final upload from the objects of its partials.

Everything is idempotent: which plan the parts follow is recorded with the multipart id before the
first part is made. Whoever comes after a crash finds both, keeps the parts that are there with the
right size, makes the others, and completes. If the plan has changed since (other limits, another
version of this program), the parts of the old one are given up.

What the store does not take is found out by trying, see `_another_way`. A failure aborts the
multipart upload, but for a Complete that was not answered: it may still succeed.

Where parts are copied the multipart upload is made without a checksum algorithm: not every store
returns the checksum of a part that it copied, and Complete would ask for it. Copies never leave
the bucket and are guarded by the source's ETag; stitched parts are sent with Content-MD5.
"""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import structlog

from tusd_s3.errors import (
    CopyRefused,
    MultipartMissing,
    PartsRefused,
    StoreBusy,
    StoreError,
    UploadGone,
)
from tusd_s3.model import ObjectHeaders, ObjectStat, Part
from tusd_s3.store.concat import PlannedPart, Way, plan_parts
from tusd_s3.store.depot import Depot
from tusd_s3.store.grid import choose_part_size
from tusd_s3.store.info import Assembly, Record
from tusd_s3.store.keys import parse_upload_id
from tusd_s3.store.partmaker import PartMaker, put_whole
from tusd_s3.store.snapshot import Snapshot
from tusd_s3.store.state import StateReader

_log = structlog.get_logger()
_PARTS_AT_ONCE = 8  # of one final; what goes to the bucket needs a slot besides
_READS_AT_ONCE = 16
_BESIDE_COPIES = "MD5"
_T = TypeVar("_T")


@dataclass(slots=True)
class Job:
    """A multipart upload that is being filled.

    Attributes:
        checksum: algorithm of the parts that we send.
        name: what is recorded: the way, and a fingerprint of the plan and of its sources.
        made: the parts that are there, by number.
    """

    way: Way
    plan: Sequence[PlannedPart]
    checksum: str
    name: str
    multipart_id: str = ""
    made: dict[int, Part] = field(default_factory=dict)


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
        self._bucket = depot.bucket
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
            StoreError: it could not be made; a later call may succeed.
        """
        self._sources = await self._find_sources()
        if self._total < self._bucket.limits.min_part:
            await self._rewrite(self._snapshot.record.with_length(self._total))
            await put_whole(self._depot, self._key, self._sources, self._headers)
            return
        way = self._depot.copying.way
        job = await self._resume()
        while True:
            job = job or await self._begin(way)
            try:
                await self._make_parts(job)
                if job.way is not Way.STREAM:
                    await self._check_copies(job)
                await self._complete(job)
            except (CopyRefused, PartsRefused) as exc:
                await self._abort(job.multipart_id)
                way = _another_way(job.way, exc)
                job = None
            except UnansweredComplete as exc:
                raise exc.failure from exc
            except StoreError:
                await self._abort(job.multipart_id)
                raise
            else:
                self._depot.copying.way = job.way
                return

    @property
    def _total(self) -> int:
        return sum(source.size for source in self._sources)

    # -- what there is -------------------------------------------------------------------------

    async def _find_sources(self) -> list[ObjectStat]:
        """Describe the partials' objects, in order."""
        assert self._snapshot.partials is not None  # noqa: S101 - the caller looked
        at_once = asyncio.Semaphore(_READS_AT_ONCE)

        async def find(upload_id: str) -> ObjectStat:
            parsed = parse_upload_id(upload_id)
            async with at_once:
                record, _ = await self._reader.record(parsed)
                stat = await self._reader.our_object(record, parsed)
            if stat is None:
                raise UploadGone("head", upload_id, "the object of a partial upload is gone")
            return stat

        ids = [partial.id for partial in self._snapshot.partials]
        different = list(dict.fromkeys(ids))
        stats = await _all([find(upload_id) for upload_id in different])
        by_id = dict(zip(different, stats, strict=True))
        return [by_id[upload_id] for upload_id in ids]

    def _plan(self, way: Way) -> Job:
        """Plan the parts.

        Raises:
            MaxSizeExceeded: no object can have as many bytes or parts.
        """
        sizes = [source.size for source in self._sources]
        part_size = choose_part_size(self._total, self._depot.limits)
        plan = plan_parts(sizes, self._bucket.limits, way, part_size=part_size)
        checksum = self._bucket.features.checksum if way is Way.STREAM else _BESIDE_COPIES
        says: list[Any] = [checksum, [(source.key, source.etag) for source in self._sources]]
        says += [[(r.source, r.start, r.end) for r in part.ranges] for part in plan]
        fingerprint = hashlib.sha256(json.dumps(says).encode()).hexdigest()[:16]
        return Job(way, plan, checksum, f"{way.value} {fingerprint}")

    async def _resume(self) -> Job | None:
        """Return the assembly that is recorded, if its parts follow the plan of today."""
        assembly = self._snapshot.record.assembly
        if assembly is None:
            return None
        try:
            listed = await self._bucket.list_parts(self._key, assembly.multipart_id)
        except MultipartMissing:
            return None
        ways = {way.value: way for way in Way}
        way = ways.get(assembly.way.partition(" ")[0])
        job = None if way is None else self._plan(way)
        if job is None or job.name != assembly.way:
            await self._abort(assembly.multipart_id)
            return None
        job.multipart_id = assembly.multipart_id
        sizes = {planned.number: planned.size for planned in job.plan}
        job.made = {part.number: part for part in listed if sizes.get(part.number) == part.size}
        _log.info("assembly goes on", upload=str(self._snapshot.id), parts=len(job.made))
        return job

    async def _begin(self, way: Way) -> Job:
        """Begin a multipart upload and record it."""
        job = self._plan(way)
        job.multipart_id = await self._bucket.create_multipart(
            self._key, headers=self._headers, checksum=job.checksum
        )
        record = self._snapshot.record.with_length(self._total)
        try:
            await self._rewrite(replace(record, assembly=Assembly(job.multipart_id, job.name)))
        except BaseException:
            await self._abort(job.multipart_id)
            raise
        return job

    # -- making it -----------------------------------------------------------------------------

    async def _make_parts(self, job: Job) -> None:
        """Make the parts that are missing; when one fails, those that are on their way end first.

        So that nothing appears in a multipart upload after it was aborted.
        """
        rest = iter([planned for planned in job.plan if planned.number not in job.made])
        maker = PartMaker(self._depot, self._key, self._sources, job.multipart_id, job.checksum)
        failures: list[StoreError] = []

        async def make_some() -> None:
            for planned in rest:
                try:
                    job.made[planned.number] = await maker.make(planned)
                except StoreError as exc:
                    failures.append(exc)
                if failures:
                    return

        await _all([make_some() for _ in range(_PARTS_AT_ONCE)])
        if failures:
            raise next((f for f in failures if isinstance(f, UploadGone)), failures[0])

    # -- completing it -------------------------------------------------------------------------

    async def _check_copies(self, job: Job) -> None:
        """See that copied parts are as long as planned: some stores ignore what they do not know.

        Raises:
            CopyRefused: they are not.
        """
        sizes = {planned.number: planned.size for planned in job.plan}
        for part in await self._bucket.list_parts(self._key, job.multipart_id):
            if part.size != sizes.get(part.number, part.size):
                raise CopyRefused("list_parts", self._key, "a copied part has another size")

    async def _complete(self, job: Job) -> None:
        parts = [job.made[planned.number] for planned in job.plan]
        if job.way is not Way.STREAM:
            parts = [replace(part, checksum=None) for part in parts]
        try:
            await self._bucket.complete_multipart(self._key, job.multipart_id, parts)
        except StoreBusy as exc:
            raise UnansweredComplete(exc) from exc
        except MultipartMissing as exc:  # an earlier Complete may have done it
            if await self._reader.our_object(self._snapshot.record, self._snapshot.id) is None:
                raise StoreBusy(exc.operation, exc.key, "the assembly vanished") from exc

    async def _abort(self, multipart_id: str) -> None:
        """Give a multipart upload up, as well as it can be done."""
        await asyncio.shield(self._abort_quietly(multipart_id))

    async def _abort_quietly(self, multipart_id: str) -> None:
        try:
            await self._bucket.abort_multipart(self._key, multipart_id)
        except MultipartMissing:
            pass
        except StoreError as exc:
            _log.warning("an assembly was left behind", key=self._key, error=str(exc))


class UnansweredComplete(Exception):
    """Complete may have been done or may yet be: its parts must stay."""

    def __init__(self, failure: StoreBusy) -> None:
        super().__init__(str(failure))
        self.failure = failure


def _another_way(way: Way, refusal: StoreError) -> Way:
    """Return what to try next: a store may not copy, or may demand parts of one size.

    Raises:
        StoreError: the refusal, when nothing is left to try.
    """
    if isinstance(refusal, CopyRefused) and way is not Way.STREAM:
        following = Way.STREAM
    elif isinstance(refusal, PartsRefused) and way is Way.COPY:
        following = Way.EQUAL
    else:
        raise refusal
    _log.info("assembling in another way", way=following.value, reason=refusal.reason)
    return following


async def _all(calls: Sequence[Coroutine[None, None, _T]]) -> list[_T]:
    """Run calls at once; the first failure cancels the others and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call) for call in calls]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from failed
    return [task.result() for task in tasks]
