"""The hot calls of S3, signed by botocore's signer and sent by a session of our own.

Each method has the name, the arguments and the answer of aiobotocore's client, and raises what it
raises, so that callers need not know which of the two they talk to. What it leaves out is what
costs three quarters of the CPU of a call: endpoint rules, the event system, the generic
serialiser and parser. Everything rare stays with aiobotocore.
"""

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import ClientError
from multidict import CIMultiDict
from yarl import URL

_UNSIGNED = {"client_config": Config(s3={"payload_signing_enabled": False})}
_NO_AUTOMATIC = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")

_SMALL = 64 * 1024

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


class Streamed(aiohttp.Payload):
    """A body of known size in chunks, written one by one as they are."""

    def __init__(self, body: Any) -> None:
        super().__init__(body, content_type="application/octet-stream")
        self._size = len(body)

    def decode(self, *_: str) -> str:
        """Refuse: it is nobody's text."""
        raise TypeError("a stream of bytes is no text")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send the chunks. aiohttp joins the headers and what is written first."""
        send_headers = getattr(writer, "send_headers", None)
        if send_headers is not None:
            send_headers()
        async for chunk in self._value:
            await writer.write(chunk)


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
        self._region = region
        self._credentials = credentials
        self._session = session

    async def put_object(self, *, Key: str, Body: Any, **arguments: Any) -> dict[str, Any]:  # noqa: N803
        """PutObject."""
        return await self._send("PutObject", Key, Body, arguments)

    async def upload_part(self, *, Key: str, Body: Any, **arguments: Any) -> dict[str, Any]:  # noqa: N803
        """UploadPart."""
        return await self._send("UploadPart", Key, Body, arguments)

    async def head_object(self, *, Key: str, **arguments: Any) -> dict[str, Any]:  # noqa: N803
        """HeadObject."""
        response = await self._request("HEAD", Key, arguments)
        await _finish("HeadObject", response)
        return _describe(response)

    async def get_object(self, *, Key: str, **arguments: Any) -> dict[str, Any]:  # noqa: N803
        """GetObject; the caller closes the answer's ``Body``."""
        response = await self._request("GET", Key, arguments)
        if response.status not in {200, 206}:
            await _finish("GetObject", response)
        return {**_describe(response), "Body": Body(response)}

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
        return _parse_parts(await _finish("ListParts", response))

    async def _send(
        self, operation: str, key: str, body: Any, arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        if len(body) > _SMALL:
            data: Any = Streamed(body)
        else:  # in one piece with the headers, without a task of its own
            data = b"".join([bytes(chunk) async for chunk in body])
        response = await self._request("PUT", key, arguments, data=data, size=len(body))
        await _finish(operation, response)
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
        url, headers = _compose(self._base_url, key, arguments, query or {})
        if size is not None:
            headers["Content-Length"] = str(size)
        frozen = await self._credentials.get_frozen_credentials()
        request = AWSRequest(method=method, url=url, headers=headers)
        request.context.update(_UNSIGNED)
        S3SigV4Auth(frozen, "s3", self._region).add_auth(request)
        return await self._session.request(
            method,
            URL(url, encoded=True),
            # the last one is not signed: some services change it on the way
            headers=CIMultiDict([*request.headers.items(), ("Accept-Encoding", "identity")]),
            skip_auto_headers=_NO_AUTOMATIC,
            data=data,
            allow_redirects=False,
        )


def _compose(
    base_url: str, key: str, arguments: Mapping[str, Any], query: Mapping[str, str]
) -> tuple[str, dict[str, str]]:
    """Return URL and headers of a call; an argument that has no place is a mistake of ours."""
    parameters = dict(query)
    headers: dict[str, str] = {}
    for name, value in arguments.items():
        if name in _HEADERS:
            headers[_HEADERS[name]] = value
        elif name in _QUERY:
            parameters[_QUERY[name]] = str(value)
        elif name == "Metadata":
            headers |= {f"x-amz-meta-{key}": text for key, text in value.items()}
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
        if response.status < 300:
            return body
    finally:
        response.release()
    code, message = _parse_error(body)
    raise ClientError(
        {
            "Error": {"Code": code or str(response.status), "Message": message},
            "ResponseMetadata": {"HTTPStatusCode": response.status},
        },
        operation,
    )


def _parse_error(body: bytes) -> tuple[str, str]:
    try:
        root = ET.fromstring(body)  # noqa: S314  # from our own store; expat bounds expansion
    except ET.ParseError:
        return "", ""
    return root.findtext("{*}Code", ""), root.findtext("{*}Message", "")


def _parse_parts(body: bytes) -> dict[str, Any]:
    """Return a page of ListParts as botocore would; what cannot be read is left out.

    Raises:
        ValueError: it is not XML, or has a number that is none.
    """
    try:
        root = ET.fromstring(body)  # noqa: S314  # from our own store; expat bounds expansion
    except ET.ParseError as exc:
        raise ValueError(f"not XML: {exc}") from exc
    page: dict[str, Any] = {"Parts": []}
    for child in root:
        name = child.tag.rpartition("}")[2]
        if name == "IsTruncated":
            page[name] = child.text == "true"
        elif name == "NextPartNumberMarker" and child.text:
            page[name] = int(child.text)
        elif name == "Part":
            part: dict[str, Any] = {
                field.tag.rpartition("}")[2]: field.text or "" for field in child
            }
            for number in ("PartNumber", "Size"):
                if number in part:
                    part[number] = int(part[number])
            page["Parts"].append(part)
    return page


def _describe(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """Return what headers say of an object, under botocore's names."""
    headers = response.headers
    answer: dict[str, Any] = {
        "Metadata": {
            name[len("x-amz-meta-") :]: value
            for name, value in headers.items()
            if name[:11].lower() == "x-amz-meta-"
        }
    }
    for name, header in (
        ("ETag", "ETag"),
        ("ContentType", "Content-Type"),
        ("ContentDisposition", "Content-Disposition"),
        ("ContentRange", "Content-Range"),
    ):
        if header in headers:
            answer[name] = headers[header]
    if "Content-Length" in headers:
        answer["ContentLength"] = int(headers["Content-Length"])
    if "Last-Modified" in headers:
        answer["LastModified"] = parsedate_to_datetime(headers["Last-Modified"])
    return answer
