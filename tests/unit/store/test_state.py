"""Facts about how an upload's state is read: what the bucket says is never guessed at."""

import asyncio

import pytest

from tests.faults.faulty_bucket import containing, ending
from tests.unit.store.bench import FILE, LIMITS, LONG_S, Bench
from tusd_s3.errors import (
    PartConflict,
    StoreBusy,
    StoreError,
    StoreRefused,
    UploadGone,
    UploadNotFound,
)
from tusd_s3.model import ObjectHeaders
from tusd_s3.store.info import Phase
from tusd_s3.store.keys import UploadId, parse_upload_id
from tusd_s3.store.objects import TAG
from tusd_s3.store.snapshot import Snapshot
from tusd_s3.store.state import StateReader


def reader(bench: Bench) -> StateReader:
    """A reader of the bench's bucket."""
    return StateReader(bench.bucket, bench.names, LIMITS)


async def read(bench: Bench, upload_id: str) -> Snapshot:
    """Read once."""
    return await reader(bench).read(parse_upload_id(upload_id))


async def settled(bench: Bench, upload_id: str) -> Snapshot:
    """Read until two reads agree."""
    return await reader(bench).read_settled(parse_upload_id(upload_id))


# -- what counts ---------------------------------------------------------------------------------


@pytest.mark.parametrize("to", [0, 4, 10, 25, 30])
async def test_the_offset_is_prefix_and_tail(bench: Bench, to: int) -> None:
    """Parts 1..k and the tail of part k + 1; the same under the lock and without it."""
    upload_id = await bench.create(50)
    await bench.append(upload_id, to)
    held = await reader(bench).read_held(parse_upload_id(upload_id))

    assert held.offset == to == (await settled(bench, upload_id)).offset
    assert (held.tail is not None) == bool(to % 10)


async def test_a_tail_counts_only_for_the_next_part(bench: Bench) -> None:
    """Left behind in front of it or beyond it, it is ignored."""
    upload_id = await bench.create(50)
    await bench.append(upload_id, 20)
    for number in (1, 2, 4):
        await bench.put(bench.tail_key(upload_id, number), FILE[:3])

    assert (await read(bench, upload_id)).offset == 20


async def test_nothing_counts_behind_a_gap(bench: Bench) -> None:
    """tus-node-server#505: offsets were the sum of all parts listed."""
    upload_id = await bench.create(50)
    await bench.append(upload_id, 10)
    await bench.put_part(upload_id, 3, FILE[20:30])

    assert (await read(bench, upload_id)).offset == 10


async def test_a_part_of_another_size_does_not_count(bench: Bench) -> None:
    """Whoever wrote it, it is not of this grid."""
    upload_id = await bench.create(50)
    await bench.put_part(upload_id, 1, FILE[:9])

    assert (await read(bench, upload_id)).offset == 0


async def test_a_tail_that_is_longer_than_its_part_is_an_error(bench: Bench) -> None:
    """Nobody could have written it."""
    upload_id = await bench.create(50)
    await bench.put(bench.tail_key(upload_id, 1), FILE[:11])
    with pytest.raises(StoreError, match="longer"):
        await read(bench, upload_id)


async def test_record_and_parts_are_asked_for_at_once(bench: Bench) -> None:
    """Two calls that do not wait for each other, then the tail."""
    upload_id = await bench.create(50)
    gate = bench.bucket.block("get")
    bench.bucket.calls.clear()
    task = asyncio.create_task(read(bench, upload_id))
    await asyncio.wait_for(gate.reached.wait(), LONG_S)
    before = sorted(bench.bucket.operations)
    gate.opened.set()
    await task

    assert before == ["get", "list_parts"]
    assert sorted(bench.bucket.operations) == ["get", "head", "list_parts"]


async def test_behind_the_last_part_no_tail_is_looked_for(bench: Bench) -> None:
    """All bytes are there."""
    upload_id = await bench.create(20)
    for number in (1, 2):
        await bench.put_part(upload_id, number, FILE[number * 10 - 10 : number * 10])
    bench.bucket.calls.clear()
    snapshot = await read(bench, upload_id)

    assert (snapshot.offset, snapshot.info.is_pending) == (20, True)
    assert "head" not in bench.bucket.operations


# -- what is not there ---------------------------------------------------------------------------


@pytest.mark.parametrize("upload_id", ["unknown", "unknown+ffff"])
async def test_an_unknown_upload_is_not_found(bench: Bench, upload_id: str) -> None:
    """There is no `.info`."""
    with pytest.raises(UploadNotFound):
        await settled(bench, upload_id)


async def test_an_id_with_another_multipart_id_is_not_found(bench: Bench) -> None:
    """Guessing the object's name is not enough, nor is leaving the other half out."""
    upload_id = await bench.create(50)
    object_id, multipart_id = upload_id.split("+")
    for other in (object_id, object_id + "+" + multipart_id[::-1], upload_id + "x"):
        with pytest.raises(UploadNotFound):
            await settled(bench, other)


