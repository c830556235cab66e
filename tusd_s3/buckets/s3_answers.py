"""What S3 answered to a hot call, under the names that botocore gives it. No sockets."""

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.exceptions import ClientError

_META = "x-amz-meta-"
_FIELDS = {
    "etag": "ETag",
    "content-type": "ContentType",
    "content-disposition": "ContentDisposition",
    "content-range": "ContentRange",
}
_NUMBERS = ("PartNumber", "Size")


def parse_refusal(operation: str, status: int, body: bytes) -> ClientError:
    """Return botocore's error for an answer; the status is the code if the body names none."""
    try:
        root = ET.fromstring(body)  # noqa: S314  # from our own store; expat bounds expansion
    except ET.ParseError:
        code = message = ""
    else:
        code, message = root.findtext("{*}Code", ""), root.findtext("{*}Message", "")
    return ClientError(
        {
            "Error": {"Code": code or str(status), "Message": message},
            "ResponseMetadata": {"HTTPStatusCode": status},
        },
        operation,
    )


def parse_parts(body: bytes) -> dict[str, Any]:
    """Return a page of ListParts; what cannot be read is left out.

    Raises:
        ValueError: it is not XML, or has a number that is none.
    """
    try:
        root = ET.fromstring(body)  # noqa: S314  # from our own store; expat bounds expansion
    except ET.ParseError as exc:
        raise ValueError(f"not XML: {exc}") from exc
    page: dict[str, Any] = {"Parts": []}
    for child in root:
        name = _name_of(child)
        if name == "IsTruncated":
            page[name] = child.text == "true"
        elif name == "NextPartNumberMarker" and child.text:
            page[name] = int(child.text)
        elif name == "Part":
            part: dict[str, Any] = {_name_of(field): field.text or "" for field in child}
            part |= {number: int(part[number]) for number in _NUMBERS if number in part}
            page["Parts"].append(part)
    return page


def _name_of(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def parse_headers(headers: Mapping[str, str]) -> dict[str, Any]:
    """Return what the headers of an answer say of an object.

    Raises:
        ValueError: a length or a date that is none.
    """
    metadata: dict[str, str] = {}
    answer: dict[str, Any] = {"Metadata": metadata}
    for name, value in headers.items():
        lower = name.lower()
        if lower in _FIELDS:
            answer[_FIELDS[lower]] = value
        elif lower.startswith(_META):
            metadata[name[len(_META) :]] = value
        elif lower == "content-length":
            answer["ContentLength"] = int(value)
        elif lower == "last-modified":
            answer["LastModified"] = parsedate_to_datetime(value)
    return answer
