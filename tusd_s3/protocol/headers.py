"""What the request headers of tus 1.0.0 say, one `parse_` function per request. No I/O.

Everything that can be said from the headers alone is said here; whether it fits the upload is
decided in `rules`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tusd_s3.errors import (
    BadRequest,
    InvalidConcat,
    InvalidContentEncoding,
    InvalidContentType,
    InvalidDeferLength,
    InvalidMetadata,
    InvalidOffset,
    InvalidUploadLength,
    MethodNotAllowed,
    ModifyFinal,
    RangeNotSatisfiable,
    TusError,
    UnsupportedVersion,
)
from tusd_s3.model import Kind
from tusd_s3.protocol.concat import Concat, parse_concat
from tusd_s3.protocol.metadata import parse_metadata

TUS_VERSION = "1.0.0"
OFFSET_OCTET_STREAM = "application/offset+octet-stream"
METHODS = ("POST", "HEAD", "PATCH", "OPTIONS", "GET", "DELETE")

_DIGITS = 18  # the longest decimal number that is below 2**63 whatever its digits are
_NUMBER = re.compile(rf"[0-9]{{1,{_DIGITS}}}")
_BYTE_RANGE = re.compile(r"bytes=[ \t]*([0-9]*)-([0-9]*)[ \t]*", re.IGNORECASE)


class HeaderSource(Protocol):
    """Request headers by case-insensitive name; aiohttp's `request.headers` is one."""

    def getall(self, name: str, default: Sequence[str], /) -> Sequence[str]:
        """Return every value of a header, in order of arrival."""
        ...


@dataclass(frozen=True, slots=True)
class Creation:
    """A creation request.

    Attributes:
        length: bytes, or None when it is deferred.
        metadata_raw: the `Upload-Metadata` value as received, None if absent or empty.
        metadata: the same decoded.
        has_body: whether bytes of the upload come with the request (creation-with-upload).
        body_length: how many, None if there are none or their number was not announced.
        concat: what the upload is to others, None if it stands for itself.
    """

    length: int | None
    metadata_raw: str | None
    metadata: Mapping[str, bytes]
    has_body: bool
    body_length: int | None
    concat: Concat | None = None


@dataclass(frozen=True, slots=True)
class Append:
    """A PATCH request.

    Attributes:
        offset: where the client believes the upload to stand.
        declared_length: the `Upload-Length` sent along, which fixes a deferred length.
        body_length: bytes announced, None for a chunked body.
    """

    offset: int
    declared_length: int | None
    body_length: int | None


def parse_number(value: str, refusal: type[TusError] = BadRequest) -> int:
    """Read a byte count: decimal digits only, at most 18 of them.

    No sign, blank, exponent or digit of another script, so that every server and client in
    between reads the same number.

    Raises:
        TusError: an instance of ``refusal``, if it is anything else.
    """
    if not _NUMBER.fullmatch(value):
        raise refusal(f"not a decimal number of 1 to {_DIGITS} digits")
    return int(value)


def parse_method_override(method: str, headers: HeaderSource) -> str:
    """Return the method that is meant: `X-HTTP-Method-Override` decides, on POST only.

    On other methods the header is ignored: a GET or HEAD must stay safe, and a POST is all that
    restricted environments can send.

    Raises:
        BadRequest: the header was sent twice with different values.
        MethodNotAllowed: it names no method that this server knows.
    """
    if method != "POST":
        return method
    named = _single(headers, "X-HTTP-Method-Override", BadRequest)
    if named is None:
        return method
    for known in METHODS:
        if known.lower() == named.lower():
            return known
    raise MethodNotAllowed("unknown X-HTTP-Method-Override", headers={"Allow": ", ".join(METHODS)})


def parse_version(headers: HeaderSource) -> None:
    """See that the client speaks our version; to be called for all but OPTIONS and GET.

    Raises:
        UnsupportedVersion: it says another version or none; carries `Tus-Version`.
    """
    if set(headers.getall("Tus-Resumable", ())) != {TUS_VERSION}:
        raise UnsupportedVersion(headers={"Tus-Version": TUS_VERSION})


def parse_creation(headers: HeaderSource, *, has_body: bool) -> Creation:
    """Read the headers of a creation request.

    The type and encoding of a body that is empty do not matter: some clients cannot help
    sending them.

    Raises:
        InvalidConcat: `Upload-Concat` is malformed.
        ModifyFinal: a final upload comes with a body.
        InvalidContentType, InvalidContentEncoding: the body is not plain bytes of the upload.
        InvalidUploadLength, InvalidDeferLength: neither or both lengths, or a malformed one.
        InvalidMetadata: `Upload-Metadata` is malformed.
        BadRequest: another header is malformed or contradicts itself.
    """
    raw_concat = _single(headers, "Upload-Concat", InvalidConcat)
    concat = None if raw_concat is None else parse_concat(raw_concat)
    is_final = concat is not None and concat.kind is Kind.FINAL
    if is_final and has_body:
        raise ModifyFinal
    if has_body:
        _check_content(headers)
    if is_final:
        _check_no_length(headers)
    length = None if is_final else _parse_new_length(headers)
    raw = _single(headers, "Upload-Metadata", InvalidMetadata) or ""
    return Creation(
        length=length,
        metadata_raw=raw if raw.strip(" \t") else None,
        metadata=parse_metadata(raw),
        has_body=has_body,
        body_length=_parse_body_length(headers) if has_body else None,
        concat=concat,
    )


