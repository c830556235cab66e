"""An HTTP server that keeps requests as they arrive and answers what it is told.

It checks what S3 checks first: botocore computes the signature again from what came over the
socket, so a request that was changed or completed after it was signed does not pass unnoticed.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials

from tests.servers import HOST

REFUSED = b"<Error><Code>NoSuchUpload</Code><Message>none there</Message></Error>"


@dataclass
class Arrived:
    """A request: its line in three pieces, headers by lower-case name, body."""

    method: str
    target: str
    version: str
    headers: dict[str, str]
    body: bytes = b""


def signature_of(request: Arrived, secret_key: str) -> str:
    """Return the signature that botocore gives to a request as it arrived."""
    fields = request.headers["authorization"].removeprefix("AWS4-HMAC-SHA256 ").split(", ")
    given = dict(item.split("=", 1) for item in fields)
    access_key, _day, region, service, _ = given["Credential"].split("/")
    names = given["SignedHeaders"].split(";")
    host = f"http://{request.headers['host']}"
    again = AWSRequest(
        method=request.method,
        url=host + request.target.removeprefix(host),  # a proxy is told the whole
        headers={name: request.headers[name] for name in names},
    )
    again.context["timestamp"] = request.headers["x-amz-date"]
    signer = S3SigV4Auth(ReadOnlyCredentials(access_key, secret_key, None), service, region)
    text = signer.string_to_sign(again, signer.canonical_request(again))
    signature: str = signer.signature(text, again)
    return signature


def answer(status: int = 200, body: bytes = b"", **headers: str) -> bytes:
    """Return an answer with its length, and ``headers`` with dashes for underscores."""
    lines = [f"HTTP/1.1 {status} So", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass
class RawStore:
    """What arrived, and what is answered: ``answers`` from the first to the last, then 200.

    Attributes:
        answers: an answer, None for none at all, ``b""`` for the end of the connection.
        early: answer as soon as the headers are there.
        seen: requests that arrived whole.
        connections: how many there were.
        heads, unanswered, hung_up: released when headers arrived, when there is no answer, and
            when a connection ended.
    """

    secret_key: str = "s"
    url: str = ""
    answers: deque[bytes | None] = field(default_factory=deque)
    early: bool = False
    seen: list[Arrived] = field(default_factory=list)
    connections: int = 0
    heads: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    unanswered: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    hung_up: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.connections += 1
        try:
            while await self._answer_one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.hung_up.release()
            writer.close()

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("ascii").split("\r\n")[:-2]
        headers = dict(text.split(": ", 1) for text in lines)
        assert len(headers) == len(lines), "no header comes twice"
        method, target, version = line.split(" ")
        named = {name.lower(): value for name, value in headers.items()}
        request = Arrived(method, target, version, named)
        self.heads.release()
        if not self.early:
            request.body = await reader.readexactly(int(headers.get("Content-Length", "0")))
        said = self.answers.popleft() if self.answers else answer()
        self.seen.append(request)
        if said is None:
            self.unanswered.release()
            await reader.read()
        if not said:
            return False
        head, end, _ = said.partition(b"\r\n\r\n")
        writer.write(head + end if method == "HEAD" else said)
        await writer.drain()
        closing = b"Connection: close" in said
        if self.early:
            await reader.read()
        return not (self.early or closing)

    def assert_signed(self) -> None:
        """Check the signature of everything that arrived."""
        for request in self.seen:
            expected = signature_of(request, self.secret_key)
            assert request.headers["authorization"].endswith(f"Signature={expected}")


@asynccontextmanager
async def raw_store(tls: ssl.SSLContext | None = None) -> AsyncIterator[RawStore]:
    """Run such a server; the signatures of all requests are checked in the end."""
    store = RawStore()
    server = await asyncio.start_server(store.serve, HOST, 0, ssl=tls)
    store.url = f"{'https' if tls else 'http'}://{HOST}:{server.sockets[0].getsockname()[1]}"
    try:
        yield store
    finally:
        server.close()
        await server.wait_closed()
    store.assert_signed()


class Keys:
    """Credentials that can change, as those of a role do.

    Attributes:
        asked: how often somebody wanted them.
    """

    def __init__(
        self, access_key: str = "a", secret_key: str = "s", token: str | None = None
    ) -> None:
        self.current = ReadOnlyCredentials(access_key, secret_key, token)
        self.asked = 0

    async def get_frozen_credentials(self) -> Any:
        """Return the present ones."""
        self.asked += 1
        return self.current
