import pytest

from tusd_s3 import errors
from tusd_s3.errors import StoreError, TusError
from tusd_s3.model import Ended, UploadInfo
from tusd_s3.web import refusals

HALF = UploadInfo("a", 10, 5)
DEFERRED = UploadInfo("a", None, 5)
PENDING = UploadInfo("a", 10, 10)
FAILURES = [
    cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, StoreError)
]


def failure_of(cls: type[StoreError]) -> StoreError:
    """Return a failure with words that must not reach a client."""
    return cls("put", "secret/key", "SlowDown request-id 4711")


@pytest.mark.parametrize("cls", FAILURES)
@pytest.mark.parametrize("is_head", [False, True])
def test_clients_never_see_what_the_store_said(cls: type[StoreError], *, is_head: bool) -> None:
    """PITFALLS 29: neither key nor reason."""
    refusal = refusals.of_failure(failure_of(cls), is_head=is_head)

    assert "secret" not in str(refusal)
    assert "4711" not in str(refusal)


@pytest.mark.parametrize("cls", FAILURES)
def test_head_is_never_5xx(cls: type[StoreError]) -> None:
    """PITFALLS 19: 423 makes clients come back, 410 tells them the truth."""
    status = refusals.of_failure(failure_of(cls), is_head=True).status

    assert status == (410 if cls is errors.UploadGone else 423)


@pytest.mark.parametrize("cls", FAILURES)
def test_other_methods_are_retryable_unless_the_upload_is_gone(cls: type[StoreError]) -> None:
    """503 for an outage, 423 where somebody else owns the upload."""
    expected = {errors.UploadGone: 410, errors.LeaseLost: 423}.get(cls, 503)

    assert refusals.of_failure(failure_of(cls)).status == expected


def test_full_store_is_told_apart() -> None:
    """No room is another code than no answer."""
    assert isinstance(refusals.of_failure(failure_of(errors.StoreFull)), errors.OutOfRoom)


def test_failed_append_tells_the_durable_offset() -> None:
    """So that the client need not ask."""
    refusal = refusals.of_failed_append(failure_of(errors.StoreBusy), HALF)

    assert (refusal.status, refusal.headers) == (503, {"Upload-Offset": "5"})


@pytest.mark.parametrize(
    ("cls", "info"),
    [
        (errors.StoreBusy, PENDING),
        (errors.UploadGone, HALF),
        (errors.LeaseLost, HALF),
    ],
)
def test_failed_append_tells_no_offset_that_misleads(
    cls: type[StoreError], info: UploadInfo
) -> None:
    """PITFALLS 6: offset == length without an object would be taken for success."""
    assert "Upload-Offset" not in refusals.of_failed_append(failure_of(cls), info).headers


@pytest.mark.parametrize(
    ("ended", "info", "expected"),
    [
        (Ended.OVERRUN, HALF, errors.UploadSizeExceeded),
        (Ended.OVERRUN, DEFERRED, errors.MaxSizeExceeded),
        (Ended.DISCONNECTED, HALF, errors.ConnectionReset),
        (Ended.IDLE, HALF, errors.ReadTimeout),
        (Ended.TAKEN_OVER, HALF, errors.UploadTakenOver),
        (Ended.OUT_OF_ROOM, HALF, errors.OutOfRoom),
        (Ended.SHUTDOWN, HALF, errors.ServerShutdown),
        (Ended.FAILED, HALF, errors.StoreUnavailable),
    ],
)
def test_early_end_has_an_answer(ended: Ended, info: UploadInfo, expected: type[TusError]) -> None:
    """Each its own, all with the durable offset."""
    refusal = refusals.of_end(ended, info)

    assert type(refusal) is expected
    assert refusal.headers == {"Upload-Offset": "5"}


def test_every_end_but_a_whole_body_is_refused() -> None:
    """Nothing that is added to `Ended` can be taken for success."""
    for ended in Ended:
        assert (refusals.of_end(ended, HALF) is None) == (ended is Ended.COMPLETE)
    assert refusals.of_end(None, HALF) is None


def test_early_end_of_a_pending_upload_tells_no_offset() -> None:
    """PITFALLS 6, as above."""
    refusal = refusals.of_end(Ended.OVERRUN, PENDING)

    assert refusal is not None
    assert refusal.headers == {}


def test_early_end_without_an_upload_tells_no_offset() -> None:
    """A small upload that did not come whole was not created."""
    refusal = refusals.of_end(Ended.IDLE, None)

    assert isinstance(refusal, errors.ReadTimeout)
    assert "Upload-Offset" not in refusal.headers