async def test_a_missing_record_explains_whatever_happened_to_the_parts(bench: Bench) -> None:
    """Both calls fail; only one of the answers means something."""
    bench.bucket.fail("list_parts", StoreError)
    with pytest.raises(UploadNotFound):
        await read(bench, "unknown+ffff")


@pytest.mark.parametrize("error", [StoreBusy, StoreRefused, StoreError])
@pytest.mark.parametrize("operation", ["get", "list_parts", "head"])
async def test_no_failure_is_taken_for_a_missing_upload(
    bench: Bench, operation: str, error: type[StoreError]
) -> None:
    """A throttled store made tus-node-server's clients throw their uploads away."""
    upload_id = await bench.create(50)
    bench.bucket.fail(operation, error)
    with pytest.raises(error):
        await read(bench, upload_id)


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff", b"x" * ((1 << 20) + 1)])
async def test_a_record_that_makes_no_sense_is_an_error(bench: Bench, data: bytes) -> None:
    """Not a missing upload; and nobody reads a megabyte to find that out."""
    upload_id = await bench.create(50)
    await bench.put(bench.info_key(upload_id), data)
    with pytest.raises(StoreError):
        await read(bench, upload_id)


async def test_a_terminated_upload_is_not_found(bench: Bench) -> None:
    """Even while what belonged to it is still there."""
    upload_id = await bench.create(50)
    bench.bucket.fail("abort_multipart", StoreBusy)
    with pytest.raises(StoreBusy):
        await bench.terminate(upload_id)
    with pytest.raises(UploadNotFound):
        await settled(bench, upload_id)
    assert (await read(bench, upload_id)).record.phase is Phase.TERMINATED


# -- finished, or gone ---------------------------------------------------------------------------


async def test_finished_is_what_the_record_says(bench: Bench) -> None:
    """Even if a consumer has moved the object away since, or the parts cannot be asked for."""
    upload_id = await bench.create(30)
    await bench.append(upload_id, 30)
    await bench.inner.delete([bench.key(upload_id)])
    bench.bucket.fail("list_parts", StoreBusy, times=None)
    info = (await settled(bench, upload_id)).info

    assert (info.finished, info.offset) == (True, 30)


async def test_an_object_that_the_record_does_not_know_of_is_pending(bench: Bench) -> None:
    """A crash behind Complete: whoever comes next writes it down."""
    upload_id = await bench.create(20)
    for number in (1, 2):
        await bench.put_part(upload_id, number, FILE[number * 10 - 10 : number * 10])
    await bench.complete(upload_id)
    snapshot = await settled(bench, upload_id)

    assert snapshot.object_exists
    assert (snapshot.offset, snapshot.info.finished, snapshot.info.is_pending) == (20, False, True)


async def test_an_aborted_multipart_upload_is_gone_not_finished(bench: Bench) -> None:
    """A lifecycle rule aborted it; tusd says complete then."""
    upload_id = await bench.create(50)
    await bench.append(upload_id, 14)
    await bench.abort(upload_id)
    for read_it in (reader(bench).read_settled, reader(bench).read_held):
        with pytest.raises(UploadGone):
            await read_it(parse_upload_id(upload_id))
    assert (await read(bench, upload_id)).gone


@pytest.mark.parametrize(
    ("size", "tag"), [(20, None), (20, "somebody else's"), (19, "ours"), (21, "ours")]
)
async def test_somebody_elses_object_does_not_finish_an_upload(
    bench: Bench, size: int, tag: str | None
) -> None:
    """The same key, even the same size: it has to be ours, and whole."""
    upload_id = await bench.create(20)
    ours = (await read(bench, upload_id)).record.tag or ""
    await bench.abort(upload_id)
    metadata = {} if tag is None else {TAG: ours if tag == "ours" else tag}
    await bench.put(bench.key(upload_id), FILE[:size], headers=ObjectHeaders(metadata=metadata))
    with pytest.raises(UploadGone):
        await settled(bench, upload_id)


async def test_whether_an_object_is_ours_is_not_guessed_either(bench: Bench) -> None:
    """The multipart upload is missing and the object cannot be asked for: an error."""
    upload_id = await bench.create(20)
    await bench.abort(upload_id)
    bench.bucket.fail("head", StoreBusy)
    with pytest.raises(StoreBusy):
        await read(bench, upload_id)


async def test_an_upload_without_multipart_is_open_at_its_tail(bench: Bench) -> None:
    """Or at 0; its object is not looked for."""
    upload_id = await bench.create(8)
    empty = (await read(bench, upload_id)).offset
    await bench.append(upload_id, 5)

    assert "+" not in upload_id
    assert (empty, (await read(bench, upload_id)).offset) == (0, 5)


