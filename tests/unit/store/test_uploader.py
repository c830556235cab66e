"""Facts about the pump: a body becomes parts and at most one tail, in an order that is safe."""

import asyncio
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faults.faulty_bucket import containing, ending, part
from tests.unit.store.bench import (
    FILE,
    LIMITS,
    LONG_S,
    PART,
    Bench,
    GivenBody,
    cut,
    in_order,
    started,
    until,
)
from tusd_s3.errors import (
    ContentCorrupted,
    LeaseLost,
    MaxSizeExceeded,
    MultipartMissing,
    OutOfRoom,
    PartConflict,
    StoreBusy,
    StoreError,
    StoreRefused,
    UploadGone,
)
from tusd_s3.model import Checksum, Ended


async def appending(bench: Bench, upload_id: str, body: GivenBody) -> None:
    """Append in the background."""
    async with bench.held(upload_id) as held:
        await held.append(body)


# -- cutting -------------------------------------------------------------------------------------


@settings(max_examples=15)
@given(
    cuts=st.lists(st.integers(0, 35), max_size=3).map(sorted),
    chunk=st.integers(1, 30),
    deferred=st.booleans(),
    memory=st.sampled_from([0, 15, 1000]),
)
async def test_however_the_bytes_are_cut_the_object_is_the_same(
    cuts: list[int], chunk: int, deferred: bool, memory: int
) -> None:
    """Any requests, any chunks, in memory or in files: the object is the file."""
    with tempfile.TemporaryDirectory() as name:
        async with started(Path(name)) as bucket:
            bench = Bench(bucket, Path(name), memory=memory)
            upload_id = await bench.create(None if deferred else 35)
            offsets = []
            for to in cuts:
                info = await bench.append(upload_id, to, chunk=chunk)
                offsets.append((info.offset, await bench.offset(upload_id)))
            declared = 35 if deferred else None
            info = await bench.append(upload_id, 35, chunk=chunk, declared_length=declared)

            assert offsets == [(to, to) for to in cuts]
            assert info.finished
            assert await bench.download(upload_id) == FILE[:35]
            assert await bench.keys() == [bench.key(upload_id), bench.info_key(upload_id)]
            assert bench.spool.memory_free == memory
            assert bench.spool.disk_free == 10_000


async def test_parts_are_cut_at_the_grid_wherever_a_request_begins(bench: Bench) -> None:
    """A tail becomes the beginning of its part; nothing but the last part is shorter."""
    upload_id = await bench.create(35)
    for to in (4, 13, 27):
        await bench.append(upload_id, to, chunk=3)

    assert [(p.number, p.size) for p in await bench.parts(upload_id)] == [(1, 10), (2, 10)]
    assert await bench.get(bench.tail_key(upload_id, 3)) == FILE[20:27]


@pytest.mark.parametrize("why", [why for why in Ended if why is not Ended.COMPLETE])
async def test_what_arrived_is_stored_however_the_body_ends(bench: Bench, why: Ended) -> None:
    """A client that vanishes loses nothing: parts and tail are durable."""
    upload_id = await bench.create(50)
    body = GivenBody(*cut(FILE[:25], 6), ended=why)
    async with bench.held(upload_id) as held:
        info = await held.append(body)

    assert (info.offset, body.ended) == (25, why)
    assert await bench.offset(upload_id) == 25


async def test_an_empty_body_changes_nothing(bench: Bench) -> None:
    """The tail that is there stays as it is."""
    upload_id = await bench.create(50)
    await bench.append(upload_id, 14)
    bench.bucket.calls.clear()
    info = await bench.append(upload_id, 14)

    assert info.offset == 14 == await bench.offset(upload_id)
    assert "put" not in bench.bucket.operations


async def test_bytes_behind_the_end_are_not_taken(bench: Bench) -> None:
    """The caller limits the body; if it does not, the object still is what was announced."""
    upload_id = await bench.create(25)
    async with bench.held(upload_id) as held:
        with pytest.raises(MaxSizeExceeded):
            await held.append(GivenBody(*cut(FILE[:60], 7)))

    assert held.info.finished
    assert await bench.download(upload_id) == FILE[:25]


