"""The rigs of the fault tests: shared by a module, put in order before each test."""

import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack

import pytest

from tests.conftest import BucketPlace
from tests.faults.rig import Rig
from tests.servers import S3Server

_RIGS = ("rig", "any_rig", "small")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failure what the server logged and what S3 was asked."""
    report = yield
    if report.failed and isinstance(item, pytest.Function):
        for rig in (item.funcargs[name] for name in _RIGS if name in item.funcargs):
            if isinstance(rig, Rig):
                report.sections.append(("the server's log", rig.server.log_text))
                report.sections.append(("calls of S3", "\n".join(rig.proxy.operations())))
    return report


@pytest.fixture(scope="module")
def rig_on(s3_of: Callable[[str], S3Server]) -> Iterator[Callable[[str], Rig]]:
    """Return a function kind -> the module's rig on that store, running as after its start."""
    rigs: dict[str, Rig] = {}
    with ExitStack() as stack:

        def get(kind: str) -> Rig:
            if kind not in rigs:
                name = f"faults-{uuid.uuid4().hex[:12]}"
                server = s3_of(kind)
                server.create_bucket(name)
                rigs[kind] = stack.enter_context(Rig(BucketPlace(kind, name, server, None)))
            rigs[kind].put_in_order()
            return rigs[kind]

        yield get


@pytest.fixture
def rig(rig_on: Callable[[str], Rig]) -> Rig:
    """A running server on versitygw; skips where that is not installed."""
    return rig_on("versitygw")


@pytest.fixture(params=["versitygw", "minio"])
def any_rig(request: pytest.FixtureRequest, rig_on: Callable[[str], Rig]) -> Rig:
    """A running server on each of the real stores."""
    return rig_on(request.param)
