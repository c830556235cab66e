"""A store on a small folder bucket that fails when told to, and bodies to feed it."""

import asyncio
import json
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.faults.faulty_bucket import FaultyBucket
from tusd_s3.buckets.disk import DiskBucket
from tusd_s3.lockers.memory import MemoryLocker
from tusd_s3.model import Ended, Kind, Limits, NewUpload, ObjectHeaders, Part, UploadInfo
from tusd_s3.protocol.metadata import format_metadata
from tusd_s3.store.content import BytesContent
from tusd_s3.store.held import Held
from tusd_s3.store.keys import Names, parse_upload_id
from tusd_s3.store.spool import Spool
from tusd_s3.store.store import Store, StoreOptions

PART = 10
LIMITS = Limits(min_part=1, max_part=1000, max_parts=100, max_object=900, preferred_part=PART)
FILE = random.Random(7).randbytes(1000)  # no two places in it look alike
LONG_S = 10.0  # a test that needs it all has failed


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what no event tells."""
    async with asyncio.timeout(LONG_S):
        while not await is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


class GivenBody:
    """A body whose chunks have arrived already; ``ended=None`` leaves it open for more."""

    def __init__(self, *chunks: bytes, ended: Ended | None = Ended.COMPLETE) -> None:
        self.ended: Ended | None = None
        self.silent_s = 0.0
        self._chunks = deque(chunk for chunk in chunks if chunk)
        self._ending = ended
        self._is_stopped = False
        self._on_stop: Callable[[], None] = lambda: None
        self._changed = asyncio.Event()

    async def read(self) -> bytes:
        while not self._chunks and self._ending is None:
            self._changed.clear()
            await self._changed.wait()
        if self._chunks:
            return self._chunks.popleft()
        self.ended = self._ending
        return b""

    def on_stop(self, callback: Callable[[], None]) -> None:
        self._on_stop = callback

    def stop(self, why: Ended) -> None:
        if not self._is_stopped:
            self._is_stopped = True
            self._ending = why
            self._changed.set()
            self._on_stop()

    def feed(self, data: bytes) -> None:
        """Let more bytes arrive."""
        self._chunks.append(data)
        self._changed.set()


def cut(data: bytes, size: int) -> list[bytes]:
    """Cut into chunks of a size."""
    return [data[at : at + size] for at in range(0, len(data), size)]


class Bench:
    """A store, what it stands on, and the steps that tests take again and again.

    `append` sends the bytes of `FILE` from the present offset up to an offset.
    """

    def __init__(
        self, bucket: FaultyBucket, folder: Path, *, memory: int = 10_000, remembered: int = 100,
        names: Names = Names("files/", "meta/"), parts_per_upload: int = 4, parts: int = 10,
        delete_partials: bool = False, disk: int = 10_000,
    ) -> None:  # fmt: skip
        self.bucket = bucket
        self.folder = folder
        self.names = names
        self.locker = MemoryLocker()
        self.spool = Spool(memory_budget=memory, disk_budget=disk, directory=folder, wait_s=5)
        self.memory = memory
        self.store = Store(
            bucket,
            names=names,
            spool=self.spool,
            options=StoreOptions(
                concurrent_parts=parts,
                parts_per_upload=parts_per_upload,
                remembered_uploads=remembered,
                delete_partials=delete_partials,
                storage_bucket="b",
            ),
            clock=lambda: 1_700_000_000.5,
        )

    # -- steps ---------------------------------------------------------------------------------

    async def create(self, length: int | None, **metadata: bytes) -> str:
        """Create an upload, return its id."""
        raw = format_metadata(metadata) if metadata else None
        held = await self.store.create(NewUpload(length, raw, metadata, Kind.WHOLE))
        return held.info.id

    @asynccontextmanager
    async def held(self, upload_id: str, *, for_termination: bool = False) -> AsyncIterator[Held]:
        """Hold and open an upload."""
        async with self.locker.hold(
            upload_id, on_release_requested=lambda: None, timeout_s=LONG_S
        ) as lock:
            yield await self.store.open(upload_id, lock, for_termination=for_termination)

    async def append(
        self, upload_id: str, to: int, *, chunk: int = 1000, declared_length: int | None = None
    ) -> UploadInfo:
        """Send the file's bytes from the present offset to ``to``."""
        async with self.held(upload_id) as held:
            data = FILE[held.info.offset : to]
            return await held.append(GivenBody(*cut(data, chunk)), declared_length=declared_length)

    async def finish(self, upload_id: str) -> UploadInfo:
        """Make the object."""
        async with self.held(upload_id) as held:
            return await held.finish()

    async def terminate(self, upload_id: str) -> None:
        """Delete an upload."""
        async with self.held(upload_id, for_termination=True) as held:
            await held.terminate()

    async def offset(self, upload_id: str) -> int:
        """What a fresh read of the bucket says."""
        return (await self.store.read(upload_id)).offset

    async def download(self, upload_id: str, *, start: int = 0, end: int | None = None) -> bytes:
        """Read a finished upload, or a range of it."""
        async with self.store.download(upload_id, start=start, end=end) as reader:
            return b"".join([bytes(chunk) async for chunk in reader.chunks()])

    # -- what is in the bucket -----------------------------------------------------------------

    async def keys(self) -> list[str]:
        """All keys of the bucket; not recorded among the calls."""
        return [stat.key async for stat in self.inner.list_objects("")]

    async def is_empty(self) -> bool:
        """Whether neither an object nor a multipart upload is left."""
        return not await self.keys() and not self.multiparts()

    @property
    def inner(self) -> DiskBucket:
        """The bucket without faults."""
        inner = self.bucket._inner
        assert isinstance(inner, DiskBucket)
        return inner

    def multiparts(self) -> set[str]:
        """Ids of the multipart uploads that are open."""
        return {p.name for p in (self.folder / "bucket/.tusd-s3/multipart").iterdir()}

    def key(self, upload_id: str) -> str:
        """Key of an upload's object."""
        return self.names.object(parse_upload_id(upload_id).object_id)

    def info_key(self, upload_id: str) -> str:
        """Key of an upload's record."""
        return self.names.info(parse_upload_id(upload_id).object_id)

    def tail_key(self, upload_id: str, number: int) -> str:
        """Key of a tail."""
        return self.names.tail(parse_upload_id(upload_id).object_id, number)

    async def put(self, key: str, data: bytes, *, headers: ObjectHeaders = ObjectHeaders()) -> str:
        """Put an object behind the store's back."""
        return await self.inner.put(key, BytesContent(data, "CRC64NVME"), headers=headers)

    async def put_part(self, upload_id: str, number: int, data: bytes) -> Part:
        """Store a part behind the store's back, as a stale process would."""
        parsed = parse_upload_id(upload_id)
        assert parsed.multipart_id is not None
        return await self.inner.upload_part(
            self.key(upload_id), parsed.multipart_id, number, BytesContent(data, "CRC64NVME")
        )

    async def parts(self, upload_id: str) -> list[Part]:
        """The parts of an open upload; not recorded among the calls."""
        multipart_id = parse_upload_id(upload_id).multipart_id or ""
        return await self.inner.list_parts(self.key(upload_id), multipart_id)

    async def begin_with_tusd(
        self,
        length: int | None,
        parts: Mapping[int, bytes],
        *,
        tail: bytes | None = None,
        object_id: str = "24e533e02ec3bc40c387f1a0e460e216",
    ) -> str:
        """Leave an upload in the bucket as tusd would, return its id."""
        key = self.names.object(object_id)
        headers = ObjectHeaders(metadata={"filename": "a.txt"})
        multipart_id = await self.inner.create_multipart(key, headers=headers, checksum="MD5")
        for number, data in parts.items():
            await self.inner.upload_part(key, multipart_id, number, BytesContent(data, "MD5"))
        if tail is not None:
            await self.put(self.names.plain_tail(object_id), tail)
        record = {
            "ID": f"{object_id}+{multipart_id}",
            "Size": length or 0,
            "SizeIsDeferred": length is None,
            "Offset": 0,
            "MetaData": {"filename": "a.txt"},
            "IsPartial": False,
            "IsFinal": False,
            "PartialUploads": None,
            "Storage": {"Bucket": "b", "Key": key, "Type": "s3store"},
        }
        await self.put(self.names.info(object_id), json.dumps(record).encode())
        return f"{object_id}+{multipart_id}"

    async def abort(self, upload_id: str) -> None:
        """Abort the multipart upload behind the store's back."""
        multipart_id = parse_upload_id(upload_id).multipart_id or ""
        await self.inner.abort_multipart(self.key(upload_id), multipart_id)

    async def complete(self, upload_id: str) -> None:
        """Complete the multipart upload behind the store's back."""
        multipart_id = parse_upload_id(upload_id).multipart_id or ""
        parts = await self.parts(upload_id)
        await self.inner.complete_multipart(self.key(upload_id), multipart_id, parts)

    async def get(self, key: str) -> bytes:
        """Read an object, whatever it is."""
        async with self.inner.get(key) as reader:
            return b"".join([bytes(chunk) async for chunk in reader.chunks()])


@asynccontextmanager
async def started(folder: Path, *, limits: Limits = LIMITS) -> AsyncIterator[FaultyBucket]:
    """A folder bucket that is started, wrapped."""
    bucket = DiskBucket(folder / "bucket", limits=limits, timeout_s=LONG_S)
    await bucket.start()
    try:
        yield FaultyBucket(bucket)
    finally:
        await bucket.close()


def in_order(calls: Sequence[tuple[str, str]], *wanted: tuple[str, str]) -> bool:
    """Whether these calls were made in this order (others may lie between)."""
    rest = iter(calls)
    return all(call in rest for call in wanted)
