"""S3 refuses or throttles: what clients are told is true and retryable."""

import pytest

from tests import tus_client
from tests.faults.rig import MIB, PART, Rig, pattern
from tests.faults.s3_proxy import Action, answer, cut_before, on
from tests.tus_client import Answer, Resumer

pytestmark = pytest.mark.slow  # real servers, and retries with pauses between them


# What S3 may say when it does not do what it was asked, and whether that can ever mean "missing".
TROUBLE = {
    "throttled": answer(503, "SlowDown"),
    "internal": answer(500, "InternalError"),
    "denied": answer(403, "AccessDenied"),
    "bad key": answer(403, "InvalidAccessKeyId"),
    "unknown code": answer(400, "NobodyHasHeardOfThis"),
    "teapot": answer(418, "Teapot"),
    "lost connection": cut_before(),
}
trouble = pytest.mark.parametrize("action", TROUBLE.values(), ids=TROUBLE)


def _assert_retry_later(answered: Answer, status: int) -> None:
    """Check status and `Retry-After`, and that S3's words do not reach the client."""
    assert answered.status == status, answered
    assert int(answered.headers["retry-after"]) >= 1
    assert b"injected" not in answered.body
    assert b"0123456789ABCDEF" not in answered.body


@trouble
@pytest.mark.parametrize("operation", ["get_info", "list_parts", "*"])
def test_unreadable_state_is_423_on_head_and_503_on_patch(
    rig: Rig, operation: str, action: Action
) -> None:
    """Whatever keeps us from reading the state is never told as 404, 410, 403 or 500."""
    upload, resumer = rig.begun(3 * PART, MIB)
    rig.start("--s3-timeout", "5")
    fault = rig.proxy.add(on(operation), action)
    headed = tus_client.head(upload)
    patched = tus_client.patch(upload, MIB, resumer.data[MIB : 2 * MIB])
    fault.remove()

    _assert_retry_later(headed, 423)
    _assert_retry_later(patched, 503)
    resumer.finish()
    rig.assert_finished(upload, resumer.data)


@trouble
def test_creation_that_s3_refuses_is_503(rig: Rig, action: Action) -> None:
    """A POST that cannot be carried out is retryable, and nothing half made is left to be found."""
    fault = rig.proxy.add(on("put_info"), action)
    refused = tus_client.create(rig.url, 3 * PART)
    fault.remove()

    assert refused.status == 503, refused
    assert "location" not in refused.headers
    assert tus_client.create(rig.url, 3 * PART).status == 201


def test_part_that_fails_for_good_stops_the_count_before_it(rig: Rig) -> None:
    """Part 2 of 4 fails: the offset is the end of part 1; once it is there 3 and 4 count too."""
    data = pattern(22 * MIB)
    upload = rig.upload(len(data))
    resumer = Resumer(lambda: upload, data, chunk=4 * PART)
    fault = rig.proxy.add(on("upload_part", number=2), answer(503, "SlowDown"))
    stopped = resumer.patch_once(0)
    stored = rig.parts(upload)
    headed = resumer.head()
    fault.remove()

    assert stopped is not None
    _assert_retry_later(stopped, 503)
    assert stored == {1: PART, 3: PART, 4: PART}
    assert stopped.offset == PART
    assert headed.offset == PART
    resumer.chunk = PART
    filled = resumer.patch_once(PART)
    assert filled is not None
    assert (filled.status, filled.offset) == (204, 4 * PART)
    assert rig.proxy.operations().count("upload_part 3") == 1
    resumer.finish()
    rig.assert_finished(upload, data)


def test_part_that_fails_for_good_with_a_fresh_server(rig: Rig) -> None:
    """The same after a restart: what counts is read from the bucket, not remembered."""
    data = pattern(22 * MIB)
    upload = rig.upload(len(data))
    resumer = Resumer(lambda: upload, data)
    rig.proxy.add(on("upload_part", number=2), answer(503, "SlowDown"))
    resumer.patch_once(0)
    rig.start()

    assert resumer.head().offset == PART
    resumer.chunk = 2 * MIB  # part 2 goes through a tail
    resumer.finish()
    rig.assert_finished(upload, data)
    assert rig.leftovers(upload) == []


