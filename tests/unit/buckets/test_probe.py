"""What is found out about a bucket, and that nothing of it is left behind."""

import asyncio
import re
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web

from tests.conftest import BucketPlace
from tests.servers import S3Server
from tests.unit.buckets.conftest import MakeBucket
from tests.unit.buckets.s3_front import Answer, Front, error, front_of, ignoring, no_answer, reply
from tusd_s3.buckets.disk import DiskBucket
from tusd_s3.buckets.probe import find_features, require_rights, scratch_key
from tusd_s3.buckets.s3 import S3Bucket
from tusd_s3.errors import ConfigError
from tusd_s3.interfaces import Bucket
from tusd_s3.model import MIB, Limits

pytestmark = pytest.mark.asyncio(loop_scope="module")

TUSDS_RIGHTS = {
    "GetObject",
    "PutObject",
    "DeleteObject",
    "AbortMultipartUpload",
    "ListParts",
    # rights of s3:PutObject
    "CreateMultipartUpload",
    "UploadPart",
    "CompleteMultipartUpload",
}


def only_if(header: str, answer: Answer) -> Answer:
    """Answer so if a request has such a header, else as the store does."""

    async def choose(front: Front, request: web.Request) -> web.StreamResponse:
        lines = (f"{name}: {value}".lower() for name, value in request.headers.items())
        if any(re.search(header, line) for line in lines):
            return await answer(front, request)
        return await front.forward(request)

    return choose


async def remove_all(bucket: S3Bucket, prefix: str) -> list[str]:
    """Delete what a test had to leave, and return the keys."""
    keys = [stat.key async for stat in bucket.list_objects(prefix)]
    await bucket.delete(keys)
    return keys


@pytest_asyncio.fixture(loop_scope="module")
async def nothing_left(
    moto: S3Server, front: Front, shared_bucket: S3Bucket
) -> AsyncIterator[None]:
    """See afterwards that the bucket holds neither objects nor parts of this test."""
    before = [stat.key async for stat in shared_bucket.list_objects("")]
    front.forget()
    yield
    front.forget()
    assert [stat.key async for stat in shared_bucket.list_objects("")] == before
    client = moto.client()
    assert "Uploads" not in client.list_multipart_uploads(Bucket=shared_bucket.name)
    client.close()


@pytest.mark.usefixtures("nothing_left")
class TestConditions:
    """Conditional writes are believed when they are seen."""

    async def test_a_store_that_obeys(self, make_bucket: MakeBucket, front: Front) -> None:
        """And all that is asked for are tusd's documented rights."""
        bucket = make_bucket()

        await bucket.start()

        assert bucket.features.conditional_writes
        assert set(front.seen) <= TUSDS_RIGHTS

    @pytest.mark.parametrize("ignored", ["if-.*", "if-match", "if-none-match"])
    async def test_a_store_that_overwrites_all_the_same(
        self, make_bucket: MakeBucket, front: Front, ignored: str
    ) -> None:
        """Half of the promise is no promise."""
        front.always["PutObject"] = ignoring(ignored)
        bucket = make_bucket()

        await bucket.start()

        assert not bucket.features.conditional_writes

    @pytest.mark.parametrize(
        "answer",
        [error(501, "NotImplemented"), error(400, "InvalidArgument"), error(412, "")],
        ids=["501", "400", "412"],
    )
    async def test_a_store_that_refuses_conditions(
        self, make_bucket: MakeBucket, front: Front, answer: Answer
    ) -> None:
        """Also one that refuses a condition that holds."""
        front.always["PutObject"] = only_if("^if-", answer)
        bucket = make_bucket()

        await bucket.start()

        assert not bucket.features.conditional_writes


@pytest.mark.usefixtures("nothing_left")
class TestChecksums:
    """The cheapest checksum that comes back from the listing of parts."""

    async def test_without_any_in_listings_it_is_md5(self, bucket: S3Bucket) -> None:
        """Moto takes checksums and does not list them."""
        assert bucket.features.checksum == "MD5"

    async def test_parts_that_are_not_listed_as_sent(
        self, make_bucket: MakeBucket, front: Front
    ) -> None:
        """A store that cannot list parts cannot resume anything."""
        empty = "<ListPartsResult><IsTruncated>false</IsTruncated></ListPartsResult>"
        front.always["ListParts"] = reply(200, empty)

        with pytest.raises(ConfigError, match="does not list the parts"):
            await make_bucket().start()

    async def test_without_multipart_uploads_nothing_works(
        self, make_bucket: MakeBucket, front: Front
    ) -> None:
        """The sentence names the operation that failed."""
        front.always["CreateMultipartUpload"] = error(501, "NotImplemented")

        with pytest.raises(ConfigError, match="answered create_multipart with NotImplemented"):
            await make_bucket().start()


