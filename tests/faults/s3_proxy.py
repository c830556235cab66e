"""A proxy before a real S3 store that records every call and can make chosen ones fail.

It forwards byte for byte, streaming both ways and with the `Host` the client signed, so the store
sees what the server under test sent. It runs in a thread; tests drive it from outside.

    with S3Proxy(versitygw) as proxy:
        server = start_tus_server(proxy.server)
        fault = proxy.add(on("upload_part", number=2), answer(503, "SlowDown"))
        ...
        fault.remove()
"""

import asyncio
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from tests.servers import HOST, S3Server

# RFC 9110 section 7.6.1: these belong to one connection; Expect is answered by each hop.
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "expect"}
_TAIL = re.compile(r"\.part(\.\d+)?$")

# What requests with these methods and these query parameters are called.
_MULTIPART = {
    ("POST", "uploads"): "create_multipart",
    ("PUT", "partNumber"): "upload_part",
    ("POST", "uploadId"): "complete",
    ("DELETE", "uploadId"): "abort",
    ("GET", "uploadId"): "list_parts",
    ("POST", "delete"): "delete_objects",
    ("GET", "uploads"): "list_uploads",
    ("GET", "list-type"): "list_objects",
}
_PLAIN = {"PUT": "put", "GET": "get", "HEAD": "head", "DELETE": "delete"}


@dataclass
class Call:
    """One request as it came to the proxy.

    Attributes:
        operation: an S3 operation of `_MULTIPART`, or ``put get head delete`` followed by what
            the key is: ``_info _tail _object``, ``_bucket`` without a key.
        number: the part's, of an ``upload_part``.
        at: when it came, seconds of the monotonic clock.
        status: what was answered, None while it runs or if nothing was.
    """

    operation: str
    key: str
    number: int | None = None
    copy: bool = False
    at: float = field(default_factory=time.monotonic)
    received: int = 0
    status: int | None = None

    def __str__(self) -> str:
        return self.operation if self.number is None else f"{self.operation} {self.number}"


def classify(method: str, target: str, headers: Mapping[str, str]) -> Call:
    """Name the S3 operation of a path-style request."""
    url = urlsplit(target)
    query = parse_qs(url.query, keep_blank_values=True)
    key = unquote(url.path).lstrip("/").partition("/")[2]
    copy = "x-amz-copy-source" in {name.lower() for name in headers}
    for (verb, parameter), operation in _MULTIPART.items():
        if verb == method and parameter in query:
            number = int(query["partNumber"][0]) if operation == "upload_part" else None
            return Call(operation, key, number, copy)
    if not key:
        what = "bucket"
    elif key.endswith(".info"):
        what = "info"
    else:
        what = "tail" if _TAIL.search(key) else "object"
    return Call(f"{_PLAIN.get(method, method.lower())}_{what}", key, copy=copy)


Match = Callable[[Call], bool]


def on(operation: str, *, number: int | None = None) -> Match:
    """Match calls of an operation, of one part if ``number`` is given; ``*`` is any call."""
    return lambda call: operation in ("*", call.operation) and number in (None, call.number)


@dataclass(frozen=True)
class Action:
    """What happens to a call: perhaps S3 acts, perhaps something runs, perhaps there is an answer.

    Attributes:
        forward: whether S3 gets the request (whole) and acts.
        run: called in a thread, before the cut or the answer.
        reply: status and S3 error code of the answer; None cuts the connection (RST).
        gate: waited for first. If it opens the call goes on as if there were no fault.
    """

    forward: bool = False
    run: Callable[[], None] | None = None
    reply: tuple[int, str] | None = None
    gate: threading.Event | None = None


def answer(status: int, code: str) -> Action:
    """Refuse without forwarding."""
    return Action(reply=(status, code))


def cut_before(run: Callable[[], None] | None = None) -> Action:
    """Break the connection before S3 gets anything, after running something."""
    return Action(run=run)


def cut_after(run: Callable[[], None] | None = None) -> Action:
    """Let S3 act, run something, and break the connection: the answer is lost."""
    return Action(forward=True, run=run)


def hang(gate: threading.Event) -> Action:
    """Do nothing until the gate opens; then go on as if nothing had been."""
    return Action(gate=gate)


