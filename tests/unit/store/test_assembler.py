"""Facts about how the object of a final upload is made."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.faults.faulty_bucket import EVERY, containing, ending, part
from tests.unit.store.bench import FILE
from tests.unit.store.finals import LIMITS, MAX, MIN, Finals, joining
from tusd_s3.errors import (
    ConditionFailed,
    MaxSizeExceeded,
    MultipartMissing,
    ObjectMissing,
    PartsRefused,
    StoreBusy,
    StoreError,
    StoreRefused,
    UploadGone,
    UploadNotFound,
)
from tusd_s3.model import Kind, Limits, NewUpload
from tusd_s3.store.concat import Way

EDGES = [0, 1, MIN - 1, MIN, MIN + 1, 40]


class Death(BaseException):
    """The process was killed at this call; nothing of it runs any more."""

    def __init__(self, *_: str) -> None:
        super().__init__()


DEATH = cast("type[StoreError]", Death)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Finals]:
    """A store over an empty folder bucket whose parts have 5 to 12 bytes."""
    async with joining(tmp_path / "bench") as bench:
        yield bench


async def is_whole(bench: Finals, upload_id: str, data: bytes) -> bool:
    """Whether a final upload is finished, has these bytes, and nothing else is left of it."""
    info = await bench.store.read(upload_id)
    return (
        info.finished
        and (info.offset, info.length) == (len(data), len(data))
        and await bench.download(upload_id) == data
        and not bench.multiparts()
        and bench.spool.memory_free == bench.memory
    )


@pytest.mark.parametrize(
    "sizes",
    [
        EDGES, EDGES[::-1], [0], [0, 0], [1], [1, 1, 1], [MIN - 1, 1], [MIN - 1, MIN - 1],
        [MIN] * 3, [40, 1, 40], [MIN + 1] * 5, [2 * MAX + 1, 3], [300],
    ],
)  # fmt: skip
async def test_the_object_is_the_partials_one_after_the_other(
    bench: Finals, sizes: list[int]
) -> None:
    """CAT-06, CAT-07, CAT-18: every byte once and in order, whatever the sizes."""
    ids, data = await bench.partials(*sizes)

    info = await bench.join(ids)

    assert info.finished
    assert await is_whole(bench, info.id, data)


@pytest.mark.slow  # 24 finals on a disk
@given(sizes=st.lists(st.sampled_from(EDGES) | st.integers(0, 30), min_size=1, max_size=9))
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_partials_can_be_joined(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int]
) -> None:
    """CAT-07: in all three ways."""

    async def run() -> None:
        async with joining(tmp_path_factory.mktemp("any")) as bench:
            ids, data = await bench.partials(*sizes)
            for number, way in enumerate(Way):
                bench.store._depot.copying.way = way
                info = await bench.join(ids, number=b"%d" % number)
                assert await is_whole(bench, info.id, data)

    asyncio.run(run())


async def test_a_partial_can_be_joined_with_itself(bench: Finals) -> None:
    """CAT-13: several times in one request, and in several requests."""
    (first, second), data = await bench.partials(7, 3)

    doubled = await bench.join([first, first, second, first])
    again = await bench.join([second, first])

    assert await bench.download(doubled.id) == data[:7] * 2 + data[7:] + data[:7]
    assert await bench.download(again.id) == data[7:] + data[:7]


@pytest.mark.parametrize(
    ("sizes", "most"), [([40, 40, 40], 0), ([40, 1, 40], MIN), (EDGES, 3 * MIN), ([12, 1], 0)]
)
async def test_what_can_be_copied_is_not_sent(bench: Finals, sizes: list[int], most: int) -> None:
    """PITFALLS 11: at most one smallest part per seam passes through the process."""
    ids, _ = await bench.partials(*sizes)

    await bench.join(ids)

    assert sum(bench.bucket.sent) <= most


async def test_less_than_a_part_is_one_object(bench: Finals) -> None:
    """PITFALLS 25: no multipart upload for a few bytes."""
    ids, data = await bench.partials(1, 0, MIN - 2)

    info = await bench.join(ids)

    assert "create_multipart" not in bench.bucket.operations
    assert bench.bucket.sent == [len(data)]
    assert await is_whole(bench, info.id, data)


async def test_the_object_is_described_by_the_final_itself(bench: Finals) -> None:
    """CAT-10, CAT-11, PITFALLS 11: type and metadata are its own, not those of its partials."""
    first = await bench.partial(FILE[:8], filetype=b"text/plain", owner=b"a")
    second = await bench.partial(FILE[8:20], owner=b"b")

    info = await bench.join([first, second], filetype=b"image/png", name=b"c")
    headers = (await bench.inner.head(bench.key(info.id))).headers

    assert headers.content_type == "image/png"
    assert headers.metadata.keys() == {"tus-upload-id", "filetype", "name"}
    assert info.metadata == {"filetype": b"image/png", "name": b"c"}


# -- what stores do not take -------------------------------------------------------------------


async def test_a_store_that_does_not_copy_is_sent_everything_from_then_on(bench: Finals) -> None:
    """Found out by trying, once: the next final does not try."""
    bench.bucket.refuse_copies()
    first, data = await bench.partials(*EDGES)

    one = await bench.join(first)
    tries = bench.bucket.operations.count("copy_part")
    other = await bench.join([first[-1], first[-2]])

    assert await is_whole(bench, one.id, data)
    assert await bench.download(other.id) == data[-40:] + data[-46:-40]
    assert tries > 0
    assert bench.bucket.operations.count("copy_part") == tries
    assert bench.store._depot.copying.way is Way.STREAM


async def test_a_few_bytes_that_cannot_be_copied_are_sent(bench: Finals) -> None:
    """Some stores refuse tiny copies: that is no reason to send everything."""
    ids, data = await bench.partials(12, 12, 2)
    bench.bucket.refuse_copies(3)

    info = await bench.join(ids)

    assert await is_whole(bench, info.id, data)
    assert bench.bucket.sent == [2]
    assert bench.store._depot.copying.way is Way.COPY


async def test_a_store_that_demands_equal_parts_gets_them(bench: Finals) -> None:
    """PITFALLS 12: whole parts of the grid are copied, the rest is stitched; remembered."""
    bench.bucket.wants_equal_parts = True
    ids, data = await bench.partials(23, 24, 40)

    info = await bench.join(ids)

    assert await is_whole(bench, info.id, data)
    assert sum(bench.bucket.sent) < len(data) + 2 * MIN
    assert bench.store._depot.copying.way is Way.EQUAL


async def test_equal_parts_that_cannot_be_copied_are_sent(bench: Finals) -> None:
    """Both at once, as with a plain S3 gateway."""
    bench.store._depot.copying.way = Way.EQUAL
    bench.bucket.refuse_copies()
    ids, data = await bench.partials(23, 24, 40)

    info = await bench.join(ids)

    assert await is_whole(bench, info.id, data)
    assert sorted(bench.bucket.sent[-9:]) == [7] + [10] * 8


async def test_a_copy_that_is_too_short_is_found_out(bench: Finals) -> None:
    """A store that does not know copies may store nothing and say that all is well."""
    bench.bucket.makes_short_copies = True
    ids, data = await bench.partials(12, 12, 12)

    info = await bench.join(ids)

    assert await is_whole(bench, info.id, data)
    assert bench.store._depot.copying.way is Way.STREAM


@pytest.mark.parametrize("way", [Way.EQUAL, Way.STREAM])
async def test_parts_that_are_refused_in_every_way_are_a_failure(bench: Finals, way: Way) -> None:
    """Nothing is left to try, nothing is left behind, and nothing wrong is remembered."""
    bench.store._depot.copying.way = way
    ids, _ = await bench.partials(12, 12)
    bench.bucket.fail("complete_multipart", PartsRefused, times=None)

    with pytest.raises(PartsRefused):
        await bench.join(ids)

    assert not bench.multiparts()
    assert bench.store._depot.copying.way is way


# -- failures ----------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("call", range(36))
async def test_a_process_that_dies_at_any_call_leaves_what_the_next_one_ends(
    bench: Finals, call: int, *, after: bool
) -> None:
    """The request repeated makes the right object.

    Nothing can be left but a multipart upload whose id had not been recorded yet.
    """
    ids, data = await bench.partials(12, 1, 30, 3)
    bench.bucket.fail(EVERY, DEATH, after=after, skip=call)
    bench.bucket.fail(EVERY, DEATH, times=None, skip=call)
    try:
        await bench.join(ids)
    except Death:
        pass
    else:
        pytest.skip("there are not as many calls")
    died_in = bench.bucket.operations[call]
    bench.bucket.heal()

    survivor = Finals(bench.bucket, bench.folder)
    info = await survivor.join(ids)
    lost = survivor.multiparts()

    assert await survivor.download(info.id) == data
    assert (await survivor.store.read(info.id)).finished
    assert not lost or (len(lost) == 1 and died_in in {"create_multipart", "put"})


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("operation", "error"),
    [
        ("copy_part", StoreRefused), ("upload_part", StoreError), ("create_multipart", StoreError),
        ("list_parts", StoreError), ("complete_multipart", StoreError), ("put", StoreError),
        ("put", StoreBusy),
    ],
)  # fmt: skip
async def test_a_failure_aborts_the_multipart_upload(
    bench: Finals, operation: str, error: type[StoreError], *, after: bool
) -> None:
    """Nothing is left behind, and the request repeated succeeds."""
    ids, data = await bench.partials(12, 1, 30, 3)
    created = await bench.store.create_final(bench.new_final(ids))
    bench.bucket.fail(operation, error, after=after, match=containing(created.id))

    with pytest.raises(error):
        await bench.join(ids)
    left = bench.multiparts()
    info = await bench.join(ids)

    assert not left or (operation, after) == ("create_multipart", True)
    assert await bench.download(info.id) == data
    assert bench.multiparts() == left


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_complete_without_an_answer_is_repeated_not_aborted(
    bench: Finals, *, after: bool
) -> None:
    """It may have succeeded, or still be at it; the parts are not made again."""
    ids, data = await bench.partials(12, 30)
    bench.bucket.fail("complete_multipart", StoreBusy, after=after)

    with pytest.raises(StoreBusy):
        await bench.join(ids)
    aborted = "abort_multipart" in bench.bucket.operations
    copies = bench.bucket.operations.count("copy_part")
    info = await bench.join(ids)

    assert not aborted
    assert bench.bucket.operations.count("copy_part") == copies
    assert await is_whole(bench, info.id, data)


@pytest.mark.parametrize("operation", ["copy_part", "upload_part", "get"])
async def test_what_may_pass_is_tried_again(bench: Finals, operation: str) -> None:
    """A throttled copy, or a download that is cut, costs its part alone."""
    ids, data = await bench.partials(12, 1, 30)
    bench.bucket.fail(
        operation, StoreBusy, after=operation == "get", match=lambda key, _: key.startswith("files")
    )

    info = await bench.join(ids)

    assert bench.bucket.operations.count("create_multipart") == 1
    assert await is_whole(bench, info.id, data)


async def test_an_assembly_that_was_begun_is_gone_on_with(bench: Finals) -> None:
    """The parts that are there are kept."""
    bench = Finals(bench.bucket, bench.folder, parts=1)
    ids, data = await bench.partials(12, 12, 12)
    bench.bucket.fail("copy_part", DEATH, match=part(3))
    with pytest.raises(Death):
        await bench.join(ids)
    bench.bucket.heal()
    bench.bucket.calls.clear()

    info = await bench.join(ids)

    assert "create_multipart" not in bench.bucket.operations
    assert bench.bucket.operations.count("copy_part") == 1
    assert await is_whole(bench, info.id, data)


@pytest.mark.parametrize("recorded", ["copy", "copy 0123456789abcdef", "later-way 1", ""])
async def test_an_assembly_of_another_plan_is_begun_anew(bench: Finals, recorded: str) -> None:
    """Parts made with other limits, or by another version, could have the right sizes by chance."""
    ids, data = await bench.partials(12, 12, 12)
    bench.bucket.fail("complete_multipart", StoreBusy)
    with pytest.raises(StoreBusy):
        await bench.join(ids)
    info_key = bench.info_key(bench.store.final_id(bench.new_final(ids)))
    record = await bench.get(info_key)
    way = record.split(b'"Way": "')[1].split(b'"')[0]
    await bench.put(info_key, record.replace(way, recorded.encode()))

    info = await bench.join(ids)

    assert bench.bucket.operations.count("create_multipart") == 2
    assert await is_whole(bench, info.id, data)


async def test_an_assembly_that_was_aborted_elsewhere_is_begun_anew(bench: Finals) -> None:
    """A lifecycle rule may take it away between two requests."""
    ids, data = await bench.partials(12, 12)
    bench.bucket.fail("complete_multipart", StoreBusy)
    with pytest.raises(StoreBusy):
        await bench.join(ids)
    (multipart_id,) = bench.multiparts()
    final_id = bench.store.final_id(bench.new_final(ids))
    await bench.inner.abort_multipart(bench.key(final_id), multipart_id)

    info = await bench.join(ids)

    assert await is_whole(bench, info.id, data)


async def test_an_assembly_that_vanishes_can_be_asked_for_again(bench: Finals) -> None:
    """Complete finds neither parts nor object: that may pass."""
    ids, data = await bench.partials(12, 12)
    bench.bucket.fail("complete_multipart", MultipartMissing)

    with pytest.raises(StoreBusy):
        await bench.join(ids)
    info = await bench.join(ids)

    assert await is_whole(bench, info.id, data)


async def test_a_complete_that_was_done_before_is_fine(bench: Finals) -> None:
    """Another request may have been quicker: the object is there and ours."""
    ids, data = await bench.partials(12, 12)
    bench.bucket.completes_twice = True

    info = await bench.join(ids)

    assert await is_whole(bench, info.id, data)


async def test_an_abort_that_fails_hides_nothing(bench: Finals) -> None:
    """The failure is told, and the assembly is gone on with or aborted later."""
    ids, data = await bench.partials(12, 12)
    bench.bucket.fail("copy_part", StoreRefused)
    bench.bucket.fail("abort_multipart", StoreBusy)

    with pytest.raises(StoreRefused):
        await bench.join(ids)
    info = await bench.join(ids)

    assert await is_whole(bench, info.id, data)


# -- partials that are not as they were --------------------------------------------------------


async def test_a_final_whose_partial_was_deleted_is_gone(bench: Finals) -> None:
    """CAU-03: 410, for ever, and nothing is assembled."""
    ids, _ = await bench.partials(12, 12)
    info = await bench.store.create_final(bench.new_final(ids))
    await bench.terminate(ids[0])

    for _ in range(2):
        with pytest.raises(UploadGone):
            await bench.settle(info.id)

    assert not bench.multiparts()


@pytest.mark.parametrize("sizes", [(12, 12), (1, 1)])
async def test_a_final_whose_partials_object_was_moved_is_gone(
    bench: Finals, sizes: tuple[int, int]
) -> None:
    """CAU-03: the record says finished, but the bytes are not there."""
    ids, _ = await bench.partials(*sizes)
    await bench.inner.delete([bench.key(ids[1])])

    with pytest.raises(UploadGone):
        await bench.join(ids)

    assert not bench.multiparts()


@pytest.mark.parametrize("sizes", [(12, 12), (2, 1)])
@pytest.mark.parametrize("error", [ObjectMissing, ConditionFailed])
async def test_a_partial_that_changes_while_it_is_read_is_gone(
    bench: Finals, sizes: tuple[int, int], error: type[StoreError]
) -> None:
    """The ETag guards against joining the bytes of another object."""
    ids, _ = await bench.partials(*sizes)
    operation = "copy_part" if sizes[0] > MIN else "get"
    bench.bucket.fail(operation, error, match=lambda key, _: not key.endswith(".info"))

    with pytest.raises(UploadGone):
        await bench.join(ids)

    assert not bench.multiparts()


async def test_a_partial_that_is_gone_is_told_before_other_failures(bench: Finals) -> None:
    """Of several failures the one that no later request can mend counts."""
    ids, _ = await bench.partials(12, 12)
    bench.bucket.fail("copy_part", StoreRefused, match=part(1))
    bench.bucket.fail("copy_part", ObjectMissing, match=part(2))

    with pytest.raises(UploadGone):
        await bench.join(ids)


async def test_partials_that_are_finished_later_are_joined_then(bench: Finals) -> None:
    """CAU-02, CAT-17, CAT-20: length as soon as it is known, object when all are done."""
    first = await bench.partial(FILE[:7], length=20)
    held = await bench.store.create(NewUpload(None, kind=Kind.PARTIAL, concat_raw="partial"))
    deferred = held.info.id

    new = await bench.join([first, deferred])
    await bench.append(deferred, 9, declared_length=9)
    known = await bench.settle(new.id)
    await bench.append(first, 20)
    info = await bench.settle(new.id)

    assert (new.length, new.offset, new.finished) == (None, 0, False)
    assert (known.length, known.offset, known.finished) == (29, 0, False)
    assert info.finished
    assert await is_whole(bench, info.id, FILE[:20] + FILE[:9])


async def test_more_than_an_object_can_hold_leaves_nothing(tmp_path: Path) -> None:
    """413, at every attempt, without a multipart upload."""
    limits = Limits(min_part=5, max_part=12, max_parts=100, max_object=30, preferred_part=10)
    async with joining(tmp_path / "small", limits=limits) as bench:
        ids, _ = await bench.partials(20, 20)

        for _ in range(2):
            with pytest.raises(MaxSizeExceeded):
                await bench.join(ids)

        assert "create_multipart" not in bench.bucket.operations


# -- one final ---------------------------------------------------------------------------------


async def test_equal_requests_at_once_make_one_final(bench: Finals) -> None:
    """Who comes second waits for the first, and finds its object."""
    ids, data = await bench.partials(12, 1, 30)

    infos = await asyncio.gather(*(bench.join(ids) for _ in range(5)))

    assert len({info.id for info in infos}) == 1
    assert all(info.finished for info in infos)
    assert bench.bucket.operations.count("complete_multipart") == 1
    assert await is_whole(bench, infos[0].id, data)


async def test_other_partials_or_metadata_make_another_final(bench: Finals) -> None:
    """The id follows from what was asked for."""
    (one, two), _ = await bench.partials(12, 13)
    finals = [
        await bench.join([one, two]),
        await bench.join([two, one]),
        await bench.join([one, two], name=b"a"),
        await bench.join([one, two, one]),
    ]

    assert len({info.id for info in finals}) == 4


async def test_an_object_of_somebody_else_is_not_taken_for_the_final(bench: Finals) -> None:
    """It has the key and the size by chance, or by somebody's will."""
    ids, data = await bench.partials(12, 12)
    final_id = bench.store.final_id(bench.new_final(ids))
    await bench.put(bench.key(final_id), bytes(24))

    info = await bench.join(ids)

    assert info.id == final_id
    assert await is_whole(bench, info.id, data)


