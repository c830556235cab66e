"""Facts about the bytes of one part: in memory, in a file, and on the way from one to the other."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tusd_s3.digests import checksum_of
from tusd_s3.errors import OutOfRoom
from tusd_s3.model import KIB
from tusd_s3.store.buffer import PartBuffer
from tusd_s3.store.content import BufferContent, BytesContent
from tusd_s3.store.maps import MapPool
from tusd_s3.store.spool import Spool

LARGE = 256 * KIB  # reservations from this on are memory maps


class Make(Protocol):
    """Make a buffer; its test need not close it."""

    async def __call__(
        self, spool: Spool, size: int = ..., on_evict: Callable[[], None] = ...
    ) -> PartBuffer: ...


def ignore() -> None:
    """Do nothing when asked to go."""


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """Buffers that have no request."""
    made: list[PartBuffer] = []

    async def make_one(
        spool: Spool, size: int = 10, on_evict: Callable[[], None] = ignore
    ) -> PartBuffer:
        made.append(await spool.buffer("CRC32", size, on_evict))
        return made[-1]

    yield make_one
    for buffer in made:
        await buffer.close()


async def content_of(buffer: PartBuffer) -> bytes:
    """All bytes of a buffer."""
    return b"".join([bytes(chunk) async for chunk in buffer.chunks()])


# -- writing and reading -------------------------------------------------------------------------


@settings(max_examples=40)
@given(
    pieces=st.lists(st.binary(max_size=40), max_size=8),
    reserved=st.integers(0, 60),
    memory=st.sampled_from([0, 100, 1000]),
    move_after=st.none() | st.integers(0, 8),
)
async def test_bytes_are_read_back_as_they_were_written(
    pieces: list[bytes], reserved: int, memory: int, move_after: int | None
) -> None:
    """In memory, in a file, grown, or moved in between; the checksum is theirs, again and again."""
    spool = Spool(memory_budget=memory, disk_budget=1000)
    buffer = await spool.buffer("CRC32", reserved, ignore)
    for number, piece in enumerate(pieces):
        if number == move_after:
            await buffer.move_to_file()
        await buffer.write(piece)
    data = b"".join(pieces)
    content = BufferContent(buffer)
    read = [b"".join([bytes(c) async for c in content.chunks()]) for _ in range(2)]
    taken = memory - spool.memory_free, 1000 - spool.disk_free
    await buffer.close()
    await buffer.close()

    assert read == [data, data]
    assert (content.size, content.checksum) == (len(data), checksum_of("CRC32", data))
    assert sum(taken) >= len(data)
    assert (spool.memory_free, spool.disk_free) == (memory, 1000)


@pytest.mark.parametrize("memory", [0, 4 * LARGE])
async def test_large_parts_are_handed_out_in_pieces(memory: int, make: Make) -> None:
    """From a memory map or from a file."""
    spool = Spool(memory_budget=memory, disk_budget=4 * LARGE)
    buffer = await make(spool, LARGE + 10)
    data = bytes(range(256)) * 1024 + b"0123456789"
    for at in range(0, len(data), 60_000):
        await buffer.write(data[at : at + 60_000])

    assert buffer.in_memory == (memory > 0)
    assert await content_of(buffer) == data


async def test_content_is_fixed_at_the_size_it_was_made_with(make: Make) -> None:
    """Size and checksum are those of that moment."""
    buffer = await make(Spool(memory_budget=100, disk_budget=0))
    await buffer.write(b"abc")
    content = BufferContent(buffer)
    await buffer.write(b"d")

    assert (content.size, content.checksum) == (3, checksum_of("CRC32", b"abc"))


async def test_a_buffer_that_is_used_again_goes_on(make: Make) -> None:
    """A remembered tail, in the next request: its bytes, its checksum, and somebody to ask."""
    asked: list[str] = []
    spool = Spool(memory_budget=100, disk_budget=100)
    buffer = await make(spool, 10, lambda: asked.append("first"))
    await buffer.write(b"abc")
    buffer.sending = True
    buffer.evict()
    buffer.remember()
    buffer.evict()
    buffer.reuse(lambda: asked.append("second"))
    before = buffer.sending, buffer.evicted, buffer.remembered
    await buffer.write(b"d")
    buffer.evict()

    assert before == (False, False, False)
    assert asked == ["first", "second"]
    assert await content_of(buffer) == b"abcd"


# -- growing and moving --------------------------------------------------------------------------


async def test_more_than_was_expected_grows_to_the_whole_part() -> None:
    """Once: the smaller piece of memory is given back."""
    spool = Spool(memory_budget=100, disk_budget=0)
    buffer = await spool.buffer("CRC32", 50, ignore, expected=4)
    before = spool.memory_free
    await buffer.write(b"12345")

    assert (before, spool.memory_free) == (96, 50)
    assert await content_of(buffer) == b"12345"
    await buffer.close()
    assert spool.memory_free == 100


async def test_without_memory_to_grow_it_goes_to_a_file_without_a_name(tmp_path: Path) -> None:
    """The memory is given back; nothing is left behind when the process dies."""
    spool = Spool(memory_budget=40, disk_budget=100, directory=tmp_path)
    buffer = await spool.buffer("CRC32", 50, ignore, expected=8)
    await buffer.write(b"12345678")
    await buffer.write(b"abc")

    assert (buffer.in_memory, spool.memory_free, spool.disk_free) == (False, 40, 89)
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - at once
    assert await content_of(buffer) == b"12345678abc"
    await buffer.close()


async def test_moving_gives_the_memory_back(make: Make) -> None:
    """And changes nothing else; moving again is harmless."""
    spool = Spool(memory_budget=100, disk_budget=100)
    buffer = await make(spool, 60)
    await buffer.write(b"12345")
    for _ in range(2):
        await buffer.move_to_file()

    assert (spool.memory_free, spool.disk_free, buffer.on_disk) == (100, 95, 5)
    assert not buffer.is_movable
    await buffer.write(b"6")
    assert await content_of(buffer) == b"123456"


async def test_what_is_being_sent_is_not_moved(make: Make) -> None:
    """A transport refers to its memory."""
    spool = Spool(memory_budget=100, disk_budget=100)
    buffer = await make(spool)
    await buffer.write(b"12345")
    await buffer.seal()
    await buffer.move_to_file()

    assert buffer.in_memory
    assert not buffer.is_movable


async def test_without_disk_it_stays_in_memory(make: Make) -> None:
    """Nothing is reserved that was not there."""
    spool = Spool(memory_budget=100, disk_budget=4)
    buffer = await make(spool)
    await buffer.write(b"12345")
    with pytest.raises(OutOfRoom):
        await buffer.move_to_file()

    assert (buffer.in_memory, spool.disk_free) == (True, 4)
    assert await content_of(buffer) == b"12345"


async def test_an_owner_that_closes_while_it_is_moved_leaves_nothing() -> None:
    """Somebody else who waits for memory moves it, just when its request ends."""
    for turns in range(8):
        spool = Spool(memory_budget=100, disk_budget=100)
        buffer = await spool.buffer("CRC32", 60, ignore)
        await buffer.write(b"12345")
        moving = asyncio.create_task(buffer.move_to_file())
        for _ in range(turns):
            await asyncio.sleep(0)
        await buffer.close(answered=True)
        await asyncio.wait([moving])

        assert (spool.memory_free, spool.disk_free) == (100, 100), turns
        assert not buffer.in_memory


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_move_that_is_cancelled_leaves_nothing_reserved() -> None:
    """The one that waited for the memory gave up; a file that was just made is dropped."""
    for turns in range(8):
        spool = Spool(memory_budget=100, disk_budget=100)
        buffer = await spool.buffer("CRC32", 60, ignore)
        await buffer.write(b"12345")
        moving = asyncio.create_task(buffer.move_to_file())
        for _ in range(turns):
            await asyncio.sleep(0)
        moving.cancel()
        await asyncio.wait([moving])
        read = await content_of(buffer)
        reserved = 100 - spool.disk_free
        await buffer.close()

        assert read == b"12345"
        assert reserved == (0 if moving.cancelled() else 5)
        assert (spool.memory_free, spool.disk_free) == (100, 100), turns


async def test_a_remembered_tail_is_not_moved(make: Make) -> None:
    """It is dropped at once where memory is needed; a file would only cost."""
    spool = Spool(memory_budget=100, disk_budget=100)
    buffer = await make(spool)
    await buffer.write(b"12345")
    before = buffer.is_movable
    buffer.remember()

    assert (before, buffer.is_movable) == (True, False)


async def test_memory_is_not_used_again_while_it_is_being_sent() -> None:
    """A move that began before must not give the map away under the transport."""
    spool = Spool(memory_budget=10 * LARGE, disk_budget=10 * LARGE)
    buffer = await spool.buffer("CRC32", LARGE, ignore)
    data = b"mine" * (LARGE // 4)
    await buffer.write(data)
    moving = asyncio.create_task(buffer.move_to_file())
    await asyncio.sleep(0)
    await buffer.seal()
    pieces = [chunk async for chunk in buffer.chunks()]
    await asyncio.wait([moving])
    other = await spool.buffer("CRC32", LARGE, ignore)
    await other.write(b"else" * (LARGE // 4))
    sent = b"".join(bytes(piece) for piece in pieces)
    pieces.clear()
    await other.close()
    await buffer.close()

    assert sent == data


@pytest.mark.parametrize("expected", [None, 4])
async def test_where_the_system_has_no_memory_a_file_is_used(expected: int | None) -> None:
    """The budget was set too high: nothing stays reserved, at the beginning or when growing."""
    spool = Spool(memory_budget=2**62, disk_budget=100)
    buffer = await spool.buffer("CRC32", 2**60, ignore, expected=expected)
    await buffer.write(b"12345")

    assert not buffer.in_memory
    assert spool.memory_free == 2**62
    assert await content_of(buffer) == b"12345"
    await buffer.close()
    assert spool.disk_free == 100


# -- memory maps ---------------------------------------------------------------------------------


async def test_a_map_is_used_again_when_the_bucket_has_answered() -> None:
    """Its pages are warm; without an answer a transport may still refer to it."""
    spool = Spool(memory_budget=10 * LARGE, disk_budget=0)
    seen = []
    for answered in (True, False, True):
        buffer = await spool.buffer("CRC32", LARGE, ignore)
        seen.append(buffer._map)
        await buffer.close(answered=answered)
    first, second, third = map(id, seen)

    assert first == second
    assert third != first
    assert spool.memory_free == 10 * LARGE


async def test_unused_maps_go_back_to_the_system() -> None:
    """After a while: an idle server holds no memory."""
    pool = MapPool(keep_s=0.001)
    pool.give_back(pool.take(LARGE))
    pool.give_back(pool.take(2 * LARGE))
    async with asyncio.timeout(5):
        while pool._free:  # noqa: ASYNC110 - a timer tells nobody
            await asyncio.sleep(0.001)

    assert len(pool.take(LARGE)) == LARGE


# -- real disks that fail ------------------------------------------------------------------------


@pytest.mark.parametrize("memory", [0, 100])
async def test_a_folder_that_is_not_there_is_no_room(tmp_path: Path, memory: int) -> None:
    """What was in memory stays there, to be flushed as a tail; nothing stays reserved."""
    spool = Spool(memory_budget=memory, disk_budget=100, directory=tmp_path / "missing")
    if memory == 0:
        with pytest.raises(OutOfRoom):
            await spool.buffer("CRC32", 10, ignore)
    else:
        buffer = await spool.buffer("CRC32", 10, ignore)
        await buffer.write(b"12345")
        with pytest.raises(OutOfRoom):
            await buffer.move_to_file()
        assert await content_of(buffer) == b"12345"
        assert spool.disk_free == 100
        await buffer.close()

    assert (spool.memory_free, spool.disk_free) == (memory, 100)
    assert not spool._buffers


async def test_a_write_that_finds_the_disk_full_does_not_count(make: Make) -> None:
    """What was reserved for it is given back, and what was written before is still there."""
    spool = Spool(memory_budget=0, disk_budget=100)
    buffer = await make(spool)
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

    assert (spool.disk_free, buffer.on_disk) == (95, 5)
    assert await content_of(buffer) == b"12345"


_CHILD = """
import asyncio, resource, signal, sys
from tusd_s3.errors import OutOfRoom
from tusd_s3.store.spool import Spool

