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
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import structlog

from tusd_s3.errors import (
    IncompleteUpload,
    ObjectMissing,
    UploadNotFound,
)
from tusd_s3.interfaces import Body, Bucket, Clock, Lock, ObjectReader
from tusd_s3.model import Limits, NewUpload, UploadInfo
from tusd_s3.store.cache import Memory, StateCache
from tusd_s3.store.creation import Creator
from tusd_s3.store.depot import Depot
from tusd_s3.store.held import Held
from tusd_s3.store.info import Phase
from tusd_s3.store.keys import Names, parse_upload_id
from tusd_s3.store.quiet import Watchers
from tusd_s3.store.spool import Spool
from tusd_s3.store.state import StateReader, is_ours

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """How much at once, and what is kept.

    Attributes:
        concurrent_parts: parts on their way to the bucket, process-wide.
        parts_per_upload: parts of one upload on their way or waiting for their turn.
        remembered_uploads: how many uploads' states are kept between requests.
        delete_partials: whether partial uploads go when their final upload is complete.
        is_sole_writer: whether this process alone writes to the bucket, so that it need not read
            twice to be sure.
        storage_type, storage_bucket: what `.info` says about the place, as tusd does.
    """

    concurrent_parts: int = 10
    parts_per_upload: int = 4
    remembered_uploads: int = 1000
    delete_partials: bool = False
    is_sole_writer: bool = False
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
        self._watchers = Watchers(is_sole=options.is_sole_writer)
        self._reader = StateReader(bucket, names, self._limits, self._watchers)
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
            watchers=self._watchers,
        )
        storage = {"Type": options.storage_type, "Bucket": options.storage_bucket}
        self._creator = Creator(self._depot, self._reader, storage, clock)
        spool.on_pressure = self._cache.drop_oldest_tail

    # -- create --------------------------------------------------------------------------------

    async def create(
        self, new: NewUpload, *, lock_of: Callable[[str], Lock | None] | None = None
    ) -> Held:
        """Create an upload; see `UploadStore.create` and `Creator.create`."""
        snapshot = await self._creator.create(new)
        lock = lock_of(str(snapshot.id)) if lock_of is not None else None
        memory = Memory(self._cache, lock) if lock is not None else None
        if memory is not None and not snapshot.object_exists:
            self._cache.keep(memory.lock, snapshot, None)
        return Held(self._depot, self._reader, snapshot, memory=memory, on_append=self._note)

    async def create_whole(self, new: NewUpload, body: Body) -> UploadInfo | None:
        """Create a small upload at once; see `UploadStore.create_whole`."""
        return await self._creator.create_whole(new, body)

    def final_id(self, new: NewUpload) -> str:
        """Return the id of a final upload; see `UploadStore.final_id`."""
        return self._creator.final_id(new)

    async def create_final(self, new: NewUpload) -> UploadInfo:
        """Record a final upload; see `UploadStore.create_final`."""
        final_id = await self._creator.create_final(new)
        try:
            return await self.read(final_id)
        except UploadNotFound:  # the record of one whose termination broke off was in the way
            snapshot = await self._reader.read(parse_upload_id(final_id))
            await Held(self._depot, self._reader, snapshot).terminate()
        return await self.read(await self._creator.create_final(new))

    # -- read and open -------------------------------------------------------------------------

    async def read_many(self, upload_ids: Sequence[str]) -> list[UploadInfo]:
        """Read several uploads at once; see `UploadStore.read_many`."""
        return await self._reader.read_many(upload_ids)

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
