"""A tus 1.0.0 client for tests: synchronous, one socket per request, able to misbehave."""

import base64
import http.client
import socket
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Self
from urllib.parse import urljoin, urlsplit

VERSION = {"Tus-Resumable": "1.0.0"}
OFFSET_TYPE = "application/offset+octet-stream"
RETRYABLE = (HTTPStatus.LOCKED, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.CONFLICT)


@dataclass(frozen=True)
class Answer:
    """A whole response; ``headers`` has lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def offset(self) -> int:
        """The `Upload-Offset`.

        Raises:
            AssertionError: there is none; says what there is.
        """
        assert "upload-offset" in self.headers, f"no Upload-Offset: {self}"
        return int(self.headers["upload-offset"])


class Exchange:
    """A request whose body is sent piece by piece, on a connection of its own.

    Args:
        length: bytes that `Content-Length` announces, however many are sent.
    """

    def __init__(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        *,
        length: int | None = None,
        timeout_s: float = 60.0,
    ) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.netloc, timeout=timeout_s)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        self._connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in headers.items():
            self._connection.putheader(name, value)
        if length is not None:
            self._connection.putheader("Content-Length", str(length))
        self._connection.endheaders()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def send(self, data: bytes) -> None:
        """Send body bytes.

        Raises:
            OSError: the server hung up; an `answer` may be there nevertheless.
        """
        self._connection.send(data)

    def answer(self) -> Answer:
        """Wait for the response, read it and close.

        Raises:
            OSError: the connection broke, or the time limit passed.
            http.client.HTTPException: it closed without a response.
        """
        response = self._connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        answer = Answer(response.status, headers, response.read())
        self._connection.close()
        return answer

    def fin(self) -> None:
        """Close in an orderly way, without waiting for the answer."""
        self._connection.close()

    def rst(self) -> None:
        """Reset the connection: what is still on its way is thrown away."""
        sock: socket.socket = self._connection.sock
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._connection.close()


def request(
    method: str,
    url: str,
    headers: Mapping[str, str] = VERSION,
    body: bytes | None = None,
    *,
    timeout_s: float = 60.0,
) -> Answer:
    """Do a whole request. An early answer is returned even if the body could not all be sent."""
    length = None if body is None else len(body)
    with Exchange(method, url, headers, length=length, timeout_s=timeout_s) as exchange:
        try:
            if body:
                exchange.send(body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused early: the answer says why
        return exchange.answer()


def format_metadata(metadata: Mapping[str, str]) -> str:
    """Return the `Upload-Metadata` value."""
    return ",".join(
        f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in metadata.items()
    )


def create(
    creation_url: str,
    length: int | None,
    body: bytes | None = None,
    *,
    metadata: Mapping[str, str] | None = None,
    timeout_s: float = 60.0,
) -> Answer:
    """POST an upload, deferred if ``length`` is None, with a body if one is given."""
    headers = dict(VERSION)
    if length is None:
        headers["Upload-Defer-Length"] = "1"
    else:
        headers["Upload-Length"] = str(length)
    if metadata:
        headers["Upload-Metadata"] = format_metadata(metadata)
    if body is not None:
        headers["Content-Type"] = OFFSET_TYPE
    return request("POST", creation_url, headers, body or b"", timeout_s=timeout_s)


def new_upload(creation_url: str, length: int | None) -> str:
    """Create an upload and return its absolute URL.

    Raises:
        AssertionError: it was not created.
    """
    answer = create(creation_url, length)
    assert answer.status == HTTPStatus.CREATED, answer
    return urljoin(creation_url, answer.headers["location"])


def head(url: str, *, timeout_s: float = 60.0) -> Answer:
    """Ask for the state."""
    return request("HEAD", url, timeout_s=timeout_s)


def patch_headers(offset: int, length: int | None = None) -> dict[str, str]:
    """Return the headers of a PATCH, declaring the length if one is given."""
    declared = {} if length is None else {"Upload-Length": str(length)}
    return {
        **VERSION, "Upload-Offset": str(offset), "Content-Type": OFFSET_TYPE, **declared
    }  # fmt: skip


def patch(
    url: str, offset: int, body: bytes, *, length: int | None = None, timeout_s: float = 60.0
) -> Answer:
    """Append bytes."""
    return request("PATCH", url, patch_headers(offset, length), body, timeout_s=timeout_s)


def open_patch(url: str, offset: int, announced: int, *, timeout_s: float = 60.0) -> Exchange:
    """Begin a PATCH whose body the caller sends."""
    return Exchange("PATCH", url, patch_headers(offset), length=announced, timeout_s=timeout_s)


def delete(url: str) -> Answer:
    """Terminate an upload."""
    return request("DELETE", url)


def get(url: str, headers: Mapping[str, str] = VERSION) -> Answer:
    """Download an upload."""
    return request("GET", url, headers)


@dataclass
class Resumer:
    """Brings an upload to its end as a careful client does, and watches what it is told.

    Attributes:
        acknowledged: the highest offset the server has answered so far; it must never fall.
        url_of: returns the upload's URL (it changes when the server is started anew).
        chunk: bytes per PATCH.
    """

    url_of: Callable[[], str]
    data: bytes
    chunk: int = 1 << 30
    acknowledged: int = 0
    answers: list[Answer] = field(default_factory=list)

    def note(self, answer: Answer) -> Answer:
        """Remember an answer, and its offset as acknowledged.

        Raises:
            AssertionError: its offset is lower than one that was answered before.
        """
        self.answers.append(answer)
        if "upload-offset" in answer.headers and answer.status not in (409, 460):
            assert answer.offset >= self.acknowledged, (
                f"the offset fell from {self.acknowledged} to {answer.offset}: {answer}"
            )
            self.acknowledged = answer.offset
        return answer

    def head(self, limit_s: float = 30.0) -> Answer:
        """HEAD until it is 200, retrying on 423 and while nobody listens.

        Raises:
            AssertionError: any other status (tus-js-client would give the upload up), or too late.
        """
        deadline = time.monotonic() + limit_s
        while True:
            try:
                answer = self.note(head(self.url_of()))
            except (OSError, http.client.HTTPException) as exc:
                answer = Answer(HTTPStatus.LOCKED, {}, repr(exc).encode())
            if answer.status == HTTPStatus.OK:
                return answer
            assert answer.status == HTTPStatus.LOCKED, answer
            assert time.monotonic() < deadline, f"still not readable: {answer}"
            time.sleep(0.1)

    def patch_once(self, offset: int) -> Answer | None:
        """PATCH the next chunk; None if the connection broke without an answer."""
        try:
            return self.note(patch(self.url_of(), offset, self.data[offset : offset + self.chunk]))
        except (OSError, http.client.HTTPException):
            return None

    def finish(self, limit_s: float = 60.0) -> None:
        """Resume until the upload is complete.

        Raises:
            AssertionError: an answer that clients do not recover from, or too late.
        """
        deadline = time.monotonic() + limit_s
        while (offset := self.head().offset) < len(self.data):
            answer = self.patch_once(offset)
            assert answer is None or answer.status in (HTTPStatus.NO_CONTENT, *RETRYABLE), answer
            assert time.monotonic() < deadline, f"not finished in {limit_s} s; last: {answer}"
            if answer is not None and answer.status != HTTPStatus.NO_CONTENT:
                time.sleep(0.1)
