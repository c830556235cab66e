"""An `UploadStore` in memory that fails when told to, and a server around it."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from aiohttp import web

from tests.protocol.wire import Tus
from tusd_s3.errors import IncompleteUpload, UploadNotFound
from tusd_s3.interfaces import Body, Chunk, Lock, Locker
from tusd_s3.lockers.memory import MemoryLocker
from tusd_s3.model import NewUpload, ObjectStat, UploadInfo
from tusd_s3.protocol.rules import Terms
from tusd_s3.web.options import WebOptions
from tusd_s3.web.routes import make_application


@dataclass
class FakeLive:
    """A `LiveUpload` that says what it is told to."""

    info: UploadInfo
    silent_s: float = 0.0


@dataclass
class FakeReader:
    """An `ObjectReader` over bytes; fails after them if it has a failure."""

    stat: ObjectStat
    data: bytes
    failure: Exception | None = None

    async def chunks(self) -> AsyncIterator[Chunk]:
        """Deliver the bytes in pieces."""
        for start in range(0, len(self.data), 50_000):
            yield memoryview(self.data)[start : start + 50_000]
        if self.failure is not None:
            raise self.failure


@dataclass
class FakeStore:
    """Uploads in memory.

    Attributes:
        fail: operation -> exception that it raises: ``create read open append finish terminate
            download chunks``. ``append`` stores what came before it fails.
        shorten: bytes that downloads miss at their end.
        calls: operations in the order they were called.
        grown: set once bytes were stored.
    """

    infos: dict[str, UploadInfo] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    lives: dict[str, FakeLive] = field(default_factory=dict)
    fail: dict[str, Exception] = field(default_factory=dict)
    shorten: int = 0
    calls: list[str] = field(default_factory=list)
    grown: asyncio.Event = field(default_factory=asyncio.Event)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def call(self, operation: str) -> None:
        """Note a call; raise what it shall raise."""
        self.calls.append(operation)
        if operation in self.fail:
            raise self.fail[operation]

    def add(self, upload_id: str, info: UploadInfo | None = None, content: bytes = b"") -> str:
        """Put an upload there; by default a finished one."""
        self.infos[upload_id] = info or UploadInfo(
            upload_id, len(content), len(content), finished=True
        )
        self.contents[upload_id] = content
        return upload_id

    def live(self, upload_id: str) -> FakeLive | None:
        """Return what was put into ``lives``."""
        return self.lives.get(upload_id)

    async def create(
        self, new: NewUpload, *, lock_of: Callable[[str], Lock | None] | None = None
    ) -> "FakeHeld":
        """Create an upload with an id that needs encoding."""
        self.call("create")
        upload_id = f"up{next(self.numbers)}+part/é"
        info = UploadInfo(
            upload_id, new.length, 0, new.metadata_raw, new.metadata, finished=new.length == 0
        )
        self.add(upload_id, info)
        return FakeHeld(self, upload_id)

    async def create_whole(self, new: NewUpload, body: Body) -> UploadInfo | None:
        """Create an upload with all of its bytes, or nothing."""
        held = await self.create(new)
        info = await held.append(body)
        return info if info.finished else None

    def final_id(self, new: NewUpload) -> str:
        """Return an id that is the same for the same partials."""
        return "final-" + "-".join(new.partials)

    async def create_final(self, new: NewUpload) -> UploadInfo:
        """Record a final upload."""
        self.call("create_final")
        upload_id = self.final_id(new)
        info = UploadInfo(
            upload_id, None, 0, new.metadata_raw, new.metadata, new.kind, new.concat_raw
        )
        self.add(upload_id, info)
        return info

    async def read_many(self, upload_ids: Sequence[str]) -> list[UploadInfo]:
        """Return several states."""
        return [await self.read(upload_id) for upload_id in upload_ids]

    async def read(self, upload_id: str) -> UploadInfo:
        """Return the state."""
        self.call("read")
        if upload_id not in self.infos:
            raise UploadNotFound
        return self.infos[upload_id]

    async def open(
        self, upload_id: str, lock: Lock, *, for_termination: bool = False
    ) -> "FakeHeld":
        """Return the upload for writing."""
        self.call("open")
        if upload_id not in self.infos:
            raise UploadNotFound
        return FakeHeld(self, upload_id)

    @asynccontextmanager
    async def download(
        self, upload_id: str, *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[FakeReader]:
        """Return the bytes."""
        self.call("download")
        if not self.infos[upload_id].finished:
            raise IncompleteUpload
        content = self.contents[upload_id]
        stat = ObjectStat(upload_id, len(content), '"etag"', 0.0)
        data = content[start:end]
        yield FakeReader(stat, data[: len(data) - self.shorten], self.fail.get("chunks"))


@dataclass
class FakeHeld:
    """A `HeldUpload` of a `FakeStore`."""

    store: FakeStore
    upload_id: str

    @property
    def info(self) -> UploadInfo:
        """The state."""
        return self.store.infos[self.upload_id]

    async def append(
        self, body: Body, *, declared_length: int | None = None, expected: int | None = None
    ) -> UploadInfo:
        """Take the body in; complete uploads are finished unless ``finish`` shall fail."""
        self.store.calls.append("append")
        if declared_length is not None:
            self._set(length=declared_length)
        while data := await body.read():
            self.store.contents[self.upload_id] += data
            self._set(offset=self.info.offset + len(data))
            self.store.grown.set()
        if "append" in self.store.fail:
            raise self.store.fail["append"]
        return await self.finish() if self.info.is_pending else self.info

    async def finish(self) -> UploadInfo:
        """Say that it is finished."""
        self.store.call("finish")
        self._set(finished=True)
        return self.info

    async def terminate(self) -> None:
        """Forget it."""
        self.store.call("terminate")
        del self.store.infos[self.upload_id]

    def _set(self, **changes: object) -> None:
        self.store.infos[self.upload_id] = replace(self.info, **changes)  # type: ignore[arg-type]


async def fine() -> None:
    """Be ready."""


@asynccontextmanager
async def running(app: web.Application) -> AsyncIterator[Tus]:
    """Serve an application on a free port; yields a client for its ``/files/``."""
    runner = web.AppRunner(
        app, access_log=None, auto_decompress=False, lingering_time=0.2, shutdown_timeout=5
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        tus = Tus(f"http://127.0.0.1:{runner.addresses[0][1]}/files/")
        yield tus
        await tus.close()
    finally:
        await runner.cleanup()


@asynccontextmanager
async def serving(
    store: FakeStore,
    *,
    locker: Locker | None = None,
    terms: Terms = Terms(),
    options: WebOptions = WebOptions(),
    ready: Callable[[], Awaitable[None]] = fine,
) -> AsyncIterator[Tus]:
    """Serve a store; yields a client."""
    app = make_application(
        store=store, locker=locker or MemoryLocker(), terms=terms, options=options, ready=ready
    )
    async with running(app) as tus:
        yield tus