def parse_append(headers: HeaderSource) -> Append:
    """Read the headers of a PATCH request, the type of the body first.

    `Upload-Concat` is ignored: clients repeat the one of the creation.

    Raises:
        InvalidContentType, InvalidContentEncoding: the body is not plain bytes of the upload.
        InvalidOffset: `Upload-Offset` is missing or malformed.
        InvalidUploadLength: `Upload-Length` is malformed.
        BadRequest: another header is malformed or contradicts itself.
    """
    _check_content(headers)
    offset = _single(headers, "Upload-Offset", InvalidOffset)
    if offset is None:
        raise InvalidOffset
    declared = _single(headers, "Upload-Length", InvalidUploadLength)
    return Append(
        offset=parse_number(offset, InvalidOffset),
        declared_length=None if declared is None else parse_number(declared, InvalidUploadLength),
        body_length=_parse_body_length(headers),
    )


def parse_range(value: str | None, size: int) -> tuple[int, int] | None:
    """Read the `Range` of a GET of ``size`` bytes (RFC 9110, section 14).

    Returns:
        ``(start, end)`` with ``0 <= start < end <= size``, or None to serve the whole: there is
        no range, or one that a server may ignore (several ranges, another unit, a malformed one).

    Raises:
        RangeNotSatisfiable: the range lies behind the end; carries `Content-Range`.
    """
    match = _BYTE_RANGE.fullmatch(value or "")
    if match is None:
        return None
    first, last = (_bounded(digits) for digits in match.groups())
    if first is None:
        if last is None or (last and not size):  # the latter has no form in Content-Range
            return None
        start, end = max(size - last, 0), size
    elif last is not None and last < first:
        return None
    else:
        start, end = first, size if last is None else min(last + 1, size)
    if start >= size:
        raise RangeNotSatisfiable(headers={"Content-Range": f"bytes */{size}"})
    return start, end


def _bounded(digits: str) -> int | None:
    """Read digits of any length, far numbers cut to one that is behind every object."""
    if not digits:
        return None
    significant = digits.lstrip("0")
    return int(significant or "0") if len(significant) <= _DIGITS else 10**_DIGITS


def _single(headers: HeaderSource, name: str, refusal: type[TusError]) -> str | None:
    """Return a header's value, None if absent; copies must agree (a proxy may have doubled it).

    Raises:
        TusError: an instance of ``refusal``, if there are different values.
    """
    values = set(headers.getall(name, ()))
    if len(values) > 1:
        raise refusal(f"{name} was sent with different values")
    return values.pop() if values else None


def _check_content(headers: HeaderSource) -> None:
    """See that a body is bytes of an upload. Parameters and case of the type do not matter."""
    content_type = _single(headers, "Content-Type", BadRequest) or ""
    if content_type.partition(";")[0].strip(" \t").lower() != OFFSET_OCTET_STREAM:
        raise InvalidContentType(f"expected {OFFSET_OCTET_STREAM}")
    for codings in headers.getall("Content-Encoding", ()):
        if any(c.strip(" \t").lower() not in {"", "identity"} for c in codings.split(",")):
            raise InvalidContentEncoding


def _parse_new_length(headers: HeaderSource) -> int | None:
    """Read the length of a new upload, None when the client defers it."""
    length = _single(headers, "Upload-Length", InvalidUploadLength)
    deferred = _single(headers, "Upload-Defer-Length", InvalidDeferLength)
    if deferred is None:
        if length is None:
            raise InvalidUploadLength("neither Upload-Length nor Upload-Defer-Length")
        return parse_number(length, InvalidUploadLength)
    if length is not None:
        raise InvalidDeferLength("both were sent")
    if deferred != "1":
        raise InvalidDeferLength("the only value of Upload-Defer-Length is 1")
    return None


def _check_no_length(headers: HeaderSource) -> None:
    """See that a final upload says no length: it is the sum of its partials' (CAT-08)."""
    for name in ("Upload-Length", "Upload-Defer-Length"):
        if headers.getall(name, ()):
            raise InvalidUploadLength(f"a final upload has no {name}")


def _parse_body_length(headers: HeaderSource) -> int | None:
    """Read how many bytes the body has: None if chunked, 0 if nothing is said (RFC 9112, 6.3)."""
    if headers.getall("Transfer-Encoding", ()):
        return None
    return parse_number(_single(headers, "Content-Length", BadRequest) or "0")
