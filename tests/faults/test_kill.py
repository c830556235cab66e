"""kill -9 of the server at any instant: no acknowledged byte is lost, the object is right."""

import contextlib
import http.client
import random
import threading
import time
from collections.abc import Callable

import pytest

from tests import tus_client
from tests.faults.rig import MIB, PART, Rig, pattern
from tests.faults.s3_proxy import Action, cut_after, cut_before, on
from tests.tus_client import Resumer

BEGUN = 3 * MIB  # what is acknowledged, as a tail, before the PATCH that is killed


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_kill_at_random_moments(rig: Rig) -> None:
    """Ten kills in one upload, each at another moment of a PATCH: the offset never falls."""
    chance = random.Random(20)
    data = pattern(64 * MIB)
    upload = rig.upload(len(data))
    resumer = Resumer(lambda: upload, data)
    for _ in range(10):
        resumer.chunk = chance.randrange(1, 2 * MIB)
        resumer.patch_once(resumer.head().offset)
        _kill_while_sending(rig, upload, resumer, chance)
        rig.start()
        resumer.head()
        rig.assert_not_complete(upload, resumer.answers[-1])
    resumer.chunk = len(data)
    resumer.finish()

    rig.assert_finished(upload, data)


def _kill_while_sending(rig: Rig, upload: str, resumer: Resumer, chance: random.Random) -> None:
    """Send up to 8 MiB, kill the server at a random byte or shortly after the last one."""
    offset = resumer.acknowledged
    sent = chance.randrange(1, 8 * MIB)
    body = resumer.data[offset : offset + sent]
    killer = threading.Timer(chance.uniform(0, 0.08), rig.kill)
    with tus_client.open_patch(upload, offset, len(body) + chance.choice((0, 1))) as exchange:
        killer.start()
        with contextlib.suppress(OSError, http.client.HTTPException):
            exchange.send(body)
            resumer.note(exchange.answer())
    killer.join()


def _begin(rig: Rig, data: bytes) -> tuple[str, Resumer]:
    """Create an upload with an acknowledged tail."""
    upload = rig.upload(len(data))
    resumer = Resumer(lambda: upload, data, chunk=BEGUN)
    answer = resumer.patch_once(0)
    assert answer is not None
    assert (answer.status, answer.offset) == (204, BEGUN)
    return upload, resumer


def _recorded(rig: Rig, data: bytes, sent: int, *, cold: bool) -> list[str]:
    """Return the S3 calls of a PATCH that continues a tail by ``sent`` bytes."""
    upload, _ = _begin(rig, data)
    if cold:
        rig.start()
    rig.proxy.clear()
    answer = tus_client.patch(upload, BEGUN, data[BEGUN : BEGUN + sent])
    assert answer.status == 204, answer
    return rig.proxy.operations()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("s3_acts", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("total", "sent", "cold"),
    [
        pytest.param(2 * PART + MIB, 2 * PART + MIB - BEGUN, True, id="to the end, state unknown"),
        pytest.param(2 * PART + MIB, 2 * PART + MIB - BEGUN, False, id="to the end"),
        pytest.param(3 * PART, 4 * MIB, False, id="into the next tail"),
        pytest.param(3 * PART, MIB, False, id="within the tail"),
        pytest.param(PART, PART - BEGUN, False, id="one part"),
    ],
)
def test_kill_at_each_s3_call(
    rig: Rig, *, total: int, sent: int, cold: bool, s3_acts: bool
) -> None:
    """Before each call of a PATCH that continues a tail, and between S3's act and its answer.

    ``cold``: another process took the bytes before, so that the state has to be read.
    """
    data = pattern(total, seed=sent)
    kill: Callable[[Callable[[], None]], Action] = cut_after if s3_acts else cut_before
    calls = _recorded(rig, data, sent, cold=cold)
    for number, name in enumerate(calls, start=1):
        upload, resumer = _begin(rig, data)
        if cold:
            rig.start()
        fault = rig.proxy.add(on("*"), kill(rig.kill), first=number, times=1)
        resumer.chunk = sent
        resumer.patch_once(BEGUN)

        # A call more or less than recorded may be made: then there is nothing to kill at.
        assert fault.hit.wait(1) or number == len(calls), f"call {number} ({name}) did not come"
        rig.start()  # also forgets the fault
        first = resumer.head()
        rig.assert_not_complete(upload, first)
        resumer.chunk = total
        resumer.finish()
        rig.assert_finished(upload, data)


@pytest.mark.slow
@pytest.mark.parametrize("s3_acts", [False, True], ids=["before", "after"])
def test_kill_at_each_s3_call_of_a_termination(rig: Rig, *, s3_acts: bool) -> None:
    """DELETE repeated after a kill ends what the first began; nothing stays in the bucket."""
    data = pattern(3 * PART)
    kill: Callable[[Callable[[], None]], Action] = cut_after if s3_acts else cut_before
    recorded, _ = _begin(rig, data)
    rig.proxy.clear()
    assert tus_client.delete(recorded).status == 204
    calls = rig.proxy.operations()
    for number in range(1, len(calls) + 1):
        upload, _ = _begin(rig, data)
        rig.proxy.add(on("*"), kill(rig.kill), first=number, times=1)
        with contextlib.suppress(OSError, http.client.HTTPException):
            tus_client.delete(upload)
        rig.start()
        status = tus_client.delete(upload).status

        assert status in (204, 404), f"killed at {calls[number - 1]}"
        assert tus_client.head(upload).status == 404
        assert rig.leftovers(upload) == []
        assert rig.stored(upload) is None


@pytest.mark.slow
def test_kill_between_upload_and_start_of_the_next_is_quick(rig: Rig) -> None:
    """Locks of the dead process hold nobody up: the first HEAD after the restart is answered."""
    upload, resumer = _begin(rig, pattern(3 * PART))
    with tus_client.open_patch(upload, BEGUN, PART) as exchange:
        exchange.send(b"x" * MIB)
        rig.kill()
    rig.start()
    began = time.monotonic()
    resumer.head()

    assert time.monotonic() - began < 2
