"""MemoryLocker beyond the conformance suite: its races, its memory, its order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tusd_s3.errors import UploadLocked
from tusd_s3.lockers.memory import MemoryLock, MemoryLocker


class Asked:
    """A holder's callback that counts."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


@asynccontextmanager
async def held(
    locker: MemoryLocker,
    upload_id: str = "u",
    *,
    asked: Asked | None = None,
    timeout_s: float = 5.0,
) -> AsyncIterator[MemoryLock]:
    """Hold with defaults."""
    async with locker.hold(
        upload_id, on_release_requested=asked or Asked(), timeout_s=timeout_s
    ) as lock:
        yield lock


async def steps() -> None:
    """Let every task that can move do so a few times."""
    for _ in range(5):
        await asyncio.sleep(0)


async def take(locker: MemoryLocker, log: list[str], name: str, asked: Asked | None = None) -> None:
    """Hold once, say so, and leave after the other tasks had a turn."""
    async with held(locker, asked=asked):
        log.append(name)
        await asyncio.sleep(0)


async def test_free_upload_is_held_without_waiting() -> None:
    """Nobody there: the block begins in the same step, and ends with nothing held."""
    locker = MemoryLocker()
    async with held(locker, timeout_s=0) as lock:
        assert lock == MemoryLock(1, None)
        assert locker.held == 1

    assert locker.held == 0


async def test_holder_is_asked_once_however_many_wait() -> None:
    """A holder that knows is not told again."""
    locker, asked, log = MemoryLocker(), Asked(), list[str]()
    async with asyncio.TaskGroup() as group, held(locker, asked=asked):
        for name in "abc":
            group.create_task(take(locker, log, name))
        await steps()

    assert asked.times == 1
    assert log == ["a", "b", "c"]
    assert locker.held == 0


async def test_each_holder_of_a_queue_is_asked_but_the_last() -> None:
    """Being asked depends on who stands behind, not on who stood before."""
    locker, log = MemoryLocker(), list[str]()
    asked = [Asked(), Asked(), Asked()]
    async with asyncio.TaskGroup() as group, held(locker):
        for callback in asked:
            group.create_task(take(locker, log, "x", callback))
        await steps()

    assert [callback.times for callback in asked] == [1, 1, 0]


async def test_who_does_not_wait_does_not_ask() -> None:
    """With a time limit of 0 the sweep is refused at once and the holder never hears of it."""
    locker, asked = MemoryLocker(), Asked()
    async with held(locker, asked=asked):
        with pytest.raises(UploadLocked):
            async with held(locker, timeout_s=0):
                pass

    assert asked.times == 0


async def test_waiter_cancelled_just_after_the_grant_passes_it_on() -> None:
    """The upload is not lost between the hand-over and the new holder's first step."""
    locker, log = MemoryLocker(), list[str]()
    async with held(locker):
        granted = asyncio.create_task(take(locker, log, "granted"))
        behind = asyncio.create_task(take(locker, log, "behind"))
        await steps()
    granted.cancel()  # no step has passed since the release
    await asyncio.wait((granted, behind))

    assert granted.cancelled()
    assert log == ["behind"]
    assert locker.held == 0


async def test_grant_that_was_never_used_is_no_hold() -> None:
    """The next holder still knows who wrote last."""
    locker, log = MemoryLocker(), list[str]()
    async with held(locker) as first:
        granted = asyncio.create_task(take(locker, log, "granted"))
        await steps()
    granted.cancel()
    await asyncio.wait((granted,))
    async with held(locker) as second:
        assert second.previous == first.generation


async def test_newcomer_does_not_overtake_a_granted_waiter() -> None:
    """Between release and the waiter's first step the upload is taken already."""
    locker, log = MemoryLocker(), list[str]()
    async with held(locker):
        waiter = asyncio.create_task(take(locker, log, "waiter"))
        await steps()
    with pytest.raises(UploadLocked):
        async with held(locker, timeout_s=0):
            pass
    await waiter

    assert log == ["waiter"]


