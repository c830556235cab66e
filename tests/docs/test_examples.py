"""The examples run, and the documents show them as they are."""

import importlib.util
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType

import aiohttp
import pytest
from aiohttp import web

from tests import servers
from tests.servers import Child
from tusd_s3 import Config, runner_settings

PROJECT = Path(__file__).parents[2]
TUS = {"Tus-Resumable": "1.0.0"}
KNOWN = {**TUS, "Authorization": "Bearer let-me-in"}
BYTES = {"Content-Type": "application/offset+octet-stream"}


@pytest.fixture(scope="module")
def mounted() -> ModuleType:
    """The example as a module."""
    spec = importlib.util.spec_from_file_location("mounted", PROJECT / "examples" / "mounted.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
async def root(mounted: ModuleType, tmp_path: Path) -> AsyncIterator[str]:
    """Serve the example; yield its root URL."""
    config = Config(base_path="/uploads/", upload_dir=tmp_path)
    runner = web.AppRunner(mounted.make_app(config), **runner_settings(config))
    await runner.setup()
    await web.TCPSite(runner, servers.HOST, 0).start()
    yield f"http://{servers.HOST}:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_an_upload_goes_through_the_application_around_it(root: str) -> None:
    """Created, sent in two requests and fetched under the prefix it is mounted at."""
    async with aiohttp.ClientSession() as session:
        headers = {**KNOWN, "Upload-Length": "6", **BYTES}
        async with session.post(f"{root}/api/uploads/", headers=headers, data=b"abc") as created:
            url = created.headers["Location"]
        headers = {**KNOWN, "Upload-Offset": "3", **BYTES}
        async with session.patch(url, headers=headers, data=b"def") as patched:
            pass
        async with session.get(url, headers=KNOWN) as fetched:
            content = await fetched.read()

    assert url.startswith(f"{root}/api/uploads/")
    assert (created.status, patched.status, content) == (201, 204, b"abcdef")


async def test_the_application_decides_who_may_upload(root: str) -> None:
    """Its middleware is asked before the upload server is; preflights pass."""
    async with aiohttp.ClientSession() as session:
        async with session.post(
            f"{root}/api/uploads/", headers={**TUS, "Upload-Length": "1"}
        ) as no:
            pass
        async with session.options(f"{root}/api/uploads/") as preflight:
            pass

    assert (no.status, preflight.status) == (401, 200)


async def test_the_application_keeps_its_own_pages(root: str) -> None:
    """They are not tus: no Tus-Resumable, their own 404."""
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{root}/", headers=KNOWN) as page:
            text = await page.text()
        async with session.get(f"{root}/nothing", headers=KNOWN) as missing:
            pass

    assert text == "my application\n"
    assert "Tus-Resumable" not in page.headers
    assert missing.status == 404


async def test_a_compressed_body_is_refused_and_not_inflated(root: str) -> None:
    """Offsets count the bytes that were sent."""
    headers = {**KNOWN, "Upload-Length": "9", **BYTES, "Content-Encoding": "gzip"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{root}/api/uploads/", headers=headers, data=b"\x1f\x8b\x08") as refused,
    ):
        assert refused.status == 415


def test_the_example_runs_as_a_program(tmp_path: Path) -> None:
    """As its first lines say; SIGINT ends it."""
    port = servers.free_port()
    child = Child(
        [sys.executable, str(PROJECT / "examples" / "mounted.py")],
        env={"PYTHONPATH": str(PROJECT), "PYTHONUNBUFFERED": "1", "PORT": str(port)},
        cwd=tmp_path,
    )
    try:
        child.wait_until(lambda: f"http://127.0.0.1:{port}" in child.stdout_text)
        os.kill(child.pid, signal.SIGINT)

        assert child.wait() == 0
    finally:
        child.close()


def test_the_document_shows_the_example_as_it_is() -> None:
    """Whole, so that it can be copied."""
    source = (PROJECT / "examples" / "mounted.py").read_text()
    document = (PROJECT / "docs" / "embedding.md").read_text()

    assert f"```python\n{source}```" in document
