"""Facts about uploads as the HTTP side knows them: create, read, open, download."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.faults.faulty_bucket import FaultyBucket, ending
from tests.unit.store.bench import FILE, LONG_S, Bench, GivenBody, started, until
from tusd_s3.errors import (
    ConditionFailed,
    IncompleteUpload,
    MaxSizeExceeded,
    StoreBusy,
    StoreError,
    UploadNotFound,
)
from tusd_s3.interfaces import Content
from tusd_s3.model import Ended, Kind, NewUpload, ObjectHeaders
from tusd_s3.store.content import BytesContent
from tusd_s3.store.info import OURS, Record, format_record
from tusd_s3.store.keys import Names, parse_upload_id
from tusd_s3.store.objects import TAG
from tusd_s3.store.spool import Spool
from tusd_s3.store.store import Store

# -- create --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "has_multipart"), [(None, True), (0, False), (1, False), (10, False), (11, True)]
)
async def test_only_what_does_not_fit_in_one_part_gets_a_multipart_upload(
    bench: Bench, length: int | None, has_multipart: bool
) -> None:
    """The id says which: `<objectid>+<multipartid>`, or `<objectid>` alone."""
    upload_id = await bench.create(length)

    assert ("+" in upload_id) == has_multipart == bool(bench.multiparts())
    assert len(parse_upload_id(upload_id).object_id) == 32


async def test_no_two_uploads_share_a_name(bench: Bench) -> None:
    """Nobody can guess one either."""
    ids = {await bench.create(50) for _ in range(5)}

    assert len({parse_upload_id(upload_id).object_id for upload_id in ids}) == 5


async def test_the_record_is_what_tusd_would_write_and_ours_beside_it(bench: Bench) -> None:
    """Names, kinds and prefixes as tusd has them."""
    raw = "filename YS50eHQ=,is_public"
    held = await bench.store.create(
        NewUpload(50, raw, {"filename": b"a.txt", "is_public": b""}, Kind.PARTIAL, "partial")
    )
    upload_id = held.info.id
    record = json.loads(await bench.get(bench.info_key(upload_id)))
    ours = record.pop(OURS)
    object_id = parse_upload_id(upload_id).object_id

    assert record == {
        "ID": upload_id,
        "Size": 50,
        "SizeIsDeferred": False,
        "Offset": 0,
        "MetaData": {"filename": "a.txt", "is_public": ""},
        "IsPartial": True,
        "IsFinal": False,
        "PartialUploads": None,
        "Storage": {"Type": "s3store", "Bucket": "b", "Key": f"files/{object_id}"},
    }
    assert bench.info_key(upload_id) == f"meta/{object_id}.info"
    assert (ours["RawMetadata"], ours["RawConcat"]) == (raw, "partial")
    assert (ours["Phase"], ours["Created"]) == ("open", 1_700_000_000.5)
    assert held.info == await bench.store.read(upload_id)


async def test_the_object_carries_type_metadata_and_whose_it_is(bench: Bench) -> None:
    """Set when the multipart upload begins, or with the single object; the tag is unique."""
    tags = []
    for length in (8, 25):
        upload_id = await bench.create(length, filetype=b"text/plain", name="Menü".encode())
        await bench.append(upload_id, length)
        headers = (await bench.inner.head(bench.key(upload_id))).headers
        tags.append(headers.metadata[TAG])

        assert headers.content_type == "text/plain"
        assert {k: v for k, v in headers.metadata.items() if k != TAG} == {
            "filetype": "text/plain",
            "name": "Men?",
        }
    assert len(set(tags)) == 2


async def test_metadata_that_does_not_fit_does_not_fail_the_upload(bench: Bench) -> None:
    """S3 takes 2 KiB; `.info` and HEAD have it all."""
    upload_id = await bench.create(8, big=b"x" * 3000, small=b"y")
    await bench.append(upload_id, 8)
    stored = (await bench.inner.head(bench.key(upload_id))).headers.metadata

    assert set(stored) == {"small", TAG}
    assert (await bench.store.read(upload_id)).metadata["big"] == b"x" * 3000


@pytest.mark.parametrize("length", [901, 10**9])
async def test_what_the_bucket_cannot_hold_is_refused_before_any_call(
    bench: Bench, length: int
) -> None:
    """Nothing is left behind."""
    with pytest.raises(MaxSizeExceeded):
        await bench.create(length)

    assert bench.bucket.calls == []


async def test_parts_that_no_buffer_can_hold_are_refused(bench: Bench) -> None:
    """Parts above the disk budget would end every request with 503."""
    spool = Spool(memory_budget=10_000, disk_budget=8, directory=bench.folder)
    store = Store(bench.bucket, names=bench.names, spool=spool)
    held = await store.create(NewUpload(800))

    assert "+" in held.info.id
    with pytest.raises(MaxSizeExceeded):
        await store.create(NewUpload(801))


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("length", [0, 8, 50, None])
@pytest.mark.parametrize("call", [0, 1])
async def test_a_creation_that_fails_leaves_nothing(
    bench: Bench, call: int, length: int | None, after: bool
) -> None:
    """Each call fails in turn. Only a multipart upload whose id was never told can remain."""
    calls = 1 if length == 8 else 2
    if call >= calls:
        call = 0
    bench.bucket.fail("*", StoreBusy, skip=call, after=after)
    with pytest.raises(StoreBusy):
        await bench.create(length)

    assert await bench.keys() == []
    unknown = after and call == 0 and length in {50, None}
    assert len(bench.multiparts()) == unknown


async def test_an_id_that_no_url_can_carry_is_given_back(bench: Bench) -> None:
    """The multipart upload is aborted: nobody could ever name it."""

    class Odd(type(bench.bucket)):  # type: ignore[misc]
        async def create_multipart(self, key: str, *, headers: ObjectHeaders, checksum: str) -> str:
            self.real = await super().create_multipart(key, headers=headers, checksum=checksum)
            return "a/b c"

        async def abort_multipart(self, key: str, multipart_id: str) -> None:
            assert multipart_id == "a/b c"
            await super().abort_multipart(key, self.real)

    odd = Bench(Odd(bench.inner), bench.folder)
    with pytest.raises(StoreError, match="URL"):
        await odd.create(50)

    assert await odd.is_empty()


class Twice(FaultyBucket):
    """A bucket whose own retry finds what its first attempt has written."""

    tag: str | None = None

    async def put(
        self,
        key: str,
        content: Content,
        *,
        headers: ObjectHeaders = ObjectHeaders(),
        if_match: str | None = None,
        if_absent: bool = False,
    ) -> str:
        if if_absent and self.tag is None:
            await super().put(key, content, headers=headers)
        elif if_absent:
            record = Record(id="other", length=5, tag=self.tag)
            await super().put(key, BytesContent(format_record(record), "MD5"))
        return await super().put(
            key, content, headers=headers, if_match=if_match, if_absent=if_absent
        )


async def test_a_first_record_whose_answer_was_lost_is_ours(bench: Bench) -> None:
    """412, and our own record is there: the upload is created."""
    twice = Bench(Twice(bench.inner), bench.folder)
    upload_id = await twice.create(8)
    await twice.append(upload_id, 8)

    assert await twice.download(upload_id) == FILE[:8]


async def test_a_record_that_is_there_already_is_not_replaced(bench: Bench) -> None:
    """Somebody else's upload has the name: nothing of it is touched."""
    bucket = Twice(bench.inner)
    bucket.tag = "not ours"
    twice = Bench(bucket, bench.folder)
    with pytest.raises(ConditionFailed):
        await twice.create(50)

    assert len(await bench.keys()) == 1
    assert not bench.multiparts()


