"""What tus 1.0.0 allows: facts in, a plan or a refusal out. No I/O.

The order of the checks is part of the protocol: clients act on the first thing that is wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tusd_s3.errors import (
    IncompleteUpload,
    InvalidConcat,
    InvalidUploadLength,
    MaxSizeExceeded,
    MethodNotAllowed,
    MismatchedOffset,
    ModifyFinal,
    NotImplementedHere,
    UploadSizeExceeded,
)
from tusd_s3.model import Kind, NewUpload, UploadInfo
from tusd_s3.protocol.headers import METHODS, Append, Creation

# What browsers may show instead of saving, as in tusd: nothing in it can run a script. PDF is
# left out because its viewers have been attacked too often.
_INLINE_TYPES = frozenset({
    "text/plain",
    "image/png", "image/jpeg", "image/gif", "image/bmp", "image/webp",
    "audio/wave", "audio/wav", "audio/x-wav", "audio/x-pn-wav", "audio/webm", "audio/ogg",
    "video/mp4", "video/webm", "video/ogg",
    "application/ogg",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Terms:
    """What this server offers.

    Attributes:
        max_size: bytes of the longest upload that is accepted, None for any.
        termination: whether clients may delete uploads.
        concatenation: whether uploads may be joined.
        download: whether finished uploads may be fetched.
    """

    max_size: int | None = None
    termination: bool = True
    concatenation: bool = True
    download: bool = True

    @property
    def extensions(self) -> tuple[str, ...]:
        """The members of `Tus-Extension`, in tusd's order."""
        return (
            "creation",
            "creation-with-upload",
            *(("termination",) if self.termination else ()),
            *(("concatenation", "concatenation-unfinished") if self.concatenation else ()),
            "creation-defer-length",
        )

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods an upload's URL answers to, for `Allow`."""
        refused = {"DELETE": not self.termination, "GET": not self.download}
        return tuple(method for method in METHODS if not refused.get(method))


@dataclass(frozen=True, slots=True)
class CreatePlan:
    """A creation that is granted.

    Attributes:
        new: what to create.
        body_limit: bytes that the body may bring, None for any number.
    """

    new: NewUpload
    body_limit: int | None


@dataclass(frozen=True, slots=True)
class AppendPlan:
    """A PATCH that is granted.

    Attributes:
        limit: bytes that the body may bring, None for any number.
        declared_length: the length to fix before the first byte; None if it is no news.
    """

    limit: int | None
    declared_length: int | None


def decide_create(asked: Creation, terms: Terms) -> CreatePlan:
    """Grant or refuse a new upload.

    Raises:
        MaxSizeExceeded: it is longer than the server takes, or is deferred and its first bytes
            are already more than that.
        NotImplementedHere: it is part of a concatenation, which is switched off.
        UploadSizeExceeded: its body is longer than itself.
    """
    if asked.concat is not None and not terms.concatenation:
        raise NotImplementedHere("concatenation")
    if asked.length is not None:
        _check_max_size(asked.length, terms)
    new = NewUpload(
        length=asked.length,
        metadata_raw=asked.metadata_raw,
        metadata=asked.metadata,
        kind=Kind.WHOLE if asked.concat is None else asked.concat.kind,
        concat_raw=None if asked.concat is None else asked.concat.raw,
    )
    limit = _room(asked.length, 0, terms)
    _check_fits(asked.body_length, limit, is_deferred=asked.length is None)
    return CreatePlan(new=new, body_limit=limit)


def decide_concat(partials: Sequence[UploadInfo], terms: Terms) -> None:
    """Grant or refuse a final upload of these partials, finished or not, in any order and number.

    Raises:
        InvalidConcat: one of them is not a partial upload.
        MaxSizeExceeded: together they are longer than the server takes.
    """
    if any(partial.kind is not Kind.PARTIAL for partial in partials):
        raise InvalidConcat("one of the uploads is not a partial upload")
    _check_max_size(sum(partial.length or partial.offset for partial in partials), terms)