async def test_a_deferred_upload_ends_at_the_largest_object(bench: Bench) -> None:
    """What the bucket could never hold is not taken; what fits is durable and can be finished."""
    upload_id = await bench.create(None)
    async with bench.held(upload_id) as held:
        with pytest.raises(MaxSizeExceeded) as refused:
            await held.append(GivenBody(*cut(FILE, 70)))

    assert refused.value.headers == {"Upload-Offset": "900"}
    assert await bench.offset(upload_id) == LIMITS.max_object == 900
    info = await bench.append(upload_id, 900, declared_length=900)
    assert info.finished
    assert await bench.download(upload_id) == FILE[:900]


# -- concurrency ---------------------------------------------------------------------------------


async def test_parts_are_sent_while_the_next_ones_arrive(bench: Bench) -> None:
    """Several at once, at most so many per upload; the socket waits for the rest."""
    upload_id = await bench.create(80)
    gate = bench.bucket.block("upload_part")
    body = GivenBody(*cut(FILE[:80], PART))
    task = asyncio.create_task(appending(bench, upload_id, body))
    await asyncio.wait_for(gate.reached.wait(), LONG_S)
    for _ in range(50):
        await asyncio.sleep(0)
    sent = bench.bucket.operations.count("upload_part")
    left = len(body._chunks)
    gate.opened.set()
    await asyncio.wait_for(task, LONG_S)

    assert (sent, left) == (4, 3)  # the fifth is whole and waits for its turn
    assert await bench.download(upload_id) == FILE[:80]


async def test_upload_slots_are_shared_in_order_of_arrival(tmp_path: Path) -> None:
    """One slot for the process: parts of several uploads go one after the other."""
    async with started(tmp_path) as bucket:
        bench = Bench(bucket, tmp_path, parts=1)
        ids = [await bench.create(40) for _ in range(3)]
        gate = bucket.block("upload_part")
        tasks = []
        for upload_id in ids:
            tasks.append(asyncio.create_task(appending(bench, upload_id, GivenBody(FILE[:10]))))
            for _ in range(5):
                await asyncio.sleep(0.001)
        waiting = bucket.operations.count("upload_part")
        gate.opened.set()
        await asyncio.wait_for(asyncio.gather(*tasks), LONG_S)

        assert waiting == 1
        order = [key for operation, key in bucket.calls if operation == "upload_part"]
        assert order == [bench.key(upload_id) for upload_id in ids]


async def test_a_stalled_client_holds_no_slot(tmp_path: Path) -> None:
    """tusd: 300 stalled uploads delayed the next one by a minute."""
    async with started(tmp_path) as bucket:
        bench = Bench(bucket, tmp_path, parts=1)
        stalled = GivenBody(FILE[:9], ended=None)
        slow = asyncio.create_task(appending(bench, await bench.create(40), stalled))
        quick = await bench.create(25)
        await asyncio.wait_for(bench.append(quick, 25), LONG_S)
        stalled.stop(Ended.IDLE)
        await asyncio.wait_for(slow, LONG_S)

        assert await bench.download(quick) == FILE[:25]


async def test_a_request_that_is_cancelled_gives_its_room_back(bench: Bench) -> None:
    """Whatever it was doing: buffers are closed, parts that are stored count."""
    upload_id = await bench.create(80)
    gate = bench.bucket.block("upload_part", match=part(2))
    body = GivenBody(*cut(FILE[:45], 9), ended=None)
    task = asyncio.create_task(appending(bench, upload_id, body))
    await asyncio.wait_for(gate.reached.wait(), LONG_S)

    async def three_are_stored() -> bool:
        return len(await bench.parts(upload_id)) == 3

    await until(three_are_stored)
    task.cancel()
    await asyncio.wait([task])
    bench.bucket.heal()

    assert task.cancelled()
    assert bench.spool.memory_free == bench.memory
    assert bench.spool._buffers == set()
    assert bench.store.live(upload_id) is None
    assert await bench.offset(upload_id) == 10