async def test_a_creation_that_is_cancelled_leaves_nothing(bench: Bench) -> None:
    """The client left while `.info` was written."""
    gate = bench.bucket.block("put")
    task = asyncio.create_task(bench.create(50))
    await asyncio.wait_for(gate.reached.wait(), LONG_S)
    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()
    assert await bench.is_empty()


@pytest.mark.parametrize("operation", ["delete", "abort_multipart"])
async def test_a_creation_that_cannot_be_undone_still_tells_why_it_failed(
    bench: Bench, operation: str
) -> None:
    """The first failure is the answer; the other one is logged."""
    bench.bucket.fail("put", StoreBusy)
    bench.bucket.fail(operation, StoreError)
    with pytest.raises(StoreBusy):
        await bench.create(50)


async def test_creation_with_upload_needs_no_lock(bench: Bench) -> None:
    """Nobody else knows the upload yet."""
    held = await bench.store.create(NewUpload(25))
    info = await held.append(GivenBody(FILE[:14]))
    whole = await (await bench.store.create(NewUpload(25))).append(GivenBody(FILE[:25]))

    assert info.offset == 14 == await bench.offset(info.id)
    assert whole.finished
    assert bench.spool.memory_free == bench.memory
    assert (await bench.append(info.id, 25)).finished


# -- read and open -------------------------------------------------------------------------------


