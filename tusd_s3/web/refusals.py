"""What failures of the store and early ends of a body mean to the client. No I/O."""

from tusd_s3.errors import (
    ConnectionReset,
    LeaseLost,
    MaxSizeExceeded,
    OutOfRoom,
    ReadTimeout,
    ServerShutdown,
    StateUnknown,
    StoreError,
    StoreFull,
    StoreUnavailable,
    TusError,
    UploadGone,
    UploadGoneRefused,
    UploadSizeExceeded,
    UploadTakenOver,
)
from tusd_s3.model import Ended, UploadInfo

_ENDS: dict[Ended, type[TusError]] = {
    Ended.OVERRUN: UploadSizeExceeded,
    Ended.DISCONNECTED: ConnectionReset,
    Ended.IDLE: ReadTimeout,
    Ended.TAKEN_OVER: UploadTakenOver,
    Ended.OUT_OF_ROOM: OutOfRoom,
    Ended.SHUTDOWN: ServerShutdown,
    Ended.FAILED: StoreUnavailable,
}


def of_failure(failure: StoreError, *, is_head: bool = False) -> TusError:
    """Return the answer to a failure of the store; nothing of S3's words is in it.

    Clients throw their upload away on any answer to HEAD but 2xx and 423, so there whatever may
    pass is 423 (tus-js-client 4.3.1).
    """
    if isinstance(failure, UploadGone):
        return UploadGoneRefused()
    if isinstance(failure, LeaseLost):
        return UploadTakenOver()
    if is_head:
        return StateUnknown()
    return OutOfRoom() if isinstance(failure, StoreFull) else StoreUnavailable()


def of_failed_append(failure: StoreError, info: UploadInfo) -> TusError:
    """Return the answer to an append that failed, with the offset that is durable.

    An upload whose every byte is stored but whose object is missing tells no offset: a client
    that reads its own length there reports success.
    """
    refusal = of_failure(failure)
    if refusal.status == 503 and not info.is_pending:
        refusal.headers["Upload-Offset"] = str(info.offset)
    return refusal


def of_end(ended: Ended | None, info: UploadInfo | None) -> TusError | None:
    """Return the answer to a body that ended like this, None if it was whole.

    Args:
        ended: None if the reader did not care for the end.
        info: the upload afterwards, None if there is none.
    """
    refusal = None if ended is None else _ENDS.get(ended)
    if refusal is None:
        return None
    if info is None:
        return refusal()
    if ended is Ended.OVERRUN and info.length is None:
        refusal = MaxSizeExceeded  # the only limit that a deferred upload has
    return refusal(headers={} if info.is_pending else {"Upload-Offset": str(info.offset)})
