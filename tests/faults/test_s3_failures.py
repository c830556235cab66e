"""S3 refuses, throttles, forgets or loses answers: what clients are told is true and retryable."""

import json

import pytest

from tests import tus_client
from tests.faults.rig import MIB, PART, Rig, pattern
from tests.faults.s3_proxy import Action, Match, answer, cut_after, cut_before, on
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


def _begun(rig: Rig, total: int, sent: int) -> tuple[str, Resumer]:
    """Create an upload of which ``sent`` bytes are acknowledged."""
    data = pattern(total, seed=total + sent)
    upload = rig.upload(total)
    resumer = Resumer(lambda: upload, data, chunk=sent)
    answered = resumer.patch_once(0)
    assert answered is not None
    assert (answered.status, answered.offset) == (204, sent)
    resumer.chunk = total
    return upload, resumer


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
    upload, resumer = _begun(rig, 3 * PART, MIB)
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


@pytest.mark.parametrize(
    "match",
    [
        pytest.param(on("put_tail"), id="tail"),
        pytest.param(on("upload_part", number=1), id="part"),
        pytest.param(on("upload_part", number=3), id="last part"),
        pytest.param(on("complete"), id="complete"),
        pytest.param(on("put_info"), id="info"),
        pytest.param(on("delete_objects"), id="delete"),
        pytest.param(on("delete_tail"), id="delete one"),
    ],
)
@pytest.mark.parametrize("sent", [MIB, 11 * MIB - MIB], ids=["into a tail", "to the end"])
def test_lost_answer_does_not_fail_a_patch(any_rig: Rig, match: Match, sent: int) -> None:
    """S3 acted but its answer was lost: repeating finds that out, the client notices nothing."""
    upload, resumer = _begun(any_rig, 11 * MIB, MIB)
    any_rig.proxy.add(match, cut_after(), times=1)
    patched = tus_client.patch(upload, MIB, resumer.data[MIB : MIB + sent])

    assert (patched.status, patched.offset) == (204, MIB + sent)
    resumer.acknowledged = patched.offset
    resumer.finish()
    any_rig.assert_finished(upload, resumer.data)
    assert any_rig.leftovers(upload) == []


def test_lost_answer_of_a_first_tail(any_rig: Rig) -> None:
    """The tail was created with If-None-Match, so its repetition is refused: it is our own."""
    data = pattern(2 * PART)
    upload = any_rig.upload(len(data))
    fault = any_rig.proxy.add(on("put_tail"), cut_after(), times=1)
    patched = tus_client.patch(upload, 0, data[:MIB])

    assert fault.hits == 1
    assert (patched.status, patched.offset) == (204, MIB)


@pytest.mark.parametrize("operation", ["create_multipart", "put_info"])
def test_lost_answer_does_not_fail_a_creation(any_rig: Rig, operation: str) -> None:
    """The upload that the client is told about works, whatever happened to the first attempt."""
    data = pattern(PART + MIB)
    fault = any_rig.proxy.add(on(operation), cut_after(), times=1)
    upload = any_rig.upload(len(data))
    resumer = Resumer(lambda: upload, data)
    resumer.finish()

    assert fault.hits == 1
    any_rig.assert_finished(upload, data)


def test_lost_answer_of_a_single_put(any_rig: Rig) -> None:
    """An upload that fits in one part is one PutObject, and that can be repeated."""
    data = pattern(MIB)
    upload = any_rig.upload(len(data))
    fault = any_rig.proxy.add(on("put_object"), cut_after(), times=1)
    patched = tus_client.patch(upload, 0, data)

    assert fault.hits == 1
    assert (patched.status, patched.offset) == (204, MIB)
    any_rig.assert_finished(upload, data)


@pytest.mark.parametrize(
    "operation", ["abort", "delete_objects", "put_info", "delete_info", "delete_object"]
)
def test_lost_answer_does_not_fail_a_termination(any_rig: Rig, operation: str) -> None:
    """The upload is gone, and the client is told so."""
    upload, _ = _begun(any_rig, 3 * PART, PART + MIB)
    any_rig.proxy.add(on(operation), cut_after(), times=1)

    assert tus_client.delete(upload).status == 204
    assert tus_client.head(upload).status == 404
    assert any_rig.leftovers(upload) == []


COMPLETE_TROUBLE = {
    **TROUBLE,
    "200 with an error": answer(200, "InternalError"),  # documented for CompleteMultipartUpload
}


@pytest.mark.parametrize("action", COMPLETE_TROUBLE.values(), ids=COMPLETE_TROUBLE)
def test_failed_complete_is_never_told_as_complete(rig: Rig, action: Action) -> None:
    """PATCH answers 503, HEAD 423 while it goes on failing; then HEAD makes the object."""
    upload, resumer = _begun(rig, 2 * PART, PART + MIB)
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
    upload, resumer = _begun(rig, 2 * PART, PART + MIB)
    rig.proxy.add(on("complete"), answer(500, "InternalError"))
    tus_client.patch(upload, PART + MIB, resumer.data[PART + MIB :])
    rig.start()
    resumer.head()

    rig.assert_finished(upload, resumer.data)


