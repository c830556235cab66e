"""The threads of a bucket in a folder."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tusd_s3.buckets.disk_threads import Threads
from tusd_s3.errors import ObjectMissing, StoreBusy, StoreError


@pytest_asyncio.fixture
async def threads() -> AsyncIterator[Threads]:
    """Threads that are ready for steps."""
    made = Threads(timeout_s=5)
    made.start()
    yield made
    await made.stop(threading.get_ident)


async def test_a_step_runs_beside_the_event_loop(threads: Threads) -> None:
    """Its arguments come in, its result comes out."""
    assert await threads.run("head", "k", threading.get_ident) != threading.get_ident()
    assert await threads.run("head", "k", divmod, 7, 2) == (3, 1)


async def test_errors_of_the_disk_are_the_buckets(threads: Threads) -> None:
    """They name operation and key; our own errors stay as they are."""

    def fail(error: Exception) -> None:
        raise error

    with pytest.raises(StoreError, match="head 'k'"):
        await threads.run("head", "k", fail, OSError(5, "broken"))
    with pytest.raises(ObjectMissing):
        await threads.run("head", "k", fail, ObjectMissing("head", "k", "no such key"))


async def test_a_disk_that_hangs_does_not_hang_its_caller() -> None:
    """A step that does not end is given up after the limit."""
    threads = Threads(timeout_s=0.2)
    threads.start()
    disk_is_back = threading.Event()

    with pytest.raises(StoreBusy, match="too long"):
        await threads.run("head", "key", disk_is_back.wait)

    disk_is_back.set()
    await threads.stop(threading.get_ident)


async def test_without_threads_nothing_runs() -> None:
    """Before the start, after the end; stopping again does nothing."""
    threads = Threads(timeout_s=5)
    ended: list[str] = []
    was_running = [threads.running]
    await threads.stop(lambda: ended.append("never"))
    with pytest.raises(RuntimeError):
        await threads.run("head", "k", threading.get_ident)

    threads.start()
    was_running.append(threads.running)
    await threads.stop(lambda: ended.append("once"))
    await threads.stop(lambda: ended.append("again"))

    assert was_running == [False, True]
    assert ended == ["once"]
    with pytest.raises(RuntimeError):
        await threads.run("head", "k", threading.get_ident)


async def test_a_clean_up_is_done_although_cancelled(threads: Threads) -> None:
    """The file goes, and the caller hears that it was cancelled."""
    began, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def clean_up() -> None:
        began.set()
        go_on.wait(5)
        done.set()

    task = asyncio.create_task(threads.clean_up(clean_up))
    await asyncio.to_thread(began.wait, 5)
    task.cancel()
    go_on.set()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(done.wait, 5)


async def test_a_clean_up_after_the_end_is_done_at_once() -> None:
    """Whoever still has a file when the bucket is closed loses it all the same."""
    done: list[str] = []

    await Threads(timeout_s=5).clean_up(lambda: done.append("cleaned"))

    assert done == ["cleaned"]
