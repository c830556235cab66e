"""A raw-socket HTTP/1.1 client for tus: half-sent bodies, bad framing, duplicate headers.

It sends exactly what it is told to, and judges every response by the rules that hold for all.
"""

import asyncio
import base64
import re
import socket
import struct
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

VERSION = {"Tus-Resumable": "1.0.0"}
OFFSET_TYPE = "application/offset+octet-stream"
TIMEOUT_S = 15.0

Headers = Mapping[str, str] | Iterable[tuple[str, str]]


@dataclass(frozen=True)
class Response:
    """A response as it came; names of headers are compared without case."""

    status: int
    fields: tuple[tuple[str, str], ...]
    body: bytes = b""

    def getall(self, name: str) -> list[str]:
        """Return every value of a header."""
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def get(self, name: str) -> str | None:
        """Return a header's value, None if absent.

        Raises:
            AssertionError: it came more than once.
        """
        values = self.getall(name)
        assert len(values) <= 1, f"{name} came {len(values)} times: {self}"
        return values[0] if values else None

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        assert value is not None, f"{name} is missing: {self}"
        return value

    @property
    def offset(self) -> int:
        """The `Upload-Offset`."""
        return int(self["Upload-Offset"])

    def members(self, name: str) -> list[str]:
        """Return the members of a list header, lower case."""
        return [member.strip().lower() for member in (self.get(name) or "").split(",")]


