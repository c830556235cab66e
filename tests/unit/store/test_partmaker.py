"""Facts about the parts of a final upload, one by one."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.faulty_bucket import anything, part
from tests.unit.store.bench import FILE
from tests.unit.store.finals import MIN, Finals, joining
from tusd_s3.errors import (
    ConditionFailed,
    CopyRefused,
    ObjectMissing,
    StoreBusy,
    StoreError,
    UploadGone,
)
from tusd_s3.model import ObjectHeaders, ObjectStat
from tusd_s3.store.concat import PlannedPart, Range
from tusd_s3.store.partmaker import PartMaker, put_whole
from tusd_s3.store.spool import Spool

KEY = "files/final"
COPY = PlannedPart(1, (Range(0, 2, 12),), is_copy=True)
FEW = PlannedPart(1, (Range(0, 2, 2 + MIN - 1),), is_copy=True)
STITCHED = PlannedPart(1, (Range(0, 12, 20), Range(1, 0, 4)), is_copy=False)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Finals]:
    """A store over an empty folder bucket whose parts have 5 to 12 bytes."""
    async with joining(tmp_path / "bench") as bench:
        yield bench


async def sources(bench: Finals) -> list[ObjectStat]:
    """Return two objects of 20 and 10 bytes."""
    await bench.put("files/a", FILE[:20])
    await bench.put("files/b", FILE[20:30])
    return [await bench.inner.head("files/a"), await bench.inner.head("files/b")]


async def maker(bench: Finals, *, stale: bool = False) -> PartMaker:
    """Return a maker of parts over these objects; ``stale`` ones are other versions."""
    stats = await sources(bench)
    if stale:
        stats = [replace(stat, etag='"other"') for stat in stats]
    multipart_id = await bench.inner.create_multipart(KEY, headers=ObjectHeaders(), checksum="MD5")
    return PartMaker(bench.store._depot, KEY, stats, multipart_id, "MD5")


async def content(bench: Finals) -> bytes:
    """Return the bytes of the only part, by completing it."""
    (multipart_id,) = bench.multiparts()
    parts = await bench.inner.list_parts(KEY, multipart_id)
    await bench.inner.complete_multipart(KEY, multipart_id, parts)
    return await bench.get(KEY)


@pytest.mark.parametrize(
    ("planned", "expected"),
    [(COPY, FILE[2:12]), (FEW, FILE[2 : 1 + MIN]), (STITCHED, FILE[12:24])],
    ids=["copy", "few", "stitched"],
)
async def test_a_part_has_the_bytes_that_were_planned(
    bench: Finals, planned: PlannedPart, expected: bytes
) -> None:
    """CAT-07: copied or stitched."""
    made = await (await maker(bench)).make(planned)

    assert (made.number, made.size) == (1, len(expected))
    assert await content(bench) == expected
    assert (bench.bucket.sent == []) == planned.is_copy


async def test_few_bytes_that_are_not_copied_are_sent(bench: Finals) -> None:
    """Some stores refuse copies of a few bytes."""
    bench.bucket.refuse_copies()

    await (await maker(bench)).make(FEW)

    assert bench.bucket.sent == [MIN - 1]
    assert await content(bench) == FILE[2 : 1 + MIN]


async def test_a_part_that_is_not_copied_is_refused(bench: Finals) -> None:
    """Who plans has to know: everything has to be sent."""
    bench.bucket.refuse_copies()

    with pytest.raises(CopyRefused):
        await (await maker(bench)).make(COPY)


@pytest.mark.parametrize("planned", [COPY, STITCHED])
@pytest.mark.parametrize("error", [ObjectMissing, ConditionFailed])
async def test_a_lost_source_is_a_lost_upload(
    bench: Finals, planned: PlannedPart, error: type[StoreError]
) -> None:
    """CAU-03: no later attempt can mend it."""
    bench.bucket.fail("copy_part" if planned.is_copy else "get", error)

    with pytest.raises(UploadGone):
        await (await maker(bench)).make(planned)

    assert bench.spool.memory_free == bench.memory


@pytest.mark.parametrize("planned", [COPY, STITCHED])
async def test_only_the_version_that_was_looked_at_is_read(
    bench: Finals, planned: PlannedPart
) -> None:
    """An object that was replaced in between is not joined."""
    with pytest.raises(UploadGone):
        await (await maker(bench, stale=True)).make(planned)


@pytest.mark.parametrize(
    ("planned", "operation"), [(COPY, "copy_part"), (STITCHED, "get"), (STITCHED, "upload_part")]
)
@pytest.mark.parametrize("times", [2, 3])
async def test_what_may_pass_is_tried_three_times(
    bench: Finals, planned: PlannedPart, operation: str, times: int
) -> None:
    """A download that is cut begins again, with an empty buffer."""
    match = part(1) if operation != "get" else anything
    bench.bucket.fail(operation, StoreBusy, after=True, times=times, match=match)
    made = maker(bench)

    if times == 3:
        with pytest.raises(StoreBusy):
            await (await made).make(planned)
    else:
        await (await made).make(planned)

    assert bench.bucket.operations.count(operation) >= times
    assert bench.spool.memory_free == bench.memory


async def test_without_room_a_part_waits_for_better_times(bench: Finals) -> None:
    """The client is told to come back; the room of others is not touched."""
    spool = Spool(memory_budget=0, disk_budget=0, wait_s=0.01)
    object.__setattr__(bench.store._depot, "spool", spool)

    with pytest.raises(StoreBusy):
        await (await maker(bench)).make(STITCHED)


async def test_a_part_that_does_not_fit_in_memory_goes_through_a_file(bench: Finals) -> None:
    """And leaves neither."""
    spool = Spool(memory_budget=0, disk_budget=100, directory=bench.folder)
    object.__setattr__(bench.store._depot, "spool", spool)

    await (await maker(bench)).make(STITCHED)

    assert spool.disk_free == 100
    assert await content(bench) == FILE[12:24]


async def test_a_file_that_cannot_be_read_back_is_a_failure(
    bench: Finals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the store's failure to the client, not a bug."""
    spool = Spool(memory_budget=0, disk_budget=100, directory=bench.folder)
    object.__setattr__(bench.store._depot, "spool", spool)

    def broken(*_: object) -> bytes:
        raise OSError("broken")

    monkeypatch.setattr("os.pread", broken)

    with pytest.raises(StoreError):
        await (await maker(bench)).make(STITCHED)


