"""Servers, buckets and profiles for every test; prints which real stores take part."""

import importlib.metadata
import signal
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest

# Appended, not inserted: where a built wheel is installed, that is what is tested.
sys.path.append(str(Path(__file__).parent.parent))

from tests import servers
from tests.servers import S3Server

pytest.register_assert_rewrite(
    "tests.conformance.bucket_suite",
    "tests.conformance.locker_suite",
    "tests.conformance.store_suite",
)

_REPORTED = ("tusd-s3", "aiohttp", "aiobotocore", "botocore", "moto", "hypothesis", "pytest")
_KINDS = ("disk", *servers.S3_KINDS)

hypothesis.settings.register_profile("ci", derandomize=True, deadline=None)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=2_000)
hypothesis.settings.load_profile("ci")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare our options."""
    group = parser.getgroup("tusd_s3")
    group.addoption(
        "--buckets",
        default=None,
        help=f"comma list of the buckets to test with: {', '.join(_KINDS)}; "
        "default: disk, moto, and every other one that is installed",
    )
    group.addoption("--server", default=None, help="creation URL of another tus server to test")


def pytest_configure() -> None:
    """Let SIGTERM unwind as Ctrl-C does, so that no server outlives the tests."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def chosen_buckets(config: pytest.Config) -> list[str]:
    """Return the kinds of bucket that this run tests.

    Raises:
        pytest.UsageError: one that was asked for is unknown or not installed.
    """
    asked: str | None = config.getoption("--buckets")
    if asked is None:
        return [kind for kind in _KINDS if servers.missing_reason(kind) is None or kind == "disk"]
    kinds = [kind.strip() for kind in asked.split(",") if kind.strip()]
    for kind in kinds:
        if kind not in _KINDS:
            raise pytest.UsageError(f"--buckets: unknown {kind!r}, known: {', '.join(_KINDS)}")
        if kind != "disk" and (reason := servers.missing_reason(kind)):
            raise pytest.UsageError(f"--buckets: {reason}")
    return kinds


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say what is tested with what."""
    kinds = chosen_buckets(config)
    absent = [
        f"{kind} ({servers.missing_reason(kind) or 'not chosen'})"
        for kind in _KINDS
        if kind not in kinds
    ]
    server: str | None = config.getoption("--server")
    return [
        "libraries: " + ", ".join(f"{name} {_version(name)}" for name in _REPORTED),
        "buckets: " + ", ".join(kinds) + ("; without: " + ", ".join(absent) if absent else ""),
        *([f"tus server: {server}"] if server else []),
    ]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for ``any_bucket_kind`` once per chosen kind."""
    if "any_bucket_kind" in metafunc.fixturenames:
        metafunc.parametrize("any_bucket_kind", chosen_buckets(metafunc.config), scope="session")


@pytest.fixture(scope="session")
def given_server_url(request: pytest.FixtureRequest) -> str | None:
    """The URL of ``--server``, None when our own server is tested."""
    url: str | None = request.config.getoption("--server")
    return url


@pytest.fixture(scope="session")
def s3_of(request: pytest.FixtureRequest) -> Iterator[Callable[[str], S3Server]]:
    """Return the session's server of a kind, started when first asked for.

    A kind that is not installed skips the test that asks.
    """
    running: dict[str, S3Server] = {}
    with ExitStack() as stack:

        def get(kind: str) -> S3Server:
            if kind not in running:
                if reason := servers.missing_reason(kind):
                    pytest.skip(reason)
                running[kind] = stack.enter_context(servers.s3_server(kind))
            return running[kind]

        yield get


@pytest.fixture(scope="session")
def moto(s3_of: Callable[[str], S3Server]) -> S3Server:
    """The session's moto."""
    return s3_of("moto")


@pytest.fixture(scope="session")
def versitygw(s3_of: Callable[[str], S3Server]) -> S3Server:
    """The session's versitygw; skips where it is not installed."""
    return s3_of("versitygw")


@pytest.fixture(scope="session")
def minio(s3_of: Callable[[str], S3Server]) -> S3Server:
    """The session's MinIO; skips where it is not installed."""
    return s3_of("minio")


@dataclass(frozen=True)
class BucketPlace:
    """Where a test may put a bucket: in a folder, or an empty one on a real S3 store.

    ``server`` is None for the folder; ``folder`` is None for S3.
    """

    kind: str
    name: str
    server: S3Server | None
    folder: Path | None


@pytest.fixture
def bucket_factory(
    s3_of: Callable[[str], S3Server], tmp_path: Path
) -> Callable[[str], BucketPlace]:
    """Return a function kind -> a new, empty place of that kind, as often as it is called."""

    def make(kind: str) -> BucketPlace:
        name = f"b-{uuid.uuid4().hex[:16]}"
        if kind == "disk":
            folder = tmp_path / name
            folder.mkdir()
            return BucketPlace(kind, name, None, folder)
        server = s3_of(kind)
        server.create_bucket(name)
        return BucketPlace(kind, name, server, None)

    return make


@pytest.fixture
def fresh_bucket(any_bucket_kind: str, bucket_factory: Callable[[str], BucketPlace]) -> BucketPlace:
    """An empty bucket of each chosen kind: the test runs once per kind."""
    return bucket_factory(any_bucket_kind)
