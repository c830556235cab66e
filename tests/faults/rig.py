"""A tus server on a real S3 store with the fault proxy between them, killed and restarted at will.

tus client -> tusd_s3 (child process) -> S3Proxy -> versitygw, MinIO or moto
"""

import hashlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Self
from urllib.parse import unquote

from tests import tus_client
from tests.conftest import BucketPlace
from tests.faults.s3_proxy import S3Proxy
from tests.servers import TusServer

MIB = 1024 * 1024
PART = 5 * MIB  # the smallest that S3 stores accept


def pattern(size: int, seed: int = 0) -> bytes:
    """Return bytes in which no two places look alike, the same for the same seed."""
    blocks = (
        hashlib.blake2b(f"{seed}/{number}".encode()).digest() * 64
        for number in range(-(-size // 4096))
    )
    return b"".join(blocks)[:size]


def eventually(true: Callable[[], bool], what: str, limit_s: float = 10.0) -> None:
    """Poll until something is true.

    Raises:
        AssertionError: it did not become true within the limit.
    """
    deadline = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < deadline, f"{what}: not within {limit_s} s"
        time.sleep(0.02)


class Rig:
    """One bucket, the proxy before it, and a tus server that keeps its address over restarts.

    Args:
        place: the bucket, on an S3 store.
        options: settings of the server besides those of the bucket.
    """

    def __init__(self, place: BucketPlace, options: Sequence[str] = ()) -> None:
        assert place.server is not None
        self.bucket = place.name
        self.upstream = place.server
        self.proxy = S3Proxy(place.server)
        self.s3: Any = place.server.client()
        self._options = list(options)
        self._server: TusServer | None = None
        self._port = 0
        self._is_plain = False  # started without options for one time

    def __enter__(self) -> Self:
        self.proxy.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self._server is not None:
            print(f"--- the server's log\n{self._server.log_text}", file=sys.stderr)  # noqa: T201
            print("--- calls:", *self.proxy.operations(), sep="\n    ", file=sys.stderr)  # noqa: T201
        if self._server is not None:
            self._server.close()
        self.proxy.__exit__()
        self.s3.close()

    @property
    def server(self) -> TusServer:
        """The server that runs, or ran last."""
        assert self._server is not None
        return self._server

    @property
    def url(self) -> str:
        """The creation URL."""
        return self.server.url

    def put_in_order(self) -> None:
        """Let the server run without faults and without anybody's options."""
        if self._server is None or not self._is_plain or self._server.child.exit_code is not None:
            self.start()
        self.proxy.clear()

    def start(self, *options: str, wrapper: Sequence[str] = ()) -> TusServer:
        """Start the server (again), with more options for this time; faults are removed first."""
        if self._server is not None:
            self._server.close()
        self.proxy.clear()
        self._is_plain = not options and not wrapper
        self._server = TusServer(
            "--s3-bucket", self.bucket,
            "--s3-endpoint", self.proxy.server.endpoint,
            "--s3-part-size", str(PART),
            *self._options,
            *options,
            env=self.proxy.server.env(),
            port=self._port,
            wrapper=wrapper,
        )  # fmt: skip
        self._port = int(self._server.url.split(":")[2].partition("/")[0])
        self.proxy.calls.clear()
        return self._server

    def kill(self) -> None:
        """End the server with SIGKILL; the callback of faults."""
        self.server.kill9()

    def upload(self, length: int | None) -> str:
        """Create an upload and return its URL."""
        return tus_client.new_upload(self.url, length)

    def begun(self, total: int, sent: int) -> tuple[str, tus_client.Resumer]:
        """Create an upload of which ``sent`` bytes are acknowledged; return its URL and client."""
        data = pattern(total, seed=total + sent)
        url = self.upload(total)
        resumer = tus_client.Resumer(lambda: url, data, chunk=sent)
        answered = resumer.patch_once(0)
        assert answered is not None
        assert (answered.status, answered.offset) == (204, sent)
        resumer.chunk = total
        return url, resumer

    def key(self, url: str) -> str:
        """Return the key of an upload's object."""
        return self._split(url)[0]

    def multipart_id(self, url: str) -> str:
        """Return the id of an upload's multipart upload, ``""`` if it has none."""
        return self._split(url)[1]

    @staticmethod
    def _split(url: str) -> tuple[str, str]:
        upload_id = unquote(url.rpartition("/")[2])
        object_id, _, multipart_id = upload_id.rpartition("+")
        return (object_id, multipart_id) if object_id else (upload_id, "")

    def stored(self, url: str) -> bytes | None:
        """Return the object of an upload straight from S3, None if there is none."""
        listed = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=self.key(url))
        if self.key(url) not in {item["Key"] for item in listed.get("Contents", [])}:
            return None
        body: bytes = self.s3.get_object(Bucket=self.bucket, Key=self.key(url))["Body"].read()
        return body

    def parts(self, url: str) -> dict[int, int]:
        """Return number -> size of the parts that S3 lists."""
        listed = self.s3.list_parts(
            Bucket=self.bucket, Key=self.key(url), UploadId=self.multipart_id(url)
        )
        return {part["PartNumber"]: part["Size"] for part in listed.get("Parts", [])}

    def leftovers(self, url: str) -> list[str]:
        """Return the keys that begin like the upload's, but for the object and `.info`."""
        key = self.key(url)
        listed = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=key).get("Contents", [])
        return sorted({item["Key"] for item in listed} - {key, f"{key}.info"})

    def assert_finished(self, url: str, data: bytes) -> None:
        """Check that HEAD, the object and the download agree on exactly these bytes."""
        stored = self.stored(url)
        assert stored is not None, "there is no object"
        assert hashlib.sha256(stored).digest() == hashlib.sha256(data).digest()
        answer = tus_client.head(url)
        assert (answer.status, answer.offset) == (200, len(data))
        assert answer.headers["upload-length"] == str(len(data))

    def assert_not_complete(self, url: str, answer: tus_client.Answer) -> None:
        """Check that a HEAD's answer does not claim an object that S3 does not have."""
        complete = answer.status == 200 and answer.headers.get("upload-length") == str(
            answer.offset
        )
        assert not (complete and self.stored(url) is None), f"complete without an object: {answer}"
