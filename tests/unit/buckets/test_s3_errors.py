"""What S3's answers mean: the table, row by row, and the sentences for start."""

from typing import Any

import aiohttp
import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
    ResponseStreamingError,
    SSLError,
)

from tusd_s3.buckets.s3_errors import class_of, explain, translate, translated
from tusd_s3.errors import (
    ConditionFailed,
    ContentCorrupted,
    CopyRefused,
    MultipartMissing,
    ObjectMissing,
    PartsRefused,
    StoreBusy,
    StoreError,
    StoreFull,
    StoreRefused,
)


def client_error(code: str, status: int, message: str = "") -> ClientError:
    """Return what botocore raises for an answer."""
    answer: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(answer, "Operation")


@pytest.mark.parametrize(
    ("code", "status", "meaning"),
    [
        ("SlowDown", 503, StoreBusy),
        ("InternalError", 500, StoreBusy),
        ("RequestTimeout", 400, StoreBusy),
        ("IncompleteBody", 400, StoreBusy),
        ("OperationAborted", 409, StoreBusy),
        ("Throttling", 400, StoreBusy),
        ("429", 429, StoreBusy),
        ("NeverHeardOf", 503, StoreBusy),
        ("AccessDenied", 403, StoreRefused),
        ("403", 403, StoreRefused),
        ("SignatureDoesNotMatch", 403, StoreRefused),
        ("InvalidAccessKeyId", 403, StoreRefused),
        ("ExpiredToken", 400, StoreRefused),
        ("NoSuchKey", 404, ObjectMissing),
        ("NoSuchUpload", 404, MultipartMissing),
        ("PreconditionFailed", 412, ConditionFailed),
        ("412", 412, ConditionFailed),
        ("ConditionalRequestConflict", 409, ConditionFailed),
        ("InvalidPart", 400, PartsRefused),
        ("InvalidPartOrder", 400, PartsRefused),
        ("EntityTooSmall", 400, PartsRefused),
        ("BadDigest", 400, ContentCorrupted),
        ("InvalidDigest", 400, ContentCorrupted),
        ("XAmzContentChecksumMismatch", 400, ContentCorrupted),
        ("QuotaExceeded", 403, StoreFull),
        ("XMinioStorageFull", 507, StoreFull),
        ("NeverHeardOf", 507, StoreFull),
        ("NoSuchBucket", 404, StoreError),
        ("404", 404, StoreError),
        ("NotImplemented", 501, StoreError),
        ("NeverHeardOf", 501, StoreError),
        ("NeverHeardOf", 400, StoreError),
        ("NeverHeardOf", 404, StoreError),
        ("?", 0, StoreError),
    ],
)
def test_a_code_has_one_meaning(code: str, status: int, meaning: type[StoreError]) -> None:
    """The code decides, then the status; what neither table knows is a plain StoreError."""
    assert class_of("put", code, status) is meaning


def test_a_bare_404_is_a_missing_object_only_to_head() -> None:
    """Every other operation would have been told what is missing."""
    assert class_of("head", "404", 404) is ObjectMissing
    assert class_of("list_parts", "404", 404) is StoreError


def test_a_copy_that_a_store_does_not_make_is_refused() -> None:
    """The bytes can still be sent; a missing source or right is something else."""
    for code in ("NotImplemented", "InvalidRange", "InvalidRequest", "InvalidArgument"):
        assert class_of("copy_part", code, 400) is CopyRefused
    assert class_of("copy_part", "NoSuchKey", 404) is ObjectMissing
    assert class_of("copy_part", "AccessDenied", 403) is StoreRefused


@pytest.mark.parametrize("operation", ["get", "head", "delete"])
def test_what_a_store_cannot_have_is_missing(operation: str) -> None:
    """A client may ask for any id; only a write of such a key is a surprise."""
    for code in ("KeyTooLongError", "XMinioInvalidObjectName"):
        assert class_of(operation, code, 400) is ObjectMissing
        assert class_of("put", code, 400) is StoreError


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("BadDigest", ""),
        ("InvalidRequest", "The complete request must include the checksum for each part"),
    ],
)
def test_a_complaint_about_checksums_at_complete_refuses_the_parts(code: str, message: str) -> None:
    """There is no content to be corrupted: the list of parts is what is wrong."""
    assert class_of("complete_multipart", code, 400, message) is PartsRefused


