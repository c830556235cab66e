"""Buckets behind a front that can be told to misbehave."""

import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.servers import S3Server
from tests.unit.buckets.s3_front import Front, front_of
from tusd_s3.buckets.s3 import S3Bucket, S3Options

MakeBucket = Callable[..., S3Bucket]


@pytest.fixture
def aws(moto: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials that all our test stores accept, and no endpoint of the environment's."""
    for name, value in moto.env().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")


@pytest.fixture(scope="session")
def bucket_name(moto: S3Server) -> str:
    """A bucket for all tests of this folder: they do not look at each other's keys."""
    name = f"b-{uuid.uuid4().hex}"
    moto.create_bucket(name)
    return name


@pytest.fixture
async def front(moto: S3Server) -> AsyncIterator[Front]:
    """A front before moto."""
    async with front_of(moto.endpoint) as running:
        yield running


@pytest.fixture
async def make_bucket(aws: None, front: Front, bucket_name: str) -> AsyncIterator[MakeBucket]:
    """Return a function that makes an S3Bucket behind the front, with these options."""
    made: list[S3Bucket] = []

    def make(**options: Any) -> S3Bucket:
        given = {"bucket": bucket_name, "endpoint": front.url, "attempts": 2, **options}
        made.append(S3Bucket(S3Options(**given)))
        return made[-1]

    yield make
    for bucket in made:
        await bucket.close()


@pytest.fixture
async def bucket(make_bucket: MakeBucket, front: Front) -> S3Bucket:
    """A started bucket behind the front, which has forgotten how it was started."""
    bucket = make_bucket()
    await bucket.start()
    front.seen.clear()
    front.headers.clear()
    return bucket