async def main(memory):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
    spool = Spool(memory_budget=memory, disk_budget=10_000)
    buffer = await spool.buffer("CRC32", memory or 500, lambda: None)
    written = b""
    try:
        for number in range(5):
            data = bytes([number]) * 30
            await buffer.write(data)
            written += data
        await buffer.move_to_file()
    except OutOfRoom:
        pass
    else:
        raise AssertionError("no limit was felt")
    read = b"".join([bytes(c) async for c in buffer.chunks()])
    assert read == written and buffer.size == len(written), (read, written)
    assert spool.disk_free == 10_000 - (0 if memory else len(written))
    await buffer.close()
    assert (spool.memory_free, spool.disk_free) == (memory, 10_000)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print(len(written))

asyncio.run(main(int(sys.argv[1])))
"""


@pytest.mark.parametrize(("memory", "kept"), [(0, 90), (150, 150)])
def test_a_disk_that_is_full_is_no_room(memory: int, kept: int) -> None:
    """A write that the disk takes half of does not count: the buffer is as it was before."""
    command = [sys.executable, "-c", _CHILD, str(memory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, str(kept), "")


async def test_a_file_that_was_cut_short_is_an_error(make: Make) -> None:
    """Bytes that cannot be read back are never sent as if they were there."""
    buffer = await make(Spool(memory_budget=0, disk_budget=100))
    await buffer.write(b"12345")
    assert buffer._file is not None
    await buffer._file.truncate(2)
    with pytest.raises(OSError, match="shorter"):
        await content_of(buffer)


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
