"""A real HTTP server before a real S3 store, which answers some requests itself.

Everything that no rule is for goes to the store and back as it is, so that one answer can be
made to fail in the middle of an otherwise real conversation. No time is waited for: a request
that is left without an answer says so, and says so again when its client hangs up.
"""

import asyncio
import io
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import yarl
from aiohttp import web

from tests.servers import HOST

Answer = Callable[["Front", web.Request], Awaitable[web.StreamResponse]]
_HOP = frozenset({"connection", "transfer-encoding", "keep-alive", "server", "date"})


@dataclass
class Front:
    """What goes through, and the rules: operation -> answers, used from the first to the last."""

    endpoint: str
    url: str = ""
    seen: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    rules: dict[str, list[Answer]] = field(default_factory=dict)
    always: dict[str, Answer] = field(default_factory=dict)
    unanswered: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    hung_up: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    server: web.Server | None = None
    store: aiohttp.ClientSession | None = None

    @property
    def connections(self) -> int:
        """How many clients are connected now."""
        assert self.server is not None
        return len(self.server.connections)

    async def connections_down_to(self, count: int) -> None:
        """Wait until clients have closed all but so many connections."""
        async with asyncio.timeout(5):
            while self.connections > count:  # noqa: ASYNC110  (aiohttp has no event for it)
                await asyncio.sleep(0.01)

    def forget(self) -> None:
        """Drop the rules and what was seen."""
        self.seen, self.headers, self.rules, self.always = [], [], {}, {}
        self.unanswered, self.hung_up = asyncio.Semaphore(0), asyncio.Semaphore(0)

    def answer(self, operation: str, *answers: Answer) -> None:
        """Answer the next requests of an operation so, one each."""
        self.rules.setdefault(operation, []).extend(answers)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer by a rule, or have the store answer."""
        operation = operation_of(request)
        self.seen.append(operation)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        if rules := self.rules.get(operation):
            return await rules.pop(0)(self, request)
        if operation in self.always:
            return await self.always[operation](self, request)
        return await self.forward(request)

    async def forward(self, request: web.Request, *, without: str = "-") -> web.Response:
        """Ask the store, leaving out the headers whose names match ``without``."""
        assert self.store is not None
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in _HOP and not re.fullmatch(without, name.lower())
        }
        url = yarl.URL(self.endpoint + request.raw_path, encoded=True)
        body = io.BytesIO(await request.read()) if request.body_exists else None
        async with self.store.request(request.method, url, headers=headers, data=body) as answer:
            kept = {n: v for n, v in answer.headers.items() if n.lower() not in _HOP}
            return web.Response(status=answer.status, headers=kept, body=await answer.read())


def operation_of(request: web.Request) -> str:
    """Return the S3 name of what a path-style request asks for."""
    query, has_key = request.query, request.path.count("/") > 1
    match request.method:
        case "HEAD":
            return "HeadObject"
        case "GET":
            if "uploadId" in query:
                return "ListParts"
            return "GetObject" if has_key else "ListObjectsV2"
        case "PUT":
            if "uploadId" in query:
                return "UploadPartCopy" if "x-amz-copy-source" in request.headers else "UploadPart"
            return "PutObject"
        case "DELETE":
            return "AbortMultipartUpload" if "uploadId" in query else "DeleteObject"
    if "delete" in query:
        return "DeleteObjects"
    return "CreateMultipartUpload" if "uploads" in query else "CompleteMultipartUpload"


def error(status: int, code: str, message: str = "says the front") -> Answer:
    """Answer as S3 does when it fails."""

    async def answer(_front: Front, request: web.Request) -> web.StreamResponse:
        await request.read()
        text = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        body = "" if request.method == "HEAD" else text
        return web.Response(status=status, text=body, content_type="application/xml")

    return answer


def reply(status: int, text: str, content_type: str = "application/xml") -> Answer:
    """Answer just this."""

    async def answer(_front: Front, request: web.Request) -> web.StreamResponse:
        await request.read()
        return web.Response(status=status, text=text, content_type=content_type)

    return answer


async def no_answer(front: Front, request: web.Request) -> web.StreamResponse:
    """Never answer; notice that the client hangs up (which takes reading what it sends)."""
    await request.read()
    front.unanswered.release()
    try:
        await asyncio.Event().wait()
    finally:
        front.hung_up.release()
    raise AssertionError


async def cut(_front: Front, request: web.Request) -> web.StreamResponse:
    """Break the connection instead of answering."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def cut_after(size: int) -> Answer:
    """Announce the store's whole answer, send ``size`` bytes of it, break the connection."""

    async def answer(front: Front, request: web.Request) -> web.StreamResponse:
        whole = await front.forward(request)
        assert isinstance(whole.body, bytes)
        response = web.StreamResponse(status=whole.status, headers=whole.headers)
        await response.prepare(request)
        await response.write(whole.body[:size])
        assert request.transport is not None
        request.transport.close()
        return response

    return answer


def ignoring(headers: str) -> Answer:
    """Ask the store without the headers that match."""

    async def answer(front: Front, request: web.Request) -> web.StreamResponse:
        return await front.forward(request, without=headers)

    return answer


async def denying_missing_keys(front: Front, request: web.Request) -> web.StreamResponse:
    """Answer as S3 does to an account without s3:ListBucket."""
    answer = await front.forward(request)
    if answer.status != 404 or b"NoSuchBucket" in (answer.body or b""):  # type: ignore[operator]
        return answer
    return await error(403, "AccessDenied")(front, request)


@asynccontextmanager
async def front_of(endpoint: str) -> AsyncIterator[Front]:
    """Run a front before a store, or before nothing at all."""
    front = Front(endpoint)
    app = web.Application(client_max_size=2**30)
    app.router.add_route("*", "/{path:.*}", front.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    async with aiohttp.ClientSession(auto_decompress=False) as front.store:
        await runner.setup()
        site = web.TCPSite(runner, HOST, 0)
        await site.start()
        front.server = runner.server
        host, port = runner.addresses[0][:2]
        front.url = f"http://{host}:{port}"
        try:
            yield front
        finally:
            await runner.cleanup()
