"""The hot calls of S3, signed by botocore's signer and sent by a session of our own.

Each method has the name, the arguments and the answer of aiobotocore's client, and raises what it
raises, so that callers need not know which of the two they talk to; only ``Body`` is a `Content`.
What is left out is what costs three quarters of the CPU of a call: endpoint rules, the event
system, the generic serialiser and parser. Everything rare stays with aiobotocore.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from multidict import CIMultiDict
from yarl import URL

from tusd_s3.buckets.s3_answers import parse_headers, parse_parts, parse_refusal
from tusd_s3.buckets.s3_sign import Request, Signer
from tusd_s3.interfaces import Chunk, Content
from tusd_s3.model import KIB

SMALL = 64 * KIB  # a body up to this size is sent in one piece with the headers

_NO_AUTOMATIC = ("User-Agent", "Accept", "Content-Type")

# arguments of boto's methods, and the headers and query parameters they become
_HEADERS = {
    "ChecksumCRC32": "x-amz-checksum-crc32",
    "ChecksumCRC32C": "x-amz-checksum-crc32c",
    "ChecksumCRC64NVME": "x-amz-checksum-crc64nvme",
    "ContentDisposition": "Content-Disposition",
    "ContentMD5": "Content-MD5",
    "ContentType": "Content-Type",
    "IfMatch": "If-Match",
    "IfNoneMatch": "If-None-Match",
    "Range": "Range",
}
_QUERY = {"PartNumber": "partNumber", "UploadId": "uploadId"}


class ContentFailed(Exception):
    """A content could not be read, so a request could not be sent.

    Attributes:
        failure: what reading raised.
    """

    def __init__(self, failure: Exception) -> None:
        super().__init__(str(failure))
        self.failure = failure


class Outgoing(aiohttp.Payload):
    """A content on its way: aiohttp writes its chunks one by one as they are.

    Attributes:
        failed: set once the content could not be read; aiohttp tells of a lost connection.
    """

    def __init__(self, content: Content) -> None:
        super().__init__(content, content_type="application/octet-stream")
        self._size: int = content.size
        self.failed: ContentFailed | None = None

    async def chunks(self) -> AsyncIterator[Chunk]:
        """Iterate over exactly as many bytes as were announced.

        Raises:
            ContentFailed: reading raised, or there are more or fewer bytes.
        """
        sent = 0
        try:
            async for chunk in self._value.chunks():
                sent += len(chunk)
                if sent > self._size:  # the store would take the rest for another request
                    raise ValueError(f"the content has more than {self._size} bytes")
                yield chunk
            if sent != self._size:
                raise ValueError(f"the content has {sent} bytes instead of {self._size}")
        except Exception as exc:
            self.failed = ContentFailed(exc)
            raise self.failed from exc

    async def joined(self) -> bytes:
        """Return the bytes in one piece."""
        return b"".join([bytes(chunk) async for chunk in self.chunks()])

    def decode(self, *_: str) -> str:
        """Refuse: it is nobody's text."""
        raise TypeError("a stream of bytes is no text")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send the chunks, and the headers before: aiohttp would join them with the first."""
        writer.send_headers()
        async for chunk in self.chunks():
            # transports slice what does not fit; slices of a view are no copies
            await writer.write(memoryview(chunk))


class Body:
    """The bytes of an answer to GET, as aiobotocore's ``StreamingBody`` for what we use of it."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.raw_stream = response

    def close(self) -> None:
        """Give the connection back if the answer was read to its end, else close it."""
        self.raw_stream.close()


