"""Facts about an upload in the hands of one request: declare, finish, terminate."""

import asyncio
import contextlib
from collections.abc import Sequence

import pytest

from tests.faults.faulty_bucket import EVERY, ending
from tests.unit.store.bench import FILE, LONG_S, Bench, GivenBody, in_order, until
from tusd_s3.errors import (
    LeaseLost,
    MaxSizeExceeded,
    PartConflict,
    PartsRefused,
    StoreBusy,
    StoreError,
    StoreRefused,
    UploadGone,
    UploadNotFound,
)
from tusd_s3.model import Ended, ObjectHeaders, Part
from tusd_s3.store.objects import TAG

FINAL_CALLS = ["upload_part", "complete_multipart", "put"]


async def pending(bench: Bench, length: int = 25) -> str:
    """An upload whose every byte is stored, but that is not completed."""
    upload_id = await bench.create(length)
    bench.bucket.fail("complete_multipart", StoreBusy)
    with pytest.raises(StoreBusy):
        await bench.append(upload_id, length)
    return upload_id


# -- append --------------------------------------------------------------------------------------


async def test_the_request_with_the_last_byte_finishes(bench: Bench) -> None:
    """Last part, Complete, then the record: HEAD never says complete before the object exists."""
    upload_id = await bench.create(25, filename=b"a.txt")
    bench.bucket.calls.clear()
    info = await bench.append(upload_id, 25)
    key = bench.key(upload_id)

    assert (info.finished, info.offset) == (True, 25)
    assert in_order(
        bench.bucket.calls,
        *[("upload_part", key)] * 3,
        ("complete_multipart", key),
        ("put", bench.info_key(upload_id)),
    )
    stat = await bench.inner.head(key)
    assert stat.headers.metadata["filename"] == "a.txt"
    assert stat.headers.metadata[TAG]


async def test_info_follows_the_append(bench: Bench) -> None:
    """What is durable while bytes still arrive is what a HEAD in this process is told."""
    upload_id = await bench.create(50)
    body = GivenBody(FILE[:14], ended=None)

    async def work() -> None:
        async with bench.held(upload_id) as held:
            await held.append(body)

    async def has_stored(offset: int) -> bool:
        live = bench.store.live(upload_id)
        return live is not None and live.info.offset == offset

    task = asyncio.create_task(work())
    await until(lambda: has_stored(10))
    live = bench.store.live(upload_id)
    assert live is not None
    silent_s = live.silent_s
    body.feed(FILE[14:43])
    await until(lambda: has_stored(40))
    body.stop(Ended.IDLE)
    await asyncio.wait_for(task, LONG_S)

    assert silent_s == 0.0
    assert live.info.offset == 43
    assert bench.store.live(upload_id) is None


async def test_an_append_to_a_finished_upload_changes_nothing(bench: Bench) -> None:
    """An empty PATCH, repeated after a lost answer."""
    upload_id = await bench.create(25)
    await bench.append(upload_id, 25)
    bench.bucket.calls.clear()
    info = await bench.append(upload_id, 25)

    assert info.finished
    assert sorted(bench.bucket.operations) == ["get", "list_parts"]


async def test_a_refusal_carries_the_durable_offset(bench: Bench) -> None:
    """What came before it is stored."""
    upload_id = await bench.create(None)
    async with bench.held(upload_id) as held:
        with pytest.raises(MaxSizeExceeded) as refused:
            await held.append(GivenBody(FILE[:895], FILE[895:905]))

    assert refused.value.headers == {"Upload-Offset": "900"}
    assert held.info.offset == 900


async def test_parts_that_counted_at_once_move_the_offset(bench: Bench) -> None:
    """An old part 2 behind a freshly filled part 1, and the tail behind that."""
    upload_id = await bench.create(50)
    await bench.put_part(upload_id, 2, FILE[10:20])
    await bench.put(bench.tail_key(upload_id, 3), FILE[20:24])

    assert (await bench.append(upload_id, 10)).offset == 24