class Connection:
    """One connection to a server; requests are written piece by piece."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._method = ""

    async def head(self, method: str, target: str, headers: Headers, *, host: str) -> None:
        """Send a request line and a header block."""
        self._method = method
        pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
        if not any(name.lower() == "host" for name, _ in pairs):
            pairs.insert(0, ("Host", host))
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in pairs)]
        await self.send("\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape"))

    async def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._writer.write(data)
        await self._writer.drain()

    async def send_chunk(self, data: bytes) -> None:
        """Send one chunk of a chunked body; an empty one is its end."""
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def receive(self, *, interim: bool = False) -> Response:
        """Read the next response, with ``interim`` also a 1xx.

        Raises:
            AssertionError: it breaks a rule that holds for every response.
            asyncio.IncompleteReadError: the connection ended first.
        """
        async with asyncio.timeout(TIMEOUT_S):
            response = await self._receive()
            while 100 <= response.status < 200 and not interim:
                response = await self._receive()
        if response.status >= 200:
            judge(self._method, response)
        return response

    async def _receive(self) -> Response:
        block = await self._reader.readuntil(b"\r\n\r\n")
        first, *lines = block.decode("utf-8", "surrogateescape").split("\r\n")[:-2]
        status = int(first.split(" ")[1])
        fields = tuple(
            (name, value.strip()) for name, _, value in (line.partition(":") for line in lines)
        )
        head = Response(status, fields)
        if self._method == "HEAD" or status in {204, 304} or status < 200:
            return head
        return Response(status, fields, await self._body(head))

    async def _body(self, head: Response) -> bytes:
        if head.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(await self._reader.readuntil(b"\r\n"), 16):
                body += (await self._reader.readexactly(size + 2))[:-2]
            await self._reader.readuntil(b"\r\n")
            return body
        return await self._reader.readexactly(int(head.get("Content-Length") or 0))

    async def rest(self) -> bytes:
        """Return what comes until the server closes the connection."""
        async with asyncio.timeout(TIMEOUT_S):
            try:
                return await self._reader.read()
            except ConnectionError:
                return b""

    async def is_silent(self, seconds: float = 0.1) -> bool:
        """Return whether nothing comes for a while, not even an end."""
        try:
            async with asyncio.timeout(seconds):
                await self._reader.readexactly(1)
        except TimeoutError:
            return True
        return False

    def reset(self) -> None:
        """Break the connection with a RST."""
        sock: socket.socket = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def finish(self) -> None:
        """Close our half of the connection with a FIN."""
        self._writer.write_eof()

    async def close(self) -> None:
        """Close the connection."""
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()


def judge(method: str, response: Response) -> None:
    """Check what the protocol demands of every response.

    CORE-05, CORE-06: `Tus-Resumable` is on all of them, 404 and 405 included (AMB-03: on those
    to OPTIONS too, which may). CORE-01, CORE-02: offsets and lengths are plain numbers.
    """
    assert response.get("Tus-Resumable") == "1.0.0" or method == "OPTIONS", response
    for name in ("Upload-Offset", "Upload-Length", "Tus-Max-Size"):
        value = response.get(name)
        assert value is None or re.fullmatch("[0-9]+", value), response


@dataclass
class Tus:
    """A tus client for the creation URL ``url``. Absolute and relative URLs are understood."""

    url: str
    open: list[Connection] = field(default_factory=list)

    @property
    def host(self) -> str:
        """Host and port."""
        return urlsplit(self.url).netloc

    def resolve(self, location: str) -> str:
        """Return an absolute URL (RFC 3986)."""
        return urljoin(self.url, location)

    async def connect(self) -> Connection:
        """Open a connection, closed at the latest by `close`."""
        parts = urlsplit(self.url)
        connection = Connection(
            *await asyncio.open_connection(parts.hostname, parts.port or 80, limit=2**20)
        )
        self.open.append(connection)
        return connection

    @asynccontextmanager
    async def begun(
        self, method: str, url: str, headers: Headers, sent: bytes = b""
    ) -> AsyncIterator[Connection]:
        """Send a request as far as ``sent`` and hand over its connection."""
        connection = await self.connect()
        try:
            await connection.head(method, self.target(url), headers, host=self.host)
            await connection.send(sent)
            yield connection
        finally:
            await connection.close()

    def target(self, url: str) -> str:
        """Return the request target of a URL, not normalised in any way."""
        if url.startswith("/"):
            return url
        parts = urlsplit(url)
        return parts.path + (f"?{parts.query}" if parts.query else "")

    async def close(self) -> None:
        """Close what is open."""
        for connection in self.open:
            await connection.close()

    async def request(
        self, method: str, url: str, headers: Headers = (), body: bytes | None = None
    ) -> Response:
        """Send a request; a body, also an empty one, gets a `Content-Length`."""
        pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
        if body is not None:
            pairs.append(("Content-Length", str(len(body))))
        async with self.begun(method, url, pairs, body or b"") as connection:
            return await connection.receive()

    async def chunked(
        self, method: str, url: str, headers: Mapping[str, str], *chunks: bytes
    ) -> Response:
        """Send a request with a chunked body."""
        headers = {**headers, "Transfer-Encoding": "chunked"}
        async with self.begun(method, url, headers) as connection:
            for chunk in (*chunks, b""):
                await connection.send_chunk(chunk)
            return await connection.receive()

    async def options(self, url: str = "", headers: Headers = ()) -> Response:
        """Ask what the server offers."""
        return await self.request("OPTIONS", url or self.url, headers)

    async def post(
        self, length: int | None = None, body: bytes | None = None, **more: str
    ) -> Response:
        """Send a creation request. Keywords are headers, with ``_`` for ``-``."""
        headers = {**VERSION, **_named(more)}
        if length is not None:
            headers["Upload-Length"] = str(length)
        if body is not None and "Content-Type" not in headers:
            headers["Content-Type"] = OFFSET_TYPE
        return await self.request("POST", self.url, headers, b"" if body is None else body)

    async def create(
        self, length: int | None = None, body: bytes | None = None, **more: str
    ) -> str:
        """Create an upload, deferred without a length, and return its absolute URL."""
        if length is None:
            more["Upload_Defer_Length"] = "1"
        response = await self.post(length, body, **more)
        assert response.status == 201, response
        return self.resolve(response["Location"])

    async def head(self, url: str, **more: str) -> Response:
        """Ask for the state of an upload."""
        return await self.request("HEAD", url, {**VERSION, **_named(more)})

    async def patch(self, url: str, offset: int, body: bytes, **more: str) -> Response:
        """Append a body."""
        return await self.request("PATCH", url, patching(offset, **more), body)

    async def delete(self, url: str) -> Response:
        """Terminate an upload."""
        return await self.request("DELETE", url, VERSION)

    async def get(self, url: str, **more: str) -> Response:
        """Download an upload."""
        return await self.request("GET", url, _named(more))

    async def offset(self, url: str) -> int:
        """Return the offset that HEAD tells."""
        response = await self.head(url)
        assert response.status in {200, 204}, response
        return response.offset

    async def settled_offset(self, url: str) -> int:
        """Return the offset once whoever held the upload has let go of it."""
        for _ in range(100):
            if (await self.head(url)).status != 423:
                break
            await asyncio.sleep(0.05)
        return await self.offset(url)

    async def state(self, url: str) -> tuple[object, ...]:
        """Return what HEAD says, to see that nothing has changed (or that it is not there)."""
        response = await self.head(url)
        names = ("Upload-Offset", "Upload-Length", "Upload-Defer-Length", "Upload-Metadata")
        return (response.status, *(response.get(name) for name in names))


def patching(offset: int, **more: str) -> dict[str, str]:
    """Return the headers of a PATCH."""
    return {
        **VERSION,
        "Content-Type": OFFSET_TYPE,
        "Upload-Offset": str(offset),
        **_named(more),
    }


def encoded(value: bytes | str) -> str:
    """Return Base64 as `Upload-Metadata` wants it."""
    raw = value.encode() if isinstance(value, str) else value
    return base64.b64encode(raw).decode()


def _named(keywords: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in keywords.items()}
