"""Uploads in a bucket: create, read, open, download.

The story of an upload
----------------------

``<prefix><objectid>``
    The finished object. It appears atomically at the end and never before.
``<meta-prefix><objectid>.info``
    The record: tusd's fields and ours (`info.py`). Written at creation, when a deferred length is
    declared and when the upload is finished or terminated; every rewrite is conditional.
``<meta-prefix><objectid>.part.<n>``
    The tail: the beginning of part n, acknowledged but not yet a whole part. It counts only
    while part n is missing and all parts before it are there. Written over itself as it grows,
    deleted once part n is stored.
a multipart upload on ``<prefix><objectid>``
    The parts. An upload whose length fits in one part has none: its object is one PutObject.

What a crash can do, step by step
---------------------------------

* between CreateMultipartUpload and `.info`: a multipart upload that nobody knows (to be swept).
* while parts are sent: parts beyond a gap. They do not count until the gap is filled; then they
  count as they are, since a part's bytes are fixed by the grid.
* after a part is stored, before its tail is deleted: a tail that does not count any more.
* after the last part, before Complete, or before the answer of Complete: every byte is there but
  `.info` says open. Whoever comes next (HEAD too) takes the lock and finishes: the parts are there
  and Complete is done again, or they are not and the object with our tag and size is.
* after Complete, before `.info`: the same.
* while terminating: `.info` says terminated, so the upload does not exist; DELETE again goes on.

The assumption behind all of it: a client that resumes an upload sends the bytes of the same file.
"""

import asyncio
import hashlib
import json
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import structlog

from tusd_s3.errors import (
    ConditionFailed,
    IncompleteUpload,
    ObjectMissing,
    StoreError,
    UploadNotFound,
)
from tusd_s3.interfaces import Body, Bucket, Clock, Lock, ObjectReader
from tusd_s3.model import Limits, NewUpload, ObjectHeaders, UploadInfo
from tusd_s3.store.buffer import BytesContent
from tusd_s3.store.cache import StateCache
from tusd_s3.store.depot import Depot
from tusd_s3.store.grid import Ledger, choose_grid
from tusd_s3.store.held import Held, Memory
from tusd_s3.store.info import Phase, Record, format_record
from tusd_s3.store.keys import Names, UploadId, is_multipart_id, parse_upload_id
from tusd_s3.store.objects import object_headers
from tusd_s3.store.spool import Spool
from tusd_s3.store.state import Snapshot, StateReader, is_ours

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """How much at once, and what is kept.

    Attributes:
        concurrent_parts: parts on their way to the bucket, process-wide.
        parts_per_upload: parts of one upload on their way or waiting for their turn.
        remembered_uploads: how many uploads' states are kept between requests.
        delete_partials: whether partial uploads go when their final upload is complete.
        storage: what `.info` says about the place, as tusd does: ``Type`` and ``Bucket``.
    """

    concurrent_parts: int = 10
    parts_per_upload: int = 4
    remembered_uploads: int = 1000
    delete_partials: bool = False
    storage_type: str = "s3store"
    storage_bucket: str = ""


@dataclass(slots=True)
class Live:
    """A `LiveUpload`: what a request of this process is writing to."""

    held: Held
    body: Body

    @property
    def info(self) -> UploadInfo:
        """The durable state."""
        return self.held.info

    @property
    def silent_s(self) -> float:
        """Seconds since the client last sent a byte."""
        return self.body.silent_s


