"""Facts about part buffers and the room that they share."""

import asyncio
import os
import resource
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tusd_s3.digests import checksum_of
from tusd_s3.errors import OutOfRoom
from tusd_s3.model import KIB
from tusd_s3.store.spool import BufferContent, BytesContent, PartBuffer, Spool


class Make(Protocol):
    """Make a buffer; its test need not close it."""

    def __call__(self, spool: Spool, on_evict: Callable[[], None] = ...) -> PartBuffer: ...


def ignore() -> None:
    """Do nothing when asked to go."""


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """Buffers that have no request."""
    made: list[PartBuffer] = []

    def make_one(spool: Spool, on_evict: Callable[[], None] = ignore) -> PartBuffer:
        made.append(spool.buffer("CRC32", on_evict))
        return made[-1]

    yield make_one
    for buffer in made:
        await buffer.close()


async def content_of(buffer: PartBuffer) -> bytes:
    """All bytes of a buffer."""
    return b"".join([bytes(chunk) async for chunk in buffer.chunks()])


async def steps() -> None:
    """Let every task that can move do so a few times."""
    for _ in range(5):
        await asyncio.sleep(0)


# -- budgets -------------------------------------------------------------------------------------

writes = st.tuples(st.just("write"), st.integers(0, 3), st.integers(0, 60))
other_steps = st.tuples(
    st.sampled_from(["close", "forget", "send", "remember"]), st.integers(0, 3), st.just(0)
)


@given(script=st.lists(writes | other_steps, max_size=25), memory=st.integers(0, 80),
       disk=st.integers(0, 120))  # fmt: skip
async def test_budgets_are_never_exceeded_and_always_given_back(
    script: list[tuple[str, int, int]], memory: int, disk: int
) -> None:
    """Whatever four buffers do: what is taken is at most the budget, and covers their bytes."""
    spool = Spool(memory_budget=memory, disk_budget=disk, wait_s=0.001)
    buffers = [spool.buffer("CRC32", ignore) for _ in range(4)]
    sent = [b""] * 4
    for step, which, size in script:
        buffer = buffers[which]
        if step == "write":
            data = bytes([which]) * size
            try:
                await buffer.write(data)
                sent[which] += data
            except OutOfRoom:
                assert size > 0
        elif step == "send":
            buffer.sending = not buffer.sending
        elif step == "remember":
            buffer.reuse(ignore)
        else:
            if step == "forget" and buffer.in_memory:
                buffer.forget()
            await buffer.close()
            buffers[which], sent[which] = spool.buffer("CRC32", ignore), b""

        in_memory = sum(b.size for b in buffers if b.in_memory)
        on_disk = sum(b.size for b in buffers if not b.in_memory)
        assert in_memory <= memory - spool.memory_free <= memory
        assert on_disk <= disk - spool.disk_free <= disk
    for buffer, data in zip(buffers, sent, strict=True):
        assert buffer.size == len(data)
        assert buffer.checksum == checksum_of("CRC32", data)
        assert await content_of(buffer) == data
        await buffer.close()
        await buffer.close()

    assert (spool.memory_free, spool.disk_free) == (memory, disk)


@pytest.mark.parametrize("memory", [1_000_000, 0, 150_000])
async def test_bytes_are_read_back_again_and_again(memory: int, make: Make) -> None:
    """From memory, from a file, and where it moved in between; the checksum is theirs."""
    spool = Spool(memory_budget=memory, disk_budget=1_000_000)
    buffer = make(spool)
    data = bytes(range(256)) * 1500
    for at in range(0, len(data), 1000):
        await buffer.write(data[at : at + 1000])
    content = BufferContent(buffer)

    assert [b"".join([bytes(c) async for c in content.chunks()]) for _ in range(2)] == [data] * 2
    assert (content.size, content.checksum) == (len(data), checksum_of("CRC32", data))
    assert buffer.in_memory == (memory == 1_000_000)
    assert buffer.on_disk == (0 if buffer.in_memory else len(data))
    await buffer.close()


async def test_content_is_fixed_at_the_size_it_was_made_with(make: Make) -> None:
    """Size and checksum are those of that moment."""
    buffer = make(Spool(memory_budget=100, disk_budget=0))
    await buffer.write(b"abc")
    content = BufferContent(buffer)
    await buffer.write(b"d")

    assert (content.size, content.checksum) == (3, checksum_of("CRC32", b"abc"))


async def test_small_chunks_are_gathered(make: Make) -> None:
    """A slow client's single bytes do not become objects of their own."""
    buffer = make(Spool(memory_budget=1_000_000, disk_budget=0))
    large = b"L" * (4 * KIB)
    for _ in range(70 * KIB):
        await buffer.write(b"s")
    await buffer.write(large)
    await buffer.write(b"e")

    assert [len(chunk) async for chunk in buffer.chunks()] == [64 * KIB, 6 * KIB, 4 * KIB, 1]


