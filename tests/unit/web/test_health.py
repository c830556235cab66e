import asyncio

import pytest

from tests.unit.web.fakes import FakeStore, serving
from tusd_s3.web.options import WebOptions


class Gate:
    """A check that counts and does what it is told to."""

    def __init__(self) -> None:
        self.checks = 0
        self.failure: Exception | None = None
        self.begun = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self) -> None:
        self.checks += 1
        self.begun.set()
        await self.open.wait()
        if self.failure is not None:
            raise self.failure


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_live_and_ready(method: str) -> None:
    """Both are 200 as long as all is well, to GET and HEAD."""
    async with serving(FakeStore(), ready=Gate()) as tus:
        live = await tus.request(method, "/health/live")
        ready = await tus.request(method, "/health/ready")

    assert (live.status, ready.status) == (200, 200)


async def test_not_ready_is_503_in_our_words() -> None:
    """What is wrong goes to the log."""
    gate = Gate()
    gate.failure = OSError("secret")
    async with serving(FakeStore(), ready=gate) as tus:
        live = await tus.request("GET", "/health/live")
        ready = await tus.request("GET", "/health/ready")

    assert (live.status, ready.status) == (200, 503)
    assert b"secret" not in ready.body


async def test_check_that_hangs_is_a_failure() -> None:
    """After its time limit."""
    gate = Gate()
    gate.open.clear()
    async with serving(FakeStore(), ready=gate, options=WebOptions(ready_timeout_s=0.05)) as tus:
        assert (await tus.request("GET", "/health/ready")).status == 503


async def test_many_probes_make_one_check() -> None:
    """At the same time and shortly after."""
    gate = Gate()
    gate.open.clear()
    async with serving(FakeStore(), ready=gate) as tus:
        probes = [asyncio.create_task(tus.request("GET", "/health/ready")) for _ in range(5)]
        await gate.begun.wait()
        gate.open.set()
        statuses = [(await probe).status for probe in probes]
        await tus.request("GET", "/health/ready")

    assert statuses == [200] * 5
    assert gate.checks == 1


async def test_result_is_not_remembered_for_ever() -> None:
    """A store that comes back is seen."""
    gate = Gate()
    gate.failure = OSError()
    async with serving(FakeStore(), ready=gate, options=WebOptions(ready_cache_s=0)) as tus:
        before = await tus.request("GET", "/health/ready")
        gate.failure = None
        after = await tus.request("GET", "/health/ready")

    assert (before.status, after.status) == (503, 200)
