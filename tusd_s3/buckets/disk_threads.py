"""Threads for the work on a disk: every wait for them is limited."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tusd_s3.buckets.disk_files import translated
from tusd_s3.errors import StoreBusy

T = TypeVar("T")
_THREADS = 16
_CLEANUP_S = 5.0


class Threads:
    """Runs the steps of one bucket.

    Args:
        timeout_s: limit of each step.
    """

    def __init__(self, *, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._pool: ThreadPoolExecutor | None = None

    @property
    def running(self) -> bool:
        """Whether they were started and not stopped."""
        return self._pool is not None

    def start(self) -> None:
        """Be ready for steps."""
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="disk")

    async def stop(self, last: Callable[[], object]) -> None:
        """Run a last step and let go; nothing happens if there are no threads."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        closing = asyncio.get_running_loop().run_in_executor(pool, last)
        await asyncio.wait([closing], timeout=_CLEANUP_S)
        pool.shutdown(wait=False)

    async def run(self, operation: str, key: str, function: Callable[..., T], *args: object) -> T:
        """Run a step in a thread.

        Args:
            operation: the bucket's operation, for errors.
            key: the object it is for.
            function: the step.
            *args: what it is called with.

        Raises:
            StoreBusy: it takes too long (and goes on in its thread).
        """
        if self._pool is None:
            raise RuntimeError("the bucket is not started, or closed")

        def step() -> T:
            with translated(operation, key):
                return function(*args)

        future = asyncio.get_running_loop().run_in_executor(self._pool, step)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await future
        except TimeoutError as exc:
            raise StoreBusy(operation, key, "the disk takes too long") from exc

    async def clean_up(self, function: Callable[[], None]) -> None:
        """Run a clean-up in a thread, also when cancelled; `asyncio.wait` does not pass that on."""
        if self._pool is None:  # stopped meanwhile, with all temporary files removed
            function()
            return
        future = asyncio.get_running_loop().run_in_executor(self._pool, function)
        await asyncio.wait([future], timeout=_CLEANUP_S)