async def test_large_chunks_are_kept_as_they_came(make: Make) -> None:
    """No copy is made of what arrived in good size."""
    buffer = make(Spool(memory_budget=1_000_000, disk_budget=0))
    large = b"L" * (4 * KIB)
    await buffer.write(large)

    assert [id(chunk) async for chunk in buffer.chunks()] == [id(large)]


async def test_what_does_not_fit_in_memory_goes_to_a_file_without_a_name(
    tmp_path: Path, make: Make
) -> None:
    """The memory is given back; nothing is left behind when the process dies."""
    spool = Spool(memory_budget=10, disk_budget=100, directory=tmp_path)
    buffer = make(spool)
    await buffer.write(b"12345678")
    await buffer.write(b"abc")

    assert (buffer.in_memory, spool.memory_free, spool.disk_free) == (False, 10, 89)
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - at once
    assert await content_of(buffer) == b"12345678abc"
    await buffer.close()


def test_a_part_must_fit_where_it_may_have_to_go() -> None:
    """On disk; in memory only where there is no disk."""
    assert Spool(memory_budget=50, disk_budget=20).largest_part == 20
    assert Spool(memory_budget=50, disk_budget=0).largest_part == 50


async def test_remembered_tails_make_room_first(make: Make) -> None:
    """Memory that is only a convenience goes before a file is opened."""
    spool = Spool(memory_budget=10, disk_budget=100)
    remembered = [make(spool) for _ in range(2)]
    for tail in remembered:
        await tail.write(b"12345")

    def drop_one() -> bool:
        if remembered:
            remembered.pop().forget()
            return True
        return False

    spool.on_pressure = drop_one
    buffer = make(spool)
    await buffer.write(b"123")

    assert (buffer.in_memory, len(remembered), spool.memory_free) == (True, 1, 2)


# -- when there is no room -----------------------------------------------------------------------


def full(*, disk: int = 30, wait_s: float = 5.0) -> Spool:
    """A spool without memory."""
    return Spool(memory_budget=0, disk_budget=disk, wait_s=wait_s)


async def test_a_writer_waits_while_something_is_being_sent(make: Make) -> None:
    """The one that is sent will give its room back: nobody is asked to go."""
    spool = full()
    asked: list[str] = []
    first = make(spool, lambda: asked.append("first"))
    second = make(spool, lambda: asked.append("second"))
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


async def test_the_idlest_is_asked_to_go_when_nothing_is_sent(make: Make) -> None:
    """Half-filled buffers never block each other for ever."""
    spool = full()
    asked: list[str] = []
    names = ("idle", "idlest", "busy")
    idle, idlest, busy = (make(spool, partial(asked.append, name)) for name in names)
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
    idle, idlest = (make(spool, partial(asked.append, name)) for name in ("idle", "idlest"))
    for buffer in (idle, idlest):
        await buffer.write(b"1" * 10)
    idle.touched, idlest.touched = 2.0, 1.0
    busy = [make(spool), make(spool)]
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
    first, second = make(spool), make(spool)
    await first.write(b"1" * 10)
    await second.write(b"2" * 10)
    asking = asyncio.create_task(first.write(b"1"))
    await steps()
    evicted = second.evicted
    with pytest.raises(OutOfRoom):
        await asyncio.wait_for(second.write(b"2"), 1)
    await second.close()
    await asyncio.wait_for(asking, 1)

    assert evicted
    assert await content_of(first) == b"1" * 11


async def test_who_finds_only_others_that_wait_ends(make: Make) -> None:
    """There is nobody left to ask, so one of them flushes and makes room for the others."""
    spool = full(disk=20)
    sending, first, second = make(spool), make(spool), make(spool)
    for buffer, size in ((sending, 10), (first, 5), (second, 5)):
        await buffer.write(b"1" * size)
    sending.sending = True
    waiting = [asyncio.create_task(buffer.write(b"2" * 12)) for buffer in (first, second)]
    await steps()
    await sending.close()  # gives 10 of the 12
    with pytest.raises(OutOfRoom):
        await asyncio.wait_for(waiting[0], 1)
    await first.close()
    await asyncio.wait_for(waiting[1], 1)

    assert second.size == 17


async def test_waiting_ends_with_the_time_limit(make: Make) -> None:
    """A bucket that never answers does not hold a writer for ever; its bytes are untouched."""
    spool = full(disk=20, wait_s=0.01)
    sending, asker = make(spool), make(spool)
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
    spool = Spool(memory_budget=30, disk_budget=20)
    asked: list[str] = []
    other = make(spool, lambda: asked.append("other"))
    await other.write(b"1" * 15)
    asker = make(spool)
    await asker.write(b"2" * 15)
    with pytest.raises(OutOfRoom):
        await asker.write(b"2" * 10)

    assert asked == []
    assert await content_of(asker) == b"2" * 15


