"""The bucket on S3 where the store, the network or the account does not play along.

What it does where they do is tested by the conformance suite, on every store.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest
import pytest_asyncio

from tests import servers
from tests.conformance.contents import BytesContent, read_all
from tests.unit.buckets.conftest import MakeBucket
from tests.unit.buckets.s3_front import (
    Answer,
    Front,
    cut,
    cut_after,
    denying_missing_keys,
    error,
    ignoring,
    no_answer,
    reply,
)
from tusd_s3.buckets.s3 import S3Bucket
from tusd_s3.errors import (
    ConditionFailed,
    ConfigError,
    CopyRefused,
    ObjectMissing,
    PartsRefused,
    StoreBusy,
    StoreError,
    StoreRefused,
)
from tusd_s3.model import MIB, Checksum, ObjectHeaders, Part

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIMIT_S = 5  # for what should happen at once


def content(data: bytes = b"data") -> BytesContent:
    """Return bytes with the checksum that moto understands."""
    return BytesContent(data, "MD5")


async def read(bucket: S3Bucket, key: str) -> bytes:
    """Return an object's bytes."""
    async with bucket.get(key) as reader:
        return await read_all(reader)


async def complete(bucket: S3Bucket) -> None:
    """Complete a multipart upload of one part, which need not exist."""
    await bucket.complete_multipart(
        "k", "id", [Part(1, 4, '"etag"', Checksum("CRC32", "AAAAAA=="))]
    )


CALLS: dict[str, Callable[[S3Bucket], Awaitable[object]]] = {
    "PutObject": lambda bucket: bucket.put("k", content(b"x" * MIB)),
    "GetObject": lambda bucket: read(bucket, "k"),
    "HeadObject": lambda bucket: bucket.head("k"),
    "UploadPart": lambda bucket: bucket.upload_part("k", "id", 1, content()),
    "CompleteMultipartUpload": complete,
}


class TestStart:
    """A bucket that cannot be used says so before anything is served."""

    async def test_a_bucket_that_does_not_exist(self, make_bucket: MakeBucket) -> None:
        """The sentence names the bucket, the place, and what to do."""
        bucket = make_bucket(bucket="nowhere")

        with pytest.raises(ConfigError, match=r"'nowhere' does not exist at http://127.*create"):
            await bucket.start()

    async def test_an_endpoint_where_nobody_listens(self, make_bucket: MakeBucket) -> None:
        """A wrong port is found out by asking."""
        endpoint = f"http://127.0.0.1:{servers.free_port()}"
        bucket = make_bucket(endpoint=endpoint)

        with pytest.raises(ConfigError, match=f"cannot be reached: {endpoint}"):
            await bucket.start()

    async def test_an_endpoint_that_never_answers(
        self, make_bucket: MakeBucket, front: Front
    ) -> None:
        """All attempts together take no longer than one control call may."""
        front.always["GetObject"] = no_answer
        bucket = make_bucket(control_timeout_s=0.3, attempts=100)

        async with asyncio.timeout(LIMIT_S):
            with pytest.raises(ConfigError, match="cannot be reached"):
                await bucket.start()

    async def test_an_endpoint_that_is_no_address(self, make_bucket: MakeBucket) -> None:
        """What botocore refuses is a setting that does not work."""
        with pytest.raises(ConfigError, match="settings for not an address do not work"):
            await make_bucket(endpoint="not an address").start()

    async def test_credentials_that_are_refused(
        self, make_bucket: MakeBucket, front: Front
    ) -> None:
        """A wrong key is not taken for an account that may not list."""
        front.always["GetObject"] = error(403, "InvalidAccessKeyId")

        with pytest.raises(ConfigError, match="does not accept these credentials"):
            await make_bucket().start()

    async def test_an_account_that_may_do_nothing(
        self, make_bucket: MakeBucket, front: Front
    ) -> None:
        """The rights that are needed are listed."""
        for operation in ("GetObject", "PutObject"):
            front.always[operation] = error(403, "AccessDenied")

        with pytest.raises(ConfigError, match=r"put: AccessDenied.*s3:PutObject"):
            await make_bucket().start()

    async def test_a_failed_start_leaves_no_connection(
        self, make_bucket: MakeBucket, front: Front
    ) -> None:
        """Everything that was opened is closed again."""
        bucket = make_bucket(bucket="nowhere")

        before = front.connections
        with pytest.raises(ConfigError):
            await bucket.start()

        await front.connections_down_to(before)

    async def test_before_start_nothing_works(self, make_bucket: MakeBucket) -> None:
        """Using a bucket too early, or after close, is a bug of the caller."""
        bucket = make_bucket()

        with pytest.raises(RuntimeError):
            await bucket.head("k")
        with pytest.raises(RuntimeError):
            _ = bucket.features


