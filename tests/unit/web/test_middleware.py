import asyncio
import logging

import pytest
from aiohttp import web

from tests.protocol.wire import VERSION, Tus, patching
from tests.unit.web.fakes import FakeStore, fine, running, serving
from tusd_s3 import log
from tusd_s3.errors import StoreBusy, UploadGone
from tusd_s3.lockers.memory import MemoryLocker
from tusd_s3.model import UploadInfo
from tusd_s3.protocol.rules import Terms
from tusd_s3.web.middleware import surround
from tusd_s3.web.options import CorsOptions, WebOptions
from tusd_s3.web.routes import make_application

ORIGIN = {"Origin": "https://a.example"}
REASON = "SlowDown host-id 4711"


def events(caplog: pytest.LogCaptureFixture, event: str) -> list[logging.LogRecord]:
    """Return the log records of an event."""
    return [r for r in caplog.records if event in r.getMessage()]


async def test_bug_is_500_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The client sees no word of it, the log has the traceback; all headers are there."""
    store = FakeStore(fail={"create": ZeroDivisionError("secret")})
    async with serving(store) as tus:
        headers = {**VERSION, **ORIGIN, "Upload-Length": "5"}
        response = await tus.request("POST", tus.url, headers, b"")

    assert response.status == 500
    assert response.body.startswith(b"ERR_INTERNAL_SERVER_ERROR")
    assert b"secret" not in response.body
    assert response["Access-Control-Allow-Origin"] == "https://a.example"
    assert [r.exc_info is not None for r in events(caplog, "request failed")] == [True]


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", 423), ("GET", 503), ("POST", 503), ("DELETE", 503)]
)
async def test_outage(method: str, status: int, caplog: pytest.LogCaptureFixture) -> None:
    """PITFALLS 5, 19, 29: retryable, with `Retry-After`; the store's words are in the log only."""
    busy = StoreBusy("get", "a.info", REASON)
    store = FakeStore(fail=dict.fromkeys(("read", "open", "create"), busy))
    async with serving(store, options=WebOptions(retry_after_s=7)) as tus:
        target = tus.url if method == "POST" else tus.url + "a"
        response = await tus.request(method, target, {**VERSION, "Upload-Length": "5"})

    assert response.status == status
    assert response["Retry-After"] == "7"
    assert b"4711" not in response.body
    assert len(events(caplog, "store failed")) == 1
    assert REASON in events(caplog, "store failed")[0].getMessage()


@pytest.mark.parametrize("method", ["HEAD", "PATCH"])
async def test_gone(method: str, caplog: pytest.LogCaptureFixture) -> None:
    """PITFALLS 4: 410 without an offset, and a warning that names the upload's key."""
    gone = UploadGone("list_parts", "a", "NoSuchUpload")
    store = FakeStore(fail={"read": gone, "open": gone})
    async with serving(store) as tus:
        response = await tus.request(method, tus.url + "a", patching(0))

    assert response.status == 410
    assert response.get("Upload-Offset") is None
    assert response.get("Retry-After") is None
    assert [r.levelname for r in events(caplog, "upload is gone")] == ["WARNING"]


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "é", 'a"b'])
async def test_insane_request_id_is_replaced(given: str) -> None:
    """What could harm logs or headers does not come back."""
    async with serving(FakeStore()) as tus:
        response = await tus.options(headers={"X-Request-ID": given})

    assert response["X-Request-ID"] != given
    assert len(response["X-Request-ID"]) == 32


async def test_request_id_is_known_to_the_log() -> None:
    """While a request is handled its id is in the context of every event."""
    seen: list[str | None] = []

    class Store(FakeStore):
        async def read(self, upload_id: str) -> UploadInfo:
            seen.append(log.request_id.get())
            return await super().read(upload_id)

    async with serving(Store()) as tus:
        for number in range(2):
            await tus.head(tus.url + "a", X_Request_ID=f"job-{number}")

    assert seen == ["job-0", "job-1"]