async def test_callback_that_fails_hurts_who_waits_and_leaves_no_trace() -> None:
    """The error surfaces where it was caused, and the queue is as before."""

    def broken() -> None:
        raise LookupError("broken callback")

    locker = MemoryLocker()
    async with locker.hold("u", on_release_requested=broken, timeout_s=1):
        with pytest.raises(LookupError):
            async with held(locker):
                pass

    assert locker.held == 0


async def test_past_holds_are_remembered_up_to_a_bound() -> None:
    """Of many uploads the latest are known; of the others previous is unknown, never wrong."""
    locker = MemoryLocker(remembered=2)
    generations = {}
    for upload_id in "abc":
        async with held(locker, upload_id) as lock:
            generations[upload_id] = lock.generation
    previous = {}
    for upload_id in "cba":  # from the newest, since each hold makes the others older
        async with held(locker, upload_id) as lock:
            previous[upload_id] = lock.previous

    assert previous == {"a": None, "b": generations["b"], "c": generations["c"]}


async def test_nothing_is_remembered_when_told_so() -> None:
    """A bound of 0 keeps no upload."""
    locker = MemoryLocker(remembered=0)
    async with held(locker):
        pass
    async with held(locker) as lock:
        assert lock.previous is None


async def test_forgotten_generation_never_comes_back() -> None:
    """State remembered under an old generation cannot match after its upload was forgotten."""
    locker = MemoryLocker(remembered=1)
    async with held(locker, "a") as old:
        pass
    async with held(locker, "b"):
        pass
    async with held(locker, "a") as new:
        pass

    assert new.generation != old.generation


async def test_time_up_leaves_the_queue() -> None:
    """Who gave up is not handed the upload later."""
    locker, log = MemoryLocker(), list[str]()
    async with held(locker):
        with pytest.raises(UploadLocked):
            async with held(locker, timeout_s=0.01):
                log.append("late")
        behind = asyncio.create_task(take(locker, log, "behind"))
        await steps()
    await behind

    assert log == ["behind"]
    assert locker.held == 0


class Visitors:
    """Requests for one upload that count how many are inside at once."""

    def __init__(self) -> None:
        self.locker = MemoryLocker()
        self.inside = 0
        self.overlaps = 0

    async def visit(self, fate: str, pause: int) -> None:
        """Hold for ``pause`` steps, then leave as ``fate`` says."""
        async with held(self.locker, timeout_s=0.001 if fate == "give up" else 5.0):
            self.inside += 1
            self.overlaps += self.inside > 1
            try:
                for _ in range(pause):
                    await asyncio.sleep(0)
                if fate == "fail":
                    raise LookupError
            finally:
                self.inside -= 1

    async def visit_all(self, fates: list[tuple[str, int]]) -> list[BaseException | None]:
        """Let them come one after the other, ``pause`` steps apart; return how each ended."""
        tasks = []
        for fate, pause in fates:
            tasks.append(asyncio.create_task(self.visit(fate, pause)))
            for _ in range(pause):
                await asyncio.sleep(0)
            if fate == "cancel":
                tasks[-1].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)


@given(
    fates=st.lists(
        st.tuples(
            st.sampled_from(["work", "fail", "cancel", "give up"]),
            st.integers(min_value=0, max_value=3),
        ),
        max_size=12,
    )
)
def test_any_mixture_of_fates_excludes_and_leaves_nothing(fates: list[tuple[str, int]]) -> None:
    """Requests that work, fail, are cancelled or give up: never two inside, none left behind."""
    visitors = Visitors()
    results = asyncio.run(visitors.visit_all(fates))

    assert visitors.overlaps == 0
    assert visitors.locker.held == 0
    ends = [(fate, result) for (fate, _), result in zip(fates, results, strict=True)]
    assert all(result is None for fate, result in ends if fate == "work")
    assert all(isinstance(result, LookupError) for fate, result in ends if fate == "fail")