class TestWithoutListBucket:
    """tusd's documented rights: S3 answers 403 for a key that does not exist."""

    @pytest.fixture(autouse=True)
    def denied(self, front: Front) -> None:
        """Have the front answer for an account without s3:ListBucket."""
        front.always["GetObject"] = front.always["HeadObject"] = denying_missing_keys
        front.always["ListObjectsV2"] = error(403, "AccessDenied")

    @pytest_asyncio.fixture(loop_scope="module")
    async def limited(self, make_bucket: MakeBucket, denied: None) -> S3Bucket:
        """A bucket that was started with such an account."""
        bucket = make_bucket()
        await bucket.start()
        return bucket

    async def test_a_missing_key_is_missing(self, limited: S3Bucket) -> None:
        """Both GET and HEAD; what exists is still found."""
        await limited.put("here", content())

        for ask in (limited.head, lambda key: read(limited, key)):
            with pytest.raises(ObjectMissing):
                await ask("nowhere")
            await ask("here")
        await limited.check()

    async def test_one_line_recommends_the_right(
        self, make_bucket: MakeBucket, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Said once, at start, at a level that is seen."""
        await make_bucket().start()

        lines = [r for r in caplog.records if "s3:ListBucket" in r.getMessage()]
        assert [line.levelno for line in lines] == [logging.WARNING]

    async def test_other_refusals_stay_refusals(self, limited: S3Bucket, front: Front) -> None:
        """A key that was revoked later makes nothing disappear; neither does a denied write."""
        front.answer("GetObject", error(403, "InvalidAccessKeyId"))
        front.answer("PutObject", error(403, "AccessDenied"))

        with pytest.raises(StoreRefused):
            await read(limited, "k")
        with pytest.raises(StoreRefused):
            await limited.put("k", content())
        with pytest.raises(StoreRefused):
            await anext(limited.list_objects(""))

    async def test_head_asks_get_why_it_was_denied(self, limited: S3Bucket, front: Front) -> None:
        """A bare 403 may mean expired credentials."""
        front.answer("HeadObject", error(403, ""))
        front.answer("GetObject", error(400, "ExpiredToken"))

        with pytest.raises(StoreRefused):
            await limited.head("k")

    async def test_starting_needs_no_other_right(self, limited: S3Bucket, front: Front) -> None:
        """Neither listing of keys nor of multipart uploads."""
        assert "ListObjectsV2" not in front.seen
        assert limited.features.conditional_writes


class TestRetries:
    """What may pass is tried again, so often and no more."""

    @pytest.mark.parametrize(
        "failure", [error(503, "SlowDown"), error(500, "InternalError"), cut], ids=str
    )
    async def test_a_put_that_fails_once_succeeds(
        self, bucket: S3Bucket, front: Front, failure: Answer
    ) -> None:
        """The content is sent again from its beginning."""
        sent = content(b"x" * MIB)
        front.answer("PutObject", failure)

        await bucket.put("k", sent)

        assert front.seen.count("PutObject") >= 2
        assert await read(bucket, "k") == b"x" * MIB

    async def test_attempts_are_counted(self, bucket: S3Bucket, front: Front) -> None:
        """The last failure is raised; botocore adds no attempts of its own."""
        front.always["HeadObject"] = error(503, "")

        with pytest.raises(StoreBusy):
            await bucket.head("k")

        assert front.seen == ["HeadObject"] * 2

    @pytest.mark.parametrize(
        "failure", [error(403, "AccessDenied"), error(400, "NeverHeardOf"), error(501, "X")]
    )
    async def test_what_will_not_pass_is_tried_once(
        self, bucket: S3Bucket, front: Front, failure: Answer
    ) -> None:
        """Neither a refusal nor an unknown error becomes better."""
        front.always["PutObject"] = failure

        with pytest.raises(StoreError) as caught:
            await bucket.put("k", content())

        assert not isinstance(caught.value, StoreBusy)
        assert front.seen == ["PutObject"]

    async def test_the_page_of_a_broken_proxy_may_pass(
        self, bucket: S3Bucket, front: Front
    ) -> None:
        """A 502 in HTML is no answer of S3's."""
        front.answer("ListObjectsV2", reply(502, "<html>Bad Gateway</html>", "text/html"))

        assert [stat.key async for stat in bucket.list_objects("none/")] == []
        assert front.seen == ["ListObjectsV2"] * 2


class TestLimits:
    """Every wait ends, and leaves nothing behind."""

    @pytest.mark.slow  # as long as the shortest limit that a busy machine can start with
    async def test_a_store_that_never_answers(self, make_bucket: MakeBucket, front: Front) -> None:
        """Each call ends as StoreBusy within its limit, and its connection is closed."""
        limit_s = 1.0
        bucket = make_bucket(
            timeout_s=limit_s, control_timeout_s=limit_s, complete_timeout_s=limit_s, attempts=1
        )
        await bucket.start()
        front.always = dict.fromkeys(CALLS, no_answer)

        async with asyncio.timeout(LIMIT_S):
            ended = await asyncio.gather(
                *(call(bucket) for call in CALLS.values()), return_exceptions=True
            )
            for _ in CALLS:
                await front.hung_up.acquire()

        assert [type(end) for end in ended] == [StoreBusy] * len(CALLS)

    @pytest.mark.parametrize("operation", CALLS)
    async def test_a_call_that_is_cancelled(
        self, bucket: S3Bucket, front: Front, operation: str
    ) -> None:
        """It ends at once, as cancelled, is not tried again, and its connection is closed."""
        front.always[operation] = no_answer
        task = asyncio.ensure_future(CALLS[operation](bucket))
        async with asyncio.timeout(LIMIT_S):
            await front.unanswered.acquire()

            task.cancel()

            with pytest.raises(asyncio.CancelledError):
                await task
            await front.hung_up.acquire()
        assert front.seen.count(operation) == 1

    async def test_a_download_that_is_given_up(self, bucket: S3Bucket, front: Front) -> None:
        """Leaving the block closes the connection although bytes are outstanding."""
        await bucket.put("k", content(b"x" * 8 * MIB))

        async with bucket.get("k") as reader:
            await anext(reader.chunks())
            during = front.connections

        await front.connections_down_to(during - 1)


class TestReading:
    """A download is what was asked for or fails."""

    async def test_an_answer_that_is_cut_short(self, bucket: S3Bucket, front: Front) -> None:
        """The bytes that came are handed out, then StoreBusy is raised."""
        await bucket.put("k", content(b"x" * MIB))
        front.answer("GetObject", cut_after(100_000))
        received = 0

        async with bucket.get("k") as reader:
            chunks = reader.chunks()
            while received < 100_000:
                received += len(await anext(chunks))

            with pytest.raises(StoreBusy):
                await anext(chunks)

    async def test_a_store_that_ignores_ranges(self, bucket: S3Bucket, front: Front) -> None:
        """The whole object is not passed off as the range; a range that is all of it may be."""
        await bucket.put("k", content(b"12345"))
        front.always["GetObject"] = ignoring("range")

        for start, end in ((1, None), (0, 4)):
            with pytest.raises(StoreError, match="ignored"):
                async with bucket.get("k", start=start, end=end):
                    pass
        async with bucket.get("k", start=0, end=5) as reader:
            assert await read_all(reader) == b"12345"

    async def test_an_empty_range_is_a_bug(self, bucket: S3Bucket) -> None:
        """HTTP has no way to ask for it, and stores would send everything."""
        with pytest.raises(ValueError, match="empty"):
            async with bucket.get("k", start=3, end=3):
                pass

    async def test_a_head_that_finds_nothing_is_verified(
        self, bucket: S3Bucket, front: Front
    ) -> None:
        """A bare 404 may be a proxy's; a missing bucket is not a missing key."""
        await bucket.put("k", content())
        front.always["HeadObject"] = error(404, "")

        assert (await bucket.head("k")).size == 4
        front.answer("GetObject", error(404, "NoSuchBucket"))
        with pytest.raises(StoreError) as caught:
            await bucket.head("k")
        assert not isinstance(caught.value, ObjectMissing)


class TestAnswers:
    """What other things than S3 say, and what S3 says late."""

    @pytest.mark.parametrize(
        "answer", [reply(200, "<a/>"), reply(200, "<!doctype html>welcome<br>"), reply(200, "")]
    )
    async def test_an_answer_that_is_not_s3s(
        self, bucket: S3Bucket, front: Front, answer: Answer
    ) -> None:
        """A login page is neither an empty listing nor a success."""
        front.always = dict.fromkeys(
            [*CALLS, "ListParts", "ListObjectsV2", "CreateMultipartUpload"], answer
        )
        calls = [call(bucket) for call in CALLS.values()]
        calls.append(bucket.list_parts("k", "id"))
        calls.append(bucket.create_multipart("k", headers=ObjectHeaders(), checksum="CRC32"))
        calls.append(anext(bucket.list_objects("")))

        for call in calls:
            with pytest.raises(StoreError):
                await call

    async def test_a_complete_that_fails_with_200_may_pass(
        self, bucket: S3Bucket, front: Front
    ) -> None:
        """Amazon sends the status before it knows the outcome."""
        failed = "<Error><Code>InternalError</Code><Message>sorry</Message></Error>"
        done = "<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>"
        front.answer("CompleteMultipartUpload", reply(200, failed), reply(200, done))

        await complete(bucket)

        assert front.seen == ["CompleteMultipartUpload"] * 2

    async def test_a_wrong_checksum_at_complete_refuses_the_parts(
        self, bucket: S3Bucket, front: Front
    ) -> None:
        """The caller lists again, as after InvalidPart."""
        front.answer("CompleteMultipartUpload", error(400, "BadDigest"))

        with pytest.raises(PartsRefused):
            await complete(bucket)


class TestCopy:
    """Parts that come from objects of the bucket."""

    @staticmethod
    async def copy(bucket: S3Bucket) -> Part:
        """Copy a part of an object that need not exist."""
        return await bucket.copy_part("k", "id", 1, "source", start=0, end=4, source_etag='"e"')

    async def test_what_the_store_says_of_the_part(self, bucket: S3Bucket, front: Front) -> None:
        """ETag and checksum are the store's, the size is that of the range."""
        fields = "<ETag>&quot;x&quot;</ETag><ChecksumCRC32>AAAAAA==</ChecksumCRC32>"
        front.answer("UploadPartCopy", reply(200, f"<CopyPartResult>{fields}</CopyPartResult>"))

        assert await self.copy(bucket) == Part(1, 4, '"x"', Checksum("CRC32", "AAAAAA=="))

    async def test_a_store_that_cannot_copy(self, bucket: S3Bucket, front: Front) -> None:
        """The caller sends the bytes instead."""
        front.answer("UploadPartCopy", error(501, "NotImplemented"))

        with pytest.raises(CopyRefused):
            await self.copy(bucket)

    async def test_a_denied_copy_is_not_a_missing_source(
        self, make_bucket: MakeBucket, front: Front
    ) -> None:
        """Without s3:ListBucket it is looked at whether the source exists."""
        front.always["GetObject"] = front.always["HeadObject"] = denying_missing_keys
        front.always["UploadPartCopy"] = error(403, "AccessDenied")
        bucket = make_bucket()
        await bucket.start()

        with pytest.raises(ObjectMissing):
            await self.copy(bucket)
        await bucket.put("source", content())
        with pytest.raises(StoreRefused):
            await self.copy(bucket)


class TestConditions:
    """What a condition that does not hold looks like."""

    async def test_a_conflict_is_a_failed_condition(self, bucket: S3Bucket, front: Front) -> None:
        """409: somebody else's write came first, or at the same time."""
        front.answer("PutObject", error(409, "ConditionalRequestConflict"))

        with pytest.raises(ConditionFailed):
            await bucket.put("k", content(), if_absent=True)

    async def test_a_missing_object_has_no_version(self, bucket: S3Bucket, front: Front) -> None:
        """S3 answers If-Match on a missing key with 404."""
        front.answer("PutObject", error(404, "NoSuchKey"))

        with pytest.raises(ConditionFailed):
            await bucket.put("k", content(), if_match='"x"')

    async def test_conditions_are_not_sent_where_they_do_not_work(
        self, make_bucket: MakeBucket, front: Front
    ) -> None:
        """A store that would refuse them gets plain writes."""
        front.always["PutObject"] = ignoring("if-.*")
        bucket = make_bucket()
        await bucket.start()
        front.headers.clear()

        await bucket.put("k", content(), if_absent=True, if_match='"x"')

        assert not bucket.features.conditional_writes
        assert not {"if-match", "if-none-match"} & front.headers[-1].keys()
