"""Whole stories of uploads through `Store`, which must end alike on any `Bucket`.

A test module subclasses `StoreSuite`, names the class ``Test...`` and gives the ``bucket``
fixture: a started bucket. Parts have 5 MiB, the least that S3 stores accept.
"""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

import pytest
import pytest_asyncio

from tests.conformance.contents import BytesContent, random_bytes, read_all
from tests.faults.faulty_bucket import FaultyBucket, ending, part
from tusd_s3.errors import (
    IncompleteUpload,
    LeaseLost,
    MultipartMissing,
    PartsRefused,
    StoreBusy,
    UploadGone,
    UploadNotFound,
)
from tusd_s3.interfaces import Bucket
from tusd_s3.lockers.memory import MemoryLocker
from tusd_s3.model import KIB, MIB, Ended, Kind, NewUpload, ObjectHeaders, UploadInfo
from tusd_s3.protocol.metadata import format_metadata
from tusd_s3.store.held import Held
from tusd_s3.store.keys import Names, parse_upload_id
from tusd_s3.store.objects import TAG
from tusd_s3.store.spool import Spool
from tusd_s3.store.store import Store

PART = 5 * MIB
FILE = random_bytes(3 * PART, seed=11)
TAIL = 300 * KIB


class GivenBody:
    """A body that has arrived already, in chunks of a size that nothing is a multiple of."""

    def __init__(self, data: bytes) -> None:
        self.ended: Ended | None = None
        self.silent_s = 0.0
        self._rest = memoryview(data)

    async def read(self) -> bytes:
        chunk, self._rest = self._rest[:65_537], self._rest[65_537:]
        if not chunk:
            self.ended = Ended.COMPLETE
        return bytes(chunk)

    def on_stop(self, callback: Callable[[], None]) -> None:
        """Remember nothing: `stop` changes nothing."""

    def stop(self, why: Ended) -> None:
        """Change nothing: everything is there."""


class Process:
    """One process: a store with its own memory, over the bucket that all of them share.

    `append` sends the bytes of `FILE` from the present offset up to an offset.
    """

    def __init__(self, bucket: FaultyBucket, names: Names) -> None:
        self.bucket = bucket
        self.names = names
        spool = Spool(memory_budget=4 * MIB, disk_budget=64 * MIB)
        self.store = Store(bucket, names=names, spool=spool)
        self._locker = MemoryLocker()

    async def create(self, length: int | None, **metadata: bytes) -> str:
        raw = format_metadata(metadata) if metadata else None
        held = await self.store.create(NewUpload(length, raw, metadata, Kind.WHOLE))
        return held.info.id

    @asynccontextmanager
    async def held(self, upload_id: str, *, for_termination: bool = False) -> AsyncIterator[Held]:
        async with self._locker.hold(
            upload_id, on_release_requested=lambda: None, timeout_s=20
        ) as lock:
            yield await self.store.open(upload_id, lock, for_termination=for_termination)

    async def append(
        self, upload_id: str, to: int, *, declared_length: int | None = None
    ) -> UploadInfo:
        async with self.held(upload_id) as held:
            body = GivenBody(FILE[held.info.offset : to])
            return await held.append(body, declared_length=declared_length)

    async def finish(self, upload_id: str) -> UploadInfo:
        async with self.held(upload_id) as held:
            return await held.finish()

    async def terminate(self, upload_id: str) -> None:
        async with self.held(upload_id, for_termination=True) as held:
            await held.terminate()

    async def download(self, upload_id: str, start: int = 0, end: int | None = None) -> bytes:
        async with self.store.download(upload_id, start=start, end=end) as reader:
            return await read_all(reader)

    def key(self, upload_id: str) -> str:
        """Key of an upload's object."""
        return self.names.object(parse_upload_id(upload_id).object_id)

    async def keys(self) -> list[str]:
        """All keys under the names of this test."""
        return [
            stat.key
            for prefix in (self.names.object_prefix, self.names.metadata_prefix)
            async for stat in self.bucket.list_objects(prefix)
        ]

    async def has_parts(self, upload_id: str) -> bool:
        """Whether the multipart upload still exists."""
        try:
            await self.bucket.list_parts(self.key(upload_id), upload_id.rpartition("+")[2])
        except MultipartMissing:
            return False
        return True

    async def begin_with_tusd(self, length: int, parts: list[bytes], tail: bytes) -> str:
        """Leave an upload in the bucket as tusd would."""
        object_id = uuid.uuid4().hex
        key = self.names.object(object_id)
        bucket = self.bucket
        multipart_id = await bucket.create_multipart(key, headers=ObjectHeaders(), checksum="MD5")
        for number, data in enumerate(parts, 1):
            await bucket.upload_part(key, multipart_id, number, BytesContent(data, "MD5"))
        upload_id = f"{object_id}+{multipart_id}"
        record = {
            "ID": upload_id,
            "Size": length,
            "SizeIsDeferred": False,
            "Offset": 0,
            "MetaData": {"filename": "a.txt"},
            "IsPartial": False,
            "IsFinal": False,
            "PartialUploads": None,
            "Storage": {"Bucket": "b", "Key": key, "Type": "s3store"},
        }
        written = {
            self.names.plain_tail(object_id): tail,
            self.names.info(object_id): json.dumps(record).encode(),
        }
        for name, data in written.items():
            await bucket.put(name, BytesContent(data, "MD5"))
        return upload_id


