"""What S3's error codes and botocore's exceptions mean to us. Nothing else interprets them.

A code that is not in the tables is a plain `StoreError`, except that every 5xx may pass. Codes:
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html and those of MinIO, Ceph,
versitygw and R2 that differ.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004  (botocore's own, not the builtin)
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    NoAuthTokenError,
    NoCredentialsError,
    PartialCredentialsError,
    SSOError,
    TokenRetrievalError,
)

from tusd_s3.errors import (
    ConditionFailed,
    ConfigError,
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

# An answer to HEAD has no body; botocore then gives the HTTP status as the code.
_BUSY = """
    SlowDown SlowDownRead SlowDownWrite ServiceUnavailable InternalError InternalFailure Busy
    RequestTimeout RequestTimeoutException RequestLimitExceeded BandwidthLimitExceeded
    Throttling ThrottlingException ThrottledException RequestThrottled RequestThrottledException
    TooManyRequests TooManyRequestsException OperationAborted IncompleteBody 408 429
    XMinioServerNotInitialized XMinioReadQuorum XMinioWriteQuorum
"""
_REFUSED = """
    AccessDenied AccessForbidden AllAccessDisabled AccountProblem Forbidden NotSignedUp
    SignatureDoesNotMatch InvalidAccessKeyId InvalidSecurity InvalidToken ExpiredToken
    ExpiredTokenException TokenRefreshRequired RequestTimeTooSkewed RequestExpired
    AuthorizationHeaderMalformed AuthFailure UnauthorizedAccess Unauthorized
    InvalidTokenId UserSuspended XMinioInvalidIAMCredentials 401 403
"""
_FULL = """
    QuotaExceeded XMinioStorageFull XMinioAdminBucketQuotaExceeded InsufficientStorage
    InsufficientCapacity StorageFull 507
"""
_CONDITION = "PreconditionFailed ConditionalRequestConflict 412"
_PARTS = "InvalidPart InvalidPartOrder EntityTooSmall"
_CORRUPTED = """
    BadDigest InvalidDigest XAmzContentChecksumMismatch XAmzContentSHA256Mismatch
    XMinioContentChecksumMismatch ContentSHA256Mismatch
"""

_MEANING: dict[str, type[StoreError]] = {
    **dict.fromkeys(_BUSY.split(), StoreBusy),
    **dict.fromkeys(_REFUSED.split(), StoreRefused),
    **dict.fromkeys(_FULL.split(), StoreFull),
    **dict.fromkeys(_CONDITION.split(), ConditionFailed),
    **dict.fromkeys(_PARTS.split(), PartsRefused),
    **dict.fromkeys(_CORRUPTED.split(), ContentCorrupted),
    "NoSuchKey": ObjectMissing,
    "NoSuchUpload": MultipartMissing,
}

# Some stores do not copy at all, some no ranges, some no small objects.
_NO_COPY = """
    InvalidRange InvalidRequest InvalidArgument InvalidCopySource EntityTooLarge EntityTooSmall
    NotImplemented MethodNotAllowed 416 501 405
