"""Our server in front of one kind of bucket, and what that bucket holds after an upload."""

import base64
import hashlib
import time
import urllib.error
import urllib.parse
import urllib.request
from email.message import Message
from pathlib import Path
from typing import Any

from tests.servers import S3Server, TusServer
from tusd_s3.model import MIB

KINDS = ("disk", "versitygw", "minio")


class Deployment:
    """A running tus server that can be restarted, and its bucket.

    Args:
        kind: ``disk``, a kind of S3 store, or ``given`` for a server that somebody else runs.
        url: creation URL of a given server; None starts ours.
        store: the S3 store, None for a folder.
        place: the bucket's name, or the folder.
        options: more options of our command line.
    """

    def __init__(
        self,
        kind: str,
        *,
        url: str | None = None,
        store: S3Server | None = None,
        place: str = "",
        options: tuple[str, ...] = (),
    ) -> None:
        self.kind = kind
        self._store = store
        self._place = place
        self._options = options
        self._server = self._start() if url is None else None
        self.url = self._server.url if self._server is not None else url or ""

    @property
    def part_size(self) -> int:
        """Size of the parts: the smallest S3 allows, or the default where it cannot be set."""
        return 16 * MIB if self._store is None else 5 * MIB

    @property
    def extensions(self) -> set[str]:
        """What the server says it offers."""
        request = urllib.request.Request(self.url, method="OPTIONS")
        with urllib.request.urlopen(request, timeout=10) as response:
            return set((response.headers["Tus-Extension"] or "").split(","))

    def _start(self) -> TusServer:
        common = ("--network-timeout", "20", *self._options)
        if self._store is None:
            return TusServer("--upload-dir", self._place, *common)
        bucket = ("--s3-bucket", self._place, "--s3-endpoint", self._store.endpoint)
        return TusServer(*bucket, "--s3-part-size", "5MiB", *common, env=self._store.env())

    def kill(self) -> None:
        """End the server the hard way."""
        assert self._server is not None
        self._server.kill9()

    def terminate(self) -> None:
        """Ask the server to stop and wait until it has."""
        assert self._server is not None
        assert self._server.terminate() == 0, self._server.log_text

    def start_again(self) -> None:
        """Start a server on the same bucket; it listens on another port."""
        assert self._server is not None
        self._server.close()
        self._server = self._start()
        self.url = self._server.url

    @property
    def log_text(self) -> str:
        """What the server printed."""
        return self._server.log_text if self._server is not None else ""

    def close(self) -> None:
        """End the server if it is ours."""
        if self._server is not None:
            self._server.close()

    def digest(self, upload_url: str) -> str:
        """Return the SHA-256 of the object that the bucket holds for a finished upload."""
        with self._open(upload_url) as reader:
            return hashlib.file_digest(reader, "sha256").hexdigest()

    def _open(self, upload_url: str) -> Any:
        if self.kind == "given":
            return urllib.request.urlopen(upload_url, timeout=60)
        quoted = urllib.parse.urlsplit(upload_url).path.rpartition("/")[2]
        object_id = urllib.parse.unquote(quoted).partition("+")[0]
        if self._store is None:
            return Path(self._place, object_id).open("rb")
        client = self._store.client()
        return client.get_object(Bucket=self._place, Key=object_id)["Body"]


def head(upload_url: str) -> tuple[int, Message]:
    """Ask for the state of an upload; return status and headers, whatever the status."""
    headers = {"Tus-Resumable": "1.0.0"}
    request = urllib.request.Request(upload_url, method="HEAD", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.headers
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, exc.headers


def wait_for_offset(upload_url: str, at_least: int, limit_s: float = 20.0) -> int:
    """Poll until the server has stored so much, and return how much it has.

    After a broken connection the server still reads what its kernel holds; until then HEAD tells
    what is durable, and the next PATCH would end the reading.

    Raises:
        AssertionError: the limit passed.
    """
    deadline = time.monotonic() + limit_s
    while (offset := int(head(upload_url)[1]["Upload-Offset"] or 0)) < at_least:
        assert time.monotonic() < deadline, f"offset {offset} instead of {at_least}"
        time.sleep(0.05)
    return offset


def metadata_of(upload_url: str) -> dict[str, bytes]:
    """Return the metadata that HEAD tells, decoded; an absent value is empty."""
    _, headers = head(upload_url)
    pairs = (pair.strip().partition(" ") for pair in headers["Upload-Metadata"].split(","))
    return {key: base64.b64decode(value, validate=True) for key, _, value in pairs}
