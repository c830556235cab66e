"""A bench for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.store.bench import Bench, started


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A store over an empty folder bucket with parts of ten bytes."""
    async with started(tmp_path) as bucket:
        yield Bench(bucket, tmp_path)
