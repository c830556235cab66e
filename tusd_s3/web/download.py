"""GET of a finished upload: the whole or one range, streamed as the bucket delivers it."""

from aiohttp import hdrs, web

from tusd_s3 import log
from tusd_s3.errors import StoreBusy, StoreError
from tusd_s3.interfaces import ObjectReader, UploadStore
from tusd_s3.model import UploadInfo
from tusd_s3.protocol import answers, headers

_log = log.get_logger(__name__)


async def serve(
    request: web.Request, store: UploadStore, upload_id: str, info: UploadInfo
) -> web.StreamResponse:
    """Answer 200 or 206 with bytes of a finished upload, or 304.

    Raises:
        UploadNotFound: the object was moved away.
        RangeNotSatisfiable: the range lies behind the end.
        StoreError: the object could not be opened; later failures cut the connection.
    """
    byte_range = await _choose_range(request, store, upload_id, info)
    start, end = byte_range or (0, None)
    async with store.download(upload_id, start=start, end=end) as reader:
        stat = reader.stat
        sent = answers.download_headers(info, size=stat.size, etag=stat.etag, byte_range=byte_range)
        if _is_known(request.headers.get(hdrs.IF_NONE_MATCH), sent["ETag"]):
            return web.Response(status=304, headers={"ETag": sent["ETag"]})
        response = web.StreamResponse(status=206 if byte_range else 200, headers=sent)
        await _stream(request, response, reader)
    return response


async def _choose_range(
    request: web.Request, store: UploadStore, upload_id: str, info: UploadInfo
) -> tuple[int, int] | None:
    """Return the bytes to serve, None for all: also if `If-Range` names another object."""
    asked = request.headers.get(hdrs.RANGE)
    condition = request.headers.get(hdrs.IF_RANGE)
    if asked is not None and condition is not None:
        async with store.download(upload_id) as reader:
            if condition.strip() != f'"{reader.stat.etag.strip(chr(34))}"':
                return None
    return headers.parse_range(asked, info.offset)


async def _stream(request: web.Request, response: web.StreamResponse, reader: ObjectReader) -> None:
    """Send the bytes. A failure midway cuts the connection: a short body must not look whole."""
    left = int(response.headers[hdrs.CONTENT_LENGTH])
    try:
        await response.prepare(request)
        async for chunk in reader.chunks():
            left -= len(chunk)
            await response.write(chunk)
        if left:
            raise StoreBusy("get", reader.stat.key, f"{left} bytes missing")
    except ConnectionError:
        _log.debug("client left during download", path=request.path)
    except StoreError as exc:
        _log.warning("download cut", path=request.path, key=exc.key, reason=exc.reason)
        if request.transport is not None:
            request.transport.abort()


def _is_known(if_none_match: str | None, etag: str) -> bool:
    """Return whether the client has this object already (RFC 9110, 13.1.2: weak comparison)."""
    if if_none_match is None:
        return False
    known = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return etag in known or "*" in known