def test_failed_info_rewrite_at_the_end_is_made_good(rig: Rig) -> None:
    """The object exists but `.info` could not say so: later requests find out and finish."""
    upload, resumer = _begun(rig, 2 * PART, PART + MIB)
    fault = rig.proxy.add(on("put_info"), answer(503, "SlowDown"))
    tus_client.patch(upload, PART + MIB, resumer.data[PART + MIB :])
    rig.assert_not_complete(upload, tus_client.head(upload))
    fault.remove()
    rig.start()
    resumer.head()

    rig.assert_finished(upload, resumer.data)


def _abort(rig: Rig, upload: str) -> None:
    rig.s3.abort_multipart_upload(
        Bucket=rig.bucket, Key=rig.key(upload), UploadId=rig.multipart_id(upload)
    )


@pytest.mark.parametrize("restart", [False, True], ids=["same process", "fresh process"])
@pytest.mark.parametrize("sent", [MIB, PART + MIB], ids=["tail only", "part and tail"])
def test_multipart_upload_aborted_behind_our_back_is_410(
    any_rig: Rig, sent: int, *, restart: bool
) -> None:
    """A lifecycle rule threw the parts away: gone, never complete, never 404."""
    upload, resumer = _begun(any_rig, 2 * PART, sent)
    _abort(any_rig, upload)
    if restart:
        any_rig.start()
    patched = tus_client.patch(upload, sent, resumer.data[sent:])
    headed = tus_client.head(upload)

    assert (patched.status, headed.status) == (410, 410)
    assert any_rig.stored(upload) is None
    assert tus_client.delete(upload).status == 204
    assert tus_client.head(upload).status == 404


def test_multipart_upload_aborted_before_the_complete_is_410(rig: Rig) -> None:
    """All bytes were there, then the parts vanished: not complete."""
    upload, resumer = _begun(rig, 2 * PART, PART)
    rig.proxy.add(on("complete"), answer(500, "InternalError"))
    tus_client.patch(upload, PART, resumer.data[PART:])
    _abort(rig, upload)
    rig.start()

    assert tus_client.head(upload).status == 410


def test_object_of_somebody_else_does_not_make_an_upload_finished(rig: Rig) -> None:
    """Same key, same size, but not ours: after an abort the upload is gone, not complete."""
    upload, resumer = _begun(rig, 2 * PART, MIB)
    _abort(rig, upload)
    rig.s3.put_object(Bucket=rig.bucket, Key=rig.key(upload), Body=resumer.data[::-1])
    rig.start()

    assert tus_client.head(upload).status == 410
    assert tus_client.delete(upload).status == 204
    assert rig.stored(upload) == resumer.data[::-1]


def test_single_part_upload_has_no_multipart_upload_to_lose(rig: Rig) -> None:
    """An upload that fits in one part is open at its tail, however often it is looked at."""
    upload, resumer = _begun(rig, PART, MIB)
    rig.start()

    assert rig.multipart_id(upload) == ""
    assert tus_client.head(upload).offset == MIB
    resumer.finish()
    rig.assert_finished(upload, resumer.data)


def test_missing_info_is_404(rig: Rig) -> None:
    """Without its record there is no upload; the parts alone are nothing."""
    upload, resumer = _begun(rig, 2 * PART, MIB)
    rig.s3.delete_object(Bucket=rig.bucket, Key=rig.key(upload) + ".info")
    rig.start()

    assert tus_client.head(upload).status == 404
    assert tus_client.patch(upload, MIB, resumer.data[MIB:]).status == 404


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b'{"ID": 3}', b"\xff\xfe"])
def test_broken_info_is_trouble_and_not_a_missing_upload(rig: Rig, body: bytes) -> None:
    """A record that makes no sense is never told as 404: somebody has to look at it."""
    upload, resumer = _begun(rig, 2 * PART, MIB)
    info = rig.key(upload) + ".info"
    good = rig.s3.get_object(Bucket=rig.bucket, Key=info)["Body"].read()
    rig.s3.put_object(Bucket=rig.bucket, Key=info, Body=body)
    rig.start()

    assert tus_client.head(upload).status == 423
    assert json.loads(good)["ID"]
    rig.s3.put_object(Bucket=rig.bucket, Key=info, Body=good)
    resumer.finish()
    rig.assert_finished(upload, resumer.data)


def test_tail_that_s3_does_not_take_is_not_acknowledged(rig: Rig) -> None:
    """The last bytes of a request could not be kept: 503, and the offset without them."""
    upload, resumer = _begun(rig, 3 * PART, MIB)
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
    upload, resumer = _begun(rig, 2 * PART, MIB)
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
