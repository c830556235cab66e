"""The rigs of the fault tests, one bucket and one server each."""

from collections.abc import Callable, Iterator

import pytest

from tests.conftest import BucketPlace
from tests.faults.rig import Rig


@pytest.fixture
def rig(bucket_factory: Callable[[str], BucketPlace]) -> Iterator[Rig]:
    """A running server on versitygw; skips where that is not installed."""
    with Rig(bucket_factory("versitygw")) as rig:
        rig.start()
        yield rig


@pytest.fixture
def minio_rig(bucket_factory: Callable[[str], BucketPlace]) -> Iterator[Rig]:
    """A running server on MinIO; skips where that is not installed."""
    with Rig(bucket_factory("minio")) as rig:
        rig.start()
        yield rig


@pytest.fixture(params=["versitygw", "minio"])
def any_rig(
    request: pytest.FixtureRequest, bucket_factory: Callable[[str], BucketPlace]
) -> Iterator[Rig]:
    """A running server on each of the real stores."""
    with Rig(bucket_factory(request.param)) as rig:
        rig.start()
        yield rig
