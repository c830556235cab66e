"""What README.md shows works: its commands, its programs, its rights."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import servers, tus_client
from tests.servers import Child, TusServer
from tusd_s3 import cli, sources
from tusd_s3.config import Config
from tusd_s3.protocol.rules import Terms

PROJECT = Path(__file__).parents[2]
README = (PROJECT / "README.md").read_text()
SHOWN = "http://127.0.0.1:8080"


def blocks(language: str, document: str = README) -> list[str]:
    """Return the code blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", document, re.DOTALL)


def commands(document: str = README) -> list[str]:
    """Return all shell commands, one line each."""
    lines = "".join(blocks("sh", document)).replace("\\\n", " ").splitlines()
    return [line.partition(" #")[0].strip() for line in lines if line.strip()]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TusServer]:
    """Our server on a folder."""
    with TusServer("--upload-dir", str(tmp_path / "data")) as running:
        yield running


def content_of(upload_url: str) -> bytes:
    """Fetch an upload."""
    return tus_client.get(upload_url).body


def test_make_run_and_make_test_come_first() -> None:
    """Two commands on a machine with nothing but Python."""
    assert commands()[:2] == ["make run", "make test"]


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_every_target_that_is_named_exists(document: str) -> None:
    """A target that was renamed takes its mention along."""
    text = (PROJECT / document).read_text()
    targets = set(re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))

    assert set(re.findall(r"\bmake ([a-z]+)\b", " ".join(commands(text)))) <= targets


@pytest.mark.slow  # starts a server through make
def test_make_run_prints_the_line_that_is_shown(tmp_path: Path) -> None:
    """And serves; another port and folder only so as not to be in anybody's way."""
    if not (PROJECT / ".venv" / ".run").exists() or shutil.which("make") is None:
        pytest.skip("the environment was not made by make; its installation is not tested here")
    arguments = f"--port 0 --upload-dir {tmp_path}"
    child = Child(["make", "--no-print-directory", "run", f"ARGS={arguments}"], cwd=PROJECT)
    shown = re.search(r"^    (tusd-s3 listens on .*)$", README, re.MULTILINE)
    assert shown is not None
    pattern = (
        re.escape(shown[1]).replace("8080", r"(\d+)").replace(r"\./data", re.escape(str(tmp_path)))
    )
    try:
        # make says first what it installs, if a dependency has changed
        child.wait_until(lambda: "listens" in child.stdout_text.rpartition("\n")[0])

        assert re.fullmatch(pattern, child.stdout_text.splitlines()[-1])
    finally:
        child.close()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_curl_example_uploads(server: TusServer, tmp_path: Path) -> None:
    """One request creates and fills the upload."""
    script = next(block for block in blocks("sh") if "curl" in block)
    script = script.replace(f"{SHOWN}/files/", server.url)

    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    location = re.search(r"^Location: (\S+)", done.stdout, re.MULTILINE | re.IGNORECASE)

    assert "HTTP/1.1 201 Created" in done.stdout
    assert location is not None
    assert content_of(location[1]) == b"hello, tus"


@pytest.mark.slow  # starts another Python
def test_the_python_example_uploads(server: TusServer, tmp_path: Path) -> None:
    """With tuspy as it is released."""
    (tmp_path / "hello.txt").write_text("hello, tus")
    script = blocks("python")[0].replace(f"{SHOWN}/files/", server.url)

    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert content_of(done.stdout.strip()) == b"hello, tus"


@pytest.mark.slow  # starts Node
@pytest.mark.clients
def test_the_javascript_example_uploads(server: TusServer) -> None:
    """With tus-js-client as it is released, in Node."""
    node, folder = shutil.which("node"), PROJECT / "tests" / "clients" / "node"
    if node is None or not (folder / "node_modules" / "tus-js-client").exists():
        pytest.skip("Node or tus-js-client is not installed: npm ci in tests/clients/node")
    imports, rest = blocks("js")[0].replace(f"{SHOWN}/files/", server.url).split("\n", 1)
    script = f"{imports}\nconst file = Buffer.from('hello, tus')\n{rest}"

    done = subprocess.run(
        [node, "--input-type=module", "-e", script],
        cwd=folder, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip

    assert content_of(done.stdout.strip()) == b"hello, tus"


@pytest.mark.parametrize("command", [line for line in commands() if "tusd-s3 serve" in line])
def test_every_serve_command_has_settings_that_are_accepted(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its flags exist and go together."""
    parser, flags = cli.build_parser()
    arguments = shlex.split(command.partition("tusd-s3 ")[2])
    if "--help" in arguments:
        with pytest.raises(SystemExit):
            parser.parse_args(arguments)
        assert "--s3-bucket" in capsys.readouterr().out
        return

    config = sources.read_settings(flags.read(parser.parse_args(arguments)), None)

    assert config.s3_bucket == "my-uploads"


def test_every_setting_that_is_mentioned_exists() -> None:
    """In all documents; a name that ends in * or _ stands for several."""
    known = {sources.flag_of(name) for name in Config.model_fields} | {"--config", "--version"}
    known |= {"--help", "--no-name", "--name", "--build", "--rm", "--data-binary"}
    known |= {flag.replace("--", "--no-", 1) for flag in known}
    for document in (PROJECT / "README.md", *(PROJECT / "docs").glob("*.md")):
        text = document.read_text()
        flags = set(re.findall(r"(?<![\w-])--[a-z0-9]+(?:-[a-z0-9]+)*(?!\*)\b", text))
        variables = set(re.findall(r"\bTUSD_[A-Z0-9_]+[A-Z0-9]\b", text))

        assert flags <= known, document
        assert variables <= {sources.variable_of(name) for name in [*Config.model_fields, "config"]}


def test_the_rights_are_those_of_the_calls_that_are_made() -> None:
    """Every call of the bucket on S3 is covered, and nothing else is granted."""
    policy = json.loads(blocks("json")[0])
    granted = {
        action
        for statement in policy["Statement"]
        for action in (
            [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
        )
    }
    source = "".join(path.read_text() for path in (PROJECT / "tusd_s3" / "buckets").glob("s3*.py"))
    needed_by = {
        "put_object": "s3:PutObject",
        "create_multipart_upload": "s3:PutObject",
        "get_object": "s3:GetObject",
        "head_object": "s3:GetObject",
        "delete_objects": "s3:DeleteObject",
        "abort_multipart_upload": "s3:AbortMultipartUpload",
        "list_parts": "s3:ListMultipartUploadParts",
        "list_objects_v2": "s3:ListBucket",
        "head_bucket": "s3:ListBucket",
    }

    assert granted == {right for call, right in needed_by.items() if call in source}


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_lead_to_files(document: str) -> None:
    """Those within the project."""
    for target in re.findall(r"\]\(([^)#:]+)\)", (PROJECT / document).read_text()):
        assert (PROJECT / target).exists(), target


def test_the_extensions_are_those_that_are_offered() -> None:
    """In the order of `Tus-Extension`."""
    assert f"    {', '.join(Terms().extensions)}\n" in README


def test_the_nginx_settings_are_those_of_the_whole_file() -> None:
    """The excerpt has nothing that the tested file does not have."""
    whole = (PROJECT / "deploy" / "nginx.conf").read_text()
    directives = {line.partition("#")[0].strip() for line in whole.splitlines()}

    assert set(blocks("nginx")[0].splitlines()) <= directives


def test_no_document_names_a_port_that_is_not_the_default() -> None:
    """What is shown is what `make run` listens on."""
    assert SHOWN in README
    assert f"http://{servers.HOST}:{Config().port}" == SHOWN
