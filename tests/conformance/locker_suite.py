"""What `interfaces.Locker` promises, sentence by sentence, for any implementation.

A test module subclasses `LockerSuite`, names the class ``Test...`` and gives the ``participants``
fixture. Nothing here relies on how long a hand-over takes, only on what happens before what.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tusd_s3.errors import UploadLocked
from tusd_s3.interfaces import Lock, Locker

LONG_S = 10.0  # as good as for ever: a test that needs it all has failed
SHORT_S = 0.1  # a limit that is meant to pass

IDS = ["u", "folder/of/uploads", "object+multipart.id", "a b%20c", "große Datei", "x" * 600]


def ignore() -> None:
    """Do nothing when asked to let go."""


@asynccontextmanager
async def held(
    locker: Locker,
    upload_id: str = "upload",
    *,
    asked: Callable[[], None] = ignore,
    timeout_s: float = LONG_S,
) -> AsyncIterator[Lock]:
    """Hold an upload with defaults that suit most tests."""
    async with locker.hold(upload_id, on_release_requested=asked, timeout_s=timeout_s) as lock:
        yield lock


class Worker:
    """A task that holds an upload until told to let go, and says what happens to it."""

    def __init__(self, locker: Locker, upload_id: str = "upload", *, order: list[str] | None = None,
                 name: str = "") -> None:  # fmt: skip
        self.holding = asyncio.Event()
        self.asked = asyncio.Event()
        self.let_go = asyncio.Event()
        self.lock: Lock | None = None
        self._order = order
        self._name = name
        self.task = asyncio.create_task(self._work(locker, upload_id))

    async def _work(self, locker: Locker, upload_id: str) -> None:
        async with held(locker, upload_id, asked=self.asked.set) as self.lock:
            if self._order is not None:
                self._order.append(self._name)
            self.holding.set()
            await self.let_go.wait()

    async def finish(self) -> None:
        """Let go, and wait until the upload is released."""
        self.let_go.set()
        await asyncio.wait_for(self.task, LONG_S)

    async def cancel(self) -> None:
        """Cancel the task, and wait until it is gone."""
        self.task.cancel()
        await asyncio.wait((self.task,), timeout=LONG_S)


async def soon(event: asyncio.Event) -> None:
    """Wait for an event that has to come."""
    await asyncio.wait_for(event.wait(), LONG_S)


class LockerSuite:
    """The promises of `Locker` and `Lock`.

    Attributes:
        remembers: whether ``previous`` is known for an upload that was held a moment ago.
    """

    remembers = True

    @pytest.fixture
    def participants(self) -> tuple[Locker, Locker]:
        """Return two lockers that exclude each other (processes; one locker twice if it is local).

        To be replaced by each implementation.
        """
        raise NotImplementedError

    @pytest.fixture
    def locker(self, participants: tuple[Locker, Locker]) -> Locker:
        """Return the first participant."""
        return participants[0]

    @pytest.fixture
    def other(self, participants: tuple[Locker, Locker]) -> Locker:
        """Return the second participant."""
        return participants[1]

    async def settle(self) -> None:
        """Give a request that just began the time to stand in the queue."""
        for _ in range(5):
            await asyncio.sleep(0)

    async def test_at_most_one_request_holds_an_upload(self, participants: list[Locker]) -> None:
        """However many requests come at once, their blocks never overlap, and each has its turn."""
        inside = 0
        turns: list[int] = []

        async def visit(number: int) -> None:
            nonlocal inside
            async with held(participants[number % 2]):
                inside += 1
                turns.append(inside)
                await self.settle()
                inside -= 1

        async with asyncio.timeout(3 * LONG_S), asyncio.TaskGroup() as group:
            for number in range(12):
                group.create_task(visit(number))

        assert turns == [1] * 12

    async def test_uploads_do_not_wait_for_each_other(self, locker: Locker, other: Locker) -> None:
        """Holding one upload says nothing about another."""
        async with held(locker, "one"), held(other, "two"), held(locker, "three") as third:
            assert third.generation is not None

    @pytest.mark.parametrize("upload_id", IDS)
    async def test_any_id_can_be_held_and_excludes(
        self, locker: Locker, other: Locker, upload_id: str
    ) -> None:
        """An id is any string; it excludes itself and nothing that merely looks like it."""
        async with held(locker, upload_id), held(other, upload_id + "x"):
            with pytest.raises(UploadLocked):
                async with held(other, upload_id, timeout_s=SHORT_S):
                    pass

    async def test_holder_is_asked_as_soon_as_somebody_waits(
        self, locker: Locker, other: Locker
    ) -> None:
        """The present holder is called once a second request stands in the queue."""
        holder = Worker(locker)
        await soon(holder.holding)
        waiter = Worker(other)
        await soon(holder.asked)

        assert not waiter.holding.is_set()
        await holder.finish()
        await soon(waiter.holding)
        await waiter.finish()

    async def test_holder_is_asked_in_its_own_event_loop(
        self, locker: Locker, other: Locker
    ) -> None:
        """The call comes in the loop of the request that holds, so it may touch its objects."""
        loops: list[asyncio.AbstractEventLoop] = []
        came = asyncio.Event()

        def asked() -> None:
            loops.append(asyncio.get_running_loop())
            came.set()

        async with held(locker, asked=asked):
            waiter = Worker(other)
            await soon(came)
        await waiter.finish()

        assert set(loops) == {asyncio.get_running_loop()}

    async def test_holder_is_not_asked_while_nobody_waits(self, locker: Locker) -> None:
        """Holds one after the other, and holds of other uploads, disturb nobody."""
        calls: list[str] = []

        async with held(locker, asked=lambda: calls.append("first")), held(locker, "another"):
            await self.settle()
        async with held(locker, asked=lambda: calls.append("second")):
            await self.settle()

        assert calls == []

    async def test_holder_is_asked_at_once_if_somebody_waits_already(
        self, locker: Locker, other: Locker
    ) -> None:
        """Who gets an upload with a queue behind it learns so when it begins."""
        first = Worker(locker)
        await soon(first.holding)
        second = Worker(other)
        await soon(first.asked)
        third = Worker(locker)
        await self.settle()
        await first.finish()
        await soon(second.holding)
        await soon(second.asked)

        assert not third.holding.is_set()
        await second.finish()
        await soon(third.holding)
        await third.finish()

    async def test_waiters_are_served_in_order_of_arrival(
        self, locker: Locker, other: Locker
    ) -> None:
        """Nobody overtakes, whichever process the requests came to."""
        order: list[str] = []
        holder = Worker(locker)
        await soon(holder.holding)
        waiters = []
        for number in range(6):
            waiters.append(Worker((locker, other)[number % 2], order=order, name=str(number)))
            waiters[-1].let_go.set()
            await self.settle()
        await holder.finish()
        for waiter in waiters:
            await waiter.finish()

        assert order == ["0", "1", "2", "3", "4", "5"]

    async def test_error_in_the_block_releases(self, locker: Locker, other: Locker) -> None:
        """An exception passes through unchanged and the upload is free."""
        with pytest.raises(LookupError, match="own"):
            async with held(locker):
                raise LookupError("own")

        async with held(other, timeout_s=LONG_S) as lock:
            assert lock is not None

    async def test_cancelled_holder_releases(self, locker: Locker, other: Locker) -> None:
        """A request that is cancelled in its block lets the next one in."""
        holder = Worker(locker)
        await soon(holder.holding)
        waiter = Worker(other)
        await soon(holder.asked)
        await holder.cancel()
        await soon(waiter.holding)

        assert holder.task.cancelled()
        await waiter.finish()

    async def test_cancelled_waiter_leaves_no_trace(self, locker: Locker, other: Locker) -> None:
        """Who stood behind a cancelled waiter is served, and then the upload is free."""
        holder = Worker(locker)
        await soon(holder.holding)
        cancelled = Worker(other)
        await soon(holder.asked)
        behind = Worker(other)
        await self.settle()
        await cancelled.cancel()
        await holder.finish()
        await soon(behind.holding)
        await behind.finish()

        assert not cancelled.holding.is_set()
        calls: list[str] = []
        async with held(locker, asked=lambda: calls.append("asked")):
            await self.settle()
        assert calls == []

    async def test_waiter_whose_time_is_up_is_refused_and_leaves_no_trace(
        self, locker: Locker, other: Locker
    ) -> None:
        """The refusal is UploadLocked; the holder keeps the upload and can pass it on."""
        holder = Worker(locker)
        await soon(holder.holding)
        with pytest.raises(UploadLocked):
            async with held(other, timeout_s=SHORT_S):
                pass

        assert holder.asked.is_set()
        assert not holder.task.done()
        await holder.finish()
        async with held(other) as lock:
            assert lock is not None

    async def test_time_limit_ends_with_the_wait(self, locker: Locker) -> None:
        """The limit is for waiting; whoever holds may do so for longer."""
        async with held(locker, timeout_s=SHORT_S):
            await asyncio.sleep(2 * SHORT_S)
            with pytest.raises(UploadLocked):
                async with held(locker, timeout_s=SHORT_S):
                    pass

    async def test_generations_of_one_upload_never_repeat(
        self, locker: Locker, other: Locker
    ) -> None:
        """Each hold has a number of its own, larger than those before."""
        seen = []
        for number in range(6):
            async with held((locker, other)[number % 2]) as lock:
                seen.append(lock.generation)

        assert seen == sorted(set(seen))

    async def test_previous_names_the_hold_before_or_nothing(self, locker: Locker) -> None:
        """What was remembered under the last hold is current if previous says so."""
        async with held(locker) as first:
            pass
        async with held(locker) as second:
            pass

        assert second.previous in (
            {first.generation} if self.remembers else {first.generation, None}
        )

    async def test_previous_tells_that_somebody_else_was_there(
        self, locker: Locker, other: Locker
    ) -> None:
        """After another process held the upload, what we remember is not taken for current."""
        async with held(locker) as ours:
            pass
        async with held(other):
            pass
        async with held(locker) as ours_again:
            pass

        assert ours_again.previous != ours.generation

    async def test_previous_of_a_hand_over_is_the_one_who_let_go(
        self, locker: Locker, other: Locker
    ) -> None:
        """Waiting in the queue gives the same numbers as coming later."""
        holder = Worker(locker)
        await soon(holder.holding)
        waiter = Worker(other)
        await soon(holder.asked)
        await holder.finish()
        await soon(waiter.holding)
        await waiter.finish()

        assert holder.lock is not None
        assert waiter.lock is not None
        assert waiter.lock.generation > holder.lock.generation
        known = {holder.lock.generation}
        assert waiter.lock.previous in (known if self.remembers else known | {None})

    async def test_previous_of_an_upload_never_held_is_unknown(self, locker: Locker) -> None:
        """The first hold there is has nothing before it."""
        async with held(locker, "never seen before") as lock:
            assert lock.previous is None
