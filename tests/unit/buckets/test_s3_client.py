"""How S3 is called: what a request costs, what a retry sends."""

import asyncio

import pytest

from tests.conformance.contents import (
    BytesContent,
    ChunkedContent,
    Unreadable,
    UnreadableContent,
)
from tests.unit.buckets.conftest import MakeBucket
from tests.unit.buckets.s3_front import Front, error
from tusd_s3.buckets.s3 import S3Bucket
from tusd_s3.errors import StoreBusy
from tusd_s3.model import MIB

pytestmark = pytest.mark.asyncio(loop_scope="module")


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


class TestReading:
    """Contents that cannot be read."""

    @pytest.mark.parametrize("size", [10, MIB])
    @pytest.mark.parametrize("failure", [Unreadable("lost"), OSError(5, "lost")])
    async def test_what_reading_raises_comes_out(
        self, bucket: S3Bucket, size: int, failure: Exception
    ) -> None:
        """A lost temporary file is not the store's failure, and is not tried again."""
        content = UnreadableContent(b"x" * size, "CRC32")
        content.failure = failure

        with pytest.raises(type(failure), match="lost") as caught:
            await bucket.put("k", content)

        assert caught.value is failure
        assert content.iterations == 1

    @pytest.mark.parametrize("size", [3, 5])
    async def test_a_content_of_another_size_is_a_bug(self, bucket: S3Bucket, size: int) -> None:
        """It is neither sent short, which would hang, nor cut, nor taken for the store's."""
        content = ChunkedContent(b"data", size=size)

        async with asyncio.timeout(5):
            with pytest.raises(ValueError, match="bytes"):
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

    async def test_one_attempt_may_be_all(self, make_bucket: MakeBucket, front: Front) -> None:
        """Who has retries of his own wants none of ours."""
        bucket = make_bucket(attempts=1)
        await bucket.start()
        content = BytesContent(b"data", "MD5")
        front.answer("PutObject", error(503, "SlowDown"))

        with pytest.raises(StoreBusy):
            await bucket.put("k", content)

        assert content.iterations == 1

    async def test_more_attempts_wait_longer(self, make_bucket: MakeBucket, front: Front) -> None:
        """The third is as good as the first."""
        bucket = make_bucket(attempts=3)
        await bucket.start()
        content = BytesContent(b"data", "MD5")
        front.answer("PutObject", error(503, "SlowDown"), error(500, "InternalError"))

        await bucket.put("k", content)

        assert content.iterations == 3