async def test_a_source_that_is_cut_short_is_noticed(bench: Finals) -> None:
    """No part is made of fewer bytes than planned."""
    made = await maker(bench)
    bench.bucket.cuts_downloads = True

    with pytest.raises(StoreError):
        await made.make(STITCHED)


@pytest.mark.parametrize("sizes", [[], [0], [4], [3, 0, 1]])
async def test_the_whole_is_stored_at_once(bench: Finals, sizes: list[int]) -> None:
    """PITFALLS 25: one PutObject, also of no bytes; its headers are the final's."""
    stats: list[ObjectStat] = []
    at = 0
    for size in sizes:
        await bench.put(f"files/{at}-{len(stats)}", FILE[at : at + size])
        stats.append(await bench.inner.head(f"files/{at}-{len(stats)}"))
        at += size

    await put_whole(bench.store._depot, KEY, stats, ObjectHeaders(metadata={"a": "b"}))

    assert await bench.get(KEY) == FILE[:at]
    assert (await bench.inner.head(KEY)).headers.metadata == {"a": "b"}
    assert bench.spool.memory_free == bench.memory


async def test_a_whole_without_its_source_is_lost(bench: Finals) -> None:
    """CAU-03."""
    stats = await sources(bench)
    await bench.inner.delete(["files/b"])

    with pytest.raises(UploadGone):
        await put_whole(bench.store._depot, KEY, stats, ObjectHeaders())