"""

# A key that the store could not even have: nothing to be found there, nothing to be deleted.
_IMPOSSIBLE: dict[str, type[StoreError]] = dict.fromkeys(
    ("KeyTooLongError", "KeyTooLong", "XMinioInvalidObjectName"), ObjectMissing
)

# The same answer means something else to these operations.
_MEANING_TO: dict[str, dict[str, type[StoreError]]] = {
    "get": _IMPOSSIBLE,
    "head": {"404": ObjectMissing, **_IMPOSSIBLE},
    "delete": _IMPOSSIBLE,
    "copy_part": dict.fromkeys(_NO_COPY.split(), CopyRefused),
    "complete_multipart": dict.fromkeys(_CORRUPTED.split(), PartsRefused),
}

_CREDENTIALS = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    TokenRetrievalError,
    NoAuthTokenError,
    SSOError,
)

_NETWORK = (HTTPClientError, ConnectionError, IncompleteReadError, aiohttp.ClientError, OSError)

# Codes of a store that does not have an operation.
NOT_OFFERED = frozenset({"NotImplemented", "MethodNotAllowed", "501", "405"})


def class_of(operation: str, code: str, status: int, message: str = "") -> type[StoreError]:
    """Return what an error answer of S3 means to an operation of the bucket.

    The code decides; the HTTP status only where the code says nothing to us.
    """
    meaning = _MEANING_TO.get(operation, {}).get(code) or _MEANING.get(code)
    if meaning is not None:
        return meaning
    # Amazon's and MinIO's words for a Complete that leaves a part's checksum out.
    if operation == "complete_multipart" and code == "InvalidRequest" and "checksum" in message:
        return PartsRefused
    if status == 507:
        return StoreFull
    if status == 501:  # will never pass
        return StoreError
    return StoreBusy if status >= 500 or status == 429 else StoreError


def translate(operation: str, key: str, exc: Exception) -> StoreError | None:
    """Return our error for one that a call of S3 raised, None for one that is not S3's."""
    if isinstance(exc, ClientError):
        error = exc.response.get("Error", {})
        code = str(error.get("Code") or "?")
        status = int(exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        found = class_of(operation, code, status, str(error.get("Message", "")))
        return found(operation, key, code)
    if isinstance(exc, _CREDENTIALS):
        return StoreRefused(operation, key, type(exc).__name__)
    if isinstance(exc, TimeoutError):
        return StoreBusy(operation, key, "no answer in time")
    if isinstance(exc, _NETWORK):
        return StoreBusy(operation, key, str(exc) or type(exc).__name__)
    if isinstance(exc, BotoCoreError | ValueError):  # botocore reads a number that is none
        return StoreError(operation, key, f"{type(exc).__name__}: {exc}")
    return None


@contextmanager
def translated(operation: str, key: str) -> Iterator[None]:
    """Turn what S3, botocore or the network raised in the block into one of our errors."""
    try:
        yield
    except Exception as exc:
        error = translate(operation, key, exc)
        if error is None:
            raise
        raise error from exc


_WRONG_KEYS = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidSecurity"})
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"})
_WRONG_REGION = frozenset(
    {"AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException"}
)


def explain(error: StoreError, bucket: str, place: str) -> ConfigError:
    """Say in one sentence what is wrong with a bucket that failed at start, and what to do.

    Args:
        error: what the first calls ended with.
        bucket: its name.
        place: the endpoint, or words for Amazon S3 and the region.
    """
    code = error.reason
    if code == "NoSuchBucket":
        text = f"does not exist at {place}: create it or correct its name"
    elif code in _WRONG_KEYS:
        text = f"cannot be used: {place} does not accept these credentials ({code}); correct them"
    elif code in _EXPIRED:
        text = f"cannot be used: the credentials have expired ({code}); renew them"
    elif code == "RequestTimeTooSkewed":
        text = f"cannot be used: the clocks here and at {place} differ too much; set this one"
    elif code in _WRONG_REGION or code.startswith("30"):
        text = f"is not in the region that was asked ({code} from {place}); correct the region"
    elif isinstance(error, StoreRefused):
        text = (
            f"is refused to this account by {place} ({error.operation}: {code}); allow "
            "s3:GetObject, s3:PutObject, s3:DeleteObject, s3:AbortMultipartUpload and "
            "s3:ListMultipartUploadParts"
        )
    elif isinstance(error, StoreBusy):
        text = (
            f"cannot be reached: {place} did not answer as it should ({code}); "
            "check the endpoint and the network"
        )
    elif isinstance(error, StoreFull):
        text = f"has no space left at {place} ({code}); make room"
    else:
        text = f"cannot be used: {place} answered {error.operation} with {code}"
    return ConfigError(f"the bucket {bucket!r} {text}")