async def test_an_upload_of_two_files_is_gone(bench: Bench) -> None:
    """A part came twice with different bytes: nothing can be made of it."""
    upload_id = await bench.create(40)
    await bench.put_part(upload_id, 3, FILE[500:510])
    with pytest.raises(PartConflict):
        await bench.append(upload_id, 40)
    for read_it in (reader(bench).read_settled, reader(bench).read_held):
        with pytest.raises(UploadGone, match="different bytes"):
            await read_it(parse_upload_id(upload_id))


# -- without the lock ----------------------------------------------------------------------------


async def test_reads_without_the_lock_are_repeated_until_two_agree(bench: Bench) -> None:
    """A holder stores a part and deletes its tail between two of our calls: we see neither."""
    upload_id = await bench.create(50)
    await bench.append(upload_id, 4)
    gate = bench.bucket.block("head", match=containing(".part."))
    task = asyncio.create_task(settled(bench, upload_id))
    await asyncio.wait_for(gate.reached.wait(), LONG_S)
    await bench.put_part(upload_id, 1, FILE[:10])
    await bench.inner.delete([bench.tail_key(upload_id, 1)])
    gate.opened.set()
    bench.bucket.heal()

    assert (await asyncio.wait_for(task, LONG_S)).offset == 10


async def test_an_upload_that_never_rests_is_busy(bench: Bench) -> None:
    """The client asks again later; it is not told a number that may be wrong."""
    upload_id = await bench.create(300)
    number = 0

    async def grow() -> None:
        nonlocal number
        number += 1
        await bench.put_part(upload_id, number, FILE[number * 10 - 10 : number * 10])

    class Growing(StateReader):
        async def read(self, upload_id: UploadId) -> Snapshot:
            await grow()
            return await super().read(upload_id)

    with pytest.raises(StoreBusy, match="under every look"):
        await Growing(bench.bucket, bench.names, LIMITS).read_settled(parse_upload_id(upload_id))


# -- uploads of tusd -----------------------------------------------------------------------------


async def test_an_upload_of_tusd_counts_parts_of_any_sizes_and_its_tail(bench: Bench) -> None:
    """A contiguous prefix, then plain `.part`."""
    upload_id = await bench.begin_with_tusd(80, {1: FILE[:7], 2: FILE[7:30]}, tail=FILE[30:33])
    snapshot = await read(bench, upload_id)

    assert (snapshot.offset, snapshot.record.grid) == (33, None)


async def test_an_upload_of_tusd_without_parts_is_open_at_its_tail(bench: Bench) -> None:
    """Or at 0."""
    with_tail = await bench.begin_with_tusd(80, {}, tail=FILE[:3])
    without = await bench.begin_with_tusd(None, {}, object_id="other")

    assert (await read(bench, with_tail)).offset == 3
    assert (await read(bench, without)).offset == 0


async def test_the_tail_of_tusd_does_not_count_if_there_is_a_gap(bench: Bench) -> None:
    """Tusd wrote it behind its last part, not behind the contiguous ones."""
    upload_id = await bench.begin_with_tusd(80, {1: FILE[:7], 3: FILE[14:30]}, tail=FILE[30:33])

    assert (await read(bench, upload_id)).offset == 7


async def test_a_finished_upload_of_tusd_is_known_by_its_size(bench: Bench) -> None:
    """Its objects have no tag: NoSuchUpload, and an object of the right size."""
    upload_id = await bench.begin_with_tusd(30, {1: FILE[:30]})
    await bench.complete(upload_id)
    finished = await settled(bench, upload_id)
    other = await bench.begin_with_tusd(31, {1: FILE[:30]}, object_id="other")
    await bench.complete(other)

    assert finished.info.is_pending
    with pytest.raises(UploadGone):
        await settled(bench, other)


async def test_a_tusd_upload_whose_base_has_changed_is_an_error(bench: Bench) -> None:
    """Bytes that were acknowledged are missing: that cannot be explained."""
    upload_id = await bench.begin_with_tusd(80, {1: FILE[:7]})
    await bench.append(upload_id, 20)
    multipart_id = upload_id.split("+")[1]
    part = bench.folder / "bucket/.tusd-s3/multipart" / multipart_id / "00001"
    part.unlink()
    with pytest.raises(StoreError, match="adopted"):
        await read(bench, upload_id)


async def test_a_tusd_upload_that_cannot_go_on_can_be_looked_at_and_deleted(bench: Bench) -> None:
    """Its numbers are used up: the offset is told all the same."""
    upload_id = await bench.begin_with_tusd(80, {1: FILE[:7], 100: FILE[7:9]})
    info = await bench.append(upload_id, 7)

    assert info.offset == 7 == await bench.offset(upload_id)
    await bench.terminate(upload_id)
    assert await bench.is_empty()


async def test_a_record_under_another_uploads_name_is_not_found(bench: Bench) -> None:
    """A copied `.info` does not make an upload."""
    first, second = await bench.create(50), await bench.create(50)
    await bench.put(bench.info_key(second), await bench.get(bench.info_key(first)))
    bench.bucket.fail("list_parts", StoreError, match=ending("nothing"))
    with pytest.raises(UploadNotFound):
        await read(bench, second)
