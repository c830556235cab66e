"""Every bucket keeps the promises of `interfaces.Bucket`."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.conformance.bucket_suite import (
    ConditionSuite,
    CopySuite,
    LifetimeSuite,
    ManySuite,
    MultipartEndSuite,
    MultipartSuite,
    ObjectSuite,
)
from tests.conftest import BucketPlace
from tests.servers import S3Server
from tusd_s3.buckets.disk import DiskBucket
from tusd_s3.buckets.s3 import S3Bucket, S3Options
from tusd_s3.interfaces import Bucket

# Starting a bucket on S3 takes longer than most of these tests, so they share one per kind, and
# with it the event loop.
pytestmark = pytest.mark.asyncio(loop_scope="module")


_MOTO_CHECKS_NOTHING = "moto does not verify checksums"
_MOTO_500 = "moto answers 500 to a part of a multipart upload that does not exist"
_MOTO_COPIES_ANYTHING = "moto ignores the condition of a copy"
_MOTO_404 = "moto does not say what is missing when a copy has no source"
# (kind, test): what a store itself does wrong. Strict: the day it is repaired is noticed.
WEAKNESSES = {
    ("moto", "test_corrupted_content_never_becomes_visible"): _MOTO_CHECKS_NOTHING,
    ("moto", "test_a_corrupted_part_never_becomes_visible"): _MOTO_CHECKS_NOTHING,
    ("moto", "test_a_completed_multipart_upload_is_gone"): _MOTO_500,
    ("moto", "test_an_aborted_multipart_upload_is_gone"): _MOTO_500,
    ("moto", "test_what_never_was_cannot_be_used"): _MOTO_500,
    ("moto", "test_nothing_is_copied_into_what_is_gone"): _MOTO_500,
    ("moto", "test_only_the_version_that_was_meant_is_copied"): _MOTO_COPIES_ANYTHING,
    ("moto", "test_a_missing_source_is_missing"): _MOTO_404,
    ("versitygw", "test_a_put_replaces_bytes_and_headers"): (
        "versitygw keeps the Content-Disposition of the object that is replaced"
    ),
}


def make_bucket(server: S3Server | None, place: str | Path) -> Bucket:
    """Return a bucket that is not started: on S3 if there is a server, else in a folder."""
    if server is None:
        return DiskBucket(Path(place))
    return S3Bucket(S3Options(bucket=str(place), endpoint=server.endpoint))


@pytest.fixture(autouse=True)
def _known_weakness(any_bucket_kind: str, request: pytest.FixtureRequest) -> None:
    """Expect the failures of `WEAKNESSES`."""
    name = request.node.originalname
    if reason := WEAKNESSES.get((any_bucket_kind, name)):
        request.node.add_marker(pytest.mark.xfail(reason=reason, strict=True))


@pytest.fixture
def unstarted_bucket(account: S3Server | None, fresh_bucket: BucketPlace) -> Bucket:
    """An empty bucket of each chosen kind, not started."""
    return make_bucket(account, fresh_bucket.folder or fresh_bucket.name)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_bucket(
    account: S3Server | None, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Bucket]:
    """A started bucket of each chosen kind, for all tests of this module."""
    if account is not None:
        account.create_bucket("conformance")
    place = "conformance" if account else tmp_path_factory.mktemp("conformance")
    bucket = make_bucket(account, place)
    await bucket.start()
    yield bucket
    await bucket.close()


@pytest_asyncio.fixture(loop_scope="module")
async def bucket(shared_bucket: Bucket) -> AsyncIterator[Bucket]:
    """The shared bucket, emptied after the test."""
    yield shared_bucket
    await shared_bucket.delete([stat.key async for stat in shared_bucket.list_objects("")])


class TestLifetime(LifetimeSuite):
    """Coming and going."""


class TestObjects(ObjectSuite):
    """Objects one by one."""


class TestConditions(ConditionSuite):
    """Writes that happen only if."""


class TestMany(ManySuite):
    """Many objects at once."""


class TestMultipart(MultipartSuite):
    """Parts."""


class TestMultipartEnd(MultipartEndSuite):
    """Complete and abort."""


class TestCopy(CopySuite):
    """Parts that come from objects of the bucket."""
