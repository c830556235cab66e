"""How requests look on the wire, where credentials come from, what a retry costs."""

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conformance.contents import BytesContent, Unreadable, UnreadableContent
from tests.servers import HOST
from tests.unit.buckets.conftest import MakeBucket
from tests.unit.buckets.s3_front import Front, error
from tusd_s3.buckets.s3 import S3Bucket
from tusd_s3.buckets.s3_client import Connection, RequestBody, S3Options
from tusd_s3.errors import ConfigError
from tusd_s3.interfaces import Chunk
from tusd_s3.model import KIB, MIB

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Chunks(BytesContent):
    """Content in exactly these chunks."""

    def __init__(self, *given: Chunk, size: int | None = None) -> None:
        super().__init__(b"".join(bytes(chunk) for chunk in given), "CRC32")
        self.size = self.size if size is None else size
        self._given = given

    async def chunks(self) -> AsyncIterator[Chunk]:
        for chunk in self._given:
            yield chunk


class TestOnTheWire:
    """What a body costs is decided by its headers."""

    @pytest.mark.parametrize("size", [0, 4, 3 * MIB])
    async def test_a_body_is_sent_plainly(self, bucket: S3Bucket, front: Front, size: int) -> None:
        """With its length and a checksum; not chunked, not hashed, nobody is asked before."""
        await bucket.put("k", BytesContent(b"x" * size, "CRC64NVME"))

        sent = front.headers[-1]
        assert sent["content-length"] == str(size)
        assert (
            sent["x-amz-checksum-crc64nvme"]
            == BytesContent(b"x" * size, "CRC64NVME").checksum.value
        )
        assert sent["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
        unwanted = {"transfer-encoding", "expect", "content-encoding", "x-amz-trailer"}
        assert not unwanted & sent.keys()

    async def test_md5_has_a_header_of_its_own(self, bucket: S3Bucket, front: Front) -> None:
        """MD5 stands for Content-MD5, which every store knows."""
        await bucket.put("k", BytesContent(b"data", "MD5"))

        assert "content-md5" in front.headers[-1]
        assert not [name for name in front.headers[-1] if name.startswith("x-amz-checksum")]

    @pytest.mark.parametrize(
        ("endpoint", "path_style", "url"),
        [
            ("http://x:1", None, "http://x:1/photos/k"),
            ("http://x:1", True, "http://x:1/photos/k"),
            ("http://x:1", False, "http://photos.x:1/k"),
            (None, None, "https://photos.s3.amazonaws.com/k"),
            (None, True, "https://s3.amazonaws.com/photos/k"),
        ],
    )
    async def test_path_style_is_for_endpoints(
        self, aws: None, endpoint: str | None, path_style: bool | None, url: str
    ) -> None:
        """Unless something else is asked for."""
        connection = Connection(
            S3Options(bucket="photos", endpoint=endpoint, path_style=path_style)
        )
        await connection.open()

        where = await connection.control.generate_presigned_url(
            "get_object", Params={"Bucket": "photos", "Key": "k"}
        )

        assert where.partition("?")[0] == url
        await connection.close()


class TestRequestBody:
    """The adaptor between a content and aiohttp."""

    async def test_chunks_go_through_as_they_are(self) -> None:
        """Neither joined nor copied; only a large first one is cut, without a copy."""
        large, small = b"x" * MIB, bytearray(b"y" * KIB)
        body = RequestBody(Chunks(large, small))

        head, rest, last = [chunk async for chunk in body]

        assert (len(head), len(rest)) == (KIB, MIB - KIB)
        assert [type(chunk) for chunk in (head, rest, last)] == [memoryview] * 3
        for chunk, owner in ((head, large), (rest, large), (last, small)):
            assert memoryview(chunk).obj is owner

    async def test_it_measures_like_a_file(self) -> None:
        """Some code takes the length by seeking."""
        body = RequestBody(BytesContent(b"12345", "CRC32"))

        assert body.seek(0, io.SEEK_END) == body.tell() == len(body) == 5
        assert body.seek(-1, io.SEEK_CUR) == 4
        assert body.seek(0) == 0

    async def test_it_cannot_be_read(self) -> None:
        """Reading would join the chunks; if a library begins to, we want to know."""
        with pytest.raises(io.UnsupportedOperation):
            RequestBody(BytesContent(b"12345", "CRC32")).read()

    @pytest.mark.parametrize("size", [3, 5])
    async def test_a_content_of_another_size_is_a_bug(self, bucket: S3Bucket, size: int) -> None:
        """It is neither sent short, which would hang, nor cut."""
        async with asyncio.timeout(5):
            with pytest.raises(ValueError, match="has 4 bytes"):
                await bucket.put("k", Chunks(b"data", size=size))


class TestReading:
    """Contents that cannot be read."""

    async def test_what_reading_raises_comes_out(self, bucket: S3Bucket) -> None:
        """A lost temporary file is not the store's failure, and is not tried again."""
        content = UnreadableContent(b"x" * MIB, "CRC32")

        with pytest.raises(Unreadable):
            await bucket.put("k", content)

        assert content.iterations == 1

    async def test_every_attempt_reads_from_the_beginning(
        self, bucket: S3Bucket, front: Front
    ) -> None:
        """The second attempt is complete."""
        content = BytesContent(b"x" * MIB, "MD5")
        front.answer("PutObject", error(503, "SlowDown"))

        await bucket.put("k", content)

        assert content.iterations == 2
        assert (await bucket.head("k")).size == MIB


class TestCredentials:
    """They come from where every AWS program looks."""

    @pytest.fixture(autouse=True)
    def nothing(self, monkeypatch: pytest.MonkeyPatch, aws: None) -> pytest.MonkeyPatch:
        """Forget the environment's."""
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        return monkeypatch

    async def test_without_any_start_says_what_to_set(self, make_bucket: MakeBucket) -> None:
        """In one sentence."""
        with pytest.raises(ConfigError, match=r"no credentials for http.*AWS_ACCESS_KEY_ID"):
            await make_bucket().start()

    async def test_a_metadata_service_that_never_answers(
        self, make_bucket: MakeBucket, nothing: pytest.MonkeyPatch
    ) -> None:
        """A black hole, as outside Amazon, does not hang the start."""
        connected = asyncio.Semaphore(0)

        async def listen(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connected.release()
            await _reader.read()
            writer.close()

        async with await asyncio.start_server(listen, HOST, 0) as server:
            port = server.sockets[0].getsockname()[1]
            nothing.setenv("AWS_EC2_METADATA_DISABLED", "false")
            nothing.setenv("AWS_METADATA_SERVICE_TIMEOUT", "60")
            nothing.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://{HOST}:{port}")

            async with asyncio.timeout(5):
                with pytest.raises(ConfigError, match=r"longer than 0\.2 s"):
                    await make_bucket(control_timeout_s=0.2).start()
                await connected.acquire()

    async def test_a_profile_works(
        self, make_bucket: MakeBucket, nothing: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """Also one with a region of its own."""
        file = tmp_path / "credentials"
        file.write_text("[me]\naws_access_key_id=a\naws_secret_access_key=b\nregion=eu-west-9\n")
        nothing.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
        nothing.setenv("AWS_PROFILE", "me")
        for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
            nothing.delenv(name)
        bucket = make_bucket()

        await bucket.start()

        assert bucket.features.conditional_writes

    async def test_an_unknown_profile_is_a_wrong_setting(
        self, make_bucket: MakeBucket, nothing: pytest.MonkeyPatch
    ) -> None:
        """Botocore's sentence is passed on."""
        nothing.setenv("AWS_PROFILE", "nobody")

        with pytest.raises(ConfigError, match="nobody"):
            await make_bucket().start()

    async def test_half_a_pair_is_a_wrong_setting(
        self, make_bucket: MakeBucket, nothing: pytest.MonkeyPatch
    ) -> None:
        """A key id without its secret."""
        nothing.setenv("AWS_ACCESS_KEY_ID", "a")

        with pytest.raises(ConfigError, match="settings"):
            await make_bucket().start()


class TestOptions:
    """Where a bucket is, in words."""

    async def test_amazon_is_named(self) -> None:
        """For the sentences of a failed start."""
        assert S3Options(bucket="b", region="eu-west-1").place == "Amazon S3 (eu-west-1)"
        assert S3Options(bucket="b", endpoint="http://x").place == "http://x"