@pytest.mark.usefixtures("nothing_left")
class TestFailures:
    """The probe cleans up whatever happens."""

    @pytest.mark.parametrize("operation", ["PutObject", "UploadPart", "ListParts"])
    async def test_what_may_pass_ends_the_start(
        self, make_bucket: MakeBucket, front: Front, operation: str
    ) -> None:
        """A busy store is not taken for one that lacks something."""
        front.always[operation] = error(503, "SlowDown")

        with pytest.raises(ConfigError, match=r"cannot be reached.*SlowDown"):
            await make_bucket(attempts=1).start()

    async def test_a_store_that_is_busy_with_conditions(
        self, make_bucket: MakeBucket, front: Front
    ) -> None:
        """Nor for one that does not obey them."""
        front.always["PutObject"] = only_if("^if-", error(503, "SlowDown"))

        with pytest.raises(ConfigError, match="SlowDown"):
            await make_bucket(attempts=1).start()

    async def test_what_cannot_be_removed_is_named(
        self,
        make_bucket: MakeBucket,
        front: Front,
        shared_bucket: S3Bucket,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """The first failure is the one that is raised; the multipart uploads are aborted."""
        front.always["ListParts"] = error(503, "SlowDown")
        front.always["DeleteObject"] = error(403, "AccessDenied")
        prefix = f"{uuid.uuid4().hex}/"

        with pytest.raises(ConfigError, match="SlowDown"):
            await make_bucket(attempts=1, scratch_prefix=prefix).start()

        (line,) = [record.getMessage() for record in caplog.records if prefix in str(record.msg)]
        assert "left behind" in line
        front.forget()
        await remove_all(shared_bucket, prefix)

    async def test_an_account_that_may_not_delete(
        self, make_bucket: MakeBucket, front: Front, shared_bucket: S3Bucket
    ) -> None:
        """Found out at start, not when the first upload is terminated."""
        prefix = f"{uuid.uuid4().hex}/"
        front.always["DeleteObject"] = error(403, "AccessDenied")

        with pytest.raises(ConfigError, match=r"delete: AccessDenied.*s3:DeleteObject"):
            await make_bucket(scratch_prefix=prefix).start()

        front.forget()
        assert len(await remove_all(shared_bucket, prefix)) == 1

    async def test_a_start_that_is_cancelled(self, make_bucket: MakeBucket, front: Front) -> None:
        """What was begun is aborted before the cancellation goes on."""
        front.always["ListParts"] = no_answer
        task = asyncio.ensure_future(make_bucket().start())
        async with asyncio.timeout(5):
            await front.unanswered.acquire()

            task.cancel()

            with pytest.raises(asyncio.CancelledError):
                await task
        assert "AbortMultipartUpload" in front.seen


class TestSmallParts:
    """A part size below 5 MiB needs a store that takes it."""

    LIMITS = Limits(min_part=1, preferred_part=MIB)

    @pytest.mark.usefixtures("nothing_left")
    async def test_a_store_that_does_not(self, make_bucket: MakeBucket) -> None:
        """The setting is refused, not the first upload."""
        with pytest.raises(ConfigError, match=r"refuses parts below 5 MiB.*1048576 bytes"):
            await make_bucket(limits=self.LIMITS).start()

    async def test_a_store_that_does(self, tmp_path: Path) -> None:
        """A folder takes parts of any size."""
        bucket = DiskBucket(tmp_path, limits=self.LIMITS)
        await bucket.start()

        features = await find_features(bucket, "x/")

        assert features.conditional_writes
        assert [stat.key async for stat in bucket.list_objects("")] == []
        await bucket.close()


@pytest.mark.usefixtures("aws")
class TestRealStores:
    """What is known of stores is found."""

    @pytest.mark.parametrize(("kind", "calls"), [("versitygw", 12), ("minio", 12)])
    async def test_a_store_that_has_everything(
        self,
        bucket_factory: Callable[[str], BucketPlace],
        make_bucket: MakeBucket,
        kind: str,
        calls: int,
    ) -> None:
        """CRC64NVME at the first try, with few calls, and nothing is left."""
        place = bucket_factory(kind)
        assert place.server is not None
        async with front_of(place.server.endpoint) as front:
            bucket = make_bucket(bucket=place.name, endpoint=front.url)

            await bucket.start()

            assert (bucket.features.checksum, len(front.seen)) == ("CRC64NVME", calls)
            assert bucket.features.conditional_writes
            assert [stat.key async for stat in bucket.list_objects("")] == []
            await bucket.close()
        assert "Uploads" not in place.server.client().list_multipart_uploads(Bucket=place.name)

    @pytest.mark.parametrize(
        ("refused", "chosen"), [("crc64nvme", "CRC32C"), ("crc(64nvme|32c)", "CRC32")]
    )
    async def test_the_next_best_checksum(
        self,
        versitygw: object,
        bucket_factory: Callable[[str], BucketPlace],
        make_bucket: MakeBucket,
        refused: str,
        chosen: str,
    ) -> None:
        """Where a store does not know the better ones."""
        place = bucket_factory("versitygw")
        assert place.server is not None
        async with front_of(place.server.endpoint) as front:
            front.always["CreateMultipartUpload"] = only_if(refused, error(400, "InvalidRequest"))
            bucket = make_bucket(bucket=place.name, endpoint=front.url)

            await bucket.start()

            assert bucket.features.checksum == chosen
            await bucket.close()


async def test_the_rights_of_an_account(bucket: Bucket) -> None:
    """Put, get and delete are tried; nothing is left."""
    key = scratch_key("rights/")

    await require_rights(bucket, key)

    assert [stat.key async for stat in bucket.list_objects("rights/")] == []