async def test_requests_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """One line each; those of probes and preflights only at debug level."""
    caplog.set_level(logging.DEBUG, "tusd_s3")
    async with serving(FakeStore()) as tus:
        await tus.head(tus.url + "a")
        await tus.request("GET", "/health/live")
        await tus.options()

    logged = [r for r in caplog.records if r.name.endswith("middleware")]
    assert [r.levelname for r in logged] == ["INFO", "DEBUG", "DEBUG"]
    assert "404" in logged[0].getMessage()


async def test_unread_body_ends_the_connection() -> None:
    """PITFALLS 28: the answer comes at once, and says that the rest is of no use."""
    headers = {**patching(0), "Content-Length": "1000000"}
    async with (
        serving(FakeStore()) as tus,
        tus.begun("PATCH", tus.url + "a", headers, bytes(1000)) as connection,
    ):
        response = await connection.receive()
        await connection.send(bytes(999_000))  # the rest, by a client that does not listen
        rest = await connection.rest()

    assert (response.status, response["Connection"]) == (404, "close")
    assert rest == b""


async def test_read_body_keeps_the_connection() -> None:
    """An error for a small body that has arrived costs no connection."""
    headers = {**patching(0), "Content-Length": "0"}
    async with (
        serving(FakeStore()) as tus,
        tus.begun("PATCH", tus.url + "a", headers) as connection,
    ):
        first = await connection.receive()
        await connection.head("OPTIONS", "/files/", {}, host=tus.host)
        second = await connection.receive()

    assert (first.status, first.get("Connection")) == (404, None)
    assert second.status == 200


@pytest.mark.parametrize("value", ["200-ok", "100-continue, x", "x"])
async def test_unknown_expectation(value: str) -> None:
    """417 with a code and all headers."""
    async with serving(FakeStore()) as tus:
        headers = {**VERSION, **ORIGIN, "Expect": value}
        response = await tus.request("POST", tus.url, headers, b"")

    assert response.status == 417
    assert response.body.startswith(b"ERR_EXPECTATION_FAILED")
    assert response["Access-Control-Allow-Origin"] == "https://a.example"


async def test_answers_of_the_http_library_pass() -> None:
    """An `HTTPException` below us keeps its status, and gets our headers."""

    async def redirect(_request: web.Request) -> web.Response:
        raise web.HTTPFound("/elsewhere")

    app = make_application(
        store=FakeStore(),
        locker=MemoryLocker(),
        terms=Terms(),
        options=WebOptions(cors=CorsOptions()),
        ready=fine,
    )
    inner = web.Application()
    inner.router.add_get("/", redirect)
    app.add_subapp("/inner", inner)
    async with running(app) as tus:
        response = await tus.request("GET", "/inner/")

    assert response.status == 302
    assert response["Tus-Resumable"] == "1.0.0"


async def test_client_that_left_gets_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    """A broken connection below a handler is no bug of ours."""
    hit = asyncio.Event()

    async def handle(_request: web.Request) -> web.Response:
        hit.set()
        raise ConnectionResetError

    app = web.Application(middlewares=[surround(WebOptions())])
    app.router.add_get("/", handle)
    async with running(app) as tus, tus.begun("GET", "/", {}) as connection:
        await hit.wait()
        await connection.rest()

    assert events(caplog, "request failed") == []


async def test_common_headers_are_on_every_answer(tus_of_fakes: Tus) -> None:
    """CORE-05: on 200, 404 of any path, 405 and OPTIONS."""
    responses = [
        await tus_of_fakes.options(),
        await tus_of_fakes.request("GET", "/"),
        await tus_of_fakes.request("MKCOL", "/pot"),
        await tus_of_fakes.request("MKCOL", tus_of_fakes.url, VERSION),
    ]

    assert [r.status for r in responses] == [200, 200, 404, 405]
    for response in responses:
        assert response["Tus-Resumable"] == "1.0.0"
        assert response["Vary"] == "Origin"
        assert len(response["X-Request-ID"]) == 32