# -- failures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [StoreBusy, StoreRefused, ContentCorrupted, StoreError])
async def test_a_gap_is_not_counted_and_what_lies_behind_it_is_kept(
    bench: Bench, error: type[StoreError]
) -> None:
    """Part 2 of 4 fails: the request ends there; with part 2 sent again, 3 and 4 count."""
    upload_id = await bench.create(50)
    bench.bucket.fail("upload_part", error, match=part(2))
    async with bench.held(upload_id) as held:
        with pytest.raises(error):
            await held.append(GivenBody(*cut(FILE[:45], 5)))
        told = held.info.offset
    fresh = await bench.offset(upload_id)
    async with bench.held(upload_id) as held:
        info = await held.append(GivenBody(FILE[10:20]))

    assert told == fresh == 10
    assert info.offset == 40 == await bench.offset(upload_id)
    await bench.append(upload_id, 50)
    assert await bench.download(upload_id) == FILE[:50]


async def test_no_tail_is_written_behind_a_gap(bench: Bench) -> None:
    """It would not count, and might later be taken for what it is not."""
    upload_id = await bench.create(50)
    bench.bucket.fail("upload_part", StoreBusy, match=part(2))
    with pytest.raises(StoreBusy):
        await bench.append(upload_id, 35)

    assert await bench.keys() == [bench.info_key(upload_id)]


async def test_behind_a_closed_gap_the_next_tail_is_looked_at(bench: Bench) -> None:
    """A stale process may have left one there; the offset is what a fresh read gives."""
    upload_id = await bench.create(50)
    await bench.put_part(upload_id, 3, FILE[20:30])
    await bench.put(bench.tail_key(upload_id, 4), FILE[30:36])
    info = await bench.append(upload_id, 20)

    assert info.offset == 36 == await bench.offset(upload_id)
    assert (await bench.append(upload_id, 50)).finished
    assert await bench.download(upload_id) == FILE[:50]


async def test_a_part_that_is_stored_already_is_not_sent_again(bench: Bench) -> None:
    """The same bytes behind a gap: their checksum says so."""
    upload_id = await bench.create(50)
    await bench.put_part(upload_id, 3, FILE[20:30])
    bench.bucket.calls.clear()
    info = await bench.append(upload_id, 50)
    sent = bench.bucket.operations.count("upload_part")

    assert (info.finished, sent) == (True, 4)
    assert await bench.download(upload_id) == FILE[:50]


async def test_a_part_that_comes_again_with_other_bytes_never_becomes_an_object(
    bench: Bench,
) -> None:
    """The client resumed with another file: an alarm, an error, and no Complete ever."""
    upload_id = await bench.create(40)
    await bench.put_part(upload_id, 3, FILE[500:510])
    async with bench.held(upload_id) as held:
        with pytest.raises(PartConflict):
            await held.append(GivenBody(*cut(FILE[:40], 10)))

    assert "complete_multipart" not in bench.bucket.operations
    with pytest.raises(UploadGone):
        await bench.offset(upload_id)
    with pytest.raises(UploadGone):
        await bench.append(upload_id, 40)
    await bench.terminate(upload_id)
    assert await bench.is_empty()


async def test_a_vanished_multipart_upload_is_told_from_other_failures(bench: Bench) -> None:
    """Aborted behind our back while bytes arrive: the upload is gone, whatever else failed."""
    upload_id = await bench.create(50)
    bench.bucket.fail("upload_part", StoreBusy, match=part(1))
    bench.bucket.fail("upload_part", MultipartMissing, match=part(2))
    with pytest.raises(UploadGone):
        await bench.append(upload_id, 30)


