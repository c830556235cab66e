"""Our values as botocore's arguments, and botocore's answers as our values."""

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tusd_s3.buckets.s3_errors import translated
from tusd_s3.errors import StoreBusy, StoreError
from tusd_s3.interfaces import Chunk
from tusd_s3.model import Checksum, ObjectHeaders, ObjectStat, Part

_CHECKSUM_FIELD = re.compile(r"Checksum((?:CRC|SHA|XXH)\w+)")
_CONTENT_RANGE = re.compile(r"bytes \d+-\d+/(\d+)")


@contextmanager
def understood(operation: str, key: str) -> Iterator[None]:
    """Turn a field that an answer lacks into StoreError: a proxy's 200 is not S3's."""
    try:
        yield
    except KeyError as exc:
        raise StoreError(operation, key, f"an answer without {exc.args[0]}") from exc


class Reader:
    """An answer to GET: the description from its headers, the bytes as they arrive."""

    def __init__(self, key: str, answer: Any, *, start: int, end: int | None) -> None:
        self._key = key
        with understood("get", key):
            self._body = answer["Body"]
            self._expected: int = answer["ContentLength"]
            total = _CONTENT_RANGE.fullmatch(answer.get("ContentRange", ""))
            size = int(total[1]) if total else self._expected
            if not total and (start or (end is not None and size > end)):
                raise StoreError("get", key, "the range was ignored")
            self.stat = parse_stat(key, answer, size=size)

    async def chunks(self) -> AsyncIterator[Chunk]:
        received = 0
        # The limit of the wait for each chunk is the client's read_timeout.
        with translated("get", self._key):
            async for chunk in self._body.raw_stream.content.iter_any():
                received += len(chunk)
                yield chunk
        if received != self._expected:
            raise StoreBusy("get", self._key, f"{received} of {self._expected} bytes came")


def parse_stat(key: str, answer: Any, *, size: int) -> ObjectStat:
    """Return what an answer to GET or HEAD says of an object of ``size`` bytes."""
    headers = ObjectHeaders(
        content_type=answer.get("ContentType"),
        content_disposition=answer.get("ContentDisposition"),
        metadata={name.lower(): value for name, value in answer.get("Metadata", {}).items()},
    )
    return ObjectStat(key, size, answer["ETag"], answer["LastModified"].timestamp(), headers)


def parse_entry(entry: Mapping[str, Any]) -> ObjectStat:
    """Return an object as ListObjectsV2 shows it."""
    return ObjectStat(
        entry["Key"], entry["Size"], entry.get("ETag", ""), entry["LastModified"].timestamp()
    )


def parse_part(entry: Mapping[str, Any]) -> Part:
    """Return a part as ListParts shows it."""
    return Part(entry["PartNumber"], entry["Size"], entry["ETag"], parse_checksum(entry))


def parse_checksum(entry: Mapping[str, Any]) -> Checksum | None:
    """Return the checksum among the fields that describe a part."""
    for field, value in entry.items():
        if value and (match := _CHECKSUM_FIELD.fullmatch(field)):
            return Checksum(match[1], value)
    return None


def checksum_arguments(checksum: Checksum) -> dict[str, Any]:
    """Return the argument that becomes the header which the store verifies."""
    if checksum.algorithm == "MD5":
        return {"ContentMD5": checksum.value}
    return {f"Checksum{checksum.algorithm}": checksum.value}


def header_arguments(headers: ObjectHeaders) -> dict[str, Any]:
    """Return the arguments of PutObject and CreateMultipartUpload for an object's headers."""
    arguments: dict[str, Any] = {}
    if headers.content_type is not None:
        arguments["ContentType"] = headers.content_type
    if headers.content_disposition is not None:
        arguments["ContentDisposition"] = headers.content_disposition
    if headers.metadata:
        arguments["Metadata"] = dict(headers.metadata)
    return arguments
