"""Facts about the room that all part buffers share: who gets it, who waits, who has to go."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tusd_s3.errors import OutOfRoom
from tusd_s3.model import MIB
from tusd_s3.store.buffer import PartBuffer
from tusd_s3.store.spool import SMALL, Spool

LARGE = 2 * MIB  # more than a small request


class Make(Protocol):
    """Make a buffer; its test need not close it."""

    async def __call__(
        self,
        spool: Spool,
        size: int = ...,
        on_evict: Callable[[], None] = ...,
        *,
        expected: int | None = ...,
    ) -> PartBuffer: ...


def ignore() -> None:
    """Do nothing when asked to go."""


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """Buffers that have no request."""
    made: list[PartBuffer] = []

    async def make_one(
        spool: Spool,
        size: int = 10,
        on_evict: Callable[[], None] = ignore,
        *,
        expected: int | None = None,
    ) -> PartBuffer:
        made.append(await spool.buffer("CRC32", size, on_evict, expected=expected))
        return made[-1]

    yield make_one
    for buffer in made:
        await buffer.close()


async def content_of(buffer: PartBuffer) -> bytes:
    """All bytes of a buffer."""
    return b"".join([bytes(chunk) async for chunk in buffer.chunks()])


async def steps() -> None:
    """Let every task that can move do so a few times."""
    for _ in range(8):
        await asyncio.sleep(0)


def full(*, disk: int = 30, wait_s: float = 5.0) -> Spool:
    """A spool without memory."""
    return Spool(memory_budget=0, disk_budget=disk, wait_s=wait_s)


# -- budgets -------------------------------------------------------------------------------------

writes = st.tuples(st.just("write"), st.integers(0, 3), st.integers(0, 60))
other_steps = st.tuples(
    st.sampled_from(["close", "open", "move", "seal", "reuse"]), st.integers(0, 3), st.just(20)
)


async def take_step(buffer: PartBuffer, step: str, data: bytes) -> bytes:
    """Do one thing with a buffer; return the bytes that it took."""
    if step == "write":
        await buffer.write(data)
        return data
    if step == "move":
        await buffer.move_to_file()
    elif step == "seal":
        await buffer.seal()
    elif step == "reuse":
        buffer.remember()
        buffer.reuse(ignore)
    return b""


@settings(max_examples=60)
@given(
    script=st.lists(writes | other_steps, max_size=25),
    memory=st.integers(0, 80),
    disk=st.integers(0, 120),
)
async def test_budgets_are_never_exceeded_and_always_given_back(
    script: list[tuple[str, int, int]], memory: int, disk: int
) -> None:
    """Whatever four buffers do: what is taken is at most the budget, and covers their bytes."""
    spool = Spool(memory_budget=memory, disk_budget=disk, wait_s=0.001)
    buffers: list[PartBuffer | None] = [None] * 4
    sent = [b""] * 4
    for step, which, size in script:
        buffer = buffers[which]
        with contextlib.suppress(OutOfRoom):
            if buffer is None:
                buffers[which] = await spool.buffer("CRC32", size, ignore)
            elif step == "close":
                await buffer.close()
                buffers[which], sent[which] = None, b""
            else:
                sent[which] += await take_step(buffer, step, bytes([which]) * size)
        there = [b for b in buffers if b is not None]
        in_memory = sum(b.size for b in there if b.in_memory)
        on_disk = sum(b.size for b in there if not b.in_memory)
        assert in_memory <= memory - spool.memory_free <= memory
        assert on_disk <= disk - spool.disk_free <= disk
    for buffer, data in zip(buffers, sent, strict=True):
        if buffer is not None:
            assert await content_of(buffer) == data
            await buffer.close()

    assert (spool.memory_free, spool.disk_free) == (memory, disk)
    assert not spool._buffers


def test_a_part_must_fit_where_it_may_have_to_go() -> None:
    """On disk; in memory only where there is no disk."""
    assert Spool(memory_budget=50, disk_budget=20).largest_part == 20
    assert Spool(memory_budget=50, disk_budget=0).largest_part == 50


@pytest.mark.parametrize(
    ("size", "expected", "reserved"),
    [
        (50, None, 50),
        (50, 5, 5),
        (50, 60, 50),
        (3 * MIB, SMALL, SMALL),
        (3 * MIB, SMALL + 1, 3 * MIB),
    ],
)
async def test_a_whole_part_is_reserved_unless_little_is_expected(
    make: Make, size: int, expected: int | None, reserved: int
) -> None:
    """A part that has begun can be finished; small requests do not reserve what they never use."""
    spool = Spool(memory_budget=8 * MIB, disk_budget=0)
    await make(spool, size, expected=expected)

    assert 8 * MIB - spool.memory_free == reserved


# -- memory --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [11, LARGE])
async def test_what_can_never_fit_in_memory_goes_to_a_file_at_once(make: Make, size: int) -> None:
    """Waiting would be in vain."""
    spool = Spool(memory_budget=10 if size < SMALL else LARGE, disk_budget=2 * LARGE, wait_s=60)
    buffer = await asyncio.wait_for(make(spool, size), 5)

    assert not buffer.in_memory


async def test_memory_is_given_in_order_of_arrival(make: Make) -> None:
    """Whoever came first is served first, also if the next one needs less."""
    spool = Spool(memory_budget=16 * MIB, disk_budget=0)
    holder = await make(spool, 14 * MIB)
    holder.sending = True
    order: list[int] = []

    async def take(number: int, size: int) -> None:
        await make(spool, size)
        order.append(number)

    sizes = [12 * MIB, LARGE, LARGE]
    tasks = []
    for number, size in enumerate(sizes):
        tasks.append(asyncio.create_task(take(number, size)))
        await steps()
    waiting = list(order)
    await holder.close()
    await steps()
    first = list(order)
    next(b for b in spool._buffers if b._capacity == 12 * MIB).sending = True
    await next(b for b in spool._buffers if b._capacity == 12 * MIB).close()
    await asyncio.wait_for(asyncio.gather(*tasks), 5)

    assert (waiting, first[:1]) == ([], [0])
    assert order == [0, 1, 2]


async def test_small_requests_have_a_share_to_themselves(make: Make) -> None:
    """Large parts leave an eighth of the budget, and small ones do not queue behind them."""
    spool = Spool(memory_budget=8 * MIB, disk_budget=0)
    holder = await make(spool, 7 * MIB)
    holder.sending = True
    large = asyncio.create_task(make(spool, LARGE))
    await steps()
    small = await asyncio.wait_for(make(spool, SMALL), 5)
    waited = not large.done()
    await holder.close()
    await asyncio.wait_for(large, 5)

    assert waited
    assert small.in_memory


async def test_remembered_tails_make_room_first(make: Make) -> None:
    """Memory that is only a convenience goes before anybody waits."""
    spool = Spool(memory_budget=10, disk_budget=100)
    remembered = [await make(spool, 5) for _ in range(2)]

    def drop_one() -> bool:
        if remembered:
            remembered.pop().forget()
            return True
        return False

    spool.on_pressure = drop_one
    buffer = await make(spool, 3)

    assert (buffer.in_memory, len(remembered), spool.memory_free) == (True, 1, 2)


async def test_idle_buffers_are_moved_to_files_for_those_who_wait(make: Make) -> None:
    """A stalled client's half-filled part does not keep others from memory."""
    spool = Spool(memory_budget=10, disk_budget=100)
    idle = await make(spool, 10)
    await idle.write(b"123")
    idle.touched -= 1
    buffer = await asyncio.wait_for(make(spool, 10), 5)

    assert (idle.in_memory, buffer.in_memory) == (False, True)
    assert await content_of(idle) == b"123"


