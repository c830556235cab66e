"""Partial and final uploads on a bench, and a bucket that can be as picky as some stores are."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.faults.faulty_bucket import FaultyBucket
from tests.unit.store.bench import FILE, LONG_S, Bench, GivenBody
from tusd_s3.buckets.disk import DiskBucket
from tusd_s3.errors import CopyRefused, PartsRefused, UploadNotFound
from tusd_s3.interfaces import Bucket, Content, ObjectReader
from tusd_s3.model import Kind, Limits, NewUpload, ObjectHeaders, Part, UploadInfo
from tusd_s3.protocol.metadata import format_metadata

MIN = 5
MAX = 12
LIMITS = Limits(min_part=MIN, max_part=MAX, max_parts=100, max_object=900, preferred_part=10)


class PickyBucket(FaultyBucket):
    """A faulty bucket that counts what is sent to it.

    Attributes:
        wants_equal_parts: as some stores do.
        makes_short_copies: as some stores do, which do not know what a copy is.
        completes_twice: as if another request had been quicker.
        cuts_downloads: ends them one byte early, as if that were all.
        on_send: called whenever a part is sent.
        on_complete: called whenever a multipart upload was completed.
        sent: bytes of each object and part that came through the process, records left out.
    """

    wants_equal_parts = False
    makes_short_copies = False
    completes_twice = False
    cuts_downloads = False

    def __init__(self, inner: Bucket) -> None:
        super().__init__(inner)
        self.sent: list[int] = []
        self.on_send: Callable[[], None] = lambda: None
        self.on_complete: Callable[[], Awaitable[None]] | None = None

    async def put(
        self,
        key: str,
        content: Content,
        *,
        headers: ObjectHeaders = ObjectHeaders(),
        if_match: str | None = None,
        if_absent: bool = False,
    ) -> str:
        if not key.endswith(".info"):
            self.sent.append(content.size)
        return await super().put(
            key, content, headers=headers, if_match=if_match, if_absent=if_absent
        )

    async def upload_part(self, key: str, multipart_id: str, number: int, content: Content) -> Part:
        self.sent.append(content.size)
        self.on_send()
        return await super().upload_part(key, multipart_id, number, content)

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
        part = await super().copy_part(
            key,
            multipart_id,
            number,
            source,
            start=start,
            end=start + 1 if self.makes_short_copies else end,
            source_etag=source_etag,
        )
        return Part(number, end - start, part.etag)

    async def complete_multipart(self, key: str, multipart_id: str, parts: Sequence[Part]) -> None:
        if self.wants_equal_parts and len({part.size for part in parts[:-1]}) > 1:
            self.calls.append(("complete_multipart", key))
            raise PartsRefused("complete_multipart", key, "parts of different sizes")
        await super().complete_multipart(key, multipart_id, parts)
        if self.on_complete is not None:
            await self.on_complete()
        if self.completes_twice:
            await super().complete_multipart(key, multipart_id, parts)

    @asynccontextmanager
    async def get(
        self, key: str, *, start: int = 0, end: int | None = None, if_match: str | None = None
    ) -> AsyncIterator[ObjectReader]:
        if self.cuts_downloads and end is not None:
            end -= 1
        async with super().get(key, start=start, end=end, if_match=if_match) as reader:
            yield reader

    def refuse_copies(self, number: int | None = None) -> None:
        """Refuse all copies, or those to one part number."""
        self.fail(
            "copy_part", CopyRefused, times=None, match=lambda _, n: number is None or n == number
        )


class Finals(Bench):
    """A bench that joins uploads."""

    bucket: PickyBucket

    async def partial(self, data: bytes, length: int | None = None, **metadata: bytes) -> str:
        """Create a partial upload with these bytes, return its id. They are all by default."""
        raw = format_metadata(metadata) if metadata else None
        new = NewUpload(
            len(data) if length is None else length, raw, metadata, Kind.PARTIAL, "partial"
        )
        held = await self.store.create(new)
        if data:
            await held.append(GivenBody(data))
        return held.info.id

    async def partials(self, *sizes: int) -> tuple[list[str], bytes]:
        """Create finished partial uploads, return their ids and their bytes joined."""
        ids, at = [], 0
        for size in sizes:
            ids.append(await self.partial(FILE[at : at + size]))
            at += size
        self.bucket.sent.clear()
        self.bucket.calls.clear()
        return ids, FILE[:at]

    def new_final(self, ids: Sequence[str], **metadata: bytes) -> NewUpload:
        """Return what the HTTP side would ask for."""
        raw = format_metadata(metadata) if metadata else None
        text = "final;" + " ".join(f"/files/{upload_id}" for upload_id in ids)
        return NewUpload(None, raw, metadata, Kind.FINAL, text, tuple(ids))

    async def join(self, ids: Sequence[str], **metadata: bytes) -> UploadInfo:
        """Do what a POST of a final upload does."""
        new = self.new_final(ids, **metadata)
        try:
            info = await self.store.read(self.store.final_id(new))
        except UploadNotFound:
            info = await self.store.create_final(new)
        return await self.settle(info.id)

    async def settle(self, upload_id: str) -> UploadInfo:
        """Do what a HEAD does."""
        info = await self.store.read(upload_id)
        if info.is_pending:
            async with self.locker.hold(
                upload_id, on_release_requested=lambda: None, timeout_s=LONG_S
            ) as lock:
                held = await self.store.open(upload_id, lock)
                return await held.finish()
        return info


@asynccontextmanager
async def joining(folder: Path, *, limits: Limits = LIMITS) -> AsyncIterator[Finals]:
    """A bench on a small folder bucket of its own."""
    bucket = DiskBucket(folder / "bucket", limits=limits, timeout_s=LONG_S)
    await bucket.start()
    try:
        yield Finals(PickyBucket(bucket), folder)
    finally:
        await bucket.close()