@pytest.mark.parametrize("error", [None, StoreBusy])
async def test_two_files_in_one_upload_are_an_alarm(
    bench: Bench, error: type[StoreError] | None
) -> None:
    """Written down, if that can be done: no request may go on to complete them."""
    upload_id = await bench.create(40)
    await bench.put_part(upload_id, 3, FILE[500:510])
    if error is not None:
        bench.bucket.fail("put", error, match=ending(".info"))
    with pytest.raises(PartConflict):
        await bench.append(upload_id, 40)

    assert bench.key(upload_id) not in await bench.keys()
    if error is None:
        with pytest.raises(UploadGone):
            await bench.append(upload_id, 40)


# -- a deferred length ---------------------------------------------------------------------------


async def test_a_declared_length_is_saved_before_the_first_part(bench: Bench) -> None:
    """A crash in between must not lose it."""
    upload_id = await bench.create(None)
    bench.bucket.calls.clear()
    await bench.append(upload_id, 15, declared_length=40)

    assert in_order(
        bench.bucket.calls,
        ("put", bench.info_key(upload_id)),
        ("upload_part", bench.key(upload_id)),
    )
    assert (await bench.store.read(upload_id)).length == 40


async def test_a_length_can_be_declared_before_any_byte(bench: Bench) -> None:
    """With an empty body."""
    upload_id = await bench.create(None)
    info = await bench.append(upload_id, 0, declared_length=12)

    assert (info.length, info.offset, info.finished) == (12, 0, False)
    assert (await bench.append(upload_id, 12)).finished
    assert await bench.download(upload_id) == FILE[:12]


@pytest.mark.parametrize("to", [4, 10, 14, 20])
async def test_a_length_declared_where_the_bytes_end_finishes(bench: Bench, to: int) -> None:
    """The tail becomes the last part (tusd#1385 dropped it)."""
    upload_id = await bench.create(None)
    await bench.append(upload_id, to)
    info = await bench.append(upload_id, to, declared_length=to)

    assert info.finished
    assert await bench.download(upload_id) == FILE[:to]
    assert await bench.keys() == [bench.key(upload_id), bench.info_key(upload_id)]
    assert bench.spool.memory_free == bench.memory


@pytest.mark.parametrize("operation", ["upload_part", "complete_multipart", "get"])
async def test_a_tail_that_could_not_become_the_last_part_can_later(
    bench: Bench, operation: str
) -> None:
    """The length is saved, the tail is still there, and finishing again goes on."""
    upload_id = await bench.create(None)
    await bench.append(upload_id, 14)
    while bench.spool.on_pressure():
        pass
    bench.bucket.fail(operation, StoreBusy, match=lambda key, _: not key.endswith(".info"))
    async with bench.held(upload_id) as held:
        with pytest.raises(StoreBusy):
            await held.append(GivenBody(), declared_length=14)
        info = held.info

    assert (info.offset, info.length, info.is_pending) == (14, 14, True)
    assert (await bench.finish(upload_id)).finished
    assert await bench.download(upload_id) == FILE[:14]


async def test_a_length_beyond_the_bucket_is_refused_before_anything_is_stored(
    bench: Bench,
) -> None:
    """A length that could never be finished; the upload stays as it was."""
    upload_id = await bench.create(None)
    with pytest.raises(MaxSizeExceeded):
        await bench.append(upload_id, 10, declared_length=901)
    info = await bench.store.read(upload_id)

    assert (info.length, info.offset) == (None, 0)
    assert (await bench.append(upload_id, 15, declared_length=15)).finished