@pytest.mark.parametrize("upload_id", ["", "../x", "a b", "a+", "x.info", "/", "a\0", "é+b"])
async def test_an_id_that_no_upload_could_have_asks_nothing_of_the_bucket(
    bench: Bench, upload_id: str
) -> None:
    """Read, open, download and termination alike."""
    for attempt in (
        bench.store.read(upload_id),
        bench.append(upload_id, 5),
        bench.terminate(upload_id),
        bench.download(upload_id),
    ):
        with pytest.raises(UploadNotFound):
            await attempt

    assert bench.bucket.calls == []


async def test_nothing_is_live_without_an_append(bench: Bench) -> None:
    """Neither an unknown upload nor one that is only held."""
    upload_id = await bench.create(50)
    async with bench.held(upload_id):
        assert bench.store.live(upload_id) is None

    assert bench.store.live("unknown") is None


async def test_an_upload_is_live_while_its_body_is_read(bench: Bench) -> None:
    """For a HEAD that must not disturb: the durable state, and how long the client was silent."""
    upload_id = await bench.create(50)
    body = GivenBody(FILE[:4], ended=None)
    body.silent_s = 3.0

    async def work() -> None:
        async with bench.held(upload_id) as held:
            await held.append(body)

    async def is_live() -> bool:
        return bench.store.live(upload_id) is not None

    task = asyncio.create_task(work())
    await until(is_live)
    live = bench.store.live(upload_id)
    assert live is not None
    told = live.info.offset, live.silent_s
    body.stop(Ended.IDLE)
    await asyncio.wait_for(task, LONG_S)

    assert told == (0, 3.0)
    assert live.info.offset == 4
    assert bench.store.live(upload_id) is None


async def test_uploads_survive_the_process(bench: Bench) -> None:
    """Everything is in the bucket: another process goes on where this one stopped."""
    upload_id = await bench.create(50, filename=b"a")
    await bench.append(upload_id, 14)
    other = Bench(bench.bucket, bench.folder)
    info = await other.append(upload_id, 50)

    assert (info.finished, info.metadata) == (True, {"filename": b"a"})
    assert await bench.download(upload_id) == FILE[:50]


@pytest.mark.parametrize("names", [Names(), Names("a/"), Names("", "m/"), Names("a/b/", "a/")])
async def test_any_prefixes_do(tmp_path: Path, names: Names) -> None:
    """Also the same one for both, or none."""
    async with started(tmp_path) as bucket:
        bench = Bench(bucket, tmp_path, names=names)
        upload_id = await bench.create(25)
        await bench.append(upload_id, 14)
        await bench.append(upload_id, 25)

        assert await bench.download(upload_id) == FILE[:25]
        await bench.terminate(upload_id)
        assert await bench.is_empty()


async def test_without_conditional_writes_uploads_work_too(bench: Bench) -> None:
    """Only the protection from a stale holder is missing."""
    bench.bucket._conditional_writes = False
    upload_id = await bench.create(None)
    await bench.append(upload_id, 4)
    await bench.append(upload_id, 14)
    info = await bench.append(upload_id, 25, declared_length=25)

    assert info.finished
    assert await bench.download(upload_id) == FILE[:25]


# -- download ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("start", "end"), [(0, None), (0, 1), (10, 20), (24, 25), (5, None)])
async def test_a_range_is_the_files(bench: Bench, start: int, end: int | None) -> None:
    """From `start` up to, not including, `end`."""
    upload_id = await bench.create(25)
    await bench.append(upload_id, 25)

    assert await bench.download(upload_id, start=start, end=end) == FILE[:25][start:end]


async def test_an_open_upload_cannot_be_downloaded(bench: Bench) -> None:
    """Not even the bytes that are there (tusd answers the same)."""
    for length in (8, 50, None):
        upload_id = await bench.create(length)
        await bench.append(upload_id, 5)
        with pytest.raises(IncompleteUpload):
            await bench.download(upload_id)


async def test_what_is_whole_can_be_downloaded_before_the_record_says_so(bench: Bench) -> None:
    """The object is there and ours; only the record was not written."""
    upload_id = await bench.create(25)
    bench.bucket.fail("put", StoreBusy, match=ending(".info"))
    with pytest.raises(StoreBusy):
        await bench.append(upload_id, 25)

    assert await bench.download(upload_id) == FILE[:25]


async def test_an_object_that_was_moved_away_is_not_found(bench: Bench) -> None:
    """The upload is finished all the same."""
    upload_id = await bench.create(25)
    await bench.append(upload_id, 25)
    await bench.inner.delete([bench.key(upload_id)])
    with pytest.raises(UploadNotFound):
        await bench.download(upload_id)

    assert (await bench.store.read(upload_id)).finished