async def test_terminating_a_half_made_final_leaves_nothing_of_it(bench: Finals) -> None:
    """TRM-02: neither parts nor record; the partials stay."""
    ids, data = await bench.partials(12, 12, 12)
    bench.bucket.fail("copy_part", DEATH, match=part(3))
    with pytest.raises(Death):
        await bench.join(ids)
    bench.bucket.heal()
    final_id = bench.store.final_id(bench.new_final(ids))
    assert bench.multiparts()

    await bench.terminate(final_id)

    with pytest.raises(UploadNotFound):
        await bench.store.read(final_id)
    assert not bench.multiparts()
    assert len(await bench.keys()) == 2 * len(ids)
    assert await is_whole(bench, (await bench.join(ids)).id, data)


async def test_a_final_whose_termination_broke_off_can_be_asked_for_again(bench: Finals) -> None:
    """What the termination left is deleted first; then it is a new upload."""
    ids, data = await bench.partials(30, 30)
    info = await bench.join(ids)
    bench.bucket.fail("delete", StoreBusy("delete", "?", "as the test wants it"), times=None)
    with pytest.raises(StoreBusy):
        await bench.terminate(info.id)
    bench.bucket.heal()

    again = await bench.join(ids)

    assert again.id == info.id
    assert await is_whole(bench, again.id, data)