def test_last_part_behind_a_gap_finishes_the_upload(rig: Rig) -> None:
    """Parts 1, 3 and 4 of 4 are there: filling 2 makes the object, with no byte sent twice."""
    data = pattern(3 * PART + MIB)
    upload = rig.upload(len(data))
    resumer = Resumer(lambda: upload, data)
    fault = rig.proxy.add(on("upload_part", number=2), answer(503, "SlowDown"))
    resumer.patch_once(0)
    fault.remove()
    resumer.chunk = PART
    filled = resumer.patch_once(PART)

    assert filled is not None
    assert (filled.status, filled.offset) == (204, len(data))
    rig.assert_finished(upload, data)


COMPLETE_TROUBLE = {
    **TROUBLE,
    "200 with an error": answer(200, "InternalError"),  # documented for CompleteMultipartUpload
}


@pytest.mark.parametrize("action", COMPLETE_TROUBLE.values(), ids=COMPLETE_TROUBLE)
def test_failed_complete_is_never_told_as_complete(rig: Rig, action: Action) -> None:
    """PATCH answers 503, HEAD 423 while it goes on failing; then HEAD makes the object."""
    upload, resumer = rig.begun(2 * PART, PART + MIB)
    fault = rig.proxy.add(on("complete"), action)
    patched = tus_client.patch(upload, PART + MIB, resumer.data[PART + MIB :])
    headed = tus_client.head(upload)
    stored = rig.stored(upload)
    fault.remove()

    _assert_retry_later(patched, 503)
    _assert_retry_later(headed, 423)
    assert stored is None
    assert resumer.head().offset == 2 * PART
    rig.assert_finished(upload, resumer.data)


def test_failed_complete_is_made_good_after_a_restart(rig: Rig) -> None:
    """The first HEAD of another process finalises what the first one could not."""
    upload, resumer = rig.begun(2 * PART, PART + MIB)
    rig.proxy.add(on("complete"), answer(500, "InternalError"))
    tus_client.patch(upload, PART + MIB, resumer.data[PART + MIB :])
    rig.start()
    resumer.head()

    rig.assert_finished(upload, resumer.data)


def test_failed_info_rewrite_at_the_end_is_made_good(rig: Rig) -> None:
    """The object exists but `.info` could not say so: later requests find out and finish."""
    upload, resumer = rig.begun(2 * PART, PART + MIB)
    fault = rig.proxy.add(on("put_info"), answer(503, "SlowDown"))
    tus_client.patch(upload, PART + MIB, resumer.data[PART + MIB :])
    rig.assert_not_complete(upload, tus_client.head(upload))
    fault.remove()
    rig.start()
    resumer.head()

    rig.assert_finished(upload, resumer.data)


def test_tail_that_s3_does_not_take_is_not_acknowledged(rig: Rig) -> None:
    """The last bytes of a request could not be kept: 503, and the offset without them."""
    upload, resumer = rig.begun(3 * PART, MIB)
    fault = rig.proxy.add(on("put_tail"), answer(503, "SlowDown"))
    patched = tus_client.patch(upload, MIB, resumer.data[MIB : 3 * MIB])
    fault.remove()

    _assert_retry_later(patched, 503)
    assert patched.offset == MIB
    assert resumer.head().offset == MIB
    resumer.finish()
    rig.assert_finished(upload, resumer.data)


def test_short_trouble_is_not_noticed_by_the_client(rig: Rig) -> None:
    """One failure of each data call is repeated within the request."""
    data = pattern(2 * PART + MIB)
    faults = [
        rig.proxy.add(on(operation), answer(503, "SlowDown"), times=1)
        for operation in ("create_multipart", "put_info", "upload_part", "put_tail", "complete")
    ]
    upload = rig.upload(len(data))
    answers = [
        tus_client.patch(upload, start, data[start : start + 2 * MIB])
        for start in range(0, len(data), 2 * MIB)
    ]

    assert [answered.status for answered in answers] == [204] * len(answers)
    assert [fault.hits for fault in faults] == [1] * len(faults)
    rig.assert_finished(upload, data)


def test_tail_that_cannot_be_deleted_does_no_harm(rig: Rig) -> None:
    """It is left behind, does not count, the upload finishes, and termination takes it away."""
    upload, resumer = rig.begun(2 * PART, MIB)
    fault = rig.proxy.add(
        lambda call: call.operation in ("delete_objects", "delete_tail"), answer(503, "SlowDown")
    )
    patched = tus_client.patch(upload, MIB, resumer.data[MIB : PART + MIB])
    headed = tus_client.head(upload)
    fault.remove()

    assert (patched.status, patched.offset) == (204, PART + MIB)
    assert headed.offset == PART + MIB
    resumer.finish()
    rig.assert_finished(upload, resumer.data)
    assert tus_client.delete(upload).status == 204
    assert rig.leftovers(upload) == []
