"""Locks for uploads within one process and one event loop; several need another locker."""

import asyncio
import itertools
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tusd_s3.errors import UploadLocked


@dataclass(frozen=True, slots=True)
class MemoryLock:
    """A hold on one upload, see `interfaces.Lock`."""

    generation: int
    previous: int | None


class _Claim:
    """A request that holds an upload or waits for it."""

    __slots__ = ("_ask", "_asked", "granted")

    def __init__(self, on_release_requested: Callable[[], None]) -> None:
        self._ask = on_release_requested
        self._asked = False
        self.granted = asyncio.get_running_loop().create_future()

    def ask(self) -> None:
        """Ask the holder to let go, unless it knows already."""
        if not self._asked:
            self._asked = True
            self._ask()


@dataclass(slots=True)
class _Upload:
    """Who holds an upload, who waits for it, and the generation of its latest hold."""

    holder: _Claim
    latest: int | None
    waiting: deque[_Claim] = field(default_factory=deque)


class MemoryLocker:
    """Holds uploads for the requests of one event loop (`interfaces.Locker`).

    Invariants:
        1. An upload is in ``_uploads`` exactly while somebody holds it; who waits is in its queue.
        2. The lock is handed over, never put down while somebody waits: nobody can jump the queue.
        3. Generations are numbered across all uploads, so one that was forgotten never comes back.

    Args:
        remembered: how many uploads that nobody holds have their latest generation remembered;
            for a forgotten one ``previous`` is None, which costs its next holder one more read.
    """

    def __init__(self, *, remembered: int = 10_000) -> None:
        self._remembered = remembered
        self._uploads: dict[str, _Upload] = {}
        self._past: OrderedDict[str, int | None] = OrderedDict()
        self._generations = itertools.count(1)

    @property
    def held(self) -> int:
        """How many uploads are held at this moment."""
        return len(self._uploads)

    @asynccontextmanager
    async def hold(
        self, upload_id: str, *, on_release_requested: Callable[[], None], timeout_s: float
    ) -> AsyncIterator[MemoryLock]:
        """Hold an upload as `interfaces.Locker.hold` says.

        With a ``timeout_s`` of 0 nobody waits, so a holder is not asked to let go (the sweep).

        Raises:
            UploadLocked: the holder did not let go within ``timeout_s``.
        """
        claim = _Claim(on_release_requested)
        upload = self._uploads.get(upload_id)
        if upload is None:
            upload = _Upload(claim, self._past.pop(upload_id, None))
            self._uploads[upload_id] = upload
        else:
            await self._wait(upload_id, upload, claim, timeout_s)
        try:
            lock = MemoryLock(next(self._generations), upload.latest)
            upload.latest = lock.generation
            if upload.waiting:
                claim.ask()
            yield lock
        finally:
            self._release(upload_id, upload)

    def born(self, upload_id: str) -> MemoryLock:
        lock = MemoryLock(next(self._generations), None)
        self._remember(upload_id, lock.generation)
        return lock

    async def _wait(self, upload_id: str, upload: _Upload, claim: _Claim, timeout_s: float) -> None:
        """Stand in the queue until the claim is granted.

        Raises:
            UploadLocked: the time is up.
        """
        if timeout_s <= 0:
            raise UploadLocked
        upload.waiting.append(claim)
        try:
            upload.holder.ask()
            # Unlike wait_for, `wait` cannot lose a grant that comes with the end of the time.
            await asyncio.wait((claim.granted,), timeout=timeout_s)
        except BaseException:
            if claim.granted.done():  # cancelled between the grant and our next step
                self._release(upload_id, upload)
            else:
                upload.waiting.remove(claim)
            raise
        if not claim.granted.done():
            upload.waiting.remove(claim)
            raise UploadLocked

    def _release(self, upload_id: str, upload: _Upload) -> None:
        """Hand the upload to who has waited longest, or remember it as free."""
        if upload.waiting:
            upload.holder = upload.waiting.popleft()
            upload.holder.granted.set_result(None)
            return
        del self._uploads[upload_id]
        self._remember(upload_id, upload.latest)

    def _remember(self, upload_id: str, generation: int | None) -> None:
        self._past[upload_id] = generation
        if len(self._past) > self._remembered:
            self._past.popitem(last=False)
