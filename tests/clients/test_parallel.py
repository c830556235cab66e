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


def upload(
    node: str, served: Deployment, sent: Payload, options: dict[str, Any], **job: str
) -> str:
    """Upload with tus-js-client, return the URL of the final upload."""
    options = {"endpoint": served.url, **options}
    described = json.dumps({"source": "file", "file": str(sent.path), "options": options, **job})
    done = subprocess.run(
        [node, str(NODE_FOLDER / "scenario.mjs"), described],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout.splitlines()[-1])
    assert outcome["error"] is None, outcome
    url: str = outcome["url"]
    return url


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("parallel", [2, 3, 8])
def test_a_file_arrives_in_parallel(
    served: Deployment, payload: Payloads, node: str, size: int, parallel: int
) -> None:
    """CLI-08: a byte in eight pieces, seven of them empty, too.

    Of a file tus-js-client cannot read an empty piece, of a buffer it can.
    """
    sent = payload(size)
    options = {"parallelUploads": parallel, "metadata": {"name": "Grüße"}}

    url = upload(node, served, sent, options, source="buffer" if size < parallel else "file")
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
    options = {
        "parallelUploads": 3,
        "chunkSize": len(sent.data) // chunks,
        "removeFingerprintOnSuccess": False,
    }
    storage = str(tmp_path / "urls.json")

    first = upload(node, served, sent, options, storage=storage)
    second = upload(node, served, sent, options, storage=storage)

    assert served.digest(first) == sent.digest
    assert second == first


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