@pytest.mark.parametrize("declared", [False, True])
async def test_an_upload_of_no_bytes_is_an_object(bench: Bench, declared: bool) -> None:
    """Known at creation: there at once. Declared later: a PutObject and an abort."""
    upload_id = await bench.create(None if declared else 0)
    info = await (bench.append(upload_id, 0, declared_length=0) if declared
                  else bench.store.read(upload_id))  # fmt: skip

    assert (info.finished, info.length) == (True, 0)
    assert await bench.download(upload_id) == b""
    assert not bench.multiparts()


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("operation", ["put", "abort_multipart"])
async def test_an_empty_object_can_be_made_again(bench: Bench, operation: str, after: bool) -> None:
    """Whichever step failed, or lost its answer."""
    upload_id = await bench.create(None)
    bench.bucket.fail(operation, StoreBusy, after=after, match=ending(bench.key(upload_id)))
    with pytest.raises(StoreBusy):
        await bench.append(upload_id, 0, declared_length=0)

    assert (await bench.store.read(upload_id)).is_pending
    assert (await bench.finish(upload_id)).finished
    assert await bench.download(upload_id) == b""
    assert not bench.multiparts()


# -- finish --------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("operation", FINAL_CALLS)
async def test_what_failed_at_the_end_is_finished_by_whoever_comes_next(
    bench: Bench, operation: str, after: bool
) -> None:
    """Every step may fail, or lose its answer; doing it again is harmless."""
    upload_id = await bench.create(25)
    bench.bucket.fail(
        operation, StoreBusy, after=after, skip=2 if operation == "upload_part" else 0
    )
    with pytest.raises(StoreBusy):
        await bench.append(upload_id, 25)
    info = await bench.store.read(upload_id)
    if not info.is_pending and not info.finished:
        assert info.offset == 20
        info = await bench.append(upload_id, 25)
    else:
        info = await bench.finish(upload_id)

    assert (info.finished, info.offset) == (True, 25)
    assert await bench.download(upload_id) == FILE[:25]
    assert await bench.keys() == [bench.key(upload_id), bench.info_key(upload_id)]
    assert (await bench.finish(upload_id)).finished


async def test_a_complete_whose_answer_was_lost_is_recognised_by_the_object(bench: Bench) -> None:
    """NoSuchUpload, and an object with our id and size: finished."""
    upload_id = await pending(bench)
    async with bench.held(upload_id) as held:
        await bench.complete(upload_id)
        info = await held.finish()

    assert info.finished
    assert await bench.download(upload_id) == FILE[:25]


@pytest.mark.parametrize("somebody_elses", [False, True])
async def test_a_complete_without_parts_and_object_is_gone(
    bench: Bench, somebody_elses: bool
) -> None:
    """NoSuchUpload, and no object of ours: never called finished."""
    upload_id = await pending(bench)
    async with bench.held(upload_id) as held:
        await bench.abort(upload_id)
        if somebody_elses:
            await bench.put(bench.key(upload_id), FILE[100:125])
        with pytest.raises(UploadGone):
            await held.finish()

    assert not held.info.finished


async def test_parts_that_were_written_again_are_listed_again(bench: Bench) -> None:
    """ETags differ under SSE-KMS: the same bytes, so Complete is given the new ones."""
    upload_id = await pending(bench)
    bench.bucket.fail("complete_multipart", PartsRefused)
    bench.bucket.calls.clear()
    info = await bench.finish(upload_id)

    assert info.finished
    assert bench.bucket.operations.count("complete_multipart") == 2
    assert bench.bucket.operations.count("list_parts") == 2
    assert await bench.download(upload_id) == FILE[:25]


@pytest.mark.parametrize("data", [FILE[100:110], FILE[10:19]])
async def test_a_part_that_has_changed_is_never_completed(bench: Bench, data: bytes) -> None:
    """Other bytes, or another size, than those we counted: an error, and no object."""
    upload_id = await pending(bench)
    async with bench.held(upload_id) as held:
        await bench.put_part(upload_id, 2, data)
        with pytest.raises(StoreError, match="part 2"):
            await held.finish()

    assert await bench.keys() == [bench.info_key(upload_id)]


async def test_parts_without_checksums_are_known_by_their_sizes(bench: Bench) -> None:
    """Some stores list none."""
    upload_id = await pending(bench)
    async with bench.held(upload_id) as held:
        ledger = held.snapshot.ledger
        assert ledger is not None
        for known in ledger.counted():
            ledger.add(Part(known.number, known.size, '"old"'))
        info = await held.finish()

    assert info.finished
    assert await bench.download(upload_id) == FILE[:25]


