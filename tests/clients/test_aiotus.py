"""aiotus: asynchronous client on aiohttp; sends a Content-Type on empty POSTs."""

import asyncio
import io
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp
import aiotus
import pytest
import yarl
from aiotus import core

from tests.clients.conftest import Payload
from tests.clients.deployment import Deployment, wait_for_offset
from tests.clients.wire import Wire
from tusd_s3.model import KIB, MIB

Payloads = Callable[[int], Payload]
QUICK = aiotus.RetryConfiguration(retry_attempts=60, max_retry_period_seconds=0.2)
# aiotus hands its chunks to aiohttp as bytes.
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
HEADS = 2 * KIB  # more than the request heads of one upload take


async def _digest(deployment: Deployment, url: yarl.URL | None) -> str:
    assert url is not None, deployment.log_text
    return await asyncio.to_thread(deployment.digest, str(url))


@dataclass
class Sent:
    """The PATCH requests of a session."""

    urls: list[str] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)


def _recording(patches: Sent) -> aiohttp.ClientSession:
    """Return a session that writes down every PATCH it sends."""

    async def note(
        _session: object, _context: object, sent: aiohttp.TraceRequestStartParams
    ) -> None:
        if sent.method == "PATCH":
            patches.urls.append(str(sent.url))
            patches.offsets.append(int(sent.headers["Upload-Offset"]))

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(note)
    return aiohttp.ClientSession(trace_configs=[trace])


@pytest.mark.parametrize("size", [1, 2 * MIB, pytest.param(100 * MIB, marks=pytest.mark.slow)])
async def test_a_file_arrives(served: Deployment, payload: Payloads, size: int) -> None:
    """What aiotus sends in its chunks of 4 MiB is what the bucket holds."""
    sent = payload(size)

    url = await aiotus.upload(served.url, io.BytesIO(sent.data), config=QUICK)

    assert await _digest(served, url) == sent.digest


@pytest.mark.parametrize("parts_per_chunk", [0.3, 1.4])
async def test_chunks_need_not_match_parts(
    served: Deployment, payload: Payloads, parts_per_chunk: float
) -> None:
    """Chunks smaller and larger than a part give the same object."""
    sent = payload(int(2.5 * served.part_size) + 9)
    chunk_size = int(parts_per_chunk * served.part_size)

    url = await aiotus.upload(served.url, io.BytesIO(sent.data), config=QUICK, chunksize=chunk_size)

    assert await _digest(served, url) == sent.digest


async def test_an_empty_file_is_finished_by_its_creation(
    served: Deployment, payload: Payloads
) -> None:
    """An empty POST with a Content-Type of its own creates the empty object."""
    sent = payload(0)

    url = await aiotus.upload(served.url, io.BytesIO(sent.data), config=QUICK)

    assert await _digest(served, url) == sent.digest


async def test_metadata_come_back_as_sent(served: Deployment, payload: Payloads) -> None:
    """Text, arbitrary bytes, empty values and keys without a value survive."""
    metadata: aiotus.Metadata = {
        "filename": "Grüße 世界 🐘.txt".encode(),
        "binary": bytes(range(256)),
        "empty": b"",
        "valueless": None,
    }

    url = await aiotus.upload(served.url, io.BytesIO(payload(11).data), metadata, config=QUICK)
    assert url is not None
    read = await aiotus.metadata(url)

    assert read is not None
    # `empty ` and `valueless` differ by a space only, which aiotus does not see when it reads.
    assert {key: value or b"" for key, value in read.items()} == {
        key: value or b"" for key, value in metadata.items()
    }


async def test_a_cut_connection_is_bridged_by_retries(
    served: Deployment, payload: Payloads, wire: Wire
) -> None:
    """The client retries after a break mid-PATCH and does not begin at 0 again."""
    sent = payload(int(2.5 * served.part_size))
    cut_at = int(1.6 * served.part_size)
    wire.cut_after(cut_at)
    patches = Sent()

    async with _recording(patches) as session:
        url = await aiotus.upload(
            wire.url, io.BytesIO(sent.data), None, session, QUICK, chunksize=len(sent.data)
        )

    assert wire.cuts == 1
    assert 0 < patches.offsets[-1] < cut_at
    assert await _digest(served, url) == sent.digest


async def test_a_cancelled_upload_is_resumed_by_its_url(
    served: Deployment, payload: Payloads, wire: Wire
) -> None:
    """Cancelling the client mid-PATCH leaves an upload that another session can finish."""
    sent = payload(int(1.5 * served.part_size))
    patches = Sent()
    async with _recording(patches) as session:
        location = await aiotus.creation.create(
            session, yarl.URL(wire.url), io.BytesIO(sent.data), {}
        )
        wire.hold_after(served.part_size)
        whole = len(sent.data)
        upload = core.upload_buffer(session, location, io.BytesIO(sent.data), chunksize=whole)
        task = asyncio.create_task(upload)
        assert await asyncio.to_thread(wire.held.wait, 30)
        task.cancel()
        wire.drop()
        with pytest.raises(asyncio.CancelledError):
            await task

    await asyncio.to_thread(wait_for_offset, str(location), served.part_size - HEADS)
    async with _recording(patches) as session:
        await core.upload_buffer(session, location, io.BytesIO(sent.data))

    assert patches.offsets[0] == 0
    assert served.part_size - HEADS <= patches.offsets[1] < served.part_size
    assert await _digest(served, location) == sent.digest


async def test_an_upload_survives_a_restart(
    mortal: Deployment, payload: Payloads, mortal_wire: Wire
) -> None:
    """A server that is asked to stop mid-PATCH saves what it has; its successor goes on there."""
    sent = payload(2 * mortal.part_size + 3)
    hold_at = mortal.part_size + MIB
    mortal_wire.hold_after(hold_at)
    patches = Sent()

    async with _recording(patches) as session:
        upload = aiotus.upload(
            mortal_wire.url, io.BytesIO(sent.data), None, session, QUICK, chunksize=len(sent.data)
        )
        task = asyncio.create_task(upload)
        assert await asyncio.to_thread(mortal_wire.held.wait, 30)
        await asyncio.to_thread(wait_for_offset, patches.urls[0], mortal.part_size)
        await asyncio.to_thread(mortal.terminate)
        await asyncio.to_thread(mortal.start_again)
        mortal_wire.retarget(mortal.url)
        mortal_wire.drop()
        url = await task

    assert mortal.part_size <= patches.offsets[-1] < hold_at
    assert await _digest(mortal, url) == sent.digest


async def test_the_configuration_can_be_read(served: Deployment) -> None:
    """The client understands what OPTIONS tells."""
    async with aiohttp.ClientSession() as session:
        told = await core.configuration(session, yarl.URL(served.url))

    assert "1.0.0" in told.protocol_versions
    assert {"creation", "creation-with-upload"} <= set(told.protocol_extensions)


async def test_files_are_concatenated_in_order(served: Deployment, payload: Payloads) -> None:
    """Parts uploaded in parallel, and named by path only, become one object."""
    if "concatenation" not in served.extensions:
        pytest.skip("the server does not offer concatenation")
    sent = payload(12 * MIB + 1)
    pieces = [sent.data[:MIB], sent.data[MIB : 7 * MIB], sent.data[7 * MIB :]]

    url = await aiotus.upload_multiple(
        served.url, [io.BytesIO(piece) for piece in pieces], config=QUICK
    )

    assert await _digest(served, url) == sent.digest