async def test_terminating_a_final_leaves_its_partials(bench: Finals) -> None:
    """TRM-03: they can be joined again."""
    ids, data = await bench.partials(12, 12)
    info = await bench.join(ids)

    await bench.terminate(info.id)

    assert len(await bench.keys()) == 2 * len(ids)
    assert await is_whole(bench, (await bench.join(ids)).id, data)


# -- room --------------------------------------------------------------------------------------


async def test_a_big_assembly_takes_little_memory(tmp_path: Path) -> None:
    """PITFALLS 24: as many parts as may be on their way, however many there are."""
    async with joining(tmp_path / "big") as usual:
        bench = Finals(usual.bucket, usual.folder, parts_per_upload=2, parts=2)
        bench.store._depot.copying.way = Way.STREAM
        ids, data = await bench.partials(300, 300)
        least = bench.spool.memory_free

        def look() -> None:
            nonlocal least
            least = min(least, bench.spool.memory_free)

        bench.bucket.on_send = look
        info = await bench.join(ids)

        assert bench.memory - least <= 3 * LIMITS.preferred_part
        assert await is_whole(bench, info.id, data)


async def test_copies_wait_for_the_slots_of_all_uploads(bench: Finals) -> None:
    """DESIGN 7: no more copies at once than parts may be on their way."""
    bench = Finals(bench.bucket, bench.folder, parts=2)
    ids, data = await bench.partials(12, 12, 12, 12, 12)
    gate = bench.bucket.block("copy_part")

    joining_ids = asyncio.create_task(bench.join(ids))
    await gate.reached.wait()
    await asyncio.sleep(0)
    begun = bench.bucket.operations.count("copy_part")
    gate.opened.set()
    info = await joining_ids

    assert begun <= 2
    assert await is_whole(bench, info.id, data)


