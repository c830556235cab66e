"""Listings of a bucket on S3: page after page, and never the same page for ever."""

from collections.abc import AsyncIterator
from typing import Any

from tusd_s3.buckets.s3_client import Connection
from tusd_s3.buckets.s3_values import parse_entry, parse_part, understood
from tusd_s3.errors import StoreError
from tusd_s3.model import ObjectStat, Part


async def list_objects(s3: Connection, prefix: str) -> AsyncIterator[ObjectStat]:
    """Iterate over all objects whose key begins with ``prefix``: see `Bucket`."""
    extra: dict[str, Any] = {}
    while True:
        # botocore asks for URL-encoded keys and decodes them.
        page = await s3.ask("list_objects", s3.control.list_objects_v2, Prefix=prefix, **extra)
        with understood("list_objects", prefix):
            is_last = not page["IsTruncated"]
            found = [parse_entry(entry) for entry in page.get("Contents", ())]
        for stat in found:
            yield stat
        if is_last:
            return
        token = page.get("NextContinuationToken")
        if not token or token == extra.get("ContinuationToken"):
            raise StoreError("list_objects", prefix, "the listing does not go on")
        extra = {"ContinuationToken": token}


async def list_parts(s3: Connection, key: str, multipart_id: str) -> list[Part]:
    """Return all parts of a multipart upload: see `Bucket`."""
    found: dict[int, Part] = {}
    marker = 0
    while True:
        page = await s3.ask(
            "list_parts",
            s3.quick.list_parts,
            Key=key,
            UploadId=multipart_id,
            PartNumberMarker=marker,
        )
        with understood("list_parts", key):
            is_last = not page["IsTruncated"]
            parts = [parse_part(entry) for entry in page.get("Parts", ())]
        found |= {part.number: part for part in parts}
        if is_last:
            return [found[number] for number in sorted(found)]
        following = page.get("NextPartNumberMarker") or max(found, default=0)
        if following <= marker:
            raise StoreError("list_parts", key, "the listing does not go on")
        marker = following
