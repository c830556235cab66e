"""Read from the bucket how an upload stands.

What the bucket says is never guessed at: a record that is missing is a 404, a multipart upload
that is missing means finished only if the object is there and is ours, and everything that is not
understood is an error.
"""

import asyncio
from collections.abc import Sequence

import structlog

from tusd_s3.errors import (
    MultipartMissing,
    ObjectMissing,
    StoreBusy,
    StoreError,
    UploadGone,
    UploadNotFound,
)
from tusd_s3.interfaces import Bucket
from tusd_s3.model import Limits, ObjectStat, Part, UploadInfo
from tusd_s3.store.grid import Ledger, adopt_grid
from tusd_s3.store.info import Phase, Record, RecordError, parse_record
from tusd_s3.store.keys import Names, UploadId, parse_upload_id
from tusd_s3.store.objects import TAG
from tusd_s3.store.quiet import Watchers
from tusd_s3.store.snapshot import Snapshot, Tail

_log = structlog.get_logger()
_MAX_RECORD = 1 << 20  # bytes; no `.info` of ours or of tusd comes near
_READS_AT_ONCE = 16
_MAX_READS = 10  # of an upload that changes under every look


class StateReader:
    """Reads snapshots.

    Args:
        limits: those of the bucket, for the uploads that tusd began.
        watchers: who knows of writes during a read; None: others write too.
    """

    def __init__(
        self, bucket: Bucket, names: Names, limits: Limits, watchers: Watchers | None = None
    ) -> None:
        self._bucket = bucket
        self._names = names
        self._limits = limits
        self._watchers = watchers or Watchers(is_sole=False)

    async def read_settled(self, upload_id: UploadId) -> Snapshot:
        """Read without the lock: until two reads agree, or nobody can have written meanwhile.

        A holder that stores a part and deletes its tail between two of our calls would make us
        see neither.

        Raises:
            UploadNotFound, UploadGone, StoreError: see `read`.
            StoreBusy: it never came to rest.
        """
        last: UploadInfo | None = None
        for _ in range(_MAX_READS):
            with self._watchers.reading(str(upload_id)) as watch:
                snapshot = await self.read(upload_id)
            is_settled = snapshot.record.phase is not Phase.OPEN or not watch.disturbed
            if is_settled or snapshot.info == last:
                return self._alive(snapshot)
            last = snapshot.info
        raise StoreBusy("read", str(upload_id), "the upload changed under every look")

    async def read_held(self, upload_id: UploadId) -> Snapshot:
        """Read under the lock, when nobody else writes.

        Raises:
            UploadNotFound, UploadGone, StoreError: see `read`.
        """
        return self._alive(await self.read(upload_id))

    def _alive(self, snapshot: Snapshot) -> Snapshot:
        if snapshot.record.phase is Phase.TERMINATED:
            raise UploadNotFound
        if snapshot.record.phase is Phase.CONFLICT:
            raise UploadGone("read", str(snapshot.id), "a part came twice with different bytes")
        if snapshot.gone:
            _log.warning("multipart upload aborted behind our back", upload=str(snapshot.id))
            raise UploadGone("list_parts", str(snapshot.id), "aborted behind our back")
        return snapshot

    async def read(self, upload_id: UploadId) -> Snapshot:
        """Read once, whatever the upload's phase is.

        Raises:
            UploadNotFound: there is no `.info`, or it is that of another upload.
            StoreError: the bucket failed, or `.info` makes no sense.
        """
        (record, etag), parts = await self._record_and_parts(upload_id)
        if record.id != str(upload_id):
            raise UploadNotFound
        snapshot = Snapshot(upload_id, record, etag)
        if record.phase is Phase.FINISHED:
            snapshot.object_exists = True
        elif record.phase is Phase.OPEN and record.partials is not None:
            await self._with_partials(snapshot, record.partials)
        elif record.phase is Phase.OPEN:
            if parts is None:
                await self._without_parts(snapshot)
            else:
                await self._with_parts(snapshot, parts)
        return snapshot

    async def record(self, upload_id: UploadId) -> tuple[Record, str]:
        """Read `.info` and its ETag.

        Raises:
            UploadNotFound: there is none.
            StoreError: the bucket failed, or the record makes no sense.
        """
        key = self._names.info(upload_id.object_id)
        try:
            async with self._bucket.get(key) as reader:
                if reader.stat.size > _MAX_RECORD:
                    raise StoreError("get", key, "the record is too large")
                data = b"".join([bytes(chunk) async for chunk in reader.chunks()])
                etag = reader.stat.etag
        except ObjectMissing:
            raise UploadNotFound from None
        try:
            return parse_record(data), etag
        except RecordError as exc:
            raise StoreError("get", key, str(exc)) from exc

    async def _record_and_parts(
        self, upload_id: UploadId
    ) -> tuple[tuple[Record, str], list[Part] | None]:
        if upload_id.multipart_id is None:
            return await self.record(upload_id), []
        record, parts = await asyncio.gather(
            self.record(upload_id), self._parts(upload_id), return_exceptions=True
        )
        if isinstance(record, BaseException):
            raise record  # a missing record explains whatever happened to the parts
        if isinstance(parts, BaseException):
            if record[0].phase is not Phase.OPEN:
                return record, None  # nobody asks for the parts of what is finished
            raise parts
        return record, parts

    async def _parts(self, upload_id: UploadId) -> list[Part] | None:
        assert upload_id.multipart_id is not None  # noqa: S101 - the caller looked
        key = self._names.object(upload_id.object_id)
        try:
            return await self._bucket.list_parts(key, upload_id.multipart_id)
        except MultipartMissing:
            return None

    async def _without_parts(self, snapshot: Snapshot) -> None:
        found = await self.our_object(snapshot.record, snapshot.id)
        snapshot.object_exists = found is not None
        snapshot.gone = found is None

    async def our_object(self, record: Record, upload_id: UploadId) -> ObjectStat | None:
        """Return the finished object if it exists, has the length, and is this upload's."""
        try:
            stat = await self._bucket.head(self._names.object(upload_id.object_id))
        except ObjectMissing:
            return None
        return stat if is_ours(stat, record) and stat.size == record.length else None

    async def _with_partials(self, snapshot: Snapshot, partials: Sequence[str]) -> None:
        """See how the partials of a final upload stand, unless its object is there already."""
        if await self.our_object(snapshot.record, snapshot.id) is not None:
            snapshot.object_exists = True
            snapshot.partials = ()
            return
        try:
            snapshot.partials = tuple(await self.read_many(partials))
        except (UploadNotFound, UploadGone):
            snapshot.gone = True

    async def read_many(self, upload_ids: Sequence[str]) -> list[UploadInfo]:
        """Read several uploads without their locks, each of them once; see `read_settled`.

        Most of them are finished: then `.info` says all that there is to say.
        """
        reads = asyncio.Semaphore(_READS_AT_ONCE)

        async def read(upload_id: str) -> UploadInfo:
            parsed = parse_upload_id(upload_id)
            async with reads:
                record, _ = await self.record(parsed)
                if record.phase is Phase.FINISHED and record.id == upload_id:
                    return record.describe(record.length or 0, record.length, finished=True)
                return (await self.read_settled(parsed)).info

        try:
            async with asyncio.TaskGroup() as group:
                tasks = {i: group.create_task(read(i)) for i in dict.fromkeys(upload_ids)}
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return [tasks[upload_id].result() for upload_id in upload_ids]

    async def _with_parts(self, snapshot: Snapshot, parts: list[Part]) -> None:
        record = snapshot.record
        grid = record.grid or adopt_grid(parts, record.length, self._limits)
        try:
            snapshot.ledger = Ledger(grid, parts, record.length)
        except ValueError as exc:
            raise StoreError("list_parts", str(snapshot.id), str(exc)) from exc
        snapshot.tail = await self.tail(snapshot)

    async def tail(self, snapshot: Snapshot) -> Tail | None:
        """Look for the tail of the part that is next in line.

        The tail that tusd left counts only while nothing of ours lies behind its parts, and not
        at all if there is a gap: tusd wrote it behind the last part.

        Raises:
            StoreError: the bucket failed, or the tail is longer than its part.
        """
        ledger = snapshot.ledger
        assert ledger is not None  # noqa: S101 - only open uploads have tails
        number = ledger.next_number
        room = ledger.grid.size(number, ledger.length)
        if room == 0:
            return None
        object_id = snapshot.id.object_id
        keys = [self._names.tail(object_id, number)]
        if snapshot.record.tag is None and not ledger.has_own_parts and not ledger.grid.has_gap:
            keys.append(self._names.plain_tail(object_id))
        for key in keys:
            try:
                stat = await self._bucket.head(key)
            except ObjectMissing:
                continue
            if stat.size > room:
                raise StoreError("head", key, "a tail is longer than its part")
            return Tail(number, key, stat.size, stat.etag)
        return None


def is_ours(stat: ObjectStat, record: Record) -> bool:
    """Whether an object is the one that the record's upload made (tusd's objects have no tag)."""
    return record.tag is None or stat.headers.metadata.get(TAG) == record.tag
