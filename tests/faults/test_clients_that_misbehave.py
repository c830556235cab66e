"""Clients vanish, stall, come back or come twice: nobody is shut out, nothing that came is lost."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests import tus_client
from tests.conftest import BucketPlace
from tests.faults.rig import MIB, PART, Rig, eventually, pattern
from tests.faults.s3_proxy import hang, on
from tests.tus_client import Resumer

pytestmark = pytest.mark.slow  # a server is started for each test

TOTAL = 12 * MIB
ARRIVED = 7 * MIB  # one whole part and 2 MiB of the next


def _offset(upload: str) -> int:
    answer = tus_client.head(upload)
    return answer.offset if answer.status == 200 else -1


def _wait_for_part(rig: Rig, number: int) -> None:
    """Wait until S3 has acknowledged a part: the server has read at least what it holds."""
    eventually(
        lambda: any(
            call.number == number and call.status == 200
            for call in rig.proxy.calls
            if call.operation == "upload_part"
        ),
        f"part {number} is stored",
    )


def _stalled(rig: Rig, upload: str, data: bytes) -> tus_client.Exchange:
    """Begin a PATCH of the whole upload of which 7 MiB arrive and then nothing."""
    exchange = tus_client.open_patch(upload, 0, len(data))
    exchange.send(data[:ARRIVED])
    _wait_for_part(rig, 1)
    return exchange


def test_what_came_before_a_fin_is_kept(rig: Rig) -> None:
    """The connection closes mid-part: every byte that arrived counts, and the lock is free."""
    data = pattern(TOTAL)
    upload = rig.upload(TOTAL)
    with _stalled(rig, upload, data) as exchange:
        exchange.fin()
    eventually(lambda: _offset(upload) == ARRIVED, "all that arrived counts")
    began = time.monotonic()
    patched = tus_client.patch(upload, ARRIVED, data[ARRIVED:])

    assert (patched.status, patched.offset) == (204, TOTAL)
    assert time.monotonic() - began < 2
    rig.assert_finished(upload, data)


def test_what_came_before_a_reset_is_kept(rig: Rig) -> None:
    """A reset throws away what is still on its way, but not what the server has read."""
    data = pattern(TOTAL)
    upload = rig.upload(TOTAL)
    with _stalled(rig, upload, data) as exchange:
        exchange.rst()
    eventually(lambda: _offset(upload) >= PART, "what was read counts")
    resumer = Resumer(lambda: upload, data)
    resumer.finish(limit_s=5)

    rig.assert_finished(upload, data)
    assert rig.leftovers(upload) == []


@pytest.mark.parametrize("end", ["fin", "rst"])
def test_every_cut_of_a_body_is_resumed(rig: Rig, end: str) -> None:
    """Cut after 1 byte, around each border of a part, and one byte before the end."""
    cuts = [1, 2 * MIB, PART - 1, PART, PART + 1, 2 * PART, TOTAL - 1]
    data = pattern(TOTAL)
    for cut in cuts:
        upload = rig.upload(TOTAL)
        with tus_client.open_patch(upload, 0, TOTAL) as exchange:
            exchange.send(data[:cut])
            getattr(exchange, end)()
        resumer = Resumer(lambda: upload, data)  # noqa: B023 - used within the turn
        resumer.finish(limit_s=10)
        rig.assert_finished(upload, data)


def test_reconnecting_client_takes_over_from_its_dead_connection(rig: Rig) -> None:
    """The network changed, the old connection hangs: the new one gets through within 2 s."""
    data = pattern(TOTAL)
    upload = rig.upload(TOTAL)
    with _stalled(rig, upload, data) as dead:
        began = time.monotonic()
        resumer = Resumer(lambda: upload, data, chunk=MIB)
        status = 0
        while status != 204:
            answered = resumer.patch_once(resumer.head().offset)
            assert answered is not None
            assert answered.status in (204, 409, 423), answered
            status = answered.status
        taken = time.monotonic() - began
        told = dead.answer()

    assert taken < 2
    assert resumer.acknowledged == ARRIVED + MIB
    assert told.status == 423
    assert told.offset == ARRIVED
    assert told.headers["connection"] == "close"
    assert int(told.headers["retry-after"]) >= 1
    resumer.chunk = TOTAL
    resumer.finish()
    rig.assert_finished(upload, data)


def test_delete_takes_over_too(rig: Rig) -> None:
    """A stalled PATCH does not keep its upload from being terminated."""
    upload = rig.upload(TOTAL)
    with _stalled(rig, upload, pattern(TOTAL)):
        began = time.monotonic()
        status = tus_client.delete(upload).status

        assert status == 204
        assert time.monotonic() - began < 2
    assert tus_client.head(upload).status == 404
    assert rig.leftovers(upload) == []


def test_head_of_a_running_upload_neither_waits_nor_disturbs(rig: Rig) -> None:
    """People poll the progress: the answer is the durable offset, the PATCH goes on."""
    data = pattern(TOTAL)
    upload = rig.upload(TOTAL)
    with _stalled(rig, upload, data) as exchange:
        began = time.monotonic()
        headed = tus_client.head(upload)
        waited = time.monotonic() - began
        exchange.send(data[ARRIVED:])
        patched = exchange.answer()

    assert (headed.status, headed.offset) == (200, PART)
    assert waited < 1
    assert (patched.status, patched.offset) == (204, TOTAL)


def test_head_ends_a_request_that_has_long_been_silent(
    bucket_factory: Callable[[str], BucketPlace],
) -> None:
    """After --silent-takeover a HEAD makes the holder flush: its bytes are told and can be used."""
    data = pattern(TOTAL)
    with Rig(bucket_factory("versitygw"), ["--silent-takeover", "300ms"]) as rig:
        rig.start()
        upload = rig.upload(TOTAL)
        with _stalled(rig, upload, data) as dead:
            eventually(lambda: _offset(upload) == ARRIVED, "the holder has flushed", limit_s=5)
            told = dead.answer()

        assert (told.status, told.offset) == (423, ARRIVED)
        assert tus_client.patch(upload, ARRIVED, data[ARRIVED:]).status == 204
        rig.assert_finished(upload, data)


def test_silent_client_is_ended_after_the_network_timeout(
    bucket_factory: Callable[[str], BucketPlace],
) -> None:
    """What it had sent is kept, and the answer is one that clients retry after."""
    data = pattern(TOTAL)
    with Rig(bucket_factory("versitygw"), ["--network-timeout", "1s"]) as rig:
        rig.start()
        upload = rig.upload(TOTAL)
        with _stalled(rig, upload, data) as stalled:
            told = stalled.answer()

        assert (told.status, told.offset) == (503, ARRIVED)
        assert _offset(upload) == ARRIVED


def test_forty_stalled_clients_do_not_delay_another(rig: Rig) -> None:
    """No slot, lock or buffer is held in a way that somebody who sends has to wait for."""
    data = pattern(6 * MIB)
    with ExitStack() as stack:
        uploads = [rig.upload(TOTAL) for _ in range(40)]
        for upload in uploads:
            exchange = stack.enter_context(tus_client.open_patch(upload, 0, TOTAL))
            exchange.send(data[:MIB])
        upload = rig.upload(len(data))
        began = time.monotonic()
        patched = tus_client.patch(upload, 0, data)
        took = time.monotonic() - began

    assert (patched.status, patched.offset) == (204, len(data))
    assert took < 5
    rig.assert_finished(upload, data)
    for stalled in uploads:
        eventually(lambda: _offset(stalled) == MIB, "what arrived is kept")  # noqa: B023


def test_two_patches_at_the_same_offset(rig: Rig) -> None:
    """A client that sends twice: at most one is told 204 for these bytes, the object is right."""
    data = pattern(TOTAL)
    for _ in range(3):
        upload = rig.upload(TOTAL)
        barrier = threading.Barrier(4)

        def send(upload: str = upload, barrier: threading.Barrier = barrier) -> int:
            barrier.wait(10)
            return tus_client.patch(upload, 0, data).status

        with ThreadPoolExecutor(4) as pool:
            statuses = sorted(f.result() for f in [pool.submit(send) for _ in range(4)])

        assert statuses.count(204) <= 1
        assert set(statuses) <= {204, 409, 423}
        resumer = Resumer(lambda upload=upload: upload, data)  # type: ignore[misc]
        resumer.finish()
        rig.assert_finished(upload, data)


def test_loser_of_a_take_over_overwrites_nothing(rig: Rig) -> None:
    """While the holder is stuck in S3 another client waits; each writes from where the other is."""
    data = pattern(TOTAL)
    upload = rig.upload(TOTAL)
    gate = threading.Event()
    fault = rig.proxy.add(on("upload_part", number=1), hang(gate), times=1)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(tus_client.patch, upload, 0, data[: 6 * MIB])
        assert fault.hit.wait(10)
        second = pool.submit(tus_client.patch, upload, 0, data[: 2 * MIB])
        threading.Timer(0.3, gate.set).start()  # by then the second stands in the queue
        statuses = {first.result().status, second.result().status}

    assert statuses <= {204, 409, 423}
    resumer = Resumer(lambda: upload, data)
    assert resumer.head().offset >= PART
    resumer.finish()
    rig.assert_finished(upload, data)


def test_termination_by_signal_keeps_what_arrived(rig: Rig) -> None:
    """SIGTERM mid-body: the client is told to come back, exit code 0, nothing is lost."""
    data = pattern(TOTAL)
    upload = rig.upload(TOTAL)
    with _stalled(rig, upload, data) as exchange:
        exit_codes: list[int] = []
        stopper = threading.Thread(target=lambda: exit_codes.append(rig.server.terminate(15)))
        stopper.start()
        told = exchange.answer()
        stopper.join()
    rig.start()

    assert exit_codes == [0]
    assert (told.status, told.offset) == (503, ARRIVED)
    assert int(told.headers["retry-after"]) >= 1
    assert _offset(upload) == ARRIVED
    resumer = Resumer(lambda: upload, data)
    resumer.finish()
    rig.assert_finished(upload, data)


def test_stop_waits_for_a_part_on_its_way(rig: Rig) -> None:
    """SIGTERM while S3 is slow: the part that was sent is acknowledged before the end."""
    data = pattern(TOTAL)
    upload = rig.upload(TOTAL)
    gate = threading.Event()
    fault = rig.proxy.add(on("upload_part", number=1), hang(gate), times=1)
    with tus_client.open_patch(upload, 0, TOTAL) as exchange:
        exchange.send(data[:ARRIVED])
        assert fault.hit.wait(10)
        with ThreadPoolExecutor(1) as pool:
            stopped = pool.submit(rig.server.terminate, 15)
            threading.Timer(0.5, gate.set).start()
            told = exchange.answer()

            assert stopped.result() == 0
    rig.start()
    assert told.status == 503
    assert _offset(upload) == ARRIVED


def test_stop_ends_within_its_limit_though_s3_hangs(
    bucket_factory: Callable[[str], BucketPlace],
) -> None:
    """--shutdown-timeout holds even if S3 never answers; what was acknowledged is there."""
    data = pattern(TOTAL)
    with Rig(bucket_factory("versitygw"), ["--shutdown-timeout", "1s"]) as rig:
        rig.start()
        upload = rig.upload(TOTAL)
        assert tus_client.patch(upload, 0, data[:MIB]).offset == MIB
        gate = threading.Event()
        fault = rig.proxy.add(on("upload_part", number=1), hang(gate))
        with tus_client.open_patch(upload, MIB, TOTAL - MIB) as exchange:
            exchange.send(data[MIB:ARRIVED])
            assert fault.hit.wait(10)
            began = time.monotonic()
            rig.server.terminate(15)

            assert time.monotonic() - began < 5
        gate.set()
        rig.start()
        assert _offset(upload) >= MIB


@pytest.fixture
def small(bucket_factory: Callable[[str], BucketPlace]) -> Iterator[Rig]:
    """A server with room for one part in memory and two on disk."""
    options = ["--memory-budget", "5MiB", "--disk-budget", "10MiB"]
    with Rig(bucket_factory("versitygw"), options) as rig:
        rig.start()
        yield rig


def test_exhausted_budgets_lose_nothing_that_was_acknowledged(small: Rig) -> None:
    """Twelve half-filled buffers do not block each other: some are ended with 503, all resume."""
    data = pattern(TOTAL)
    uploads = [small.upload(TOTAL) for _ in range(12)]
    resumers = [Resumer(lambda upload=upload: upload, data) for upload in uploads]  # type: ignore[misc]
    with ExitStack() as stack:
        for upload in uploads:
            exchange = stack.enter_context(tus_client.open_patch(upload, 0, TOTAL))
            exchange.send(data[: 3 * MIB])
        for resumer in resumers:
            resumer.head()
        with ThreadPoolExecutor(12) as pool:
            for future in [pool.submit(resumer.finish, 90) for resumer in resumers]:
                future.result()

    for upload in uploads:
        small.assert_finished(upload, data)


def test_part_larger_than_memory_goes_through_the_disk(small: Rig) -> None:
    """Memory for one part only, four clients at once: temporary files carry the others."""
    data = pattern(TOTAL)
    uploads = [small.upload(TOTAL) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda upload: tus_client.patch(upload, 0, data), uploads))

    assert {answer.status for answer in answers} <= {204, 503}
    for upload in uploads:
        Resumer(lambda upload=upload: upload, data).finish()  # type: ignore[misc]
        small.assert_finished(upload, data)


def test_full_temporary_disk_is_503_and_loses_nothing(
    bucket_factory: Callable[[str], BucketPlace],
) -> None:
    """Files cannot grow (a resource limit): 503 with the durable offset; later it goes on."""
    data = pattern(TOTAL)
    options = ["--memory-budget", "64KiB", "--disk-budget", "100MiB", "--log-level", "error"]
    limited = ["sh", "-c", 'ulimit -f 2048; exec "$@"', "sh"]  # in blocks of 512 bytes: 1 MiB
    with Rig(bucket_factory("versitygw"), options) as rig:
        rig.start(wrapper=limited)
        upload = rig.upload(TOTAL)
        patched = tus_client.patch(upload, 0, data)
        headed = tus_client.head(upload)

        assert patched.status == 503
        assert int(patched.headers["retry-after"]) >= 1
        assert headed.offset == patched.offset
        rig.start()
        resumer = Resumer(lambda: upload, data, acknowledged=patched.offset)
        resumer.finish()
        rig.assert_finished(upload, data)


def test_slow_sender_of_single_bytes_is_served(rig: Rig) -> None:
    """Bytes that dribble are gathered; they end as one tail, not as many."""
    data = pattern(200)
    upload = rig.upload(TOTAL)
    with tus_client.open_patch(upload, 0, len(data)) as exchange:
        for index in range(len(data)):
            exchange.send(data[index : index + 1])
        patched = exchange.answer()

    assert (patched.status, patched.offset) == (204, len(data))
    assert rig.proxy.operations().count("put_tail") == 1