def decide_append(asked: Append, info: UploadInfo, terms: Terms) -> AppendPlan:
    """Grant or refuse a PATCH; ``info`` was read under the upload's lock.

    A complete upload takes an empty body, so that a client that lost the last answer can repeat
    its last request's offset, and no other: bytes are never silently dropped. A length that was
    accepted once stays accepted, also if the maximum has been lowered since.

    Raises:
        ModifyFinal: it is a final upload.
        MismatchedOffset: the client is elsewhere; carries the right `Upload-Offset`.
        InvalidUploadLength: the length declared contradicts the known one or the bytes stored.
        MaxSizeExceeded: the length declared, or a deferred upload, exceeds the maximum.
        UploadSizeExceeded: the body announced is longer than what is left.
    """
    if info.kind is Kind.FINAL:
        raise ModifyFinal
    if asked.offset != info.offset:
        raise MismatchedOffset(headers={"Upload-Offset": str(info.offset)})
    news = _decide_declared(asked.declared_length, info, terms)
    length = info.length if news is None else news
    limit = _room(length, info.offset, terms)
    _check_fits(asked.body_length, limit, is_deferred=length is None)
    return AppendPlan(limit=limit, declared_length=news)


def decide_finish(info: UploadInfo, terms: Terms) -> None:
    """Grant or refuse the making of an upload's object when every byte is there.

    The length of a final upload may have become known after it was created, when the last of its
    partials was finished: deferring is no way around the maximum.

    Raises:
        MaxSizeExceeded: it is a final upload and longer than the server takes.
    """
    if info.kind is Kind.FINAL:
        _check_max_size(info.length or 0, terms)


def decide_terminate(info: UploadInfo | None, terms: Terms) -> None:
    """Grant or refuse a DELETE, of finished and unfinished uploads alike.

    ``info`` is None as long as the upload was not looked up, and where it is half gone.

    Raises:
        MethodNotAllowed: termination is switched off.
    """
    del info  # nothing about an upload protects it from its owner
    if not terms.termination:
        raise MethodNotAllowed("termination", headers={"Allow": ", ".join(terms.methods)})


def decide_download(info: UploadInfo, terms: Terms) -> None:
    """Grant or refuse a GET. It is no part of tus; unfinished uploads are refused as by tusd.

    Raises:
        MethodNotAllowed: downloads are switched off.
        IncompleteUpload: there is no object yet.
    """
    if not terms.download:
        raise MethodNotAllowed("download", headers={"Allow": ", ".join(terms.methods)})
    if not info.finished:
        raise IncompleteUpload


def serves_inline(content_type: str) -> bool:
    """Return whether a browser may show this type instead of saving it."""
    return content_type.partition(";")[0].strip(" \t").lower() in _INLINE_TYPES


def _decide_declared(declared: int | None, info: UploadInfo, terms: Terms) -> int | None:
    """Return the length that a PATCH fixes, None if it says nothing new.

    Repeating the known length is fine: tus-js-client does so after an interrupted last PATCH
    and would give the upload up.
    """
    if declared is None or declared == info.length:
        return None
    if info.length is not None:
        raise InvalidUploadLength("the length was fixed before and is another one")
    if declared < info.offset:
        raise InvalidUploadLength("more bytes than that are stored already")
    _check_max_size(declared, terms)
    return declared


def _room(length: int | None, offset: int, terms: Terms) -> int | None:
    """Return how many bytes may follow ``offset``, None for any number."""
    end = terms.max_size if length is None else length
    return None if end is None else max(end - offset, 0)


def _check_max_size(length: int, terms: Terms) -> None:
    if terms.max_size is not None and length > terms.max_size:
        raise MaxSizeExceeded(f"at most {terms.max_size} bytes")


def _check_fits(body_length: int | None, limit: int | None, *, is_deferred: bool) -> None:
    """Refuse a body that announces more than it may bring; a chunked one is cut on the way."""
    if body_length is not None and limit is not None and body_length > limit:
        raise MaxSizeExceeded if is_deferred else UploadSizeExceeded
