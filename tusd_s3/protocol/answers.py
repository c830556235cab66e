"""What is answered: status and headers for every outcome, as plain values. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tusd_s3.errors import TusError
from tusd_s3.model import Kind, UploadInfo
from tusd_s3.protocol.headers import METHODS, TUS_VERSION
from tusd_s3.protocol.metadata import content_type_of, filename_of, format_disposition
from tusd_s3.protocol.rules import Terms, serves_inline

COMMON_HEADERS: Mapping[str, str] = {"Tus-Resumable": TUS_VERSION}

# For CORS. Headers of extensions that a server does not offer are in the lists all the same: a
# browser that may not send or read one fails the whole request.
ALLOWED_METHODS = METHODS
ALLOWED_HEADERS = (
    "Authorization",
    "Content-Type",
    "Origin",
    "Range",
    "X-HTTP-Method-Override",
    "X-Request-ID",
    "X-Requested-With",
    "Tus-Resumable",
    "Upload-Checksum",
    "Upload-Complete",
    "Upload-Concat",
    "Upload-Defer-Length",
    "Upload-Draft-Interop-Version",
    "Upload-Incomplete",
    "Upload-Length",
    "Upload-Metadata",
    "Upload-Offset",
)
EXPOSED_HEADERS = (
    "Accept-Ranges",
    "Content-Disposition",
    "Content-Range",
    "ETag",
    "Location",
    "Retry-After",
    "X-Request-ID",
    "Tus-Checksum-Algorithm",
    "Tus-Extension",
    "Tus-Max-Size",
    "Tus-Resumable",
    "Tus-Version",
    "Upload-Complete",
    "Upload-Concat",
    "Upload-Defer-Length",
    "Upload-Draft-Interop-Version",
    "Upload-Expires",
    "Upload-Incomplete",
    "Upload-Length",
    "Upload-Metadata",
    "Upload-Offset",
)


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response; an empty ``body`` means none."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""


def capabilities(terms: Terms) -> Answer:
    """Answer OPTIONS, on any URL. 200, since some browsers take no 204 for a preflight."""
    headers = {
        **COMMON_HEADERS,
        "Tus-Version": TUS_VERSION,
        "Tus-Extension": ",".join(terms.extensions),
    }
    if terms.max_size is not None:
        headers["Tus-Max-Size"] = str(terms.max_size)
    return Answer(200, headers)


def created(info: UploadInfo, location: str, *, with_body: bool) -> Answer:
    """Answer a creation; `Upload-Offset` tells how much of its body was stored."""
    headers = {**COMMON_HEADERS, "Location": location}
    if with_body:
        headers["Upload-Offset"] = str(info.offset)
    return Answer(201, headers)


def described(info: UploadInfo) -> Answer:
    """Answer HEAD. Metadata and `Upload-Concat` are what the client sent, byte for byte.

    A final upload has an offset when its object exists, and its length as soon as those of all
    its partials are known (CAT-17, CAT-18, CAT-20).
    """
    headers = {**COMMON_HEADERS, "Cache-Control": "no-store"}
    is_final = info.kind is Kind.FINAL
    if info.finished or not is_final:
        headers["Upload-Offset"] = str(info.offset)
    if info.length is not None:
        headers["Upload-Length"] = str(info.length)
    elif not is_final:
        headers["Upload-Defer-Length"] = "1"
    if info.concat_raw is not None:
        headers["Upload-Concat"] = info.concat_raw
    if info.metadata_raw is not None:
        headers["Upload-Metadata"] = info.metadata_raw
    return Answer(200, headers)


def appended(info: UploadInfo) -> Answer:
    """Answer PATCH with the offset that the next one has to continue at."""
    return Answer(204, {**COMMON_HEADERS, "Upload-Offset": str(info.offset)})


def terminated() -> Answer:
    """Answer DELETE."""
    return Answer(204, dict(COMMON_HEADERS))


def refused(error: TusError) -> Answer:
    """Answer a refusal in tusd's form; never to be cached, least of all a 404 or 410.

    For HEAD the body has to be left out by the caller.
    """
    headers = {
        **COMMON_HEADERS,
        "Cache-Control": "no-store",
        "Content-Type": "text/plain; charset=utf-8",
        "X-Content-Type-Options": "nosniff",
        **error.headers,
    }
    return Answer(error.status, headers, f"{error.code}: {error}\n")


def download_headers(
    info: UploadInfo, *, size: int, etag: str, byte_range: tuple[int, int] | None
) -> dict[str, str]:
    """Return the headers of a GET's answer, 200 or (with a range) 206.

    Args:
        info: the finished upload, whose metadata say what it is.
        size: bytes of the whole object.
        etag: the object's, with or without its quotes.
        byte_range: ``(start, end)`` that is served, None for the whole.
    """
    content_type = content_type_of(info.metadata)
    start, end = byte_range or (0, size)
    headers = {
        **COMMON_HEADERS,
        "Accept-Ranges": "bytes",
        "Content-Disposition": format_disposition(
            filename_of(info.metadata), inline=serves_inline(content_type)
        ),
        "Content-Length": str(end - start),
        "Content-Type": content_type,
        "ETag": '"' + etag.strip('"') + '"',
        "X-Content-Type-Options": "nosniff",
    }
    if byte_range is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return headers