async def test_an_upload_that_was_aborted_is_gone(bench: Bench) -> None:
    """A lifecycle rule did it, between two requests or in the middle of one."""
    upload_id = await bench.create(50)
    await bench.append(upload_id, 10)
    await bench.inner.abort_multipart(bench.key(upload_id), upload_id.split("+")[1])
    with pytest.raises(UploadGone):
        await bench.append(upload_id, 30)
    with pytest.raises(UploadGone):
        await bench.append(upload_id, 30)
    with pytest.raises(UploadGone):
        await bench.offset(upload_id)


async def test_a_temporary_file_that_cannot_be_read_fails_the_part(tmp_path: Path) -> None:
    """Disks fail too: the part is not stored, the request ends, the offset stands."""
    async with started(tmp_path) as bucket:
        bench = Bench(bucket, tmp_path, memory=0)
        upload_id = await bench.create(50)
        gate = bucket.block("upload_part")
        body = GivenBody(FILE[:10], ended=None)
        task = asyncio.create_task(appending(bench, upload_id, body))
        await asyncio.wait_for(gate.reached.wait(), LONG_S)
        (buffer,) = bench.spool._buffers
        assert buffer._file is not None
        await buffer._file.truncate(3)
        gate.opened.set()
        with pytest.raises(StoreError, match="temporary file"):
            await asyncio.wait_for(task, LONG_S)

        assert await bench.offset(upload_id) == 0
        assert bench.spool.disk_free == 10_000


async def test_a_part_with_another_kind_of_checksum_is_sent_again(bench: Bench) -> None:
    """Nothing can be compared; by the grid it is the same range of the same file."""
    upload_id = await bench.create(40)
    async with bench.held(upload_id) as held:
        assert held.snapshot.ledger is not None
        stored = await bench.put_part(upload_id, 2, FILE[10:20])
        for checksum in (Checksum("MD5", "other"), None):
            held.snapshot.ledger.add(replace(stored, number=3, checksum=checksum))
            assert held.info.offset == 0
        held.snapshot.ledger.add(replace(stored, number=2, checksum=Checksum("MD5", "other")))
        info = await held.append(GivenBody(*cut(FILE[:40], 7)))

    assert info.finished
    assert await bench.download(upload_id) == FILE[:40]


async def test_the_first_failure_is_told(bench: Bench) -> None:
    """What else fails in its wake is not; unless the upload is gone."""
    upload_id = await bench.create(50)
    gate = bench.bucket.block("upload_part", match=part(2))
    bench.bucket.fail("upload_part", StoreRefused, match=part(1))
    bench.bucket.fail("upload_part", StoreBusy, match=part(2))
    body = GivenBody(FILE[:20], ended=None)
    task = asyncio.create_task(appending(bench, upload_id, body))
    await asyncio.wait_for(gate.reached.wait(), LONG_S)
    gate.opened.set()
    with pytest.raises(StoreRefused):
        await asyncio.wait_for(task, LONG_S)

    assert body.ended is Ended.FAILED


# -- a single object, and the tail that becomes the last part --------------------------------------


async def test_what_fits_in_one_part_is_put_as_the_object(bench: Bench) -> None:
    """With its headers; its tail is left to whoever writes the record."""
    upload_id = await bench.create(10, filetype=b"text/plain")
    await bench.append(upload_id, 4)
    bench.bucket.fail("put", StoreBusy, match=ending(".info"))
    with pytest.raises(StoreBusy):
        await bench.append(upload_id, 10)
    stat = await bench.inner.head(bench.key(upload_id))

    assert (stat.size, stat.headers.content_type) == (10, "text/plain")
    assert await bench.get(bench.tail_key(upload_id, 1)) == FILE[:4]


async def test_a_tail_becomes_the_last_part(bench: Bench) -> None:
    """The length was declared where it ends: stored first, deleted then."""
    upload_id = await bench.create(None)
    await bench.append(upload_id, 14)
    bench.bucket.calls.clear()
    await bench.append(upload_id, 14, declared_length=14)

    assert in_order(
        bench.bucket.calls,
        ("upload_part", bench.key(upload_id)),
        ("delete", bench.tail_key(upload_id, 2)),
        ("complete_multipart", bench.key(upload_id)),
    )


