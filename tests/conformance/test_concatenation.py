"""Final uploads on every bucket there is: the bytes, and how many of them went through us."""

import hashlib
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from tests.servers import S3Server
from tests.unit.store.finals import Finals, PickyBucket
from tusd_s3.buckets.disk import DiskBucket
from tusd_s3.buckets.s3 import S3Bucket, S3Options
from tusd_s3.interfaces import Bucket
from tusd_s3.model import MIB, Limits
from tusd_s3.store.concat import Way
from tusd_s3.store.keys import Names

# Starting a bucket on S3 takes longer than most of these tests, so they share one per kind.
pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.slow,  # parts of 5 MiB, on real stores
]

MIN = 5 * MIB
LIMITS = Limits(preferred_part=MIN)
SIZES = [0, 1, MIN - 1, MIN, MIN + 1, 64 * MIB]
SEAMS = 1  # the first two make a part together; all that follow are large enough


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bucket(
    account: S3Server | None, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Bucket]:
    """A started bucket of each chosen kind, for all tests of this module."""
    bucket: Bucket
    if account is None:
        bucket = DiskBucket(Path(tmp_path_factory.mktemp("finals")), limits=LIMITS)
    else:
        account.create_bucket("finals")
        bucket = S3Bucket(S3Options(bucket="finals", endpoint=account.endpoint, limits=LIMITS))
    await bucket.start()
    yield bucket
    await bucket.close()


@pytest.fixture
def bench(bucket: Bucket, tmp_path: Path) -> Finals:
    """A store on it, and a count of what is sent."""
    return Finals(PickyBucket(bucket), tmp_path, memory=64 * MIB, disk=64 * MIB)


async def hash_of(bench: Finals, upload_id: str) -> str:
    """Return the SHA-256 of what is downloaded."""
    digest = hashlib.sha256()
    async with bench.store.download(upload_id) as reader:
        async for chunk in reader.chunks():
            digest.update(chunk)
    return digest.hexdigest()


@pytest.mark.parametrize("way", Way)
async def test_partials_of_any_size(
    bench: Finals, any_bucket_kind: str, way: Way, record_property: Callable[[str, object], None]
) -> None:
    """CAT-07, PITFALLS 11: all bytes, and only those around the seams are sent."""
    contents = [random.Random(size).randbytes(size) for size in SIZES]
    ids = [await bench.partial(content) for content in contents]
    bench.bucket.sent.clear()
    bench.store._depot.copying.way = way

    info = await bench.join(ids, way=way.value.encode(), name="ä b+c%".encode())

    sent, total = sum(bench.bucket.sent), sum(SIZES)
    record_property("sent", sent)
    print(f"\n{any_bucket_kind} {way.value}: {sent} of {total} sent as {bench.bucket.sent}")  # noqa: T201
    assert (info.finished, info.offset) == (True, total)
    assert await hash_of(bench, info.id) == hashlib.sha256(b"".join(contents)).hexdigest()
    assert bench.store._depot.copying.way is way
    if way is Way.COPY:
        assert sent <= SEAMS * MIN


async def test_a_few_bytes_at_the_end(bench: Finals) -> None:
    """The last part is copied or, where the store does not copy a few bytes, sent."""
    contents = [random.Random(size).randbytes(size) for size in (MIN, 3)]
    ids = [await bench.partial(content) for content in contents]
    bench.bucket.sent.clear()

    info = await bench.join(ids)

    assert sum(bench.bucket.sent) <= 3
    assert await bench.download(info.id) == b"".join(contents)
    assert bench.store._depot.copying.way is Way.COPY


async def test_a_source_with_a_name_that_needs_encoding(bucket: Bucket, tmp_path: Path) -> None:
    """PITFALLS 11: in the header that names it."""
    names = Names("a b/ü+%41&=/", "meta/")
    bench = Finals(PickyBucket(bucket), tmp_path, memory=64 * MIB, disk=64 * MIB, names=names)
    contents = [random.Random(size).randbytes(size) for size in (MIN, MIN + 1)]
    ids = [await bench.partial(content) for content in contents]
    bench.bucket.sent.clear()

    info = await bench.join(ids)

    assert bench.bucket.sent == []
    assert await bench.download(info.id) == b"".join(contents)


async def test_an_object_has_the_finals_headers(bench: Finals) -> None:
    """PITFALLS 11: type and metadata survive a copy."""
    content = random.Random(1).randbytes(MIN)
    ids = [await bench.partial(content, filetype=b"text/x"), await bench.partial(b"abc")]

    info = await bench.join(ids, filetype=b"image/png", filename=b"a.png")
    stat = await bench.bucket.head(bench.key(info.id))

    assert stat.headers.content_type == "image/png"
    assert stat.headers.metadata["filename"] == "a.png"
