"""Facts about what is remembered between the requests of an upload."""

from dataclasses import dataclass

import pytest

from tests.unit.store.bench import FILE, LIMITS, Bench, GivenBody
from tusd_s3.store.buffer import PartBuffer
from tusd_s3.store.cache import StateCache
from tusd_s3.store.grid import Ledger, choose_grid
from tusd_s3.store.info import Record
from tusd_s3.store.keys import UploadId
from tusd_s3.store.snapshot import Snapshot
from tusd_s3.store.spool import Spool


@dataclass(frozen=True)
class Hold:
    """A lock as lockers describe it."""

    generation: int
    previous: int | None = None


def snapshot(name: str = "a") -> Snapshot:
    """An open upload."""
    ledger = Ledger(choose_grid(50, LIMITS), [], 50)
    return Snapshot(UploadId(name, "m"), Record(id=f"{name}+m", length=50), "etag", ledger)


async def tail_in(spool: Spool, data: bytes = b"12345") -> PartBuffer:
    """A buffer with bytes in memory."""
    buffer = await spool.buffer("CRC32", len(data), lambda: None)
    await buffer.write(data)
    return buffer


@pytest.fixture
def spool() -> Spool:
    """Room for four tails."""
    return Spool(memory_budget=20, disk_budget=0)


# -- the cache itself ----------------------------------------------------------------------------


def test_what_the_last_holder_knew_is_found_by_the_next() -> None:
    """Again and again, while each hold follows the one before."""
    cache = StateCache(5)
    known = snapshot()
    cache.keep(Hold(7), known, None)

    assert cache.find("a+m", Hold(8, previous=7)) is known
    assert cache.find("a+m", Hold(9, previous=8)) is known


@pytest.mark.parametrize("previous", [None, 6, 8])
async def test_nothing_is_found_if_somebody_else_may_have_held_it(
    spool: Spool, previous: int | None
) -> None:
    """The locker does not know, or knows another generation: forgotten, its memory given back."""
    cache = StateCache(5)
    cache.keep(Hold(7), snapshot(), await tail_in(spool))
    found = cache.find("a+m", Hold(9, previous))

    assert found is None
    assert spool.memory_free == 20
    assert cache.find("a+m", Hold(8, previous=7)) is None


async def test_claiming_hands_the_bytes_over_and_forgets(spool: Spool) -> None:
    """An upload that is about to change must not be found as it was."""
    cache = StateCache(5)
    tail = await tail_in(spool)
    cache.keep(Hold(7), snapshot(), tail)

    assert cache.claim("a+m") is tail
    assert cache.claim("a+m") is None
    assert cache.find("a+m", Hold(8, previous=7)) is None
    assert spool.memory_free == 15


async def test_the_least_recently_kept_upload_is_forgotten_first(spool: Spool) -> None:
    """At most so many entries; their tails go with them."""
    cache = StateCache(2)
    for name in ("a", "b", "a", "c"):
        cache.keep(Hold(1), snapshot(name), await tail_in(spool))

    assert cache.find("b+m", Hold(2, previous=1)) is None
    assert cache.find("a+m", Hold(2, previous=1)) is not None
    assert spool.memory_free == 10


async def test_a_capacity_of_nothing_remembers_nothing(spool: Spool) -> None:
    """Not even the bytes."""
    cache = StateCache(0)
    cache.keep(Hold(1), snapshot(), await tail_in(spool))

    assert cache.find("a+m", Hold(2, previous=1)) is None
    assert spool.memory_free == 20


async def test_tails_make_room_oldest_first(spool: Spool) -> None:
    """The state stays: it only has to be read from the bucket again."""
    cache = StateCache(5)
    for name in ("a", "b"):
        cache.keep(Hold(1), snapshot(name), await tail_in(spool))
    cache.keep(Hold(1), snapshot("c"), None)

    assert [cache.drop_oldest_tail() for _ in range(3)] == [True, True, False]
    assert spool.memory_free == 20
    assert cache.find("a+m", Hold(2, previous=1)) is not None


def test_dropping_what_is_not_there_is_harmless() -> None:
    """Termination drops whatever there may be."""
    StateCache(5).drop("a+m")


# -- the cache in use ----------------------------------------------------------------------------


async def test_the_next_request_asks_the_bucket_nothing(bench: Bench) -> None:
    """Neither `.info` nor parts nor the tail's bytes are read again."""
    upload_id = await bench.create(50)
    await bench.append(upload_id, 4)
    bench.bucket.calls.clear()
    await bench.append(upload_id, 8)

    assert bench.bucket.calls == [("put", bench.tail_key(upload_id, 1))]


async def test_a_request_that_is_refused_forgets_nothing(bench: Bench) -> None:
    """Opening without appending (a wrong offset) leaves state, bytes and budget as they were."""
    upload_id = await bench.create(50)
    await bench.append(upload_id, 4)
    before = bench.spool.memory_free
    for _ in range(3):
        async with bench.held(upload_id):
            pass
    after = bench.spool.memory_free
    bench.bucket.calls.clear()
    await bench.append(upload_id, 8)

    assert bench.memory > before == after
    assert bench.bucket.operations == ["put"]


async def test_no_memory_is_left_when_the_upload_ends(bench: Bench) -> None:
    """Finished or terminated."""
    for ending in ("append", "terminate"):
        upload_id = await bench.create(50)
        await bench.append(upload_id, 14)
        if ending == "append":
            await bench.append(upload_id, 50)
        else:
            await bench.terminate(upload_id)

        assert bench.spool.memory_free == bench.memory
        assert not bench.spool._buffers


async def test_another_process_in_between_is_noticed(bench: Bench) -> None:
    """A locker that is not sure says so, and everything is read again."""
    upload_id = await bench.create(50)
    await bench.append(upload_id, 4)
    other = Bench(bench.bucket, bench.folder)
    await other.append(upload_id, 23)
    held = await bench.store.open(upload_id, Hold(100, previous=None))

    assert held.info.offset == 23


async def test_tails_that_lost_their_memory_are_read_back(bench: Bench) -> None:
    """Other uploads needed the room."""
    upload_id = await bench.create(50)
    await bench.append(upload_id, 4)
    while bench.spool.on_pressure():
        pass
    bench.bucket.calls.clear()
    await bench.append(upload_id, 50)

    assert ("get", bench.tail_key(upload_id, 1)) in bench.bucket.calls
    assert await bench.download(upload_id) == FILE[:50]


async def test_two_appends_in_one_hold_are_one_upload(bench: Bench) -> None:
    """The second takes up what the first left, and no memory is lost."""
    upload_id = await bench.create(50)
    async with bench.held(upload_id) as held:
        await held.append(GivenBody(FILE[:4]))
        await held.append(GivenBody(FILE[4:14]))
        info = await held.append(GivenBody(FILE[14:50]))

    assert info.finished
    assert await bench.download(upload_id) == FILE[:50]
    assert bench.spool.memory_free == bench.memory
