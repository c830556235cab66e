"""tuspy, the protocol's official Python client (requests for the sync, aiohttp for the async)."""

import asyncio
import io
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError
from tusclient.storage.filestorage import FileStorage

from tests.clients.conftest import Payload
from tests.clients.deployment import Deployment, head, metadata_of, wait_for_offset
from tests.clients.wire import Wire
from tusd_s3.model import KIB, MIB

Payloads = Callable[[int], Payload]
SCRIPT = Path(__file__).parent / "upload_tuspy.py"
HEADS = 2 * KIB  # more than the request heads of one upload take


def _uploader(url: str, sent: Payload, **options: Any) -> Any:
    return TusClient(url).uploader(file_stream=io.BytesIO(sent.data), **options)


@contextmanager
def _in_background(call: Callable[[], None]) -> Iterator[None]:
    """Run ``call`` in a thread during the block, and wait for it at the end of the block."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except Exception as exc:  # noqa: BLE001  (raised again below)
            failures.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join(60)
    assert not thread.is_alive()
    assert not failures, failures


@pytest.mark.parametrize("size", [1, 2 * MIB])
def test_a_file_arrives_in_one_request(served: Deployment, payload: Payloads, size: int) -> None:
    """What tuspy sends in a single PATCH is what the bucket holds."""
    sent = payload(size)

    uploader = _uploader(served.url, sent)
    uploader.upload()

    assert uploader.offset == size
    assert served.digest(uploader.url) == sent.digest


@pytest.mark.slow
def test_100_mib_arrive_from_the_command_line(served: Deployment, payload: Payloads) -> None:
    """The script prints seconds and URL of an upload whose bytes are right (slow: 100 MiB)."""
    sent = payload(100 * MIB)

    command = [sys.executable, str(SCRIPT), str(sent.path), served.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)

    assert done.returncode == 0, done.stderr
    seconds, url = done.stdout.split()
    assert float(seconds) > 0
    assert served.digest(url) == sent.digest


@pytest.mark.parametrize("parts_per_chunk", [0.3, 1, 1.4])
def test_chunks_need_not_match_parts(
    served: Deployment, payload: Payloads, parts_per_chunk: float
) -> None:
    """Chunks smaller than a part, equal to it and larger give the same object."""
    sent = payload(int(2.5 * served.part_size) + 7)
    chunk_size = int(parts_per_chunk * served.part_size)

    uploader = _uploader(served.url, sent, chunk_size=chunk_size)
    uploader.upload()

    assert served.digest(uploader.url) == sent.digest


def test_an_empty_file_is_finished_by_its_creation(served: Deployment, payload: Payloads) -> None:
    """Only the POST is sent for an empty file; the empty object exists then."""
    sent = payload(0)

    uploader = _uploader(served.url, sent)
    uploader.upload()

    assert served.digest(uploader.url) == sent.digest


def test_metadata_come_back_as_sent(served: Deployment, payload: Payloads) -> None:
    """Non-ASCII text and empty values survive; tuspy writes the latter with a trailing space."""
    metadata = {"filename": "Grüße 世界 🐘.txt", "empty": "", "filetype": "text/plain", "last": ""}

    uploader = _uploader(served.url, payload(11), metadata=metadata)
    uploader.upload()

    assert metadata_of(uploader.url) == {key: text.encode() for key, text in metadata.items()}


def test_an_empty_metadata_header_is_no_metadata(served: Deployment, payload: Payloads) -> None:
    """With nothing to say tuspy sends `upload-metadata:` without a value."""
    uploader = _uploader(served.url, payload(11))
    uploader.upload()

    status, headers = head(uploader.url)
    assert status == 200
    assert headers["Upload-Metadata"] is None


def test_another_uploader_continues_where_one_stopped(
    served: Deployment, payload: Payloads
) -> None:
    """An upload left after its first chunks is resumed by its URL alone."""
    sent = payload(3 * MIB + 5)
    first = _uploader(served.url, sent, chunk_size=MIB)
    first.upload(stop_at=2 * MIB)

    second = TusClient(served.url).uploader(file_stream=io.BytesIO(sent.data), url=first.url)
    resumed_at = second.offset
    second.upload()

    assert resumed_at == 2 * MIB
    assert served.digest(first.url) == sent.digest


# tuspy opens the file for its fingerprint and its request and leaves closing to the collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_upload_is_found_again_by_its_fingerprint(
    served: Deployment, payload: Payloads, tmp_path: Path
) -> None:
    """With a URL storage the second uploader finds the first one's upload."""
    sent = payload(3 * MIB + 6)
    storage: Any = FileStorage(str(tmp_path / "urls.json"))  # type: ignore[no-untyped-call]
    options: dict[str, Any] = {"store_url": True, "url_storage": storage, "chunk_size": MIB}

    first: Any = TusClient(served.url).uploader(str(sent.path), **options)
    first.upload(stop_at=MIB)
    second = TusClient(served.url).uploader(str(sent.path), **options)
    resumed_at = second.offset
    second.upload()
    storage.close()

    assert (second.url, resumed_at) == (first.url, MIB)
    assert served.digest(first.url) == sent.digest


