"""The stories of `store_suite` on every bucket there is."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.conformance.store_suite import PART, StoreSuite
from tests.servers import S3Server
from tusd_s3.buckets.disk import DiskBucket
from tusd_s3.buckets.s3 import S3Bucket, S3Options
from tusd_s3.interfaces import Bucket
from tusd_s3.model import Limits

# Starting a bucket on S3 takes longer than most of these tests, so they share one per kind.
pytestmark = pytest.mark.asyncio(loop_scope="module")

LIMITS = Limits(preferred_part=PART)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bucket(
    account: S3Server | None, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Bucket]:
    """A started bucket of each chosen kind, for all tests of this module."""
    bucket: Bucket
    if account is None:
        bucket = DiskBucket(Path(tmp_path_factory.mktemp("stores")), limits=LIMITS)
    else:
        account.create_bucket("stores")
        options = S3Options(bucket="stores", endpoint=account.endpoint, limits=LIMITS)
        bucket = S3Bucket(options)
    await bucket.start()
    yield bucket
    await bucket.close()


class TestStore(StoreSuite):
    """From creation to termination."""
