"""Every refusal a client can get and every way in which storage can fail. No I/O.

A `TusError` is an answer: the middleware turns it into HTTP, nothing is logged as an error. A
`StoreError` is an outage or a surprise of the bucket; what it means to the client is decided in
one place, the middleware. A `ConfigError` ends the program before it serves anything.
"""

from collections.abc import Mapping
from typing import ClassVar


class TusError(Exception):
    """A request that is refused; one subclass per row of the table in the documentation.

    Args:
        detail: what exactly is wrong, added to the class's message; never S3's words.
        headers: headers that this answer carries besides the usual ones.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "ERR_INTERNAL_SERVER_ERROR"
    message: ClassVar[str] = "internal server error"

    def __init__(self, detail: str = "", *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{self.message}: {detail}" if detail else self.message)
        self.detail = detail
        self.headers: dict[str, str] = dict(headers or {})


class UnsupportedVersion(TusError):
    """Core protocol: `Tus-Resumable` is missing or is not a version we speak."""

    status = 412
    code = "ERR_UNSUPPORTED_VERSION"
    message = "missing, invalid or unsupported Tus-Resumable header"


class MethodNotAllowed(TusError):
    """The URL exists but not for this method (or the extension is switched off)."""

    status = 405
    code = "ERR_METHOD_NOT_ALLOWED"
    message = "method not allowed"


class BadRequest(TusError):
    """A request that is malformed in a way that no other row names."""

    status = 400
    code = "ERR_BAD_REQUEST"
    message = "bad request"


class ExpectationFailed(TusError):
    """RFC 9110, Expect: anything but `100-continue`."""

    status = 417
    code = "ERR_EXPECTATION_FAILED"
    message = "the only expectation that can be met is 100-continue"


class InvalidContentType(TusError):
    """Core protocol, PATCH: the body is not `application/offset+octet-stream`."""

    status = 415
    code = "ERR_INVALID_CONTENT_TYPE"
    message = "missing or invalid Content-Type header"


class InvalidContentEncoding(TusError):
    """Offsets count bytes as sent, so an encoded body has no meaning here."""

    status = 415
    code = "ERR_INVALID_CONTENT_ENCODING"
    message = "Content-Encoding must be absent or identity"


class InvalidUploadLength(TusError):
    """Creation: `Upload-Length` is missing, malformed or contradicts what is known."""

    status = 400
    code = "ERR_INVALID_UPLOAD_LENGTH"
    message = "missing or invalid Upload-Length header"


class InvalidDeferLength(TusError):
    """Creation with deferred length: the only legal value is `1`."""

    status = 400
    code = "ERR_INVALID_UPLOAD_LENGTH_DEFER"
    message = "invalid Upload-Length or Upload-Defer-Length header"


class InvalidOffset(TusError):
    """Core protocol, PATCH: `Upload-Offset` is missing or malformed."""

    status = 400
    code = "ERR_INVALID_OFFSET"
    message = "missing or invalid Upload-Offset header"


class InvalidMetadata(TusError):
    """Creation: `Upload-Metadata` is not a list of unique keys with Base64 values."""

    status = 400
    code = "ERR_INVALID_METADATA"
    message = "invalid Upload-Metadata header"


class InvalidConcat(TusError):
    """Concatenation: `Upload-Concat` is malformed or names unusable uploads."""

    status = 400
    code = "ERR_INVALID_CONCAT"
    message = "invalid Upload-Concat header"


class UploadNotFound(TusError):
    """No upload has this id; also the answer to an id that no upload could have."""

    status = 404
    code = "ERR_UPLOAD_NOT_FOUND"
    message = "upload not found"


class NotFound(TusError):
    """No such page: the path is neither an upload nor the creation URL."""

    status = 404
    code = "ERR_NOT_FOUND"
    message = "not found"


class UploadGoneRefused(TusError):
    """The upload existed, but the bucket gave up its parts: it can never be finished."""

    status = 410
    code = "ERR_UPLOAD_GONE"
    message = "the upload is gone and has to be started again"


class MismatchedOffset(TusError):
    """Core protocol, PATCH: the offset sent is not the offset stored."""

    status = 409
    code = "ERR_MISMATCHED_OFFSET"
    message = "mismatched offset"


class MaxSizeExceeded(TusError):
    """Creation: the upload is, or would become, longer than `Tus-Max-Size`."""

    status = 413
    code = "ERR_MAX_SIZE_EXCEEDED"
    message = "maximum size exceeded"


class UploadSizeExceeded(TusError):
    """Core protocol, PATCH: more bytes than the upload has left."""

    status = 413
    code = "ERR_UPLOAD_SIZE_EXCEEDED"
    message = "the body is longer than what the upload has left"


class ModifyFinal(TusError):
    """Concatenation: a final upload cannot be patched."""

    status = 403
    code = "ERR_MODIFY_FINAL"
    message = "modifying a final upload is not allowed"


class NotImplementedHere(TusError):
    """The request needs an extension that this server does not offer."""

    status = 501
    code = "ERR_NOT_IMPLEMENTED"
    message = "this server does not offer what the request needs"


class IncompleteUpload(TusError):
    """GET of an upload that is not finished (tusd answers the same)."""

    status = 400
    code = "ERR_INCOMPLETE_UPLOAD"
    message = "cannot stream an upload that is not finished"


class RangeNotSatisfiable(TusError):
    """GET: the range asked for lies outside the object."""

    status = 416
    code = "ERR_RANGE_NOT_SATISFIABLE"
    message = "range not satisfiable"


class UploadLocked(TusError):
    """Somebody else works on this upload and did not let go in time."""

    status = 423
    code = "ERR_UPLOAD_LOCKED"
    message = "the upload is in use by another request"


class UploadTakenOver(TusError):
    """This request held the upload until another one asked for it."""

    status = 423
    code = "ERR_UPLOAD_STOPPED_BY_SERVER"
    message = "the upload was taken over by another request"


class StoreUnavailable(TusError):
    """The bucket did not do what it was asked to; what is acknowledged is safe."""

    status = 503
    code = "ERR_STORE_UNAVAILABLE"
    message = "storage is not available at the moment"


class StateUnknown(TusError):
    """HEAD while the bucket does not answer: 423, because clients drop their upload on 5xx."""

    status = 423
    code = "ERR_STORE_UNAVAILABLE"
    message = "the state of the upload cannot be read at the moment"


class OutOfRoom(TusError):
    """Memory budget and temporary disk are exhausted; what arrived was stored."""

    status = 503
    code = "ERR_OUT_OF_ROOM"
    message = "the server has no room for more data at the moment"


class ReadTimeout(TusError):
    """The client sent nothing for too long; 5xx, since clients give up on 408."""

    status = 503
    code = "ERR_READ_TIMEOUT"
    message = "timeout while reading the request body"


class ConnectionReset(TusError):
    """The body ended before its announced length. Hardly anybody reads this answer."""

    status = 400
    code = "ERR_CONNECTION_RESET"
    message = "the connection was lost while reading the request body"


class ServerShutdown(TusError):
    """The server is stopping; what arrived was stored."""

    status = 503
    code = "ERR_SERVER_SHUTDOWN"
    message = "the server is shutting down"


class StoreError(Exception):
    """The bucket failed, or said something that nobody here understands.

    Args:
        operation: the bucket operation, e.g. ``upload_part``.
        key: the object it was for.
        reason: the store's error code or a few words of ours; for the log, not for clients.
    """

    def __init__(self, operation: str, key: str, reason: str) -> None:
        super().__init__(f"{operation} {key!r}: {reason}")
        self.operation = operation
        self.key = key
        self.reason = reason


class StoreBusy(StoreError):
    """A failure that may pass: throttling, time-out, network, 5xx. Its outcome is unknown."""


class StoreRefused(StoreError):
    """Credentials or rights: access denied, bad signature, unknown key id."""


class StoreFull(StoreError):
    """The bucket has no space left (a full disk, a quota)."""


class ObjectMissing(StoreError):
    """The key does not exist."""


class MultipartMissing(StoreError):
    """The multipart upload does not exist: completed, aborted, or never there."""


class ConditionFailed(StoreError):
    """A conditional write was refused: the object is not in the expected version."""


class PartsRefused(StoreError):
    """Complete was refused: a part is missing, too small, or has another ETag or checksum."""


class CopyRefused(StoreError):
    """The bucket cannot copy at all, or not a range like this one: the bytes have to be sent."""


class ContentCorrupted(StoreError):
    """The bytes that arrived in the bucket do not have the checksum that was sent."""


class UploadGone(StoreError):
    """The multipart upload vanished and no object of ours replaced it, or its parts conflict."""


class PartConflict(StoreError):
    """A part is stored with one checksum and was sent again with another: two different files."""


class LeaseLost(StoreError):
    """A conditional write showed that another process owns this upload now."""


class ConfigError(Exception):
    """Settings that cannot work; says so in the user's words. Exit code 2."""