async def test_a_refusal_that_stays_is_an_error(bench: Bench) -> None:
    """Listed again and refused again: a later call may succeed."""
    upload_id = await pending(bench)
    bench.bucket.fail("complete_multipart", PartsRefused, times=2)
    with pytest.raises(PartsRefused):
        await bench.finish(upload_id)

    assert (await bench.finish(upload_id)).finished


async def test_a_part_that_vanished_before_complete_is_an_error(bench: Bench) -> None:
    """Never an object with a hole."""
    upload_id = await pending(bench)
    async with bench.held(upload_id) as held:
        name = upload_id.split("+")[1]
        (bench.folder / "bucket/.tusd-s3/multipart" / name / "00002").unlink()
        with pytest.raises(StoreError, match="part 2"):
            await held.finish()

    assert await bench.keys() == [bench.info_key(upload_id)]


async def test_parts_that_do_not_sum_up_are_never_completed(bench: Bench) -> None:
    """Whatever the snapshot says: the object is the whole file or absent."""
    upload_id = await bench.create(None)
    await bench.append(upload_id, 14)
    async with bench.held(upload_id) as held:
        held.snapshot.record = held.snapshot.record.with_length(14)  # the ledger was not told
        with pytest.raises(StoreError, match="sum up"):
            await held.finish()

    assert "complete_multipart" not in bench.bucket.operations


async def test_finishing_what_is_not_whole_makes_no_object(bench: Bench) -> None:
    """Whoever calls it too early."""
    upload_id = await bench.create(25)
    await bench.append(upload_id, 14)
    info = await bench.finish(upload_id)

    assert (info.finished, info.offset) == (False, 14)
    assert bench.key(upload_id) not in await bench.keys()


# -- an upload that is a single object -----------------------------------------------------------


async def test_a_single_object_needs_no_multipart_upload(bench: Bench) -> None:
    """One PutObject with the checksum, then the record."""
    upload_id = await bench.create(10)
    bench.bucket.calls.clear()
    info = await bench.append(upload_id, 10)

    assert info.finished
    assert bench.bucket.calls[-2:] == [
        ("put", bench.key(upload_id)),
        ("put", bench.info_key(upload_id)),
    ]
    assert "create_multipart" not in bench.bucket.operations


@pytest.mark.parametrize("reading", [False, True])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("which", ["object", "record"])
async def test_the_offset_of_a_single_object_never_falls(
    bench: Bench, which: str, after: bool, reading: bool
) -> None:
    """Its tail stays until the record says finished, since nobody looks for the object before."""
    upload_id = await bench.create(10)
    await bench.append(upload_id, 6)
    key = bench.key(upload_id) if which == "object" else bench.info_key(upload_id)
    bench.bucket.fail("put", StoreBusy, after=after, match=ending(key))
    if reading:
        bench.bucket.fail("get", StoreBusy, match=ending(".info"))
    async with bench.held(upload_id) as held:
        with pytest.raises(StoreBusy):
            await held.append(GivenBody(FILE[6:10]))
        told = held.info.offset
    bench.bucket.heal()
    fresh = await bench.offset(upload_id)

    assert 6 <= told <= fresh
    assert (await bench.append(upload_id, 10)).finished
    assert await bench.download(upload_id) == FILE[:10]
    await bench.terminate(upload_id)
    assert await bench.is_empty()


async def test_the_tail_of_a_single_object_goes_last(bench: Bench) -> None:
    """Object, record, and only then the tail."""
    upload_id = await bench.create(10)
    await bench.append(upload_id, 6)
    bench.bucket.calls.clear()
    await bench.append(upload_id, 10)

    assert bench.bucket.calls == [
        ("put", bench.key(upload_id)),
        ("put", bench.info_key(upload_id)),
        ("delete", bench.tail_key(upload_id, 1)),
    ]