async def test_a_tail_that_fails_to_become_a_part_stays(bench: Bench) -> None:
    """The request fails and the upload is pending."""
    upload_id = await bench.create(None)
    await bench.append(upload_id, 14)
    bench.bucket.fail("upload_part", StoreBusy)
    with pytest.raises(StoreBusy):
        await bench.append(upload_id, 14, declared_length=14)

    assert await bench.offset(upload_id) == 14


async def test_the_tail_of_tusd_is_replaced_by_ours(bench: Bench) -> None:
    """Ours is written before tusd's is deleted."""
    upload_id = await bench.begin_with_tusd(80, {1: FILE[:7]}, tail=FILE[7:9])
    bench.bucket.calls.clear()
    await bench.append(upload_id, 12)
    plain = bench.info_key(upload_id)[: -len("info")] + "part"

    assert in_order(bench.bucket.calls, ("put", bench.tail_key(upload_id, 2)), ("delete", plain))


# -- room ----------------------------------------------------------------------------------------


async def test_without_room_the_buffer_becomes_a_tail(tmp_path: Path) -> None:
    """The request is refused, what arrived before is durable, and all room is free again."""
    async with started(tmp_path) as bucket:
        bench = Bench(bucket, tmp_path, memory=0)
        upload_id = await bench.create(50)
        bench.spool.disk_free = bench.spool._disk_budget = 9
        async with bench.held(upload_id) as held:
            with pytest.raises(OutOfRoom) as refused:
                await held.append(GivenBody(FILE[:8], FILE[8:10], ended=None))

        assert refused.value.headers == {"Upload-Offset": "8"}
        assert await bench.offset(upload_id) == 8
        assert bench.spool.disk_free == 9
        bench.spool.disk_free = bench.spool._disk_budget = 10_000
        assert (await bench.append(upload_id, 50)).finished
        assert await bench.download(upload_id) == FILE[:50]


async def test_without_room_for_the_tail_it_stays(tmp_path: Path) -> None:
    """It cannot be read back to go on, so nothing of it is touched."""
    async with started(tmp_path) as bucket:
        bench = Bench(bucket, tmp_path, memory=0)
        upload_id = await bench.create(50)
        await bench.append(upload_id, 8)
        bench.spool.disk_free = bench.spool._disk_budget = 5
        async with bench.held(upload_id) as held:
            with pytest.raises(OutOfRoom):
                await held.append(GivenBody(FILE[8:20]))

        assert await bench.offset(upload_id) == 8
        assert bench.spool.disk_free == 5
        assert not bench.spool._buffers


@pytest.mark.parametrize("stored", [0, 10])
async def test_a_stop_ends_the_wait_for_room(tmp_path: Path, stored: int) -> None:
    """Another request wants the upload: it does not wait for memory with this one."""
    async with started(tmp_path) as bucket:
        bench = Bench(bucket, tmp_path, memory=10)
        upload_id = await bench.create(50)
        await bench.append(upload_id, stored)
        other = await bench.spool.buffer("CRC32", 10, lambda: None)
        await other.seal()
        body = GivenBody(FILE[stored:40], ended=None)
        task = asyncio.create_task(appending(bench, upload_id, body))

        async def is_waiting() -> bool:
            return bool(bench.spool._queue)

        await until(is_waiting)
        body.stop(Ended.TAKEN_OVER)
        await asyncio.wait_for(task, 2)
        await other.close()

        assert body.ended is Ended.TAKEN_OVER
        assert await bench.offset(upload_id) == stored
        assert bench.spool.memory_free == 10


