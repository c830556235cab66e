"""Real servers as child processes: S3 stores, and the tus server under test.

Everything listens on a free port of 127.0.0.1, is ready when its context manager yields, and is
killed with its whole process group when the block is left. What a child printed is attached to
the error when it does not start, and is in `log_text` afterwards.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import boto3
import botocore.config
import botocore.exceptions

import tusd_s3

HOST = "127.0.0.1"
START_LIMIT_S = 30.0
STOP_LIMIT_S = 20.0
ACCESS_KEY = "tests-access"
SECRET_KEY = "tests-secret-key"
REGION = "us-east-1"
S3_KINDS = ("moto", "versitygw", "minio")


class NotInstalled(Exception):
    """The program of an S3 store is not on this machine."""


def free_port() -> int:
    """Return a port that nobody listens on at this moment."""
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        port: int = sock.getsockname()[1]
        return port


def find_program(name: str) -> str | None:
    """Return the path of a program on PATH or among Go's binaries, None if there is none."""
    go_bin = os.environ.get("GOBIN") or str(
        Path(os.environ.get("GOPATH") or Path.home() / "go").joinpath("bin")
    )
    return shutil.which(name) or shutil.which(name, path=go_bin)


class Child:
    """A process in a group of its own; stdout and stderr go to files."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
    ) -> None:
        self.command = list(command)
        self._folder = tempfile.TemporaryDirectory(prefix="tests-child-")
        self._out = Path(self._folder.name, "stdout")
        self._err = Path(self._folder.name, "stderr")
        self._last_words: str | None = None
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; minus the signal's number if a signal ended it."""
        return self._process.poll()

    @property
    def stdout_text(self) -> str:
        return self._out.read_text(errors="replace")

    @property
    def log_text(self) -> str:
        """Everything printed so far: stdout, then stderr. Kept when it is closed."""
        if self._last_words is not None:
            return self._last_words
        return self.stdout_text + self._err.read_text(errors="replace")

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the whole process group; nothing happens if it is gone."""
        if self.exit_code is None:
            os.killpg(self.pid, number)

    def wait(self, limit_s: float = STOP_LIMIT_S) -> int:
        """Wait until it has ended and return its exit code.

        Raises:
            AssertionError: it still runs after ``limit_s``.
        """
        try:
            return self._process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {limit_s} s\n{self.log_text}") from None

    def wait_until(self, ready: Callable[[], bool], limit_s: float = START_LIMIT_S) -> None:
        """Poll ``ready`` until it is true.

        Raises:
            RuntimeError: the process ended before, or the limit passed; with its log.
        """
        deadline = time.monotonic() + limit_s
        while not ready():
            if self.exit_code is not None or time.monotonic() > deadline:
                said = f"exit code {self.exit_code}" if self.exit_code is not None else "too slow"
                raise RuntimeError(f"{self.command}: {said}\n{self.log_text}")
            time.sleep(0.02)

    def close(self) -> None:
        """Kill it with its group and remove its files."""
        self.send(signal.SIGKILL)
        self._process.wait()
        self._last_words = self.log_text
        self._folder.cleanup()


@dataclass(frozen=True)
class S3Server:
    """A running S3 store and the account that may do everything in it."""

    name: str
    endpoint: str
    access_key: str = ACCESS_KEY
    secret_key: str = SECRET_KEY
    region: str = REGION

    def client(self, *, attempts: int = 2) -> Any:
        """Return a new boto3 client (path style) that tries each call so many times."""
        session = boto3.session.Session(
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=self.region,
        )
        config = botocore.config.Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            connect_timeout=5,
            read_timeout=30,
            retries={"total_max_attempts": attempts},
        )
        return session.client("s3", endpoint_url=self.endpoint, config=config)

    def create_bucket(self, name: str) -> None:
        """Create an empty bucket."""
        client = self.client()
        client.create_bucket(Bucket=name)
        client.close()

    def env(self) -> dict[str, str]:
        """Return the variables with which any AWS library finds this store and no other."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def at(self, endpoint: str) -> "S3Server":
        """Return the same store reached by another address, e.g. a proxy's."""
        return replace(self, endpoint=endpoint)

    def answers(self) -> bool:
        """Return whether an authenticated call succeeds."""
        client = self.client()
        try:
            client.list_buckets()
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
            return False
        finally:
            client.close()
        return True


def is_listening(port: int) -> bool:
    """Return whether a TCP connection to the port succeeds."""
    with socket.socket() as sock:
        sock.settimeout(1)
        return sock.connect_ex((HOST, port)) == 0