async def test_a_tail_left_behind_by_a_finished_upload_does_no_harm(bench: Bench) -> None:
    """Deleting it failed: the upload is finished all the same, and termination removes it."""
    upload_id = await bench.create(10)
    await bench.append(upload_id, 6)
    bench.bucket.fail("delete", StoreBusy)
    info = await bench.append(upload_id, 10)

    assert info.finished
    await bench.terminate(upload_id)
    assert await bench.is_empty()


# -- the record ----------------------------------------------------------------------------------


async def test_a_record_whose_answer_was_lost_is_ours(bench: Bench) -> None:
    """412, and exactly what we meant to write: a retry inside the bucket found its first try."""
    upload_id = await bench.create(None)
    gate = bench.bucket.block("put", match=ending(".info"))
    task = asyncio.create_task(bench.append(upload_id, 5, declared_length=30))
    await asyncio.wait_for(gate.reached.wait(), LONG_S)
    other = Bench(bench.bucket, bench.folder)
    bench.bucket._gates.clear()
    await other.append(upload_id, 0, declared_length=30)
    gate.opened.set()
    info = await asyncio.wait_for(task, LONG_S)

    assert (info.length, info.offset) == (30, 5)


async def test_a_record_that_somebody_else_changed_is_not_overwritten(bench: Bench) -> None:
    """Another process owns the upload: this one stops, and says what the bucket has."""
    upload_id = await bench.create(None)
    other = Bench(bench.bucket, bench.folder)
    async with bench.held(upload_id) as held:
        await other.append(upload_id, 12, declared_length=30)
        with pytest.raises(LeaseLost):
            await held.append(GivenBody(FILE[:5]), declared_length=20)

    assert (held.info.length, held.info.offset) == (30, 12)


async def test_a_record_that_was_removed_is_not_written_again(bench: Bench) -> None:
    """Terminated by somebody else meanwhile."""
    upload_id = await bench.create(None)
    async with bench.held(upload_id) as held:
        await Bench(bench.bucket, bench.folder).terminate(upload_id)
        with pytest.raises((UploadNotFound, LeaseLost, UploadGone)):
            await held.append(GivenBody(FILE[:5]), declared_length=20)

    assert await bench.is_empty()


# -- terminate -----------------------------------------------------------------------------------


async def stages(bench: Bench, stage: str) -> str:
    """An upload as far as a stage."""
    if stage == "single":
        upload_id = await bench.create(8)
        await bench.append(upload_id, 5)
    elif stage == "finished":
        upload_id = await bench.create(25)
        await bench.append(upload_id, 25)
    elif stage == "finished single":
        upload_id = await bench.create(8)
        await bench.append(upload_id, 8)
    elif stage == "pending":
        upload_id = await pending(bench)
    elif stage == "tusd":
        upload_id = await bench.begin_with_tusd(80, {1: FILE[:7], 3: FILE[7:9]}, tail=FILE[9:12])
    else:
        upload_id = await bench.create(50 if stage == "open" else None)
        await bench.append(upload_id, 24)
    return upload_id


STAGES = ["open", "deferred", "single", "finished", "finished single", "pending", "tusd"]


@pytest.mark.parametrize("stage", STAGES)
async def test_termination_leaves_nothing(bench: Bench, stage: str) -> None:
    """Object, parts, tails, record; afterwards the upload is unknown."""
    upload_id = await stages(bench, stage)
    await bench.terminate(upload_id)

    assert await bench.is_empty()
    with pytest.raises(UploadNotFound):
        await bench.store.read(upload_id)
    with pytest.raises(UploadNotFound):
        await bench.terminate(upload_id)
    assert bench.spool.memory_free == bench.memory