async def test_the_idlest_upload_makes_room_for_the_others(tmp_path: Path) -> None:
    """Its request ends with its bytes as a tail; nobody waits for ever."""
    async with started(tmp_path, limits=LIMITS) as bucket:
        bench = Bench(bucket, tmp_path, memory=0)
        bench.spool.disk_free = bench.spool._disk_budget = 15
        idle = GivenBody(FILE[:9], ended=None)
        idle_id = await bench.create(50)
        idle_task = asyncio.create_task(appending(bench, idle_id, idle))

        async def idle_has_written() -> bool:
            return bench.spool.disk_free == 6

        await until(idle_has_written)
        busy_id = await bench.create(50)
        info = await asyncio.wait_for(bench.append(busy_id, 50, chunk=5), LONG_S)
        await asyncio.wait_for(idle_task, LONG_S)

        assert info.finished
        assert idle.ended is Ended.OUT_OF_ROOM
        assert await bench.offset(idle_id) == 9
        assert bench.spool.disk_free == 15


# -- tails ---------------------------------------------------------------------------------------


async def test_a_tail_is_deleted_only_after_its_part_is_stored(bench: Bench) -> None:
    """A crash in between loses nothing (tusd deletes first)."""
    upload_id = await bench.create(50)
    await bench.append(upload_id, 4)
    bench.bucket.calls.clear()
    await bench.append(upload_id, 12)
    key = bench.key(upload_id)

    assert in_order(
        bench.bucket.calls,
        ("upload_part", key),
        ("delete", bench.tail_key(upload_id, 1)),
        ("put", bench.tail_key(upload_id, 2)),
    )
    assert await bench.keys() == [bench.info_key(upload_id), bench.tail_key(upload_id, 2)]


async def test_a_part_that_fails_leaves_its_tail(bench: Bench) -> None:
    """The bytes that were acknowledged are still there."""
    upload_id = await bench.create(50)
    await bench.append(upload_id, 4)
    bench.bucket.fail("upload_part", StoreBusy)
    with pytest.raises(StoreBusy):
        await bench.append(upload_id, 20)

    assert await bench.offset(upload_id) == 4


async def test_a_tail_that_cannot_be_deleted_does_no_harm(bench: Bench) -> None:
    """It does not count once its part is stored, and the request succeeds."""
    upload_id = await bench.create(50)
    await bench.append(upload_id, 4)
    bench.bucket.fail("delete", StoreBusy, match=containing(".part."))
    info = await bench.append(upload_id, 10)

    assert info.offset == 10 == await bench.offset(upload_id)
    assert bench.tail_key(upload_id, 1) in await bench.keys()
    await bench.append(upload_id, 50)
    assert await bench.download(upload_id) == FILE[:50]


async def test_a_lost_answer_about_a_tail_is_a_success(bench: Bench) -> None:
    """412, and our own bytes are there: a retry inside the bucket found its first attempt."""
    upload_id = await bench.create(50)
    gate = bench.bucket.block("put", match=containing(".part.1"))
    task = asyncio.create_task(bench.append(upload_id, 4))
    await asyncio.wait_for(gate.reached.wait(), LONG_S)
    await bench.put(bench.tail_key(upload_id, 1), FILE[:4])
    gate.opened.set()
    info = await asyncio.wait_for(task, LONG_S)

    assert info.offset == 4
    assert (await bench.append(upload_id, 50)).finished


@pytest.mark.parametrize("other", [FILE[100:104], FILE[:7], b"x"])
async def test_a_tail_with_other_bytes_belongs_to_somebody_else(bench: Bench, other: bytes) -> None:
    """412 and not our bytes: another process owns the upload, so this one stops."""
    upload_id = await bench.create(50)
    gate = bench.bucket.block("put", match=containing(".part.1"))
    task = asyncio.create_task(bench.append(upload_id, 4))
    await asyncio.wait_for(gate.reached.wait(), LONG_S)
    await bench.put(bench.tail_key(upload_id, 1), other)
    gate.opened.set()
    with pytest.raises(LeaseLost):
        await asyncio.wait_for(task, LONG_S)

    assert await bench.get(bench.tail_key(upload_id, 1)) == other


