"""The server under test on each kind of bucket, payloads, the relay, and Node."""

import hashlib
import random
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients.deployment import KINDS, Deployment
from tests.clients.wire import Wire
from tests.servers import S3Server

NODE_FOLDER = Path(__file__).parent / "node"
_NPM_LIMIT_S = 120


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything in this folder."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.clients)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what asks for ``kind`` on each kind of bucket; those not installed skip by themselves."""
    if "kind" not in metafunc.fixturenames:
        return
    asked: str | None = metafunc.config.getoption("--buckets")
    kinds = [kind.strip() for kind in asked.split(",")] if asked else list(KINDS)
    if metafunc.config.getoption("--server"):
        kinds = ["given"]
    metafunc.parametrize("kind", kinds, scope="session")


@pytest.fixture(scope="session")
def deploy(
    s3_of: Callable[[str], S3Server],
    given_server_url: str | None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., Deployment]:
    """Return a function that starts a server with an empty bucket of a kind."""

    def start(kind: str, *options: str) -> Deployment:
        if kind == "given":
            return Deployment(kind, url=given_server_url)
        if kind == "disk":
            folder = str(tmp_path_factory.mktemp("uploads"))
            return Deployment(kind, place=folder, options=options)
        store, name = s3_of(kind), f"b-{uuid.uuid4().hex[:16]}"
        store.create_bucket(name)
        return Deployment(kind, store=store, place=name, options=options)

    return start


@pytest.fixture(scope="session")
def _shared(deploy: Callable[..., Deployment]) -> Iterator[Callable[[str], Deployment]]:
    running: dict[str, Deployment] = {}
    with ExitStack() as stack:

        def get(kind: str) -> Deployment:
            if kind not in running:
                running[kind] = deploy(kind)
                stack.callback(running[kind].close)
            return running[kind]

        yield get


@pytest.fixture
def served(kind: str, _shared: Callable[[str], Deployment]) -> Iterator[Deployment]:
    """The server that all tests share; one per kind of bucket. Its log is shown on failure."""
    deployment = _shared(kind)
    begin = len(deployment.log_text)
    yield deployment
    sys.stdout.write(deployment.log_text[begin:])


@pytest.fixture
def mortal(kind: str, deploy: Callable[..., Deployment]) -> Iterator[Deployment]:
    """A server of the test's own, which may be killed and started again."""
    if kind == "given":
        pytest.skip("a server that is not ours is not killed")
    deployment = deploy(kind)
    yield deployment
    sys.stdout.write(deployment.log_text)
    deployment.close()


@pytest.fixture
def wire(served: Deployment) -> Iterator[Wire]:
    """A relay in front of the shared server."""
    with Wire(served.url) as relay:
        yield relay


@pytest.fixture
def mortal_wire(mortal: Deployment) -> Iterator[Wire]:
    """A relay in front of the test's own server."""
    with Wire(mortal.url) as relay:
        yield relay


@dataclass(frozen=True)
class Payload:
    """Bytes to upload, in memory and in a file; not the same for any two sizes."""

    data: bytes
    path: Path
    digest: str


@pytest.fixture
def payload(tmp_path: Path) -> Callable[[int], Payload]:
    """Return a function size -> incompressible bytes."""

    def make(size: int) -> Payload:
        data = random.Random(size).randbytes(size)
        path = tmp_path / f"payload-{size}.bin"
        path.write_bytes(data)
        return Payload(data, path, hashlib.sha256(data).hexdigest())

    return make


@pytest.fixture(scope="session")
def node() -> str:
    """Path of Node, with the packages of the lock file beside our scripts; else skips."""
    program, npm = shutil.which("node"), shutil.which("npm")
    if program is None:
        pytest.skip("node is not on PATH: install Node.js 20 or later")
    if not (NODE_FOLDER / "node_modules").exists():
        if npm is None:
            pytest.skip("npm is not on PATH: install it and run `npm ci` in tests/clients/node")
        command = [npm, "ci", "--no-audit", "--no-fund"]
        try:
            subprocess.run(
                command, cwd=NODE_FOLDER, check=True, capture_output=True, timeout=_NPM_LIMIT_S
            )
        except subprocess.SubprocessError as exc:
            pytest.skip(f"`npm ci` in tests/clients/node failed: {exc}")
    return program