class Wire:
    """Calls on one bucket.

    Args:
        base_url: of the bucket: an object's key is what follows.
        region: as in the signatures.
        credentials: aiobotocore's, which refresh themselves.
        session: sends the requests; its limits of time and connections are the caller's.
    """

    def __init__(
        self, *, base_url: str, region: str, credentials: Any, session: aiohttp.ClientSession
    ) -> None:
        self._base_url = base_url
        self._signer = Signer(region, URL(base_url).host_port_subcomponent or "")
        self._credentials = credentials
        self._session = session

    async def put_object(self, *, Key: str, Body: Content, **arguments: Any) -> dict[str, Any]:  # noqa: N803
        """PutObject.

        Raises:
            ContentFailed: the body could not be read.
        """
        return await self._send("PutObject", Key, Body, arguments)

    async def upload_part(self, *, Key: str, Body: Content, **arguments: Any) -> dict[str, Any]:  # noqa: N803
        """UploadPart.

        Raises:
            ContentFailed: the body could not be read.
        """
        return await self._send("UploadPart", Key, Body, arguments)

    async def head_object(self, *, Key: str, **arguments: Any) -> dict[str, Any]:  # noqa: N803
        """HeadObject."""
        response = await self._request("HEAD", Key, arguments)
        await _finish("HeadObject", response)
        return parse_headers(response.headers)

    async def get_object(self, *, Key: str, **arguments: Any) -> dict[str, Any]:  # noqa: N803
        """GetObject; the caller closes the answer's ``Body``."""
        response = await self._request("GET", Key, arguments)
        try:
            if response.status not in {200, 206}:
                raise parse_refusal("GetObject", response.status, await response.read())
            return {**parse_headers(response.headers), "Body": Body(response)}
        except BaseException:
            response.close()
            raise

    async def delete_object(self, *, Key: str, **arguments: Any) -> dict[str, Any]:  # noqa: N803
        """DeleteObject."""
        await _finish("DeleteObject", await self._request("DELETE", Key, arguments))
        return {}

    async def list_parts(
        self,
        *,
        Key: str,  # noqa: N803
        PartNumberMarker: int = 0,  # noqa: N803
        **arguments: Any,
    ) -> dict[str, Any]:
        """ListParts, one page."""
        extra = {"part-number-marker": str(PartNumberMarker)} if PartNumberMarker else {}
        response = await self._request("GET", Key, arguments, query=extra)
        return parse_parts(await _finish("ListParts", response))

    async def _send(
        self, operation: str, key: str, content: Content, arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        body = Outgoing(content)
        data = await body.joined() if content.size <= SMALL else body
        try:
            response = await self._request("PUT", key, arguments, data=data, size=content.size)
            await _finish(operation, response)
        except Exception:
            if body.failed is not None:
                raise body.failed from None
            raise
        return {"ETag": response.headers["ETag"]} if "ETag" in response.headers else {}

    async def _request(
        self,
        method: str,
        key: str,
        arguments: Mapping[str, Any],
        *,
        query: Mapping[str, str] | None = None,
        data: Any = None,
        size: int | None = None,
    ) -> aiohttp.ClientResponse:
        url, headers = compose(self._base_url, key, arguments, query or {})
        if size is not None:
            headers["Content-Length"] = str(size)
        frozen = await self._credentials.get_frozen_credentials()
        self._signer.sign(Request(method, url, headers), frozen)
        headers["Accept-Encoding"] = "identity"  # not signed: some services change it on the way
        return await self._session.request(
            method,
            URL(url, encoded=True),
            headers=headers,
            skip_auto_headers=_NO_AUTOMATIC,
            data=data,
            allow_redirects=False,
        )


def compose(
    base_url: str, key: str, arguments: Mapping[str, Any], query: Mapping[str, str]
) -> tuple[str, CIMultiDict[str]]:
    """Return URL and headers of a call; an argument that has no place is a mistake of ours."""
    parameters = dict(query)
    headers: CIMultiDict[str] = CIMultiDict()
    for name, value in arguments.items():
        if name in _HEADERS:
            headers[_HEADERS[name]] = value
        elif name in _QUERY:
            parameters[_QUERY[name]] = str(value)
        elif name == "Metadata":
            headers.update({f"x-amz-meta-{word}": text for word, text in value.items()})
        elif name != "Bucket":
            raise TypeError(f"no place for the argument {name}")
    url = base_url + quote(key, safe="/~")
    if parameters:
        url += "?" + urlencode(sorted(parameters.items()), quote_via=quote, safe="~")
    return url, headers


async def _finish(operation: str, response: aiohttp.ClientResponse) -> bytes:
    """Read an answer to its end and return its body.

    Raises:
        ClientError: it is a refusal, as botocore tells it.
    """
    try:
        body = await response.read()
    finally:
        response.release()
    if response.status >= 300:
        raise parse_refusal(operation, response.status, body)
    return body