@pytest.mark.parametrize(("may_list", "after"), [(True, False), (True, True), (False, False)])
@pytest.mark.parametrize("stage", STAGES)
async def test_termination_goes_on_after_any_failure(
    bench: Bench, stage: str, may_list: bool, after: bool
) -> None:
    """Each call fails in turn, before or after it acted; the next attempt ends it."""
    for failing in range(20):
        upload_id = await stages(bench, stage)
        bench.bucket.heal()
        if not may_list:
            bench.bucket.fail("list_objects", StoreRefused, times=None)
        async with bench.held(upload_id, for_termination=True) as held:
            bench.bucket.fail(EVERY, StoreBusy, skip=failing, after=after,
                              match=lambda key, _: bool(key))  # fmt: skip
            try:
                await held.terminate()
            except StoreError:
                struck = True
            else:
                struck = bench.bucket._faults[-1].times == 0
        bench.bucket._faults[:] = [f for f in bench.bucket._faults if f.times is None]
        with contextlib.suppress(UploadNotFound):  # it was done, only the answer was lost
            await bench.terminate(upload_id)

        assert await bench.is_empty(), failing
        if not struck:
            break
    else:
        raise AssertionError("termination makes more calls than anybody expects")


async def test_a_half_terminated_upload_does_not_exist(bench: Bench) -> None:
    """The record says so before anything is deleted."""
    upload_id = await bench.create(50)
    await bench.append(upload_id, 24)
    bench.bucket.fail("delete", StoreBusy)
    with pytest.raises(StoreBusy):
        await bench.terminate(upload_id)
    with pytest.raises(UploadNotFound):
        await bench.append(upload_id, 30)
    with pytest.raises(UploadNotFound):
        await bench.download(upload_id)

    await bench.terminate(upload_id)
    assert await bench.is_empty()


async def test_the_record_goes_last(bench: Bench) -> None:
    """Marked first, removed last: whatever is left can be found again."""
    upload_id = await bench.create(50)
    await bench.append(upload_id, 24)
    bench.bucket.calls.clear()
    await bench.terminate(upload_id)
    changing = [c for c in bench.bucket.calls if c[0] in {"put", "delete", "abort_multipart"}]

    assert changing[0] == ("put", bench.info_key(upload_id))
    assert changing[-1] == ("delete", bench.info_key(upload_id))


async def test_an_upload_that_is_gone_can_be_terminated(bench: Bench) -> None:
    """Its multipart upload was aborted behind our back; tail and record remain."""
    upload_id = await bench.create(50)
    await bench.append(upload_id, 24)
    await bench.abort(upload_id)
    await bench.terminate(upload_id)

    assert await bench.is_empty()


@pytest.mark.parametrize("headers", [ObjectHeaders(), ObjectHeaders(metadata={TAG: "not ours"})])
async def test_somebody_elses_object_is_not_deleted(bench: Bench, headers: ObjectHeaders) -> None:
    """It has our key and our size; hooks choose keys, and people copy files."""
    upload_id = await bench.create(8)
    await bench.append(upload_id, 5)
    await bench.put(bench.key(upload_id), FILE[:8], headers=headers)
    await bench.terminate(upload_id)

    assert await bench.keys() == [bench.key(upload_id)]


async def test_other_uploads_tails_stay(bench: Bench) -> None:
    """Only what has exactly this upload's name is deleted."""
    upload_id = await bench.create(50)
    await bench.append(upload_id, 24)
    others = [bench.info_key(upload_id)[: -len("info")] + end for end in ("partial", "part.x")]
    for key in others:
        await bench.put(key, b"x")
    await bench.terminate(upload_id)

    assert await bench.keys() == sorted(others)


async def test_a_writer_that_lost_its_upload_to_a_termination_stops(bench: Bench) -> None:
    """The stale holder's parts have nowhere to go, and nothing of it remains."""
    upload_id = await bench.create(50)
    async with bench.held(upload_id) as held:
        await Bench(bench.bucket, bench.folder).terminate(upload_id)
        with pytest.raises(UploadGone):
            await held.append(GivenBody(FILE[:10]))

    assert await bench.is_empty()


# -- uploads of tusd -----------------------------------------------------------------------------


