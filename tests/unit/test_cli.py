"""The command as its user sees it: real processes, their two streams, and exit codes."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import servers, tus_client
from tests.servers import Child, S3Server, TusServer
from tusd_s3 import __version__, cli

# Those that start a process are slow: Python, aiohttp and botocore take their second to import.
starts_a_process = pytest.mark.slow

SERVE = [sys.executable, "-m", "tusd_s3", "serve", "--port", "0"]


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.upper().startswith(("TUSD_", "AWS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHONPATH", str(Path(cli.__file__).parent.parent))
    monkeypatch.chdir(tmp_path)


def run(*arguments: str, env: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Run a command to its end; return exit code, standard output and standard error."""
    done = subprocess.run(
        [*SERVE, *arguments],
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def in_process(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str, str]:
    """Run a command that serves nothing, within this process."""
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    out, err = capsys.readouterr()
    return caught.value.code, out, err


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """In one line, as programs do."""
    assert in_process(capsys, "--version") == (0, f"tusd-s3 {__version__}\n", "")


def test_the_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a command it goes to standard error: nothing was done."""
    code, out, err = in_process(capsys, "--help")
    empty = in_process(capsys)

    assert (code, err) == (0, "")
    assert "serve uploads" in out
    assert empty == (2, "", out)


def test_the_help_of_serve_groups_flags_and_shows_defaults(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each flag once, with what happens if it is left out."""
    monkeypatch.setenv("COLUMNS", "200")

    code, out, _ = in_process(capsys, "serve", "--help")

    assert code == 0
    assert "Storage in an S3 bucket:" in out
    assert re.search(r"--s3-part-size SIZE +preferred size of a part.*\(default: 16MiB\)", out)
    assert "TUSD_MAX_SIZE" in out
    assert len(re.findall(r"^  --max-size ", out, re.MULTILINE)) == 1


def test_a_wrong_command_line_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Without repeating forty flags."""
    unknown = in_process(capsys, "surve")
    valueless = in_process(capsys, "serve", "--port")

    assert (unknown[0], valueless[0]) == (2, 2)
    assert unknown[2].count("\n") == valueless[2].count("\n") == 1
    assert "(see tusd-s3 --help)" in unknown[2]


def test_all_faults_in_the_settings_are_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """One line each, exit code 2, nothing on standard output."""
    code, out, err = in_process(
        capsys, "serve", "--port", "70000", "--s3-endpoint", "s3", "--prot", "1"
    )

    assert (code, out) == (2, "")
    assert err.splitlines() == [
        "tusd-s3: --prot: is not known here; did you mean --port?",
        "tusd-s3: --port: '70000' is not a number from 0 to 65535",
        "tusd-s3: --s3-endpoint: 's3' is not an address such as https://s3.example.com:9000",
    ]


def test_a_stray_word_is_a_fault(capsys: pytest.CaptureFixture[str]) -> None:
    """It may be the value of a switch, which takes none."""
    code, _, err = in_process(capsys, "serve", "--disable-cors", "true")

    assert (code, err) == (2, "tusd-s3: true: is not known here\n")


@pytest.mark.parametrize("by_variable", [False, True])
def test_the_file_is_named_by_a_flag_or_a_variable(
    by_variable: bool,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """--config FILE or TUSD_CONFIG."""
    file = tmp_path / "tusd.toml"
    file.write_text("port = -1\n")
    if by_variable:
        monkeypatch.setenv("TUSD_CONFIG", str(file))

    result = in_process(capsys, "serve", *([] if by_variable else ["--config", str(file)]))

    assert result == (2, "", f"tusd-s3: {file}: port: '-1' is not a number from 0 to 65535\n")


@starts_a_process
def test_it_says_in_one_line_where_it_listens_and_stops_when_asked(tmp_path: Path) -> None:
    """Port 0 is announced as the port it became; SIGTERM is no failure; logs are JSON."""
    with TusServer() as server:
        answer = tus_client.create(server.url, 3, body=b"abc")
        code = server.terminate()
        out = server.child.stdout_text
        err = server.log_text.removeprefix(out)

    assert (answer.status, code) == (201, 0)
    assert re.fullmatch(
        r"tusd-s3 listens on http://127\.0\.0\.1:[1-9]\d*/files/ \(folder \./data\)\n", out
    )
    assert [json.loads(line)["event"] for line in err.splitlines()] == ["request", "stopping"]
    assert any(
        path.read_bytes() == b"abc" for path in (tmp_path / "data").iterdir() if path.is_file()
    )


@starts_a_process
def test_requests_need_not_be_logged() -> None:
    """Somebody else's access log may be enough."""
    with TusServer("--no-access-log", "--base-path", "up") as server:
        tus_client.create(server.url, 0)
        assert server.terminate() == 0

        assert server.url.endswith("/up/")
        assert '"request"' not in server.log_text


@starts_a_process
def test_a_running_upload_is_kept_when_the_server_stops() -> None:
    """SIGINT during a PATCH: the client is told how much is safe, and it is."""
    with TusServer("--upload-dir", "kept") as server:
        upload = tus_client.new_upload(server.url, 1_000_000)
        with tus_client.open_patch(upload, 0, 1_000_000) as patch:
            patch.send(b"x" * 300_000)
            server.child.wait_until(lambda: tus_client.head(upload).status == 200)
            server.child.send(signal.SIGINT)
            answer = patch.answer()
        code = server.child.wait()
    with TusServer("--upload-dir", "kept") as server:
        offset = tus_client.head(server.url + upload.rpartition("/")[2]).offset

    assert code == 0
    assert answer.status == 503
    assert offset == answer.offset == 300_000


@pytest.fixture
def deaf() -> Iterator[str]:
    """Yield the URL of a service that accepts connections and never answers."""
    with socket.create_server((servers.HOST, 0)) as listener:
        yield f"http://{servers.HOST}:{listener.getsockname()[1]}"


@starts_a_process
def test_it_can_be_stopped_while_it_waits_for_its_bucket(deaf: str) -> None:
    """A deployment that was a mistake is not waited for."""
    bucket = ("--s3-bucket", "uploads", "--s3-endpoint", deaf)
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1"}
    child = Child([*SERVE, *bucket], env=keys)
    try:
        child.wait_until(lambda: _has_handler(child.pid, signal.SIGTERM))
        child.send(signal.SIGTERM)

        assert child.wait(10) == 0
        assert child.log_text == ""
    finally:
        child.close()


def _has_handler(pid: int, number: signal.Signals) -> bool:
    caught = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
    return caught is not None and bool(int(caught[1], 16) >> (number - 1) & 1)


@starts_a_process
def test_a_second_signal_ends_it_at_once() -> None:
    """Who asks twice does not want to wait for the limit."""
    with TusServer("--shutdown-timeout", "1h", "--network-timeout", "1h") as server:
        os.kill(server.pid, signal.SIGSTOP)
        os.kill(server.pid, signal.SIGTERM)
        os.kill(server.pid, signal.SIGINT)
        os.kill(server.pid, signal.SIGCONT)
        code = server.child.wait(5)

    assert code in {128 + signal.SIGTERM, 128 + signal.SIGINT}


@starts_a_process
def test_a_port_that_is_taken_is_said_in_one_line() -> None:
    """Exit code 1: the settings were fine."""
    with socket.create_server((servers.HOST, 0)) as listener:
        port = listener.getsockname()[1]
        code, out, err = run("--port", str(port))

    assert (code, out) == (1, "")
    assert err == (
        f"tusd-s3: cannot listen on 127.0.0.1:{port}: something else does already (try --port 0)\n"
    )


@starts_a_process
@pytest.mark.parametrize(
    ("host", "words"),
    [("no-such-host.invalid", "no such host"), ("203.0.113.1", "cannot assign requested address")],
)
def test_an_address_that_is_not_ours_is_said_in_one_line(host: str, words: str) -> None:
    """A name that does not resolve, and an address of another machine."""
    code, out, err = run("--host", host)

    assert (code, out) == (1, "")
    assert err == f"tusd-s3: cannot listen on {host}:0: {words}\n"


@starts_a_process
def test_a_folder_that_cannot_be_used_is_said_in_one_line(tmp_path: Path) -> None:
    """It is a file, for example."""
    (tmp_path / "file").write_text("")

    code, out, err = run("--upload-dir", "file")

    assert (code, out) == (2, "")
    assert err.startswith("tusd-s3: ")
    assert err.count("\n") == 1


@starts_a_process
@pytest.mark.parametrize("fault", ["missing", "refused", "unreachable"])
def test_a_bucket_that_cannot_be_used_is_said_in_one_line(
    fault: str, request: pytest.FixtureRequest
) -> None:
    """At start and not with the first upload; exit code 2; no traceback."""
    endpoint = f"http://{servers.HOST}:{servers.free_port()}"
    env = S3Server("nobody", endpoint).env()
    if fault != "unreachable":
        store: S3Server = request.getfixturevalue("versitygw")
        endpoint, env = store.endpoint, store.env()
    if fault == "refused":
        env["AWS_SECRET_ACCESS_KEY"] = "another"
    env.pop("AWS_ENDPOINT_URL_S3")

    code, out, err = run("--s3-bucket", "no-such-bucket", "--s3-endpoint", endpoint, env=env)

    assert (code, out) == (2, "")
    assert err.startswith("tusd-s3: ")
    assert err.count("\n") == 1
    assert "no-such-bucket" in err or endpoint in err


@starts_a_process
def test_a_bucket_is_named_in_the_line_that_says_where_it_listens(moto: S3Server) -> None:
    """With its endpoint, so that the wrong one is noticed."""
    moto.create_bucket("cli-uploads")
    bucket = ("--s3-bucket", "cli-uploads", "--s3-endpoint", moto.endpoint)

    with TusServer(*bucket, env=moto.env()) as server:
        assert f"/files/ (bucket cli-uploads at {moto.endpoint})\n" in server.child.stdout_text


@starts_a_process
def test_ipv6_addresses_are_written_as_urls_have_them() -> None:
    """RFC 3986, 3.2.2: in brackets."""
    if not socket.has_ipv6 or not _has_ipv6_loopback():
        pytest.skip("this machine has no ::1")

    with TusServer("--host", "::1") as server:
        assert server.url.startswith("http://[::1]:")


def _has_ipv6_loopback() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False