class Store:
    """An `UploadStore` above any bucket."""

    def __init__(
        self,
        bucket: Bucket,
        *,
        names: Names,
        spool: Spool,
        options: StoreOptions = StoreOptions(),
        clock: Clock = time.time,
    ) -> None:
        largest = min(bucket.limits.max_part, spool.largest_part)
        self._bucket = bucket
        self._names = names
        self._limits: Limits = replace(bucket.limits, max_part=largest)
        self._options = options
        self._clock = clock
        self._reader = StateReader(bucket, names, self._limits)
        self._cache = StateCache(options.remembered_uploads)
        self._live: dict[str, Live] = {}
        self._depot = Depot(
            bucket=bucket,
            names=names,
            spool=spool,
            limits=self._limits,
            slots=asyncio.Semaphore(options.concurrent_parts),
            parts_per_upload=options.parts_per_upload,
            delete_partials=options.delete_partials,
        )
        spool.on_pressure = self._cache.drop_oldest_tail

    # -- create --------------------------------------------------------------------------------

    async def create(self, new: NewUpload) -> Held:
        """Create an upload; see `UploadStore.create`.

        Raises:
            MaxSizeExceeded: neither the bucket nor our buffers can hold such parts.
            StoreError: the bucket failed; nothing that anybody can see is left.
        """
        object_id = secrets.token_hex(16)
        tag = _new_tag(object_id)
        headers, left_out = object_headers(new.metadata, tag)
        if left_out:
            _log.info("metadata not stored with the object", keys=left_out)
        grid = choose_grid(new.length, self._limits)
        fits_in_one = new.length is not None and new.length <= grid.part_size
        algorithm = self._bucket.features.checksum
        key = self._names.object(object_id)
        upload_id = UploadId(object_id, None)
        if not fits_in_one:
            multipart_id = await self._begin_multipart(key, headers, algorithm)
            upload_id = UploadId(object_id, multipart_id)
        record = Record(
            id=str(upload_id),
            length=new.length,
            metadata_raw=new.metadata_raw,
            metadata=new.metadata,
            kind=new.kind,
            concat_raw=new.concat_raw,
            storage=self._storage(key),
            grid=grid,
            checksum=algorithm,
            tag=tag,
            created=self._clock(),
        )
        try:
            if new.length == 0:
                await self._bucket.put(key, BytesContent(b"", algorithm), headers=headers)
                record = record.finished()
            etag = await self._write_first_record(upload_id, record)
        except ConditionFailed:  # an upload of somebody else's has the name
            await self._undo(upload_id, everything=False)
            raise
        except BaseException:
            await asyncio.shield(self._undo(upload_id))
            raise
        snapshot = Snapshot(upload_id, record, etag, object_exists=new.length == 0)
        if new.length != 0:
            snapshot.ledger = Ledger(grid, [], new.length)
        return Held(self._depot, self._reader, snapshot, on_append=self._note)

    async def _begin_multipart(self, key: str, headers: ObjectHeaders, algorithm: str) -> str:
        multipart_id = await self._bucket.create_multipart(key, headers=headers, checksum=algorithm)
        if not is_multipart_id(multipart_id):
            await self._bucket.abort_multipart(key, multipart_id)
            raise StoreError("create_multipart", key, "an id that cannot be part of a URL")
        return multipart_id

    def _storage(self, key: str) -> dict[str, str]:
        return {
            "Type": self._options.storage_type,
            "Bucket": self._options.storage_bucket,
            "Key": key,
        }

    async def _write_first_record(self, upload_id: UploadId, record: Record) -> str:
        """Write a record where there is none; it is there already if only an answer was lost.

        Raises:
            ConditionFailed: there is the record of another upload.
        """
        key = self._names.info(upload_id.object_id)
        content = BytesContent(format_record(record), self._bucket.features.checksum)
        try:
            return await self._bucket.put(key, content, if_absent=True)
        except ConditionFailed:
            there, etag = await self._reader.record(upload_id)
            if there.tag != record.tag:
                raise
            return etag

    async def _undo(self, upload_id: UploadId, *, everything: bool = True) -> None:
        """Remove what a creation that failed has left. Nobody was told its name."""
        key = self._names.object(upload_id.object_id)
        steps = []
        if everything:
            steps.append(self._bucket.delete([self._names.info(upload_id.object_id), key]))
        if upload_id.multipart_id is not None:
            steps.append(self._bucket.abort_multipart(key, upload_id.multipart_id))
        for step in steps:
            try:
                await step
            except StoreError as exc:
                _log.warning("a creation that failed left something", key=key, error=str(exc))

    # -- concatenate ---------------------------------------------------------------------------

    def final_id(self, new: NewUpload) -> str:
        """Return the id of a final upload; see `UploadStore.final_id`."""
        says = json.dumps([new.partials, new.metadata_raw]).encode()
        return hashlib.sha256(says).hexdigest()[:32]

    async def create_final(self, new: NewUpload) -> UploadInfo:
        """Record a final upload; see `UploadStore.create_final`.

        Raises:
            StoreError: the bucket failed.
        """
        object_id = self.final_id(new)
        upload_id = UploadId(object_id, None)
        record = Record(
            id=object_id,
            length=None,
            metadata_raw=new.metadata_raw,
            metadata=new.metadata,
            kind=new.kind,
            concat_raw=new.concat_raw,
            storage=self._storage(self._names.object(object_id)),
            checksum=self._bucket.features.checksum,
            tag=_new_tag(object_id),
            created=self._clock(),
            partials=new.partials,
        )
        try:
            await self._write_first_record(upload_id, record)
        except ConditionFailed:
            _log.info("a final upload was asked for again", upload=object_id)
        return await self.read(object_id)

    async def read_many(self, upload_ids: Sequence[str]) -> list[UploadInfo]:
        """Read several uploads at once; see `UploadStore.read_many`."""
        return await self._reader.read_many(upload_ids)

    # -- read and open -------------------------------------------------------------------------

    async def read(self, upload_id: str) -> UploadInfo:
        """Read an upload's state without its lock; see `UploadStore.read`."""
        snapshot = await self._reader.read_settled(parse_upload_id(upload_id))
        return snapshot.info

    def live(self, upload_id: str) -> Live | None:
        """Return the upload if a request of this process is appending to it."""
        return self._live.get(upload_id)

    async def open(self, upload_id: str, lock: Lock, *, for_termination: bool = False) -> Held:
        """Read an upload's state under its lock; see `UploadStore.open`."""
        parsed = parse_upload_id(upload_id)
        if for_termination:
            self._cache.drop(upload_id)
            snapshot = await self._reader.read(parsed)
            return Held(self._depot, self._reader, snapshot)
        known = self._cache.find(upload_id, lock)
        snapshot = known or await self._reader.read_held(parsed)
        memory = Memory(self._cache, lock)
        return Held(self._depot, self._reader, snapshot, memory=memory, on_append=self._note)

    def _note(self, held: Held, body: Body | None) -> None:
        upload_id = held.snapshot.record.id
        if body is None:
            self._live.pop(upload_id, None)
        else:
            self._live[upload_id] = Live(held, body)

    # -- download ------------------------------------------------------------------------------

    @asynccontextmanager
    async def download(
        self, upload_id: str, *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[ObjectReader]:
        """Open the object of a finished upload; see `UploadStore.download`."""
        parsed = parse_upload_id(upload_id)
        record, _ = await self._reader.record(parsed)
        if record.id != upload_id or record.phase is Phase.TERMINATED:
            raise UploadNotFound
        if record.phase is Phase.OPEN:
            snapshot = await self._reader.read_settled(parsed)
            record = snapshot.record
            if not snapshot.object_exists:
                raise IncompleteUpload
        try:
            async with self._bucket.get(
                self._names.object(parsed.object_id), start=start, end=end
            ) as reader:
                if not is_ours(reader.stat, record) or reader.stat.size != record.length:
                    raise UploadNotFound("its object was replaced by another one")
                yield reader
        except ObjectMissing:
            raise UploadNotFound("its object was moved away") from None


def _new_tag(object_id: str) -> str:
    """Return a value for `tus-upload-id` that no other upload of the same key has."""
    return f"{object_id}+{secrets.token_hex(8)}"