@pytest.mark.parametrize("cuts", [[80], [33, 80], [35, 36, 60, 80], [34, 80]])
@pytest.mark.parametrize("deferred", [False, True])
async def test_an_upload_that_tusd_began_is_resumed_and_finished(
    bench: Bench, cuts: Sequence[int], deferred: bool
) -> None:
    """From its parts and its `.part`, whatever the cuts; nothing of tusd's is left over."""
    upload_id = await bench.begin_with_tusd(
        None if deferred else 80, {1: FILE[:7], 2: FILE[7:30]}, tail=FILE[30:33]
    )
    for to in cuts:
        info = await bench.append(
            upload_id, to, declared_length=80 if deferred and to == 80 else None
        )
        assert info.offset == to

    assert info.finished
    assert await bench.download(upload_id) == FILE[:80]
    assert await bench.keys() == [bench.key(upload_id), bench.info_key(upload_id)]


async def test_the_base_is_written_down_before_the_first_byte(bench: Bench) -> None:
    """From then on only base parts and our own count."""
    upload_id = await bench.begin_with_tusd(80, {1: FILE[:7]}, tail=FILE[7:9])
    bench.bucket.calls.clear()
    await bench.append(upload_id, 20)
    assert in_order(
        bench.bucket.calls,
        ("put", bench.info_key(upload_id)),
        ("upload_part", bench.key(upload_id)),
    )


async def test_an_upload_of_tusd_with_a_gap_goes_on_before_it(bench: Bench) -> None:
    """Part 3 lies behind the gap: its bytes come again, under another number."""
    upload_id = await bench.begin_with_tusd(40, {1: FILE[:7], 3: FILE[14:30]}, tail=FILE[30:33])
    offset = await bench.offset(upload_id)
    info = await bench.append(upload_id, 40)

    assert (offset, info.finished) == (7, True)
    assert await bench.download(upload_id) == FILE[:40]


@pytest.mark.parametrize("operation", ["put", "upload_part", "complete_multipart", "delete"])
@pytest.mark.parametrize("after", [False, True])
async def test_taking_over_from_tusd_survives_failures(
    bench: Bench, operation: str, after: bool
) -> None:
    """Each step fails, or loses its answer: the offset never falls, the object is the file."""
    upload_id = await bench.begin_with_tusd(40, {1: FILE[:7]}, tail=FILE[7:12])
    bench.bucket.fail(operation, StoreBusy, after=after)
    told = 12
    for to in (15, 30, 40, 40):
        try:
            info = await bench.append(upload_id, to)
        except StoreBusy:
            info = await bench.store.read(upload_id)
        assert info.offset >= told
        told = info.offset
    if not info.finished:
        info = await bench.finish(upload_id)

    assert info.finished
    assert await bench.download(upload_id) == FILE[:40]


async def test_our_tail_counts_before_the_one_that_tusd_left(bench: Bench) -> None:
    """It begins with the same bytes and is longer; deleting tusd's failed."""
    upload_id = await bench.begin_with_tusd(40, {1: FILE[:7]}, tail=FILE[7:9])
    bench.bucket.fail("delete", StoreBusy)
    await bench.append(upload_id, 12)

    assert await bench.offset(upload_id) == 12
    await bench.append(upload_id, 40)
    assert await bench.download(upload_id) == FILE[:40]


async def test_an_upload_that_tusd_completed_is_written_down_as_finished(bench: Bench) -> None:
    """So that it stays finished when its object is moved."""
    upload_id = await bench.begin_with_tusd(30, {1: FILE[:30]})
    await bench.complete(upload_id)
    info = await bench.finish(upload_id)
    await bench.inner.delete([bench.key(upload_id)])

    assert info.finished
    assert (await bench.store.read(upload_id)).finished


async def test_an_upload_that_tusd_filled_but_did_not_complete_is_completed(bench: Bench) -> None:
    """Every byte is there, in parts of any sizes."""
    upload_id = await bench.begin_with_tusd(30, {1: FILE[:7], 2: FILE[7:30]})
    info = await bench.finish(upload_id)

    assert info.finished
    assert await bench.download(upload_id) == FILE[:30]
