import asyncio
import ipaddress
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from tests.protocol.wire import OFFSET_TYPE, VERSION, Tus, patching
from tests.unit.web.fakes import FakeHeld, FakeLive, FakeStore, fine, serving
from tusd_s3.errors import LeaseLost, StoreBusy, StoreError, StoreFull, UploadGone
from tusd_s3.interfaces import Body, Lock
from tusd_s3.lockers.memory import MemoryLock, MemoryLocker
from tusd_s3.model import Kind, NewUpload, UploadInfo
from tusd_s3.protocol.rules import Terms
from tusd_s3.web.options import WebOptions
from tusd_s3.web.routes import make_application

BUSY = StoreBusy("upload_part", "a", "SlowDown")
HALF = UploadInfo("a", 10, 5)
PENDING = UploadInfo("a", 5, 5)


class NotedLocker(MemoryLocker):
    """A real locker that notes who held what."""

    def __init__(self) -> None:
        super().__init__()
        self.held_ids: list[str] = []

    @asynccontextmanager
    async def hold(
        self, upload_id: str, *, on_release_requested: Callable[[], None], timeout_s: float
    ) -> AsyncIterator[MemoryLock]:
        """Hold and note."""
        async with super().hold(
            upload_id, on_release_requested=on_release_requested, timeout_s=timeout_s
        ) as lock:
            self.held_ids.append(upload_id)
            yield lock


@asynccontextmanager
async def stubborn_holder(locker: MemoryLocker) -> AsyncIterator[None]:
    """Have somebody hold ``a`` for the duration of a block."""
    async with locker.hold("a", on_release_requested=lambda: None, timeout_s=1):
        yield


async def test_head_of_a_fed_upload_takes_no_lock() -> None:
    """The holder's durable offset is the answer."""
    store, locker = FakeStore(), NotedLocker()
    store.lives["a"] = FakeLive(HALF, silent_s=4)
    async with serving(store, locker=locker) as tus:
        response = await tus.head(tus.url + "a")

    assert response.offset == 5
    assert store.calls == []
    assert locker.held_ids == []


async def test_head_of_a_silent_upload_takes_it_over() -> None:
    """PITFALLS 17: the holder is asked to let go, then the state is read under the lock."""
    store, locker = FakeStore(), NotedLocker()
    store.add("a", HALF)
    store.lives["a"] = FakeLive(UploadInfo("a", 10, 0), silent_s=6)
    async with serving(store, locker=locker) as tus:
        response = await tus.head(tus.url + "a")

    assert response.offset == 5
    assert locker.held_ids == ["a"]


@pytest.mark.parametrize("is_live", [False, True])
async def test_head_finishes_a_pending_upload(*, is_live: bool) -> None:
    """PITFALLS 6: offset == length is told only once the object exists."""
    store, locker = FakeStore(), NotedLocker()
    store.add("a", PENDING)
    if is_live:
        store.lives["a"] = FakeLive(PENDING)
    async with serving(store, locker=locker) as tus:
        response = await tus.head(tus.url + "a")

    assert (response.status, response.offset) == (200, 5)
    assert locker.held_ids == ["a"]
    assert store.infos["a"].finished


async def test_head_of_an_upload_that_cannot_be_finished() -> None:
    """PITFALLS 6, 19: 423, without an offset."""
    store = FakeStore(fail={"finish": BUSY})
    store.add("a", PENDING)
    async with serving(store) as tus:
        response = await tus.head(tus.url + "a")

    assert response.status == 423
    assert response.get("Upload-Offset") is None
    assert response["Cache-Control"] == "no-store"
    assert int(response["Retry-After"]) > 0


@pytest.mark.parametrize(("method", "status"), [("HEAD", 423), ("PATCH", 423), ("DELETE", 423)])
async def test_lock_that_cannot_be_had(method: str, status: int) -> None:
    """PITFALLS 16: 423 with `Retry-After`, after the time limit."""
    store, locker = FakeStore(), MemoryLocker()
    store.add("a", PENDING)
    options = WebOptions(lock_timeout_s=0.05)
    async with serving(store, locker=locker, options=options) as tus, stubborn_holder(locker):
        response = await tus.request(method, tus.url + "a", patching(5))

    assert response.status == status
    assert int(response["Retry-After"]) > 0