async def test_slow_buffers_are_moved_too(make: Make) -> None:
    """A client that sends a byte now and then is not idle, but never gets ready."""
    spool = Spool(memory_budget=10, disk_budget=100)
    slow = await make(spool, 10)
    await slow.write(b"123")
    slow.born -= 10
    slow.touched += 1000
    await asyncio.wait_for(make(spool, 10), 5)

    assert not slow.in_memory


async def test_no_more_are_moved_than_is_needed(make: Make) -> None:
    """The idlest first."""
    spool = Spool(memory_budget=20, disk_budget=100)
    first, second = await make(spool, 10), await make(spool, 10)
    for buffer, ago in ((first, 1.0), (second, 2.0)):
        await buffer.write(b"123")
        buffer.touched -= ago
    await asyncio.wait_for(make(spool, 10), 5)

    assert (first.in_memory, second.in_memory) == (True, False)


async def test_without_disk_the_idlest_is_asked_to_go(make: Make) -> None:
    """Neither memory nor disk: its request ends, flushed as a tail; once."""
    spool = Spool(memory_budget=10, disk_budget=2)
    asked: list[str] = []
    idle = await make(spool, 10, partial(asked.append, "idle"))
    await idle.write(b"123")
    idle.touched -= 1
    waiting = asyncio.create_task(make(spool, 10))
    async with asyncio.timeout(5):
        while not asked:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)
    await steps()
    await idle.close()
    buffer = await asyncio.wait_for(waiting, 5)

    assert asked == ["idle"]
    assert buffer.in_memory


