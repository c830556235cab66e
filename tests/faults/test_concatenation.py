"""kill -9 of the server, and failures of the store, while a final upload is being assembled."""

import contextlib
import http.client
import threading
from collections.abc import Callable
from urllib.parse import urljoin

import pytest

from tests import tus_client
from tests.faults.rig import MIB, Rig, pattern
from tests.faults.s3_proxy import Call, answer, cut_after, cut_before, hang, on

# copied, copied, stitched of three, copied (what is left), copied
SIZES = [6 * MIB, 6 * MIB, 1, 11 * MIB, 6 * MIB]
DATA = pattern(sum(SIZES))
pytestmark = pytest.mark.slow  # uploads of 29 MiB, and restarts


def partials(rig: Rig) -> list[str]:
    """Upload the data as partial uploads, return their paths."""
    paths, at = [], 0
    for size in SIZES:
        made = tus_client.request(
            "POST",
            rig.url,
            {
                **tus_client.VERSION,
                "Upload-Concat": "partial",
                "Upload-Length": str(size),
                "Content-Type": tus_client.OFFSET_TYPE,
            },
            DATA[at : at + size],
        )
        assert made.status == 201, made
        paths.append(made.headers["location"])
        at += size
    return paths


def join(rig: Rig, paths: list[str]) -> tus_client.Answer:
    """Ask for the final upload."""
    headers = {**tus_client.VERSION, "Upload-Concat": "final;" + " ".join(paths)}
    return tus_client.request("POST", rig.url, headers, b"")


def open_multiparts(rig: Rig, url: str) -> int:
    """Return how many multipart uploads are open on the key of an upload."""
    listed = rig.s3.list_multipart_uploads(Bucket=rig.bucket).get("Uploads", [])
    return sum(upload["Key"] == rig.key(url) for upload in listed)


def assert_whole(rig: Rig, made: tus_client.Answer, *, lost: int = 0) -> None:
    """Check that the final is right and that nothing is left of how it was made."""
    assert made.status == 201, made
    url = urljoin(rig.url, made.headers["location"])
    rig.assert_finished(url, DATA)
    assert open_multiparts(rig, url) == lost


def of_final(paths: list[str], operation: str, number: int | None) -> Callable[[Call], bool]:
    """Match the calls about the final's objects."""
    partial_keys = tuple(path.rpartition("/")[2].partition("%2B")[0] for path in paths)
    wanted = on(operation, number=number)
    return lambda call: wanted(call) and not call.key.startswith(partial_keys)


@pytest.mark.parametrize("s3_acts", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("operation", "number"),
    [
        ("create_multipart", None),
        *(("upload_part", number) for number in range(1, 6)),
        ("complete", None),
        ("put_info", None),
    ],
)
def test_kill_between_copies(
    any_rig: Rig, operation: str, number: int | None, *, s3_acts: bool
) -> None:
    """The client posts the final again: right object, and no multipart upload is left behind.

    But for one whose id was lost with the process that asked for it.
    """
    paths = partials(any_rig)
    cut = cut_after if s3_acts else cut_before
    fault = any_rig.proxy.add(of_final(paths, operation, number), cut(any_rig.kill))
    with contextlib.suppress(OSError, http.client.HTTPException):
        join(any_rig, paths)
    assert fault.hit.wait(5)
    any_rig.start()

    made = join(any_rig, paths)

    assert_whole(any_rig, made, lost=int((operation, s3_acts) == ("create_multipart", True)))


def test_kill_at_the_second_rewrite(any_rig: Rig) -> None:
    """Between the multipart upload and the record of it: that one is lost, the final is not."""
    paths = partials(any_rig)
    fault = any_rig.proxy.add(of_final(paths, "put_info", None), cut_before(any_rig.kill), first=2)
    with contextlib.suppress(OSError, http.client.HTTPException):
        join(any_rig, paths)
    assert fault.hit.wait(5)
    any_rig.start()

    assert_whole(any_rig, join(any_rig, paths), lost=1)


def test_a_store_that_throttles_copies(any_rig: Rig) -> None:
    """A few refusals cost time, nothing else."""
    paths = partials(any_rig)
    fault = any_rig.proxy.add(lambda call: call.copy, answer(503, "SlowDown"), times=3)

    assert_whole(any_rig, join(any_rig, paths))
    assert fault.hits == 3


def test_a_store_that_does_not_copy(any_rig: Rig) -> None:
    """Everything is sent, and copies are not tried again."""
    any_rig.proxy.add(lambda call: call.copy, answer(501, "NotImplemented"), times=None)

    assert_whole(any_rig, join(any_rig, partials(any_rig)))
    tried = sum(call.copy for call in any_rig.proxy.calls)
    assert_whole(any_rig, join(any_rig, partials(any_rig)))
    tried_again = sum(call.copy for call in any_rig.proxy.calls)
    any_rig.start()  # it has forgotten what it found out

    assert tried == tried_again > 0


def test_a_client_that_comes_back_joins_the_assembly(any_rig: Rig) -> None:
    """A proxy's time-out ends the first request; the second waits for what it has begun."""
    paths = partials(any_rig)
    gate = threading.Event()
    fault = any_rig.proxy.add(of_final(paths, "upload_part", 1), hang(gate))
    headers = {**tus_client.VERSION, "Upload-Concat": "final;" + " ".join(paths)}
    with tus_client.Exchange("POST", any_rig.url, headers, length=0) as first:
        assert fault.hit.wait(10)
        first.rst()
    answers: list[tus_client.Answer] = []
    second = threading.Thread(target=lambda: answers.append(join(any_rig, paths)))
    second.start()
    gate.set()
    second.join()

    assert_whole(any_rig, answers[0])
    assert sum(call.copy for call in any_rig.proxy.calls) == len(SIZES) - 1