async def test_a_remembered_tail_does_not_keep_a_file_waiting(make: Make) -> None:
    """Tails are in memory: dropping one gives no disk, so the idlest file is asked."""
    spool = Spool(memory_budget=5, disk_budget=20, wait_s=0.5)
    asked: list[str] = []
    tail = make(spool, lambda: asked.append("tail"))
    await tail.write(b"12345")
    tail.touched = 0.0
    idle, asker = make(spool, lambda: asked.append("idle")), make(spool)
    await idle.write(b"1" * 10)
    await asker.write(b"2" * 10)
    writing = asyncio.create_task(asker.write(b"2"))
    await steps()
    await idle.close()
    await asyncio.wait_for(writing, 5)

    assert asked == ["idle"]


async def test_who_gave_up_waiting_is_not_woken(make: Make) -> None:
    """A cancelled writer leaves no trace; the next one is served."""
    spool = full(disk=20)
    sending, gone, stays = make(spool), make(spool), make(spool)
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


# -- real disks that fail ------------------------------------------------------------------------


async def test_a_folder_that_is_not_there_is_no_room(tmp_path: Path, make: Make) -> None:
    """What was in memory stays there, to be flushed as a tail; all room is given back."""
    spool = Spool(memory_budget=10, disk_budget=100, directory=tmp_path / "missing")
    buffer = make(spool)
    await buffer.write(b"12345678")
    with pytest.raises(OutOfRoom):
        await buffer.write(b"abc")

    assert buffer.in_memory
    assert await content_of(buffer) == b"12345678"
    assert (spool.memory_free, spool.disk_free) == (2, 100)
    await buffer.close()
    assert (spool.memory_free, spool.disk_free) == (10, 100)


_CHILD = """
import asyncio, resource, signal, sys
from tusd_s3.errors import OutOfRoom
from tusd_s3.store.spool import Spool

async def main():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
    spool = Spool(memory_budget=int(sys.argv[1]), disk_budget=10_000)
    buffer = spool.buffer("CRC32", lambda: None)
    written = b""
    for number in range(20):
        data = bytes([number]) * 30
        try:
            await buffer.write(data)
        except OutOfRoom:
            break
        written += data
    else:
        raise AssertionError("no limit was felt")
    read = b"".join([bytes(c) async for c in buffer.chunks()])
    assert read == written and buffer.size == len(written), (read, written)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
    await buffer.close()
    assert (spool.memory_free, spool.disk_free) == (int(sys.argv[1]), 10_000)
    print(len(written))

asyncio.run(main())
"""


@pytest.mark.parametrize(("memory", "kept"), [(0, 90), (150, 150)])
def test_a_disk_that_is_full_is_no_room(memory: int, kept: int) -> None:
    """A write that the disk takes half of does not count: the buffer is as it was before."""
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(memory)], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, str(kept), "")
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 100


async def test_a_write_that_finds_the_disk_full_does_not_count(make: Make, tmp_path: Path) -> None:
    """What was reserved for it is given back, and what was written before is still there."""
    spool = Spool(memory_budget=0, disk_budget=100, directory=tmp_path)
    buffer = make(spool)
    await buffer.write(b"12345")
    assert buffer._file is not None
    place = buffer._file.fileno()
    kept, full_disk = os.dup(place), os.open("/dev/full", os.O_RDWR)
    os.dup2(full_disk, place)
    with pytest.raises(OutOfRoom):
        await buffer.write(b"678")
    os.dup2(kept, place)
    for fd in (kept, full_disk):
        os.close(fd)

    assert spool.disk_free == 95
    assert await content_of(buffer) == b"12345"


async def test_a_file_that_was_cut_short_is_an_error(tmp_path: Path, make: Make) -> None:
    """Bytes that cannot be read back are never sent as if they were there."""
    buffer = make(Spool(memory_budget=0, disk_budget=100, directory=tmp_path))
    await buffer.write(b"12345")
    assert buffer._file is not None
    await buffer._file.truncate(2)
    with pytest.raises(OSError, match="shorter"):
        await content_of(buffer)
    await buffer.close()


# -- bytes that are all there --------------------------------------------------------------------


@given(data=st.binary(max_size=50))
async def test_given_bytes_are_content(data: bytes) -> None:
    """Records and empty objects."""
    content = BytesContent(data, "MD5")

    assert (content.size, content.checksum) == (len(data), checksum_of("MD5", data))
    assert [b"".join([bytes(c) async for c in content.chunks()]) for _ in range(2)] == [data] * 2


async def test_nothing_is_no_chunk() -> None:
    """Not an empty one, which would end a chunked body."""
    assert [chunk async for chunk in BytesContent(b"", "CRC32").chunks()] == []