async def test_who_waits_too_long_uses_a_file(make: Make) -> None:
    """A bucket that never answers holds the memory, but not everybody else."""
    spool = Spool(memory_budget=10, disk_budget=100, wait_s=0.01)
    sending = await make(spool, 10)
    sending.sending = True
    buffer = await asyncio.wait_for(make(spool, 10), 5)

    assert not buffer.in_memory


async def test_who_gave_up_waiting_leaves_no_trace(make: Make) -> None:
    """Cancelled while it waits, or when it was just granted: the next one is served."""
    for granted in (False, True):
        spool = Spool(memory_budget=10, disk_budget=100)
        sending = await make(spool, 10)
        sending.sending = True
        leaving = asyncio.create_task(spool.take_memory(10))
        await steps()
        staying = asyncio.create_task(spool.take_memory(10))
        await steps()
        if granted:
            sending.forget()
            leaving.cancel()
        else:
            leaving.cancel()
            await steps()
            sending.forget()
        await asyncio.wait([leaving])

        assert await asyncio.wait_for(staying, 5)
        assert leaving.cancelled()
        assert spool.memory_free == 0
        assert not spool._queue


# -- disk ----------------------------------------------------------------------------------------


async def test_a_writer_waits_while_something_is_being_sent(make: Make) -> None:
    """The one that is sent will give its room back: nobody is asked to go."""
    spool = full()
    asked: list[str] = []
    first = await make(spool, 50, partial(asked.append, "first"))
    second = await make(spool, 50, partial(asked.append, "second"))
    await first.write(b"1" * 20)
    await second.write(b"2" * 5)
    first.sending = True
    writing = asyncio.create_task(second.write(b"2" * 10))
    await steps()
    waited = not writing.done()
    await first.close()
    await asyncio.wait_for(writing, 5)

    assert waited
    assert asked == []
    assert await content_of(second) == b"2" * 15


async def test_the_idlest_file_is_asked_to_go_when_nothing_is_sent(make: Make) -> None:
    """Half-filled buffers never block each other for ever."""
    spool = full()
    asked: list[str] = []
    names = ("idle", "idlest", "busy")
    idle, idlest, busy = [await make(spool, 50, partial(asked.append, name)) for name in names]
    for buffer in (idle, idlest, busy):
        await buffer.write(b"1" * 10)
    idle.touched, idlest.touched = 2.0, 1.0
    writing = asyncio.create_task(busy.write(b"1"))
    await steps()
    waited = not writing.done()
    await idlest.close()
    await asyncio.wait_for(writing, 5)

    assert waited
    assert asked == ["idlest"]
    assert busy.size == 11