async def test_a_tail_that_vanished_under_us_belongs_to_somebody_else(bench: Bench) -> None:
    """The next holder has filled the part and deleted it."""
    upload_id = await bench.create(50)
    await bench.append(upload_id, 4)
    gate = bench.bucket.block("put", match=containing(".part.1"))
    task = asyncio.create_task(bench.append(upload_id, 8))
    await asyncio.wait_for(gate.reached.wait(), LONG_S)
    await bench.inner.delete([bench.tail_key(upload_id, 1)])
    gate.opened.set()
    with pytest.raises(LeaseLost):
        await asyncio.wait_for(task, LONG_S)


async def test_a_longer_tail_is_never_overwritten_by_a_shorter_one(bench: Bench) -> None:
    """A stale holder writes what it knows of; the write is refused."""
    upload_id = await bench.create(50)
    await bench.append(upload_id, 4)
    stale = Bench(bench.bucket, bench.folder)
    async with stale.held(upload_id) as held:
        await bench.append(upload_id, 8)
        with pytest.raises(LeaseLost):
            await held.append(GivenBody(FILE[4:6]))
        told = held.info.offset

    assert told == 8 == await bench.offset(upload_id)


async def test_a_tail_of_another_length_than_was_said_is_not_built_upon(tmp_path: Path) -> None:
    """The bucket contradicts itself: an error, and nothing is stored."""
    async with started(tmp_path) as bucket:
        bench = Bench(bucket, tmp_path, remembered=0)
        upload_id = await bench.create(50)
        await bench.append(upload_id, 4)
        async with bench.held(upload_id) as held:
            assert held.snapshot.tail is not None
            held.snapshot.tail = replace(held.snapshot.tail, size=5)
            with pytest.raises(StoreError, match="as long as"):
                await held.append(GivenBody(FILE[5:20]))

        assert await bench.offset(upload_id) == 4


async def test_a_stale_holder_cannot_read_a_tail_that_has_changed(tmp_path: Path) -> None:
    """It would make a part of one file's beginning and another one's end."""
    async with started(tmp_path) as bucket:
        bench = Bench(bucket, tmp_path, remembered=0)
        upload_id = await bench.create(50)
        await bench.append(upload_id, 4)
        async with bench.held(upload_id) as held:
            await bench.put(bench.tail_key(upload_id, 1), FILE[:5])
            with pytest.raises(LeaseLost):
                await held.append(GivenBody(FILE[4:20]))

        assert await bench.offset(upload_id) == 5


@pytest.mark.parametrize("late", [False, True])
async def test_a_tail_that_cannot_be_read_back_stays(tmp_path: Path, late: bool) -> None:
    """The request fails; nothing that was acknowledged is touched."""
    async with started(tmp_path) as bucket:
        bench = Bench(bucket, tmp_path, remembered=0)
        upload_id = await bench.create(50)
        await bench.append(upload_id, 4)
        bucket.fail("get", StoreBusy, match=containing(".part."), after=late)
        async with bench.held(upload_id) as held:
            with pytest.raises(StoreBusy):
                await held.append(GivenBody(FILE[4:30]))
            told = held.info.offset

        assert told == 4 == await bench.offset(upload_id)
        assert (await bench.append(upload_id, 50)).finished


async def test_a_failed_tail_keeps_the_old_one(bench: Bench) -> None:
    """The offset stands at what was acknowledged before."""
    upload_id = await bench.create(50)
    await bench.append(upload_id, 4)
    bench.bucket.fail("put", StoreBusy)
    with pytest.raises(StoreBusy):
        await bench.append(upload_id, 8)

    assert await bench.offset(upload_id) == 4
    assert (await bench.append(upload_id, 50)).finished


async def test_a_tail_whose_answer_was_lost_counts(bench: Bench) -> None:
    """The request fails, but the offset that it tells is what the bucket has."""
    upload_id = await bench.create(50)
    bench.bucket.fail("put", StoreBusy, after=True)
    async with bench.held(upload_id) as held:
        with pytest.raises(StoreBusy):
            await held.append(GivenBody(FILE[:8]))

        assert held.info.offset == 8 == await bench.offset(upload_id)
