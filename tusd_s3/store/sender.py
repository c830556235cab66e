"""What is full goes into the bucket: parts, single objects, and the tail of an unfinished part.

1. The tail that a part began with is deleted when the part is stored, never before.
2. A tail is written over the one that we know and over no other (conditional writes).
3. An upload slot is taken when the bytes are all there and given back when the bucket has answered;
   no slot is held while waiting for a client.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from tusd_s3.digests import Digest
from tusd_s3.errors import (
    ConditionFailed,
    LeaseLost,
    MultipartMissing,
    ObjectMissing,
    PartConflict,
    StoreError,
    UploadGone,
)
from tusd_s3.interfaces import Bucket
from tusd_s3.model import ObjectHeaders
from tusd_s3.store.buffer import PartBuffer
from tusd_s3.store.content import BufferContent
from tusd_s3.store.depot import Depot
from tusd_s3.store.snapshot import Snapshot, Tail

_log = structlog.get_logger()


class PartSender:
    """Stores parts and tails of one upload and keeps its snapshot up to date.

    Args:
        headers: of the object, for an upload that is a single PutObject.
    """

    def __init__(self, depot: Depot, snapshot: Snapshot, headers: ObjectHeaders) -> None:
        assert snapshot.ledger is not None  # noqa: S101 - only open uploads are written to
        self._depot = depot
        self._snapshot = snapshot
        self._ledger = snapshot.ledger
        self._headers = headers
        self._object_key = depot.names.object(snapshot.id.object_id)

    async def store_part(self, buffer: PartBuffer, number: int) -> None:
        """Store a whole part, and delete the tail that it began with.

        Raises:
            UploadGone: the multipart upload is not there any more.
            PartConflict: the part is stored with other bytes.
            StoreError: it could not be stored.
        """
        with self._explained():
            if not self._is_stored_already(buffer, number):
                async with self._depot.slots:
                    await self._send(buffer, number)
        await self._drop_tail(number)

    async def store_tail(self, buffer: PartBuffer, number: int) -> None:
        """Store the beginning of part ``number``, which is next in line.

        Raises:
            LeaseLost: there is a tail of somebody else's.
            StoreError: it could not be stored.
        """
        old = self._snapshot.tail
        key = self._depot.names.tail(self._snapshot.id.object_id, number)
        with self._explained():
            etag = await self._put_tail(buffer, key, old)
        self._snapshot.tail = Tail(number, key, buffer.size, etag)
        if old is not None and old.key != key:  # tusd's plain tail: ours counts from now on
            await delete_quietly(self._depot.bucket, old.key)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say what went wrong for the upload as a whole."""
        try:
            yield
        except MultipartMissing as exc:
            raise UploadGone(exc.operation, exc.key, "the multipart upload vanished") from exc
        except OSError as exc:  # a temporary file that cannot be read back
            raise StoreError("send", self._object_key, f"temporary file: {exc}") from exc

    def _is_stored_already(self, buffer: PartBuffer, number: int) -> bool:
        """Whether the part is in the bucket with the same checksum (it lay behind a gap).

        Raises:
            PartConflict: it is there with another checksum: the client sent other bytes than the
                first time. That must never become an object.
        """
        known = self._ledger.stored(number)
        if known is None or known.checksum is None:
            return False
        if known.checksum.algorithm != buffer.checksum.algorithm:
            return False
        if known.checksum != buffer.checksum:
            _log.error(
                "a part was sent again with other bytes", upload=str(self._snapshot.id), part=number
            )
            raise PartConflict("upload_part", self._object_key, f"part {number} has other bytes")
        return True

    async def _send(self, buffer: PartBuffer, number: int) -> None:
        content = BufferContent(buffer)
        bucket = self._depot.bucket
        multipart_id = self._snapshot.id.multipart_id
        if multipart_id is None:  # the whole upload fits in one part: this is the object
            await bucket.put(self._object_key, content, headers=self._headers)
            self._snapshot.object_exists = True
            return
        self._ledger.add(await bucket.upload_part(self._object_key, multipart_id, number, content))

    async def _drop_tail(self, number: int) -> None:
        """Delete the tail of a part that is stored; left behind it would do no harm."""
        tail = self._snapshot.tail
        if tail is None or tail.number != number or self._snapshot.id.multipart_id is None:
            return  # a single object replaces its tail only when `.info` says so: see `Held`
        self._snapshot.tail = None
        await delete_quietly(self._depot.bucket, tail.key)

    async def _put_tail(self, buffer: PartBuffer, key: str, old: Tail | None) -> str:
        """Write a tail over the one we know, and over no other (conditional writes)."""
        content = BufferContent(buffer)
        replaces = old.etag if old is not None and old.key == key else None
        try:
            async with self._depot.slots:
                return await self._depot.bucket.put(
                    key, content, if_match=replaces, if_absent=replaces is None
                )
        except ConditionFailed as exc:
            etag = await self._stored_by_us(key, content)
            if etag is None:
                raise LeaseLost("put", key, "the tail belongs to somebody else") from exc
            return etag

    async def _stored_by_us(self, key: str, content: BufferContent) -> str | None:
        """Return the ETag of the object if it has exactly our bytes: only the answer was lost."""
        digest = Digest(content.checksum.algorithm)
        try:
            async with self._depot.bucket.get(key) as reader:
                if reader.stat.size != content.size:
                    return None
                async for chunk in reader.chunks():
                    digest.update(chunk)
                return reader.stat.etag if digest.checksum == content.checksum else None
        except ObjectMissing:
            return None


async def delete_quietly(bucket: Bucket, key: str) -> None:
    """Delete a tail that does not count any more; left behind it would do no harm."""
    try:
        await bucket.delete([key])
    except StoreError as exc:
        _log.warning("a tail was left behind", key=key, error=str(exc))