async def test_only_one_is_asked_at_a_time(make: Make) -> None:
    """It flushes first; who still has no room then asks the next."""
    spool = full()
    asked: list[str] = []
    idle, idlest = [
        await make(spool, 50, partial(asked.append, name)) for name in ("idle", "idlest")
    ]
    for buffer in (idle, idlest):
        await buffer.write(b"1" * 10)
    idle.touched, idlest.touched = 2.0, 1.0
    busy = [await make(spool, 50) for _ in range(2)]
    await busy[0].write(b"1" * 10)
    writing = [asyncio.create_task(buffer.write(b"1" * 9)) for buffer in busy]
    await steps()
    asked_first = list(asked)
    await idlest.close()
    await steps()
    asked_then = list(asked)
    await idle.close()
    await asyncio.wait_for(asyncio.gather(*writing), 5)

    assert asked_first == ["idlest"]
    assert asked_then == ["idlest", "idle"]


async def test_who_was_asked_to_go_does_not_wait_for_room(make: Make) -> None:
    """The one that asked waits for it: both would wait for each other until the limit."""
    spool = full(disk=20)
    first, second = await make(spool, 50), await make(spool, 50)
    await first.write(b"1" * 10)
    await second.write(b"2" * 10)
    asking = asyncio.create_task(first.write(b"1"))
    await steps()
    evicted = second.evicted
    with pytest.raises(OutOfRoom):
        await asyncio.wait_for(second.write(b"2"), 5)
    await second.close()
    await asyncio.wait_for(asking, 5)

    assert evicted
    assert await content_of(first) == b"1" * 11


async def test_who_finds_only_others_that_wait_ends(make: Make) -> None:
    """There is nobody left to ask, so one of them flushes and makes room for the others."""
    spool = full(disk=20)
    sending, first, second = [await make(spool, 50) for _ in range(3)]
    for buffer, size in ((sending, 10), (first, 5), (second, 5)):
        await buffer.write(b"1" * size)
    sending.sending = True
    waiting = [asyncio.create_task(buffer.write(b"2" * 12)) for buffer in (first, second)]
    await steps()
    await sending.close()  # gives 10 of the 12
    with pytest.raises(OutOfRoom):
        await asyncio.wait_for(waiting[0], 5)
    await first.close()
    await asyncio.wait_for(waiting[1], 5)

    assert second.size == 17


async def test_waiting_for_disk_ends_with_the_time_limit(make: Make) -> None:
    """A bucket that never answers does not hold a writer for ever; its bytes are untouched."""
    spool = full(disk=20, wait_s=0.01)
    sending, asker = await make(spool, 50), await make(spool, 50)
    await sending.write(b"1" * 15)
    sending.sending = True
    await asker.write(b"2" * 5)
    with pytest.raises(OutOfRoom):
        await asker.write(b"2" * 5)

    assert await content_of(asker) == b"2" * 5
    await sending.close()
    await asker.write(b"2" * 5)
    assert asker.size == 10


async def test_what_can_never_fit_evicts_nobody(make: Make) -> None:
    """A buffer that needs more than the whole disk ends itself at once."""
    spool = full(disk=20)
    asked: list[str] = []
    other = await make(spool, 50, partial(asked.append, "other"))
    await other.write(b"1" * 5)
    asker = await make(spool, 50)
    await asker.write(b"2" * 15)
    with pytest.raises(OutOfRoom):
        await asker.write(b"2" * 10)

    assert asked == []
    assert await content_of(asker) == b"2" * 15


async def test_a_writer_that_is_cancelled_is_not_waited_for(make: Make) -> None:
    """It leaves no trace; the next one is served."""
    spool = full(disk=20)
    sending, gone, stays = [await make(spool, 50) for _ in range(3)]
    for buffer, size in ((sending, 18), (gone, 1), (stays, 1)):
        await buffer.write(b"1" * size)
    sending.sending = True
    leaving = asyncio.create_task(gone.write(b"2"))
    staying = asyncio.create_task(stays.write(b"3"))
    await steps()
    leaving.cancel()
    await asyncio.wait([leaving])
    await sending.close()
    await asyncio.wait_for(staying, 5)

    assert not gone.waiting
    assert await content_of(stays) == b"13"