class Fault:
    """An action on the calls that match, from the ``first``-th, ``times`` times (None: for ever).

    ``hit`` is set once the action was taken; ``hits`` counts.
    """

    def __init__(self, match: Match, action: Action, *, first: int, times: int | None) -> None:
        self.action = action
        self.hit = threading.Event()
        self.hits = 0
        self._match = match
        self._skip = first - 1
        self._times = times

    def remove(self) -> None:
        """Do nothing from now on."""
        self._times = 0

    def applies(self, call: Call) -> bool:
        """Count a call; return whether the action is to be taken on it."""
        if not self._match(call) or (self._times is not None and self.hits >= self._times):
            return False
        if self._skip:
            self._skip -= 1
            return False
        self.hits += 1
        return True


def error_body(code: str) -> bytes:
    """Return S3's XML of an error."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>injected</Message>"
        "<RequestId>0123456789ABCDEF</RequestId></Error>"
    ).encode()


class S3Proxy:
    """The proxy; ``server`` is the store as seen through it, ``calls`` what came so far."""

    def __init__(self, upstream: S3Server) -> None:
        self.calls: list[Call] = []
        self._upstream = upstream
        self._faults: list[Fault] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="s3-proxy")
        self.server = upstream

    def __enter__(self) -> Self:
        self._thread.start()
        port = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        self.server = self._upstream.at(f"http://{HOST}:{port}")
        return self

    def __exit__(self, *_: object) -> None:
        for fault in self._faults:
            if fault.action.gate is not None:
                fault.action.gate.set()
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def add(
        self, match: Match, action: Action, *, first: int = 1, times: int | None = None
    ) -> Fault:
        """Put a fault in; of several that apply to a call the oldest is taken."""
        fault = Fault(match, action, first=first, times=times)
        self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Remove every fault and forget the calls."""
        for fault in self._faults:
            fault.remove()
        self.calls.clear()

    def operations(self) -> list[str]:
        """Return the names of the calls so far, part numbers included."""
        return [str(call) for call in self.calls]

    async def _start(self) -> int:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        )
        self._runner = web.ServerRunner(
            web.Server(self._handle, access_log=None), shutdown_timeout=1.0
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, 0)
        await site.start()
        port: int = self._runner.addresses[0][1]
        return port

    async def _stop(self) -> None:
        await self._runner.cleanup()
        await self._session.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        call = classify(request.method, request.raw_path, request.headers)
        self.calls.append(call)
        fault = next((fault for fault in self._faults if fault.applies(call)), None)
        if fault is None:
            return await self._forward(request, call)
        action = fault.action
        if action.gate is not None:
            fault.hit.set()
            await asyncio.to_thread(action.gate.wait)
            return await self._forward(request, call)
        if action.forward:
            await self._act(request, call)
        if action.run is not None:
            await asyncio.to_thread(action.run)
        fault.hit.set()
        if action.reply is None:
            return _cut(request)
        async for _ in self._body(request, call):
            pass  # a store reads what it refuses, else the client may miss the answer
        call.status = action.reply[0]
        body = b"" if request.method == "HEAD" else error_body(action.reply[1])
        return web.Response(status=call.status, body=body, content_type="application/xml")

    async def _body(self, request: web.BaseRequest, call: Call) -> AsyncIterator[bytes]:
        async for data in request.content.iter_any():
            call.received += len(data)
            yield data

    def _ask(self, request: web.BaseRequest, call: Call) -> aiohttp.client._RequestContextManager:
        headers = CIMultiDict(
            (name, value)
            for name, value in request.headers.items()
            if name.lower() not in _HOP_BY_HOP
        )
        return self._session.request(
            request.method,
            URL(self._upstream.endpoint + request.raw_path, encoded=True),
            headers=headers,
            data=self._body(request, call) if request.body_exists else None,
            allow_redirects=False,
        )

    async def _act(self, request: web.BaseRequest, call: Call) -> None:
        """Let S3 do it, and keep the answer to ourselves."""
        with suppress(aiohttp.ClientError, OSError):
            async with self._ask(request, call) as response:
                await response.read()
                call.status = response.status

    async def _forward(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        try:
            async with self._ask(request, call) as upstream:
                call.status = upstream.status
                headers = CIMultiDict(
                    (name, value)
                    for name, value in upstream.headers.items()
                    if name.lower() not in _HOP_BY_HOP
                )
                response = web.StreamResponse(status=upstream.status, headers=headers)
                await response.prepare(request)
                async for data in upstream.content.iter_any():
                    await response.write(data)
                await response.write_eof()
                return response
        except (aiohttp.ClientError, OSError):  # either side hung up
            return _cut(request)


def _cut(request: web.BaseRequest) -> web.StreamResponse:
    """Reset the connection instead of answering."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)  # goes nowhere
