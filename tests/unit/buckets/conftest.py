"""Buckets behind a front that can be told to misbehave.

A start takes some thirty calls of moto, so a module's tests share one front and one bucket, in
one event loop: ``pytestmark = pytest.mark.asyncio(loop_scope="module")``.
"""

import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import pytest_asyncio

from tests.servers import S3Server
from tests.unit.buckets.s3_front import Front, front_of
from tusd_s3.buckets.s3 import S3Bucket, S3Options

MakeBucket = Callable[..., S3Bucket]


@pytest.fixture(scope="module")
def aws(moto: S3Server) -> Iterator[None]:
    """Credentials that all our test stores accept, and no endpoint of the environment's."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in moto.env().items():
            patch.setenv(name, value)
        patch.delenv("AWS_ENDPOINT_URL_S3")
        yield


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_front(moto: S3Server) -> AsyncIterator[Front]:
    """A front before moto."""
    async with front_of(moto.endpoint) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_bucket(aws: None, moto: S3Server, shared_front: Front) -> AsyncIterator[S3Bucket]:
    """A bucket behind the front that was started when the front did nothing odd."""
    name = f"b-{uuid.uuid4().hex}"
    moto.create_bucket(name)
    bucket = S3Bucket(S3Options(bucket=name, endpoint=shared_front.url, attempts=2))
    await bucket.start()
    yield bucket
    await bucket.close()


@pytest_asyncio.fixture(loop_scope="module")
async def front(shared_front: Front) -> AsyncIterator[Front]:
    """The front, without rules; it forgets those of the test afterwards."""
    shared_front.forget()
    yield shared_front
    shared_front.forget()


@pytest_asyncio.fixture(loop_scope="module")
async def bucket(front: Front, shared_bucket: S3Bucket) -> S3Bucket:
    """A started bucket behind the front; other tests left their keys in it."""
    return shared_bucket


@pytest_asyncio.fixture(loop_scope="module")
async def make_bucket(front: Front, shared_bucket: S3Bucket) -> AsyncIterator[MakeBucket]:
    """Return a function that makes another S3Bucket of the same place, with these options."""
    made: list[S3Bucket] = []

    def make(**options: Any) -> S3Bucket:
        usual: dict[str, Any] = {"bucket": shared_bucket.name, "endpoint": front.url, "attempts": 2}
        made.append(S3Bucket(S3Options(**(usual | options))))
        return made[-1]

    yield make
    for bucket in made:
        await bucket.close()
