"""A store over a real folder bucket, with faults at any call, beside a model of a few lines.

What the model knows is what a client was told. After every step: no offset ever fell, what was
acknowledged is in the bucket, and the object is absent or exactly the file.
"""

import asyncio
import contextlib
import random
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from tusd_s3.buckets.disk import DiskBucket
from tusd_s3.errors import StoreBusy, StoreError, TusError
from tusd_s3.lockers.memory import MemoryLocker
from tusd_s3.model import Ended, Limits, NewUpload, UploadInfo
from tusd_s3.store.keys import Names
from tusd_s3.store.spool import Spool
from tusd_s3.store.store import Store, StoreOptions

PART = 100
LIMITS = Limits(min_part=1, max_part=10_000, max_parts=60, max_object=50_000, preferred_part=PART)
FILE = random.Random(4).randbytes(3_000)


class Death(BaseException):
    """The process was killed at this call; nothing of it runs any more."""


class Fated:
    """A bucket whose n-th call from now fails, before or after it acted; or kills the process."""

    def __init__(self, inner: DiskBucket) -> None:
        self._inner = inner
        self.limits = inner.limits
        self.features = inner.features
        self.heal()

    def heal(self) -> None:
        self._countdown: int | None = None
        self._is_dead = False

    def fate(self, countdown: int, times: int, *, acts: bool, kills: bool) -> None:
        self._countdown, self._times, self._acts, self._kills = countdown, times, acts, kills

    def _is_due(self) -> bool:
        if self._is_dead:
            raise Death
        if self._countdown is None:
            return False
        self._countdown -= 1
        return -self._times < self._countdown + 1 <= 0

    def _strike(self, operation: str) -> None:
        if self._kills:
            self._is_dead = True
            raise Death
        raise StoreBusy(operation, "?", "fated")

    async def _call(self, operation: str, act: Callable[[], Awaitable[Any]]) -> Any:
        due = self._is_due()
        if due and not self._acts:
            self._strike(operation)
        result = await act()
        if self._is_dead:
            raise Death
        if due:
            self._strike(operation)
        return result

    def __getattr__(self, operation: str) -> Any:
        method = getattr(self._inner, operation)
        return lambda *args, **kwargs: self._call(operation, lambda: method(*args, **kwargs))

    @contextlib.asynccontextmanager
    async def get(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        if self._is_due():
            self._strike("get")
        async with self._inner.get(*args, **kwargs) as reader:
            yield reader

    async def list_objects(self, prefix: str) -> AsyncIterator[Any]:
        if self._is_due():
            self._strike("list_objects")
        async for stat in self._inner.list_objects(prefix):
            yield stat


class Bytes:
    """A body that is all there; ``ends`` says how it ends when it has been read."""

    def __init__(self, data: bytes, cut: int, ends: Ended) -> None:
        self._chunks = [data[at : at + cut] for at in range(0, len(data), cut)]
        self._ends = ends
        self._stopped: Ended | None = None
        self.ended: Ended | None = None
        self.silent_s = 0.0

    async def read(self) -> bytes:
        await asyncio.sleep(0)
        if self._stopped is not None or not self._chunks:
            self.ended = self._stopped or self._ends
            return b""
        return self._chunks.pop(0)

    def on_stop(self, callback: Callable[[], None]) -> None:
        pass

    def stop(self, why: Ended) -> None:
        self._stopped = self._stopped or why


class Uploading(RuleBasedStateMachine):
    """One upload, its client, and everything that can happen to them."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        memory_disk = Path("/dev/shm")  # fsync is what this test would spend its time on
        place = memory_disk if memory_disk.is_dir() else None
        self.folder = Path(tempfile.mkdtemp(dir=place))
        self.told = 0  # the highest offset that the client was told
        self.length: int | None = None
        self.said_finished = False
        self.terminating = False

    def teardown(self) -> None:
        self.run(self.disk.close())
        self.runner.close()
        shutil.rmtree(self.folder)

    def run(self, coroutine: Any) -> Any:
        return self.runner.run(coroutine)

    @initialize(
        length=st.integers(0, PART) | st.integers(0, len(FILE)),
        deferred=st.booleans(),
        memory=st.sampled_from([50, 250, 10_000]),
    )
    def create(self, length: int, deferred: bool, memory: int) -> None:
        async def act() -> str:
            self.disk = DiskBucket(self.folder, limits=LIMITS)
            await self.disk.start()
            self.bucket = Fated(self.disk)
            self.start()
            held = await self.store.create(NewUpload(None if deferred else length))
            return held.info.id

        self.file = FILE[:length]
        self.length = None if deferred else length
        self.memory = memory
        self.upload_id: str = self.run(act())
        self.key = self.upload_id.partition("+")[0]

    def start(self) -> None:
        """Begin a new process: nothing but the bucket survives."""
        self.bucket.heal()
        spool = Spool(memory_budget=self.memory, disk_budget=100_000, wait_s=5)
        options = StoreOptions(concurrent_parts=2, parts_per_upload=3)
        self.store = Store(self.bucket, names=Names(), spool=spool, options=options)
        self.locker = MemoryLocker()
        self.spool = spool

    # -- what can happen -----------------------------------------------------------------------

    @rule(
        countdown=st.integers(1, 12),
        times=st.sampled_from([1, 2, 1000]),
        acts=st.booleans(),
        kills=st.booleans(),
    )
    def plan_a_fault(self, countdown: int, times: int, acts: bool, kills: bool) -> None:
        self.bucket.fate(countdown, times, acts=acts, kills=kills)

    @rule()
    def heal(self) -> None:
        self.bucket.heal()

    @rule()
    def restart(self) -> None:
        self.start()

    @precondition(lambda self: not self.terminating)
    @rule(
        size=st.sampled_from([0, 1, 30, PART, PART + 1, 3 * PART, 450, 3_000]),
        cut=st.sampled_from([7, 64, PART, 1_000]),
        ends=st.sampled_from([Ended.COMPLETE, Ended.DISCONNECTED, Ended.TAKEN_OVER]),
        declare=st.booleans(),
    )
    def patch(self, size: int, cut: int, ends: Ended, declare: bool) -> None:
        async def act() -> UploadInfo | None:
            async with self.hold() as lock:
                held = await self.store.open(self.upload_id, lock)
                at = held.info.offset
                self.check(held.info)
                data = self.file[at : at + size]
                news = len(self.file) if declare and held.info.length is None else None
                try:
                    return await held.append(Bytes(data, cut, ends), declared_length=news)
                except StoreError:
                    self.check(held.info)
                    raise

        self.attempt(act())

    @precondition(lambda self: not self.terminating)
    @rule()
    def head(self) -> None:
        async def act() -> UploadInfo:
            info = await self.store.read(self.upload_id)
            self.check(info)
            if info.is_pending:
                async with self.hold() as lock:
                    info = await (await self.store.open(self.upload_id, lock)).finish()
            return info

        self.attempt(act())

    @rule(really=st.sampled_from([False, False, False, False, True]))  # mostly let it live
    def terminate(self, really: bool) -> None:
        async def act() -> None:
            async with self.hold() as lock:
                held = await self.store.open(self.upload_id, lock, for_termination=True)
                await held.terminate()

        if not really:
            return
        self.terminating = True
        self.attempt(act())

    # -- what must hold ------------------------------------------------------------------------

    def hold(self) -> Any:
        return self.locker.hold(self.upload_id, on_release_requested=lambda: None, timeout_s=1)

    def attempt(self, act: Any) -> None:
        """Run a request. What it tells its client is checked, a process that died is replaced."""
        try:
            info = self.run(act)
        except (StoreError, TusError):
            return
        except BaseExceptionGroup as group:
            if group.subgroup(Death) is None:
                raise
            self.start()
        except Death:
            self.start()
        else:
            if info is not None:
                self.check(info)
                assert info == self.run(self.fresh().read(self.upload_id))

    def fresh(self) -> Store:
        """A store that remembers nothing, above the bucket without faults."""
        return Store(self.disk, names=Names(), spool=Spool(memory_budget=1, disk_budget=100_000))

    def check(self, info: UploadInfo) -> None:
        """See that what a client is told agrees with what it was told before."""
        assert info.offset >= self.told
        assert info.offset <= len(self.file)
        assert info.finished or not self.said_finished
        self.told = info.offset
        if info.finished:
            self.said_finished = True
            assert info.offset == info.length == len(self.file)

    @invariant()
    def object_is_absent_or_whole(self) -> None:
        if not hasattr(self, "disk"):
            return
        path = self.folder / self.key
        if path.exists():
            assert path.read_bytes() == self.file
        else:
            assert not self.said_finished or self.terminating

    @invariant()
    def what_was_acknowledged_is_stored(self) -> None:
        if not hasattr(self, "disk") or self.terminating:
            return
        self.check(self.run(self.fresh().read(self.upload_id)))

    @invariant()
    def room_was_given_back(self) -> None:
        if hasattr(self, "spool"):
            assert self.spool.disk_free == 100_000
            assert self.spool.memory_free >= 0

    @precondition(lambda self: not self.terminating)
    @rule()
    def come_to_an_end(self) -> None:
        """With no faults left, the upload can be finished and is the file."""

        async def act() -> UploadInfo:
            async with self.hold() as lock:
                held = await self.store.open(self.upload_id, lock)
                at = held.info.offset
                news = len(self.file) if held.info.length is None else None
                body = Bytes(self.file[at:], 64, Ended.COMPLETE)
                return await held.append(body, declared_length=news)

        self.start()
        info = self.run(act())
        self.check(info)
        assert info.finished
        assert (self.folder / self.key).read_bytes() == self.file

    @precondition(lambda self: self.terminating)
    @rule()
    def termination_leaves_nothing(self) -> None:
        async def act() -> None:
            async with self.hold() as lock:
                held = await self.store.open(self.upload_id, lock, for_termination=True)
                await held.terminate()

        self.start()
        with contextlib.suppress(TusError):  # it was complete before
            self.run(act())
        left = [path for path in self.folder.iterdir() if path.name != ".tusd-s3"]
        assert left == []
        assert self.run(self.open_multiparts()) == []

    async def open_multiparts(self) -> list[Path]:
        return list((self.folder / ".tusd-s3" / "multipart").iterdir())


Uploading.TestCase.settings = settings(
    max_examples=120,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestUploading = Uploading.TestCase