def missing_reason(kind: str) -> str | None:
    """Return why a kind of S3 store cannot run here, None if it can."""
    if kind == "moto" or find_program(kind) is not None:
        return None
    return f"{kind} is neither on PATH nor among Go's binaries"


def _s3_command(kind: str, port: int, folder: Path) -> tuple[list[str], dict[str, str]]:
    """Return the command line of a store that keeps its data in ``folder``, and its environment."""
    if kind == "moto":
        return [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port)], {}
    program = find_program(kind)
    if program is None:
        raise NotInstalled(missing_reason(kind))
    data, extra = folder / "data", folder / "extra"
    data.mkdir(parents=True)
    extra.mkdir()
    if kind == "versitygw":
        account = ["--access", ACCESS_KEY, "--secret", SECRET_KEY]
        serve = ["--port", f"{HOST}:{port}", "-q", "--keep-alive"]
        return [program, *account, *serve, "posix", "--sidecar", str(extra), str(data)], {}
    if kind == "minio":
        console = ["--console-address", f"{HOST}:{free_port()}"]
        env = {
            "MINIO_ROOT_USER": ACCESS_KEY,
            "MINIO_ROOT_PASSWORD": SECRET_KEY,
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
        }
        return [program, "server", "--address", f"{HOST}:{port}", *console, str(data)], env
    raise ValueError(f"unknown S3 store {kind!r}; known: {', '.join(S3_KINDS)}")


@contextmanager
def s3_server(kind: str, *, env: Mapping[str, str] | None = None) -> Iterator[S3Server]:
    """Run an S3 store with nothing in it.

    Args:
        kind: one of `S3_KINDS`.
        env: more environment, e.g. ``S3_UPLOAD_PART_MIN_SIZE`` for moto.

    Raises:
        NotInstalled: there is no such program here.
        RuntimeError: it did not start.
    """
    with tempfile.TemporaryDirectory(prefix=f"tests-{kind}-", ignore_cleanup_errors=True) as folder:
        port = free_port()
        command, own_env = _s3_command(kind, port, Path(folder))
        child = Child(command, env={**own_env, **(env or {})}, cwd=folder)
        try:
            server = S3Server(kind, f"http://{HOST}:{port}")
            child.wait_until(lambda: is_listening(port))
            child.wait_until(server.answers)
            yield server
        finally:
            child.close()


class TusServer:
    """`python -m tusd_s3 serve` as a child; ``url`` is the creation URL it announced.

    Args:
        args: options after ``serve --port PORT``.
        env: environment besides the present one.
        port: 0 for a free one; another to be found again after a restart.
        wrapper: a command that runs the command behind it, e.g. with resource limits.
    """

    _announced = re.compile(r"listens on (http\S+)")

    def __init__(
        self,
        *args: str,
        env: Mapping[str, str] | None = None,
        port: int = 0,
        wrapper: Sequence[str] = (),
    ) -> None:
        code = str(Path(tusd_s3.__file__).parent.parent)
        serve = [sys.executable, "-m", "tusd_s3", "serve", "--port", str(port)]
        command = [*wrapper, *serve, *args]
        self.child = Child(command, env={"PYTHONPATH": code, **(env or {})})
        try:
            self.child.wait_until(lambda: self._find_url() is not None)
        except BaseException:
            self.child.close()
            raise
        self.url = self._find_url() or ""

    def _find_url(self) -> str | None:
        found = self._announced.search(self.child.stdout_text)
        # Only a whole line is believed: the child may be in the middle of writing it.
        return found[1] if found and "\n" in self.child.stdout_text[found.end() :] else None

    @property
    def pid(self) -> int:
        return self.child.pid

    @property
    def log_text(self) -> str:
        return self.child.log_text

    def kill9(self) -> None:
        """End it the hard way and wait until it is gone."""
        self.child.send(signal.SIGKILL)
        self.child.wait()

    def terminate(self, limit_s: float = STOP_LIMIT_S) -> int:
        """Ask it to stop, wait, and return the exit code."""
        self.child.send(signal.SIGTERM)
        return self.child.wait(limit_s)

    def close(self) -> None:
        self.child.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, _trace: object) -> None:
        if error is not None and kind is not None and issubclass(kind, Exception):
            print(f"--- log of {self.child.command}\n{self.log_text}", file=sys.stderr)  # noqa: T201
        self.close()
