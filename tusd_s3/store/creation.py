"""New uploads: what is written before anybody knows their names."""

import asyncio
import hashlib
import json
import secrets

import structlog

from tusd_s3.errors import ConditionFailed, StoreError
from tusd_s3.interfaces import Body, Clock, Content
from tusd_s3.model import Ended, NewUpload, ObjectHeaders, UploadInfo
from tusd_s3.store.content import BufferContent, BytesContent
from tusd_s3.store.depot import Depot
from tusd_s3.store.grid import Grid, Ledger, choose_grid
from tusd_s3.store.info import Record, format_record
from tusd_s3.store.keys import UploadId, is_multipart_id
from tusd_s3.store.objects import object_headers
from tusd_s3.store.snapshot import Snapshot
from tusd_s3.store.state import StateReader

_log = structlog.get_logger()


class Creator:
    """Creates uploads, and leaves nothing behind that anybody can see if that fails.

    Args:
        storage: what `.info` says about the place besides the key, as tusd does.
    """

    def __init__(
        self, depot: Depot, reader: StateReader, storage: dict[str, str], clock: Clock
    ) -> None:
        self._depot = depot
        self._bucket = depot.bucket
        self._names = depot.names
        self._reader = reader
        self._storage = storage
        self._clock = clock

    async def create(self, new: NewUpload) -> Snapshot:
        """Create an upload; one of no bytes is finished then.

        Raises:
            MaxSizeExceeded: neither the bucket nor our buffers can hold such parts.
            StoreError: the bucket failed.
        """
        object_id = secrets.token_hex(16)
        grid = choose_grid(new.length, self._depot.limits)
        tag, headers = _headers_of(new, object_id)
        upload_id = UploadId(object_id, None)
        if new.length is None or new.length > grid.part_size:
            multipart_id = await self._begin_multipart(object_id, headers)
            upload_id = UploadId(object_id, multipart_id)
        record = self._record(upload_id, new, tag, grid)
        if new.length == 0:
            nothing = BytesContent(b"", record.checksum)
            etag = await self._store_finished(upload_id, record, nothing, headers)
            return Snapshot(upload_id, record.finished(), etag, object_exists=True)
        try:
            etag = await self._write_record(upload_id, record)
        except ConditionFailed:  # an upload of somebody else's has the name
            await self._undo(upload_id, with_objects=False)
            raise
        except BaseException:
            await asyncio.shield(self._undo(upload_id))
            raise
        return Snapshot(upload_id, record, etag, ledger=Ledger(grid, [], new.length))

    async def create_whole(self, new: NewUpload, body: Body) -> UploadInfo | None:
        """Create an upload with all of its bytes; see `UploadStore.create_whole`.

        Object and record are stored at the same time. If the process dies in between, one of
        them is there without the other, under a name that nobody was told.
        """
        if new.length is None:
            raise ValueError("only an upload of known length can be created with all of its bytes")
        object_id = secrets.token_hex(16)
        grid = choose_grid(new.length, self._depot.limits)
        tag, headers = _headers_of(new, object_id)
        upload_id = UploadId(object_id, None)
        record = self._record(upload_id, new, tag, grid)

        def stop() -> None:
            body.stop(Ended.OUT_OF_ROOM)

        buffer = await self._depot.spool.buffer(
            record.checksum, new.length, stop, expected=new.length
        )
        answered = False
        try:
            while chunk := await body.read():
                await buffer.write(chunk)
            if body.ended is not Ended.COMPLETE or buffer.size != new.length:
                return None
            await buffer.seal()
            await self._store_finished(upload_id, record, BufferContent(buffer), headers)
            answered = True
        finally:
            await buffer.close(answered=answered)
        return record.finished().describe(new.length, new.length, finished=True)

    def final_id(self, new: NewUpload) -> str:
        """Return the id of a final upload: it follows from what was asked for.

        As it was written, too: HEAD echoes the URLs of the request that made this upload.
        """
        says = json.dumps([new.partials, new.concat_raw, new.metadata_raw]).encode()
        return hashlib.sha256(says).hexdigest()[:32]

    async def create_final(self, new: NewUpload) -> str:
        """Record a final upload, unless it is there, and return its id.

        Raises:
            StoreError: the bucket failed.
        """
        object_id = self.final_id(new)
        upload_id = UploadId(object_id, None)
        tag, _ = _headers_of(new, object_id)
        try:
            await self._write_record(upload_id, self._record(upload_id, new, tag, None))
        except ConditionFailed:
            _log.info("a final upload was asked for again", upload=object_id)
        return object_id

    # -- what is written -----------------------------------------------------------------------

    def _record(self, upload_id: UploadId, new: NewUpload, tag: str, grid: Grid | None) -> Record:
        return Record(
            id=str(upload_id),
            length=new.length,
            metadata_raw=new.metadata_raw,
            metadata=new.metadata,
            kind=new.kind,
            concat_raw=new.concat_raw,
            storage={**self._storage, "Key": self._names.object(upload_id.object_id)},
            grid=grid,
            checksum=self._bucket.features.checksum,
            tag=tag,
            created=self._clock(),
            partials=new.partials if grid is None else None,
        )

    async def _begin_multipart(self, object_id: str, headers: ObjectHeaders) -> str:
        key = self._names.object(object_id)
        multipart_id = await self._bucket.create_multipart(
            key, headers=headers, checksum=self._bucket.features.checksum
        )
        if not is_multipart_id(multipart_id):
            await self._bucket.abort_multipart(key, multipart_id)
            raise StoreError("create_multipart", key, "an id that cannot be part of a URL")
        return multipart_id

    async def _write_record(self, upload_id: UploadId, record: Record) -> str:
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

    async def _store_finished(
        self, upload_id: UploadId, record: Record, content: Content, headers: ObjectHeaders
    ) -> str:
        """Store object and record at the same time; if one fails, remove the other."""
        key = self._names.object(upload_id.object_id)
        try:
            async with self._depot.slots:
                etag, *failed = await asyncio.gather(
                    self._write_record(upload_id, record.finished()),
                    self._bucket.put(key, content, headers=headers),
                    return_exceptions=True,
                )
            for outcome in (etag, *failed):
                if isinstance(outcome, BaseException):
                    raise outcome
        except ConditionFailed:  # an upload of somebody else's has the name
            raise
        except BaseException:
            await asyncio.shield(self._undo(upload_id))
            raise
        return str(etag)

    async def _undo(self, upload_id: UploadId, *, with_objects: bool = True) -> None:
        """Remove what a creation that failed has left. Nobody was told its name."""
        key = self._names.object(upload_id.object_id)
        steps = []
        if with_objects:
            steps.append(self._bucket.delete([self._names.info(upload_id.object_id), key]))
        if upload_id.multipart_id is not None:
            steps.append(self._bucket.abort_multipart(key, upload_id.multipart_id))
        for step in steps:
            try:
                await step
            except StoreError as exc:
                _log.warning("a creation that failed left something", key=key, error=str(exc))


def _headers_of(new: NewUpload, object_id: str) -> tuple[str, ObjectHeaders]:
    """Return a `tus-upload-id` that no other upload of the same key has, and the headers."""
    tag = f"{object_id}+{secrets.token_hex(8)}"
    headers, left_out = object_headers(new.metadata, tag)
    if left_out:
        _log.info("metadata not stored with the object", keys=left_out)
    return tag, headers
