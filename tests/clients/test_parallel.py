"""Files sent as several partial uploads at once and joined: tus-js-client and aiotus."""

import asyncio
import hashlib
import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiotus
import pytest

from tests.clients.conftest import NODE_FOLDER, Payload
from tests.clients.deployment import Deployment, head, metadata_of
from tusd_s3.model import MIB

Payloads = Callable[[int], Payload]
LIMIT_S = 60
SIZES = [1, 2 * MIB, 10 * MIB + 1, pytest.param(100 * MIB, marks=pytest.mark.slow)]
QUICK = aiotus.RetryConfiguration(retry_attempts=60, max_retry_period_seconds=0.2)


def run_node(node: str, script: str, *arguments: str) -> str:
    """Run one of our scripts to its end and return the last line that it printed."""
    command = [node, str(NODE_FOLDER / script), *arguments]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("parallel", [2, 3, 8])
def test_a_file_arrives_in_parallel(
    served: Deployment, payload: Payloads, node: str, size: int, parallel: int
) -> None:
    """CLI-08: a byte in eight pieces, seven of them empty, too."""
    sent = payload(size)

    line = run_node(
        node, "upload.mjs", str(sent.path), served.url, "--parallel", str(parallel),
        "--metadata", "name=Grüße",
    )  # fmt: skip
    url = line.split()[1]
    status, told = head(url)

    assert status == 200
    assert told["Upload-Concat"].count(" ") == parallel - 1
    assert told["Upload-Offset"] == told["Upload-Length"] == str(size)
    assert metadata_of(url)["name"].decode() == "Grüße"
    assert served.digest(url) == sent.digest


@pytest.mark.parametrize("chunks", [1, 3])
def test_parallel_uploads_in_chunks_are_resumed_from_storage(
    served: Deployment, payload: Payloads, node: str, tmp_path: Path, chunks: int
) -> None:
    """CLI-08: a second run with the same storage finds what the first one has finished."""
    sent = payload(10 * MIB + 1)
    job: dict[str, Any] = {
        "source": "file",
        "file": str(sent.path),
        "storage": str(tmp_path / "urls.json"),
        "options": {
            "endpoint": served.url,
            "parallelUploads": 3,
            "chunkSize": len(sent.data) // chunks,
            "removeFingerprintOnSuccess": False,
        },
    }

    first = json.loads(run_node(node, "scenario.mjs", json.dumps(job)))
    second = json.loads(run_node(node, "scenario.mjs", json.dumps(job)))

    assert first["error"] is second["error"] is None
    assert served.digest(first["url"]) == sent.digest
    assert second["url"] == first["url"]


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
@pytest.mark.parametrize("sizes", [[1], [1, 2 * MIB, 0], [5 * MIB - 1, 5 * MIB, 5 * MIB + 1, 3]])
async def test_files_are_joined_by_aiotus(
    served: Deployment, payload: Payloads, sizes: list[int]
) -> None:
    """PITFALLS 20: `upload_multiple`, which names partials by their paths alone."""
    sent = [payload(size) for size in sizes]
    expected = hashlib.sha256(b"".join(each.data for each in sent)).hexdigest()

    url = await aiotus.upload_multiple(
        served.url, [io.BytesIO(each.data) for each in sent], {"filename": b"a"}, config=QUICK
    )
    assert url is not None
    _, told = await asyncio.to_thread(head, str(url))

    assert await asyncio.to_thread(served.digest, str(url)) == expected
    assert told["Upload-Length"] == str(sum(sizes))
