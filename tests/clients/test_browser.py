"""tus-js-client in Chromium, on a page of another origin, through nginx, against our server."""

import base64
import getpass
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.clients.conftest import NODE_FOLDER
from tests.clients.deployment import Deployment, head
from tests.servers import Child, find_program, free_port, is_listening
from tusd_s3.model import MIB

pytestmark = pytest.mark.browser
HERE = Path(__file__).parent / "browser"
LIMIT_S = 60
SIZE = 40 * MIB
PAUSE_AT = 24 * MIB
SPEED = 32 * MIB  # slow enough for the page to see progress before all is sent


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the browser; else skips."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if program := find_program(name):
            return program
    pytest.skip("no Chromium on PATH: install the package chromium")


@pytest.fixture(scope="session")
def nginx() -> str:
    """Path of nginx; else skips."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip("nginx is neither on PATH nor in /usr/sbin: install the package nginx")
    return program


@dataclass(frozen=True)
class Site:
    """Two origins: ``page`` has the page, ``endpoint`` is where uploads are created."""

    page: str
    endpoint: str
    deployment: Deployment


@pytest.fixture
def site(
    kind: str, deploy: Callable[..., Deployment], nginx: str, node: str, tmp_path: Path
) -> Iterator[Site]:
    """Our server behind nginx, which takes a prefix from the path and serves the page."""
    if kind == "given":
        pytest.skip("the server has to be told about the proxy, so only ours is tested")
    deployment = deploy(kind, "--behind-proxy", "127.0.0.1")
    upstream = urlsplit(deployment.url)
    port, page_port = free_port(), free_port()
    config = (HERE / "nginx.conf").read_text()
    for name, value in {
        "USER": getpass.getuser(),
        "FOLDER": tmp_path,
        "PORT": port,
        "PAGE_PORT": page_port,
        "UPSTREAM": upstream.netloc,
        "PAGE": HERE / "page.html",
        "LIBRARY": NODE_FOLDER / "node_modules/tus-js-client/dist/tus.min.js",
    }.items():
        config = config.replace(f"@{name}@", str(value))
    file = tmp_path / "nginx.conf"
    file.write_text(config)
    proxy = Child([nginx, "-p", str(tmp_path), "-e", "stderr", "-c", str(file)])
    try:
        proxy.wait_until(lambda: is_listening(port) and is_listening(page_port))
        endpoint = f"http://127.0.0.1:{port}/uploads{upstream.path}"
        yield Site(f"http://127.0.0.1:{page_port}/page.html", endpoint, deployment)
    finally:
        proxy.close()
        deployment.close()


@pytest.fixture
def outcome(site: Site, node: str, chromium: str, tmp_path: Path) -> dict[str, Any]:
    """What the page saw: an upload paused, reloaded and resumed; a stream; two refusals."""
    job = {
        "executable": chromium,
        "profile": str(tmp_path / "profile"),
        "page": site.page,
        "endpoint": site.endpoint,
        "size": SIZE,
        "pauseAt": PAUSE_AT,
        "uploadBytesPerSecond": SPEED,
        "limitMs": LIMIT_S * 1000,
    }
    script = Child([node, str(NODE_FOLDER / "browser.mjs"), json.dumps(job)])
    try:
        assert script.wait(LIMIT_S + 20) == 0, script.log_text + site.deployment.log_text
        seen: dict[str, Any] = json.loads(script.stdout_text)
        return seen
    finally:
        script.close()


@pytest.mark.slow
def test_a_page_of_another_origin_uploads_through_a_proxy(
    site: Site, outcome: dict[str, Any]
) -> None:
    """An upload survives pause and reload and CORS hides nothing (slow: starts a browser)."""
    begun, resumed, streamed = outcome["begun"], outcome["resumed"], outcome["streamed"]

    assert outcome["unexpected"] == []
    assert begun["paused"]
    assert begun["url"].startswith(site.endpoint)
    assert resumed["found"] == [begun["url"]]
    assert resumed["url"] == begun["url"]
    _check_resumption(resumed["requests"])
    assert site.deployment.digest(resumed["url"]) == resumed["digest"]
    _check_stream(streamed["requests"])
    assert head(streamed["url"])[0] in {404, 410}  # the page has terminated it
    _check_what_can_be_read(outcome)


def _check_resumption(requests: list[dict[str, Any]]) -> None:
    """The resumed upload created nothing and did not begin at 0."""
    assert "POST" not in [request["method"] for request in requests]
    accepted = [request for request in requests if request["status"] == 204]
    assert [request["method"] for request in accepted] == ["PATCH"]
    assert 0 < accepted[0]["sentOffset"] < SIZE
    assert accepted[0]["headers"]["Upload-Offset"] == str(SIZE)


def _check_stream(requests: list[dict[str, Any]]) -> None:
    """The length came with the last PATCH, which was empty."""
    assert requests[-1]["sentOffset"] == requests[-1]["sentLength"] == 3 * MIB
    assert [request["sentLength"] for request in requests[:-1]] == [None] * (len(requests) - 1)


def _check_what_can_be_read(outcome: dict[str, Any]) -> None:
    """The page reads refusals, their bodies and the headers of tus."""
    conflict, unknown, told = outcome["conflict"], outcome["unknown"], outcome["head"]
    assert conflict["status"] == 409
    assert "ERR_MISMATCHED_OFFSET" in conflict["body"]
    assert conflict["headers"]["upload-offset"] == str(SIZE)
    assert unknown["status"] == 404
    assert unknown["body"]
    assert unknown["headers"]["tus-resumable"] == "1.0.0"
    assert told["headers"]["upload-length"] == str(SIZE)
    name = base64.b64encode("Grüße 世界.bin".encode()).decode()
    assert f"filename {name}" in told["headers"]["upload-metadata"]