async def test_who_finishes_or_deletes_is_not_hurried() -> None:
    """A waiter gets the lock when the work under it is done."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    class Held(FakeHeld):
        async def finish(self) -> UploadInfo:
            begun.set()
            await go_on.wait()
            return await super().finish()

    class Store(FakeStore):
        async def open(
            self, upload_id: str, lock: Lock, *, for_termination: bool = False
        ) -> FakeHeld:
            await super().open(upload_id, lock)
            return Held(self, upload_id)

    store, locker = Store(), NotedLocker()
    store.add("a", PENDING)
    async with serving(store, locker=locker) as tus:
        head = asyncio.create_task(tus.head(tus.url + "a"))
        await begun.wait()
        delete = asyncio.create_task(tus.delete(tus.url + "a"))
        await tus.options()
        go_on.set()
        statuses = [(await head).status, (await delete).status]

    assert statuses == [200, 204]
    assert locker.held_ids == ["a", "a"]


async def test_get_takes_no_lock() -> None:
    """PITFALLS 15: whoever holds the upload."""
    store, locker = FakeStore(), MemoryLocker()
    store.add("a", content=b"abc")
    async with serving(store, locker=locker) as tus, stubborn_holder(locker):
        assert (await tus.get(tus.url + "a")).body == b"abc"


@pytest.mark.parametrize(
    ("failure", "info", "status", "offset"),
    [
        (BUSY, UploadInfo("a", 20, 5), 503, "8"),
        (BUSY, UploadInfo("a", 8, 5), 503, None),
        (StoreFull("put", "a", "full"), UploadInfo("a", 20, 5), 503, "8"),
        (LeaseLost("put", "a", "412"), UploadInfo("a", 20, 5), 423, None),
        (UploadGone("list_parts", "a", "404"), UploadInfo("a", 20, 5), 410, None),
    ],
)
async def test_failed_append(
    failure: StoreError, info: UploadInfo, status: int, offset: str | None
) -> None:
    """PITFALLS 7: a failure is never acknowledged; the answer has the durable offset."""
    store = FakeStore(fail={"append": failure})
    store.add("a", info)
    async with serving(store) as tus:
        response = await tus.patch(tus.url + "a", 5, b"abc")

    assert response.status == status
    assert response.get("Upload-Offset") == offset
    assert (response.get("Retry-After") is None) == (status == 410)


async def test_failed_append_to_a_new_upload() -> None:
    """AMB-24: the answer says which upload was created, and how much of it is stored."""
    store = FakeStore(fail={"append": BUSY})
    async with serving(store) as tus:
        response = await tus.post(10, b"abc")

    assert (response.status, response.offset) == (503, 3)
    assert response["Location"].endswith("/files/up1%2Bpart/%C3%A9")


async def test_refused_creation_creates_nothing() -> None:
    """CRE-20: the store is not even asked."""
    store = FakeStore()
    async with serving(store, terms=Terms(max_size=5)) as tus:
        responses = [
            await tus.post(6),
            await tus.post(),
            await tus.post(5, b"123456"),
            await tus.post(5, b"1", Content_Type="a/b"),
            await tus.post(5, Upload_Metadata="a b c"),
        ]

    assert [r.status for r in responses] == [413, 400, 413, 415, 400]
    assert store.calls == []


async def test_body_is_read_after_the_creation_only() -> None:
    """PITFALLS 28: what is refused was not received; what is created receives its body."""
    order: list[str] = []

    class Held(FakeHeld):
        async def append(
            self, body: Body, *, declared_length: int | None = None, expected: int | None = None
        ) -> UploadInfo:
            order.append("append")
            return await super().append(body)

    class Store(FakeStore):
        async def create(
            self, new: NewUpload, *, lock_of: Callable[[str], Lock | None] | None = None
        ) -> FakeHeld:
            order.append("create")
            await super().create(new, lock_of=lock_of)
            return Held(self, "up1+part/é")

    async with serving(Store()) as tus:
        headers = {
            **VERSION,
            "Upload-Length": "3",
            "Content-Type": OFFSET_TYPE,
            "Content-Length": "3",
            "Expect": "100-continue",
        }
        async with tus.begun("POST", tus.url, headers) as connection:
            assert (await connection.receive(interim=True)).status == 100
            assert order == ["create", "append"]
            await connection.send(b"abc")
            response = await connection.receive()

    assert (response.status, response.offset) == (201, 3)


async def test_patch_without_any_framing_is_empty() -> None:
    """A PATCH with neither `Content-Length` nor chunks has no body."""
    store = FakeStore()
    store.add("a", HALF)
    async with serving(store) as tus:
        response = await tus.request("PATCH", tus.url + "a", patching(5))

    assert (response.status, response.offset) == (204, 5)


@pytest.mark.parametrize(
    ("upload_id", "headers", "status"),
    [
        ("unknown", {"Content-Type": "a/b"}, 404),
        ("unknown", {"Upload-Offset": "x"}, 404),
        ("final", {"Content-Type": "a/b"}, 403),
        ("final", {"Upload-Offset": "x"}, 403),
        ("final", {}, 403),
        ("a", {"Content-Type": "a/b", "Upload-Offset": "x"}, 415),
        ("a", {"Upload-Offset": "x"}, 400),
        ("a", {"Upload-Offset": "4", "Upload-Length": "11"}, 409),
        ("a", {"Upload-Length": "11"}, 400),
    ],
)
async def test_order_of_the_checks(upload_id: str, headers: dict[str, str], status: int) -> None:
    """AMB-37: 404, 403, 415, 400 for the offset, 409, 400 for the length."""
    store = FakeStore()
    store.add("a", HALF)
    store.add("final", UploadInfo("final", 5, 5, kind=Kind.FINAL, finished=True))
    async with serving(store) as tus:
        response = await tus.request("PATCH", tus.url + upload_id, {**patching(5), **headers}, b"x")

    assert response.status == status
    assert "append" not in store.calls


async def test_declared_length_reaches_the_store() -> None:
    """With the body of the same request."""
    store = FakeStore()
    store.add("a", UploadInfo("a", None, 0))
    async with serving(store) as tus:
        await tus.patch(tus.url + "a", 0, b"abc", Upload_Length="5")

    assert (store.infos["a"].length, store.infos["a"].offset) == (5, 3)


async def test_failed_termination_can_be_repeated() -> None:
    """503 as long as something is left, then 204."""
    store = FakeStore(fail={"terminate": BUSY})
    store.add("a", HALF)
    async with serving(store) as tus:
        failed = await tus.delete(tus.url + "a")
        store.fail.clear()
        done = await tus.delete(tus.url + "a")

    assert (failed.status, done.status) == (503, 204)


async def test_shutdown_ends_bodies_in_order() -> None:
    """What arrived is kept; the client is told where it stands and to come back."""
    store = FakeStore()
    store.add("a", UploadInfo("a", 10, 0))
    app = make_application(
        store=store, locker=MemoryLocker(), terms=Terms(), options=WebOptions(), ready=fine
    )
    runner = web.AppRunner(app, access_log=None, lingering_time=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    tus = Tus(f"http://127.0.0.1:{runner.addresses[0][1]}/files/")
    connection = await tus.connect()
    headers = {**patching(0), "Content-Length": "10"}
    await connection.head("PATCH", "/files/a", headers, host=tus.host)
    await connection.send(b"01234")
    await store.grown.wait()

    async with asyncio.timeout(5):
        await app.shutdown()
        response = await connection.receive()
        ready = await tus.request("GET", "/health/ready")
        late = await tus.patch(tus.url + "a", 5, b"56789")
        await runner.cleanup()
    await tus.close()

    assert (response.status, response.offset, response["Connection"]) == (503, 5, "close")
    assert response.body.startswith(b"ERR_SERVER_SHUTDOWN")
    assert ready.status == 503
    assert late.status in {204, 503}


async def test_creation_with_the_upload_type_and_no_body_tells_an_offset() -> None:
    """CWU-06: a client that announced creation-with-upload looks for it."""
    async with serving(FakeStore()) as tus:
        with_type = await tus.post(5, b"")
        without = await tus.post(5)

    assert with_type.offset == 0
    assert without.get("Upload-Offset") is None


@pytest.mark.parametrize("path", ["/files", "/files/", "/files/a"])
async def test_options_is_answered_everywhere(path: str) -> None:
    """AMB-05: with the same words, and nothing is looked up."""
    store = FakeStore()
    async with serving(store, terms=Terms(max_size=7)) as tus:
        response = await tus.options(path)

    assert (response.status, response["Tus-Max-Size"]) == (200, "7")
    assert store.calls == []


@pytest.mark.parametrize(
    ("path", "allowed"), [("/files/", "POST, OPTIONS"), ("/files/a", "HEAD, PATCH, OPTIONS, GET")]
)
async def test_other_methods_are_told_what_is_allowed(path: str, allowed: str) -> None:
    """405 with `Allow`: exactly what this URL answers to, with these terms."""
    async with serving(FakeStore(), terms=Terms(termination=False)) as tus:
        response = await tus.request("PUT", path, VERSION)

    assert response.status == 405
    assert set(allowed.split(", ")) == set(response["Allow"].split(", ")) - {"POST"} | (
        {"POST"} if path == "/files/" else set()
    )


@pytest.mark.parametrize(
    ("network", "location"),
    [("127.0.0.0/8", "https://a.example/files/"), ("192.0.2.0/24", "http://b.example/files/")],
)
async def test_forwarded_headers_of_trusted_peers_make_the_location(
    network: str, location: str
) -> None:
    """PITFALLS 22."""
    options = WebOptions(trusted_proxies=(ipaddress.ip_network(network),))
    async with serving(FakeStore(), options=options) as tus:
        forwarded = {"Forwarded": "proto=https;host=a.example", "Host": "b.example"}
        headers = {**VERSION, "Upload-Length": "5", **forwarded}
        response = await tus.request("POST", tus.url, headers, b"")

    assert response["Location"].startswith(location)
