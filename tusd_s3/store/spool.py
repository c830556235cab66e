"""Part buffers: memory under one budget, temporary files for those who are slow, back-pressure.

A buffer reserves memory for its whole part before the first byte is taken from the socket, so
that a part that has begun can be finished. Whoever gets no memory waits, in order of arrival, and
its client feels back-pressure. Buffers that are idle or fill slowly while others wait are moved
to temporary files; small requests have a share of the budget to themselves.

Invariants:
    1. The buffers of all uploads together never reserve more than the two budgets.
    2. A buffer that is being sent to the bucket gives its room back within the bucket's time
       limits; one that is neither sent nor filled can be moved to a file or be asked to end. So
       nobody waits for ever, and half-filled buffers never block each other.
    3. A memory map is used again only when the bucket has answered; after a failure a transport
       may still hold it.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from tusd_s3.errors import OutOfRoom
from tusd_s3.model import MIB
from tusd_s3.store.buffer import PartBuffer
from tusd_s3.store.maps import MapPool

SMALL = MIB  # bytes; reservations up to this may use the whole budget
_SHARE = 8  # one part in so many of the budget is for small reservations only
_IDLE_S = 0.1  # a buffer that got nothing for so long makes room for those who wait
_SLOW_S = 1.0  # and one that is not full after so long
_FAR_S = 3600.0


class _Waiter:
    """Somebody who waits for memory; the first in the queue looks for idle buffers meanwhile."""

    __slots__ = ("granted", "size", "woken")

    def __init__(self, size: int) -> None:
        self.size = size
        self.granted = False
        self.woken = asyncio.Event()


class Spool:
    """The room that all part buffers of the process share.

    Args:
        memory_budget: bytes of memory for part buffers.
        disk_budget: bytes of temporary files for part buffers; 0 for none.
        directory: where the temporary files go; None for the system's place.
        wait_s: how long a writer waits for room before it gives up.
    """

    def __init__(
        self,
        *,
        memory_budget: int,
        disk_budget: int,
        directory: Path | None = None,
        wait_s: float = 60.0,
    ) -> None:
        self.memory_free = memory_budget
        self.disk_free = disk_budget
        self.directory = directory
        self.largest_part = disk_budget or memory_budget
        self.on_pressure: Callable[[], bool] = lambda: False
        self.maps = MapPool()
        self._memory_budget = memory_budget
        self._disk_budget = disk_budget
        self._kept_for_small = memory_budget // _SHARE
        self._wait_s = wait_s
        self._queue: deque[_Waiter] = deque()
        self._disk_waiters: deque[asyncio.Future[None]] = deque()
        self._buffers: set[PartBuffer] = set()

    async def buffer(
        self,
        algorithm: str,
        size: int,
        on_evict: Callable[[], None],
        *,
        expected: int | None = None,
    ) -> PartBuffer:
        """Return an empty buffer for a part.

        Args:
            algorithm: of its checksum.
            size: bytes of the part.
            on_evict: asks its request to end and flush, when there is no room at all.
            expected: bytes that will come, if it is known; a few need little room.

        Raises:
            OutOfRoom: neither memory nor disk had space within the time limit.
        """
        few = expected is not None and expected <= SMALL
        capacity = min(size, expected) if few and expected is not None else size
        has_memory = await self.take_memory(capacity)
        buffer = PartBuffer(self, algorithm, size, on_evict)  # its age counts from here
        if has_memory and not buffer.use_memory(capacity):
            self.refund_memory(capacity)
        if not buffer.in_memory:
            await buffer.use_file()
        self._buffers.add(buffer)
        return buffer

    # -- memory --------------------------------------------------------------------------------

    async def take_memory(self, size: int) -> bool:
        """Reserve memory, waiting for it in order of arrival; False: use a file instead."""
        kept = 0 if size <= SMALL else self._kept_for_small
        if size > self._memory_budget - kept:
            return False
        if (size <= SMALL or not self._queue) and self.take_memory_now(size):
            return True
        waiter = _Waiter(size)
        self._queue.append(waiter)
        try:
            async with asyncio.timeout(self._wait_s):
                while not waiter.granted:
                    await self._wait_for_memory(waiter)
        except TimeoutError:
            return waiter.granted
        except BaseException:
            if waiter.granted:
                self.memory_free += size
            raise
        finally:
            if not waiter.granted:
                self._queue.remove(waiter)
                if self._queue:
                    self._queue[0].woken.set()
            self._grant()
        return True

    async def _wait_for_memory(self, waiter: _Waiter) -> None:
        """Wait until granted; while first in the queue, make idle buffers go."""
        tick_s = _FAR_S
        if self._queue and self._queue[0] is waiter:
            await self._move_the_idle(waiter)
            self._grant()
            tick_s = _IDLE_S / 2
        if waiter.granted:
            return
        try:
            async with asyncio.timeout(tick_s):
                await waiter.woken.wait()
        except TimeoutError:
            pass
        waiter.woken.clear()

    async def _move_the_idle(self, waiter: _Waiter) -> None:
        """Move buffers that are idle or slow to files, until the waiter is served."""
        now = time.monotonic()
        slow = [
            buffer
            for buffer in self._buffers
            if buffer.is_movable
            and (now - buffer.touched >= _IDLE_S or now - buffer.born >= _SLOW_S)
        ]
        for buffer in sorted(slow, key=lambda buffer: buffer.touched):
            if waiter.granted or self._fits(waiter.size):
                return
            try:
                await buffer.move_to_file()
            except OutOfRoom:
                if not buffer.evicted and not any(b.sending or b.evicted for b in self._buffers):
                    buffer.evict()
                return

    def _fits(self, size: int) -> bool:
        kept = 0 if size <= SMALL else self._kept_for_small
        return size <= self.memory_free - kept

    def take_memory_now(self, size: int) -> bool:
        """Reserve memory if there is any; remembered tails make room."""
        while not self._fits(size):
            if not self.on_pressure():
                return False
        self.memory_free -= size
        return True

    def _grant(self) -> None:
        """Give memory to those who wait, in order; whoever is first then, looks around."""
        first = self._queue[0] if self._queue else None
        while self._queue and self.take_memory_now(self._queue[0].size):
            waiter = self._queue.popleft()
            waiter.granted = True
            waiter.woken.set()
        if self._queue and self._queue[0] is not first:
            self._queue[0].woken.set()

    def refund_memory(self, size: int) -> None:
        """Return memory; those who wait get it."""
        self.memory_free += size
        self._grant()

    # -- disk ----------------------------------------------------------------------------------

    async def take_disk(self, size: int, asker: PartBuffer) -> None:
        """Reserve temporary disk space, waiting while something is being sent.

        Raises:
            OutOfRoom: the asker is the one that has to go, or waiting took too long.
        """
        if asker.on_disk + size > self._disk_budget:
            raise OutOfRoom
        deadline = time.monotonic() + self._wait_s
        while size > self.disk_free:
            if asker.evicted:  # others wait for it to go
                raise OutOfRoom
            asker.waiting = True
            try:
                self._evict_unless_sending()
                await self._released(deadline)
            finally:
                asker.waiting = False
        self.disk_free -= size

    def take_disk_now(self, size: int) -> None:
        """Reserve temporary disk space.

        Raises:
            OutOfRoom: there is not that much.
        """
        if size > self.disk_free:
            raise OutOfRoom
        self.disk_free -= size

    def refund_disk(self, size: int) -> None:
        """Return disk space; everybody who waits looks again, in order of arrival."""
        self.disk_free += size
        while self._disk_waiters:
            waiter = self._disk_waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)

    async def _released(self, deadline: float) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._disk_waiters.append(waiter)
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                await waiter
        except TimeoutError:
            raise OutOfRoom from None

    def _evict_unless_sending(self) -> None:
        if any(buffer.sending for buffer in self._buffers):
            return
        if any(buffer.evicted for buffer in self._buffers):
            return  # on its way out: it will be sent, then give its room back
        idle = [buffer for buffer in self._buffers if buffer.on_disk and not buffer.waiting]
        if not idle:
            raise OutOfRoom
        min(idle, key=lambda buffer: buffer.touched).evict()

    def forget(self, buffer: PartBuffer) -> None:
        """Take a buffer that was closed out of the books."""
        self._buffers.discard(buffer)