class Start(Protocol):
    """Start a process over the same bucket and names."""

    def __call__(self) -> Process: ...


class StoreSuite:
    """The stories. Each test has names of its own in the bucket that it is given."""

    @pytest_asyncio.fixture(loop_scope="module")
    async def start(self, bucket: Bucket) -> Start:
        own = uuid.uuid4().hex
        names = Names.of(f"{own}/files", f"{own}-meta/infos")
        return lambda: Process(FaultyBucket(bucket), names)

    async def test_an_upload_in_many_requests_becomes_its_file(self, start: Start) -> None:
        """Every offset on the way is what a fresh read gives; termination leaves nothing."""
        process = start()
        length = 2 * PART + TAIL
        upload_id = await process.create(length, filename="Menü.txt".encode(), filetype=b"text/x")
        for to in (1, TAIL, PART, PART + 7, length - 1):
            info = await process.append(upload_id, to)
            fresh = await start().store.read(upload_id)
            assert (info.offset, info.finished) == (to, False)
            assert fresh == info
        with pytest.raises(IncompleteUpload):
            await process.download(upload_id)
        info = await process.append(upload_id, length)
        stat = await process.bucket.head(process.key(upload_id))

        assert info.finished
        assert await process.store.read(upload_id) == info
        assert stat.headers.content_type == "text/x"
        assert stat.headers.metadata["filename"] == "Men?.txt"
        assert await process.download(upload_id) == FILE[:length]
        assert await process.download(upload_id, PART - 1, PART + 1) == FILE[PART - 1 : PART + 1]
        assert len(await process.keys()) == 2
        await process.terminate(upload_id)
        assert await process.keys() == []
        assert not await process.has_parts(upload_id)
        with pytest.raises(UploadNotFound):
            await process.store.read(upload_id)

    async def test_a_short_upload_is_a_single_object(self, start: Start) -> None:
        """In one request or in two; no multipart upload."""
        process = start()
        for cuts in ([TAIL], [1000, TAIL]):
            upload_id = await process.create(TAIL, name=b"x")
            for to in cuts:
                info = await process.append(upload_id, to)
            stat = await process.bucket.head(process.key(upload_id))

            assert info.finished
            assert "+" not in upload_id
            assert (stat.headers.metadata["name"], TAG in stat.headers.metadata) == ("x", True)
            assert await process.download(upload_id) == FILE[:TAIL]

    @pytest.mark.parametrize("length", [TAIL, PART, PART + TAIL])
    async def test_a_length_declared_at_the_end_finishes(self, start: Start, length: int) -> None:
        """Deferred until then; a tail becomes the last part."""
        process = start()
        upload_id = await process.create(None)
        await process.append(upload_id, length)
        info = await process.append(upload_id, length, declared_length=length)

        assert info.finished
        assert await process.download(upload_id) == FILE[:length]
        assert len(await process.keys()) == 2

    async def test_uploads_of_no_bytes_are_objects(self, start: Start) -> None:
        """Known at creation, and declared later."""
        process = start()
        known = await process.create(0)
        declared = await process.create(None)
        info = await process.append(declared, 0, declared_length=0)

        assert info.finished
        assert (await process.store.read(known)).finished
        assert [await process.download(i) for i in (known, declared)] == [b"", b""]
        assert not await process.has_parts(declared)

    async def test_another_process_goes_on(self, start: Start) -> None:
        """All state is in the bucket: each request is served by somebody else."""
        length = 2 * PART
        upload_id = await start().create(length)
        for to in (TAIL, PART + TAIL, length):
            info = await start().append(upload_id, to)

        assert info.finished
        assert await start().download(upload_id) == FILE[:length]

    async def test_a_gap_does_not_count_until_it_is_closed(self, start: Start) -> None:
        """Part 2 of 3 fails: the offset is the end of part 1, and behind part 2 that of part 3."""
        process = start()
        length = len(FILE)
        upload_id = await process.create(length)
        process.bucket.fail("upload_part", StoreBusy, match=part(2))
        with pytest.raises(StoreBusy):
            await process.append(upload_id, length)
        between = (await start().store.read(upload_id)).offset
        process.bucket.calls.clear()
        info = await process.append(upload_id, 2 * PART)
        if not info.finished:
            info = await process.append(upload_id, length)

        assert between == PART
        assert info.finished
        assert await process.download(upload_id) == FILE

    @pytest.mark.parametrize("operation", ["complete_multipart", "put"])
    @pytest.mark.parametrize("after", [False, True])
    async def test_what_failed_at_the_end_is_finished_later(
        self, start: Start, operation: str, *, after: bool
    ) -> None:
        """Complete or the record failed, or its answer was lost: pending, then finished."""
        process = start()
        length = PART + TAIL
        upload_id = await process.create(length)
        process.bucket.fail(operation, StoreBusy, after=after)
        with pytest.raises(StoreBusy):
            await process.append(upload_id, length)
        info = await start().store.read(upload_id)
        finished = await start().finish(upload_id)

        assert info.is_pending or (info.finished and operation == "put" and after)
        assert finished.finished
        assert (await start().finish(upload_id)).finished
        assert await process.download(upload_id) == FILE[:length]

    async def test_a_refused_complete_lists_again(self, start: Start) -> None:
        """As where a stale process wrote a part again, and its ETag changed."""
        process = start()
        upload_id = await process.create(PART + TAIL)
        process.bucket.fail("complete_multipart", PartsRefused)
        info = await process.append(upload_id, PART + TAIL)

        assert info.finished
        assert await process.download(upload_id) == FILE[: PART + TAIL]

    async def test_an_upload_that_was_aborted_is_gone(self, start: Start) -> None:
        """Never finished, whatever object has its key; it can still be deleted."""
        process = start()
        upload_id = await process.create(PART + TAIL)
        await process.append(upload_id, PART + 5)
        await process.bucket.abort_multipart(process.key(upload_id), upload_id.rpartition("+")[2])
        with pytest.raises(UploadGone):
            await start().store.read(upload_id)
        data = FILE[: PART + TAIL]
        content = BytesContent(data, process.bucket.features.checksum)
        await process.bucket.put(process.key(upload_id), content)
        with pytest.raises(UploadGone):
            await start().store.read(upload_id)
        await start().terminate(upload_id)

        assert await process.keys() == [process.key(upload_id)]

    async def test_a_finished_upload_outlives_its_object(self, start: Start) -> None:
        """Moved by a consumer: finished, and not to be downloaded."""
        process = start()
        upload_id = await process.create(TAIL)
        await process.append(upload_id, TAIL)
        await process.bucket.delete([process.key(upload_id)])

        assert (await start().store.read(upload_id)).finished
        with pytest.raises(UploadNotFound):
            await process.download(upload_id)

    async def test_a_stale_holder_is_stopped(self, start: Start) -> None:
        """Its shorter tail does not replace the longer one of the next holder."""
        stale, process = start(), start()
        if not process.bucket.features.conditional_writes:
            pytest.skip("the store has no conditional writes")
        upload_id = await process.create(PART + TAIL)
        await process.append(upload_id, 1000)
        async with stale.held(upload_id) as held:
            await process.append(upload_id, 3000)
            with pytest.raises(LeaseLost):
                await held.append(GivenBody(FILE[1000:2000]))

            assert held.info.offset == 3000
        assert (await start().append(upload_id, PART + TAIL)).finished
        assert await start().download(upload_id) == FILE[: PART + TAIL]

    async def test_termination_goes_on_where_it_failed(self, start: Start) -> None:
        """Half terminated: the upload does not exist, and DELETE again ends it."""
        for step, suffix in (("abort_multipart", ""), ("delete", ".part.2"), ("delete", ".info")):
            process = start()
            upload_id = await process.create(2 * PART)
            await process.append(upload_id, PART + 9)
            process.bucket.fail(step, StoreBusy, match=ending(suffix))
            with pytest.raises(StoreBusy):
                await process.terminate(upload_id)
            with pytest.raises(UploadNotFound):
                await start().store.read(upload_id)
            await start().terminate(upload_id)

            assert await process.keys() == []
            assert not await process.has_parts(upload_id)

    @pytest.mark.parametrize("cuts", [[0], [3, 2 * PART + TAIL]])
    async def test_tusd_is_taken_over(self, start: Start, cuts: list[int]) -> None:
        """Its parts of other sizes and its `.part` count, the rest is ours."""
        process = start()
        first, second = PART + 3, 2 * PART + 8
        length = len(FILE) - 5
        upload_id = await process.begin_with_tusd(
            length, [FILE[:first], FILE[first:second]], FILE[second : second + 1000]
        )
        info = await process.store.read(upload_id)
        offset = info.offset
        for more in cuts:
            await process.append(upload_id, min(length, offset + more))
        info = await start().append(upload_id, length)

        assert offset == second + 1000
        assert info.finished
        assert await process.download(upload_id) == FILE[:length]
        assert len(await process.keys()) == 2

    async def test_many_uploads_at_once_do_not_mix(self, start: Start) -> None:
        """Twenty short ones and two long ones, each in two requests."""
        process = start()
        lengths = [1000 + 100 * number for number in range(20)] + [PART + TAIL, PART + 1]

        async def whole(length: int) -> bytes:
            upload_id = await process.create(length)
            await process.append(upload_id, length // 2)
            await process.append(upload_id, length)
            return await process.download(upload_id)

        files = await asyncio.gather(*(whole(length) for length in lengths))

        assert files == [FILE[:length] for length in lengths]