def test_another_invalid_request_at_complete_is_not_understood() -> None:
    """InvalidRequest is S3's word for almost anything."""
    assert class_of("complete_multipart", "InvalidRequest", 400, "no") is StoreError


@pytest.mark.parametrize(
    ("exc", "meaning"),
    [
        (EndpointConnectionError(endpoint_url="u"), StoreBusy),
        (ConnectTimeoutError(endpoint_url="u"), StoreBusy),
        (ReadTimeoutError(endpoint_url="u"), StoreBusy),
        (ConnectionClosedError(endpoint_url="u"), StoreBusy),
        (SSLError(endpoint_url="u", error="e"), StoreBusy),
        (HTTPClientError(error="e"), StoreBusy),
        (ResponseStreamingError(error="e"), StoreBusy),
        (IncompleteReadError(actual_bytes=1, expected_bytes=2), StoreBusy),
        (aiohttp.ClientPayloadError("cut"), StoreBusy),
        (TimeoutError(), StoreBusy),
        (ConnectionResetError(), StoreBusy),
        (NoCredentialsError(), StoreRefused),
        (CredentialRetrievalError(provider="p", error_msg="e"), StoreRefused),
        (ParamValidationError(report="r"), StoreError),
    ],
)
def test_an_exception_of_botocore_has_one_meaning(
    exc: Exception, meaning: type[StoreError]
) -> None:
    """Network and time-outs may pass, credentials do not, the rest is not understood."""
    error = translate("put", "k", exc)

    assert type(error) is meaning


def test_what_is_not_the_stores_is_left_alone() -> None:
    """A bug of ours is not disguised as an outage."""
    assert translate("put", "k", ZeroDivisionError()) is None
    with pytest.raises(ZeroDivisionError), translated("put", "k"):
        raise ZeroDivisionError


def test_the_original_error_is_the_cause() -> None:
    """The log shows S3's own words, the message only its code."""
    original = client_error("SlowDown", 503, "please")

    with pytest.raises(StoreBusy) as caught, translated("put", "some/key"):
        raise original

    assert caught.value.__cause__ is original
    assert (caught.value.operation, caught.value.key) == ("put", "some/key")
    assert caught.value.reason == "SlowDown"


def test_an_answer_without_a_code_is_not_understood() -> None:
    """Some proxies answer errors of their own making."""
    error = translate("put", "k", ClientError({}, "Operation"))

    assert type(error) is StoreError


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (StoreError("get", "k", "NoSuchBucket"), "does not exist at http://s3: create it"),
        (StoreRefused("get", "k", "InvalidAccessKeyId"), "does not accept these credentials"),
        (StoreRefused("get", "k", "ExpiredToken"), "have expired"),
        (StoreRefused("get", "k", "RequestTimeTooSkewed"), "clocks"),
        (StoreRefused("get", "k", "AuthorizationHeaderMalformed"), "correct the region"),
        (StoreError("get", "k", "301"), "correct the region"),
        (StoreRefused("put", "k", "AccessDenied"), "(put: AccessDenied); allow s3:GetObject"),
        (StoreBusy("get", "k", "refused"), "cannot be reached: http://s3"),
        (StoreFull("put", "k", "QuotaExceeded"), "no space left"),
        (StoreError("put", "k", "Odd"), "answered put with Odd"),
    ],
)
def test_a_failed_start_is_explained_in_one_sentence(error: StoreError, words: str) -> None:
    """The sentence names the bucket and the place, and what to do."""
    text = str(explain(error, "photos", "http://s3"))

    assert text.startswith("the bucket 'photos' ")
    assert "http://s3" in text or "expired" in text
    assert words in text