# -- the partials afterwards -------------------------------------------------------------------


@pytest.fixture
async def tidy(bench: Finals) -> Finals:
    """A store that deletes partials when their final is complete."""
    return Finals(bench.bucket, bench.folder, delete_partials=True)


@pytest.mark.parametrize("sizes", [(12, 1, 30), (1, 0, 2)])
async def test_partials_can_be_deleted_when_the_final_is_complete(
    tidy: Finals, sizes: tuple[int, ...]
) -> None:
    """CAT-12: they are gone then, and the final is there for good."""
    ids, data = await tidy.partials(*sizes)

    info = await tidy.join([*ids, ids[0]])
    again = await tidy.join([*ids, ids[0]])

    assert info == again
    assert await is_whole(tidy, info.id, data + data[: sizes[0]])
    assert len(await tidy.keys()) == 2
    for upload_id in ids:
        with pytest.raises(UploadNotFound):
            await tidy.store.read(upload_id)


async def test_partials_are_deleted_only_when_the_record_says_that_it_is_done(
    tidy: Finals,
) -> None:
    """Whatever fails before, the request can be repeated."""
    ids, data = await tidy.partials(12, 30)
    await tidy.store.create_final(tidy.new_final(ids))
    tidy.bucket.fail("put", StoreBusy, skip=1, match=ending(".info"))

    with pytest.raises(StoreBusy):
        await tidy.join(ids)
    kept = [await tidy.store.read(upload_id) for upload_id in ids]
    info = await tidy.join(ids)

    assert all(partial.finished for partial in kept)
    assert await is_whole(tidy, info.id, data)


async def test_partials_that_cannot_be_deleted_stay(tidy: Finals) -> None:
    """The final is complete all the same; one that is gone already is no news."""
    ids, data = await tidy.partials(12, 30, 12)
    tidy.bucket.fail("delete", StoreBusy, times=None, match=containing(ids[0].split("+")[0]))
    tidy.bucket.on_complete = lambda: tidy.inner.delete([tidy.info_key(ids[1])])

    info = await tidy.join(ids)

    assert await is_whole(tidy, info.id, data)
    assert tidy.key(ids[2]) not in await tidy.keys()


async def test_a_final_whose_partials_another_one_took_is_gone(tidy: Finals) -> None:
    """CAT-12, CAT-13: it fails cleanly."""
    ids, _ = await tidy.partials(12, 12, 12)
    other = await tidy.store.create_final(tidy.new_final(ids[:2]))
    await tidy.join(ids)

    with pytest.raises(UploadGone):
        await tidy.settle(other.id)