@pytest.mark.parametrize("size", [25, 24])
async def test_an_object_that_was_replaced_is_not_served_as_the_upload(
    bench: Bench, size: int
) -> None:
    """Somebody else's, whatever its size."""
    upload_id = await bench.create(25)
    await bench.append(upload_id, 25)
    await bench.put(bench.key(upload_id), FILE[:size])
    with pytest.raises(UploadNotFound):
        await bench.download(upload_id)


async def test_unknown_uploads_cannot_be_downloaded(bench: Bench) -> None:
    """Nor terminated ones, nor by half of the id."""
    upload_id = await bench.create(25)
    await bench.append(upload_id, 25)
    for other in ("unknown", upload_id.split("+")[0], upload_id + "x"):
        with pytest.raises(UploadNotFound):
            await bench.download(other)


async def test_a_failure_while_downloading_is_the_buckets(bench: Bench) -> None:
    """A body that is cut short raises; it does not end as if it were whole."""
    upload_id = await bench.create(25)
    await bench.append(upload_id, 25)
    bench.bucket.fail("get", StoreBusy, after=True, match=ending(bench.key(upload_id)))
    with pytest.raises(StoreBusy):
        await bench.download(upload_id)


async def test_an_upload_that_tusd_finished_can_be_downloaded(bench: Bench) -> None:
    """Its record never says so."""
    upload_id = await bench.begin_with_tusd(30, {1: FILE[:30]})
    with pytest.raises(IncompleteUpload):
        await bench.download(upload_id)
    await bench.complete(upload_id)

    assert await bench.download(upload_id) == FILE[:30]


# -- what it costs -------------------------------------------------------------------------------

MULTI = {
    "POST": ["create_multipart", "put"],
    "first PATCH: 1 part and a tail": ["get", "head", "list_parts", "put", "upload_part"],
    "PATCH: tail grows": ["put"],
    "PATCH: 1 part and a tail": ["delete", "put", "upload_part"],
    "PATCH: 1 part, no tail left": ["delete", "upload_part"],
    "HEAD": ["get", "get", "head", "head", "list_parts", "list_parts"],
    "last PATCH": ["complete_multipart", "put", "upload_part"],
    "HEAD finished": ["get", "list_parts"],
    "GET": ["get", "get"],
    "DELETE finished": [
        "abort_multipart", "delete", "delete", "get", "head", "list_objects", "list_parts", "put",
    ],
}  # fmt: skip
SINGLE = {
    "POST": ["put"],
    "only PATCH": ["get", "head", "put", "put"],
    "HEAD finished": ["get"],
    "GET": ["get", "get"],
    "DELETE finished": ["delete", "delete", "get", "head", "list_objects", "put"],
}


async def test_calls_per_request_of_a_long_upload(bench: Bench) -> None:
    """The bucket's calls are what an upload costs, in money and in time."""
    made: dict[str, list[str]] = {}

    def note(step: str) -> None:
        made[step] = sorted(bench.bucket.operations)
        bench.bucket.calls.clear()

    upload_id = await bench.create(50)
    note("POST")
    for step, to in (
        ("first PATCH: 1 part and a tail", 12),
        ("PATCH: tail grows", 15),
        ("PATCH: 1 part and a tail", 23),
        ("PATCH: 1 part, no tail left", 30),
    ):
        await bench.append(upload_id, to)
        note(step)
    await bench.append(upload_id, 40)
    bench.bucket.calls.clear()
    await bench.store.read(upload_id)
    note("HEAD")
    await bench.append(upload_id, 50)
    note("last PATCH")
    await bench.store.read(upload_id)
    note("HEAD finished")
    await bench.download(upload_id)
    note("GET")
    await bench.terminate(upload_id)
    note("DELETE finished")

    assert made == MULTI


async def test_calls_per_request_of_a_short_upload(bench: Bench) -> None:
    """A file that fits in one part is two writes after creation."""
    made: dict[str, list[str]] = {}

    def note(step: str) -> None:
        made[step] = sorted(bench.bucket.operations)
        bench.bucket.calls.clear()

    upload_id = await bench.create(10)
    note("POST")
    await bench.append(upload_id, 10)
    note("only PATCH")
    await bench.store.read(upload_id)
    note("HEAD finished")
    await bench.download(upload_id)
    note("GET")
    await bench.terminate(upload_id)
    note("DELETE finished")

    assert made == SINGLE


async def test_creation_with_upload_reads_nothing(bench: Bench) -> None:
    """POST with a whole small file: record, object, record."""
    held = await bench.store.create(NewUpload(10))
    await held.append(GivenBody(FILE[:10]))

    assert bench.bucket.operations == ["put", "put", "put"]