def test_nothing_that_arrived_before_a_cut_is_sent_again(
    served: Deployment, payload: Payloads, wire: Wire
) -> None:
    """A connection that breaks mid-PATCH costs no byte that the server had received."""
    sent = payload(int(2.5 * served.part_size))
    cut_at = int(1.6 * served.part_size)
    wire.cut_after(cut_at)
    broken = _uploader(wire.url, sent)
    with pytest.raises(TusCommunicationError):
        broken.upload()

    wait_for_offset(broken.url, cut_at - HEADS)
    resumed = TusClient(wire.url).uploader(file_stream=io.BytesIO(sent.data), url=broken.url)
    resumed_at = resumed.offset
    resumed.upload()

    assert cut_at - HEADS <= resumed_at < cut_at
    assert served.digest(broken.url) == sent.digest


def test_tuspy_retries_by_itself(served: Deployment, payload: Payloads, wire: Wire) -> None:
    """Two broken connections in one upload are bridged by tuspy's own retries."""
    sent = payload(4 * MIB + 1)
    uploader = _uploader(wire.url, sent, chunk_size=2 * MIB, retries=20, retry_delay=0.2)
    wire.cut_after(MIB)
    uploader.upload_chunk()
    wire.cut_after(MIB)
    uploader.upload()

    assert wire.cuts == 2
    assert served.digest(uploader.url) == sent.digest


def test_an_upload_survives_kill_9(
    mortal: Deployment, payload: Payloads, mortal_wire: Wire
) -> None:
    """A server killed in the middle of a PATCH goes on where it had acknowledged."""
    sent = payload(2 * mortal.part_size + 3)
    acknowledged = mortal.part_size + MIB
    uploader = _uploader(
        mortal_wire.url, sent, chunk_size=acknowledged, retries=100, retry_delay=0.2
    )
    uploader.upload_chunk()
    mortal_wire.hold_after(2 * MIB)

    with _in_background(uploader.upload):
        assert mortal_wire.held.wait(30)
        mortal.kill()
        mortal.start_again()
        offset = int(head(mortal.url + uploader.url.rpartition("/")[2])[1]["Upload-Offset"])
        mortal_wire.retarget(mortal.url)
        mortal_wire.drop()

    assert offset >= acknowledged
    assert mortal.digest(uploader.url) == sent.digest


def test_checksums_are_verified(served: Deployment, payload: Payloads) -> None:
    """Chunks with tuspy's SHA-1 are accepted where the server offers the extension."""
    if "checksum" not in served.extensions:
        pytest.skip("the server does not offer checksum")
    sent = payload(3 * MIB)

    uploader = _uploader(served.url, sent, chunk_size=MIB, upload_checksum=True)
    uploader.upload()

    assert served.digest(uploader.url) == sent.digest


# Its session is given the loop by argument, which aiohttp deprecates.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_the_async_uploader_does_the_same(served: Deployment, payload: Payloads) -> None:
    """The asynchronous uploader, chunked, gives the same object."""
    sent = payload(3 * MIB + 1)

    uploader: Any = TusClient(served.url).async_uploader(
        file_stream=io.BytesIO(sent.data), chunk_size=MIB, metadata={"filename": "ü"}
    )
    await uploader.upload()

    assert await asyncio.to_thread(served.digest, uploader.url) == sent.digest
