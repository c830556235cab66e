from collections.abc import AsyncIterator

import pytest

from tests.protocol.wire import Tus
from tests.unit.web.fakes import FakeStore, serving


@pytest.fixture
async def tus_of_fakes() -> AsyncIterator[Tus]:
    """A client of a server with an empty store in memory."""
    async with serving(FakeStore()) as tus:
        yield tus
