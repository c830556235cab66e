"""An upload in the hands of one request: append, finish, terminate."""

from collections.abc import Callable, Sequence

import structlog

from tusd_s3.errors import (
    ConditionFailed,
    LeaseLost,
    MaxSizeExceeded,
    MultipartMissing,
    PartConflict,
    PartsRefused,
    StoreError,
    TusError,
    UploadGone,
    UploadNotFound,
)
from tusd_s3.interfaces import Body
from tusd_s3.model import ObjectHeaders, UploadInfo
from tusd_s3.store.assembler import Assembler
from tusd_s3.store.buffer import PartBuffer
from tusd_s3.store.cache import Memory
from tusd_s3.store.content import BytesContent
from tusd_s3.store.depot import Depot
from tusd_s3.store.grid import Ledger
from tusd_s3.store.info import Phase, Record, format_record
from tusd_s3.store.keys import parse_upload_id
from tusd_s3.store.objects import object_headers
from tusd_s3.store.sender import delete_quietly
from tusd_s3.store.snapshot import Snapshot
from tusd_s3.store.state import StateReader
from tusd_s3.store.termination import abort, delete_all
from tusd_s3.store.uploader import Uploader

_log = structlog.get_logger()


class Held:
    """A `HeldUpload`.

    Args:
        depot: what all uploads share.
        reader: reads the state again after a failure.
        snapshot: the upload as it was read; kept up to date.
        memory: where what is known is kept between requests; None if nobody wants it.
        on_append: told the body when an append begins, None when it ends.
    """

    def __init__(
        self,
        depot: Depot,
        reader: StateReader,
        snapshot: Snapshot,
        *,
        memory: Memory | None = None,
        on_append: Callable[["Held", Body | None], None] = lambda *_: None,
    ) -> None:
        self.snapshot = snapshot
        self._tail_bytes: PartBuffer | None = None
        self._depot = depot
        self._reader = reader
        self._on_append = on_append
        self._memory = memory
        self._key = depot.names.object(snapshot.id.object_id)

    @property
    def info(self) -> UploadInfo:
        """The upload as it stands now."""
        return self.snapshot.info

    # -- append --------------------------------------------------------------------------------

    async def append(
        self, body: Body, *, declared_length: int | None = None, expected: int | None = None
    ) -> UploadInfo:
        """Store a body at the present offset; see `HeldUpload.append`."""
        with self._depot.watchers.writing(str(self.snapshot.id)):
            return await self._append(body, declared_length, expected)

    async def _append(
        self, body: Body, declared_length: int | None, expected: int | None
    ) -> UploadInfo:
        self._on_append(self, body)
        self._claim_tail_bytes()
        try:
            await self._prepare(declared_length)
            refusal = None
            if not self.snapshot.object_exists:
                refusal = await self._run(body, expected)
            if self.snapshot.object_exists or self.info.is_pending:
                await self._finish()
            self._hand_over()
            if refusal is not None:
                refusal.headers["Upload-Offset"] = str(self.info.offset)
                raise refusal
        except StoreError as exc:
            if isinstance(exc, PartConflict):
                await self._mark_conflict()
            await self._read_again()
            raise
        finally:
            self._forget_tail_bytes()
            self._on_append(self, None)
        return self.info

    def _claim_tail_bytes(self) -> None:
        if self._memory is not None:
            self._tail_bytes = self._memory.cache.claim(str(self.snapshot.id))

    def _hand_over(self) -> None:
        if self._memory is not None and not self.snapshot.object_exists:
            tail_bytes, self._tail_bytes = self._tail_bytes, None
            self._memory.cache.keep(self._memory.lock, self.snapshot, tail_bytes)

    def _forget_tail_bytes(self) -> None:
        if self._tail_bytes is not None:
            self._tail_bytes.forget()
            self._tail_bytes = None

    async def _prepare(self, declared_length: int | None) -> None:
        """Save what has to be in `.info` before the first byte: the length, the grid."""
        record = self.snapshot.record
        ledger = self.snapshot.ledger
        if ledger is not None and record.grid is None:
            record = record.with_grid(ledger.grid)
        if declared_length is not None:
            limit = self._depot.bucket.limits.max_object
            if declared_length > (limit if ledger is None else min(limit, ledger.grid.capacity)):
                raise MaxSizeExceeded("the bucket cannot hold an object of this size")
            record = record.with_length(declared_length)
        if record is not self.snapshot.record:
            await self._rewrite(record)
            if ledger is not None:
                ledger.declare(record.length)

    async def _run(self, body: Body, expected: int | None) -> TusError | None:
        """Store the body; return why no more of it could be taken, if that was its end."""
        remembered, self._tail_bytes = self._tail_bytes, None
        uploader = Uploader(self._depot, self.snapshot, self._headers(), remembered=remembered)
        self._tail_bytes = await uploader.run(body, expected)
        if uploader.failure is not None:
            raise uploader.failure
        if uploader.has_jumped and not self.snapshot.object_exists:
            self.snapshot.tail = await self._reader.tail(self.snapshot)
        return uploader.refusal

    async def _read_again(self) -> None:
        """After a failure: what does the bucket say? If it does not, what we know stands."""
        try:
            self.snapshot = await self._reader.read_held(self.snapshot.id)
        except (StoreError, UploadNotFound) as exc:
            _log.info("state not read after a failure", upload=self.info.id, error=str(exc))

    async def _mark_conflict(self) -> None:
        """Write down that the parts are of two files: counting on would make a mixed object."""
        try:
            await self._rewrite(self.snapshot.record.in_conflict())
        except (StoreError, UploadNotFound) as exc:
            _log.error("conflict not recorded", upload=self.info.id, error=str(exc))

    # -- finish --------------------------------------------------------------------------------

    async def finish(self) -> UploadInfo:
        """Make the object if every byte is stored; see `HeldUpload.finish`."""
        self._claim_tail_bytes()
        try:
            if self.snapshot.object_exists or self.info.is_pending:
                with self._depot.watchers.writing(str(self.snapshot.id)):
                    await self._finish()
        finally:
            self._forget_tail_bytes()
        return self.info

    async def _finish(self) -> None:
        snapshot = self.snapshot
        if snapshot.record.phase is Phase.FINISHED:
            return
        if not snapshot.object_exists:
            await self._make_object()
            snapshot.object_exists = True
        await self._rewrite(snapshot.record.finished())
        tail, snapshot.tail = snapshot.tail, None  # it counted until the record said so
        if tail is not None:
            await delete_quietly(self._depot.bucket, tail.key)
        if self._depot.delete_partials and snapshot.record.partials is not None:
            await self._delete_partials(snapshot.record.partials)

    async def _delete_partials(self, partials: Sequence[str]) -> None:
        """Delete the partial uploads that the object was made of; what fails stays."""
        for upload_id in dict.fromkeys(partials):
            try:
                snapshot = await self._reader.read(parse_upload_id(upload_id))
                await Held(self._depot, self._reader, snapshot).terminate()
            except UploadNotFound:
                continue  # used in another final upload, or deleted by its owner
            except StoreError as exc:
                _log.warning("a partial upload was left behind", upload=upload_id, error=str(exc))

    async def _make_object(self) -> None:
        snapshot = self.snapshot
        if snapshot.partials is not None:
            assembler = Assembler(
                self._depot, self._reader, snapshot, self._headers(), self._rewrite
            )
            await assembler.make_object()
            return
        ledger = snapshot.ledger
        assert ledger is not None  # noqa: S101 - only an open upload is not finished
        if snapshot.record.length == 0:
            await self._make_empty_object()
            return
        if ledger.prefix_bytes < snapshot.offset:
            remembered, self._tail_bytes = self._tail_bytes, None
            uploader = Uploader(self._depot, snapshot, self._headers(), remembered=remembered)
            await uploader.promote_tail()
        if snapshot.id.multipart_id is not None:
            if ledger.prefix_bytes != snapshot.record.length:
                raise StoreError("complete", self._key, "the parts do not sum up to the length")
            await self._complete(snapshot.id.multipart_id, ledger)

    async def _make_empty_object(self) -> None:
        """Store an object of no bytes: a multipart upload without parts cannot be completed."""
        nothing = BytesContent(b"", self.snapshot.record.checksum)
        await self._depot.bucket.put(self._key, nothing, headers=self._headers())
        await abort(self._depot, self.snapshot)

    def _headers(self) -> ObjectHeaders:
        return object_headers(self.snapshot.record.metadata, self.snapshot.record.tag)[0]

    async def _complete(self, multipart_id: str, ledger: Ledger) -> None:
        bucket = self._depot.bucket
        try:
            try:
                await bucket.complete_multipart(self._key, multipart_id, ledger.counted())
            except PartsRefused as exc:
                await self._list_again(multipart_id, ledger, exc)
                await bucket.complete_multipart(self._key, multipart_id, ledger.counted())
        except MultipartMissing as exc:  # an earlier Complete may have done it
            found = await self._reader.our_object(self.snapshot.record, self.snapshot.id)
            if found is None:
                raise UploadGone(exc.operation, exc.key, "neither parts nor object") from exc

    async def _list_again(self, multipart_id: str, ledger: Ledger, refusal: PartsRefused) -> None:
        """Take the ETags of parts that a stale process wrote again, if the bytes are the same.

        Raises:
            StoreError: a part is missing or has other bytes than those we know.
        """
        listed = {p.number: p for p in await self._depot.bucket.list_parts(self._key, multipart_id)}
        for known in ledger.counted():
            now = listed.get(known.number)
            same = now is not None and now.size == known.size
            if same and now is not None and known.checksum is not None and now.checksum is not None:
                same = now.checksum == known.checksum
            if now is None or not same:
                _log.error("a part has changed", upload=self.info.id, part=known.number)
                raise StoreError("complete", self._key, f"part {known.number} changed") from refusal
            ledger.add(now)

    async def terminate(self) -> None:
        """Delete everything that belongs to the upload; see `HeldUpload.terminate`."""
        with self._depot.watchers.writing(str(self.snapshot.id)):
            if self.snapshot.record.phase is not Phase.TERMINATED:
                await self._rewrite(self.snapshot.record.terminated())
            await delete_all(self._depot, self.snapshot)

    # -- the record ----------------------------------------------------------------------------

    async def _rewrite(self, record: Record) -> None:
        """Replace `.info`, over the version we know and no other (conditional writes).

        Raises:
            LeaseLost: somebody else has rewritten it.
        """
        key = self._depot.names.info(self.snapshot.id.object_id)
        data = format_record(record)
        algorithm = self._depot.bucket.features.checksum
        try:
            etag = await self._depot.bucket.put(
                key, BytesContent(data, algorithm), if_match=self.snapshot.etag
            )
        except ConditionFailed as exc:
            now, etag = await self._reader.record(self.snapshot.id)
            if format_record(now) != data:
                raise LeaseLost("put", key, "the record was changed by somebody else") from exc
        self.snapshot.record = record
        self.snapshot.etag = etag
