"""What is stored with an object besides its bytes. No I/O."""

import re
from collections.abc import Mapping

from tusd_s3.model import ObjectHeaders
from tusd_s3.protocol.metadata import content_type_of

TAG = "tus-upload-id"  # the metadata that says whose object it is
_MAX_METADATA = 2048  # bytes of names and values together, S3 User Guide "Using object metadata"
_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")


def object_headers(
    metadata: Mapping[str, bytes], tag: str | None
) -> tuple[ObjectHeaders, tuple[str, ...]]:
    """Return the headers of an upload's object, and the metadata keys that were left out.

    Values keep their printable ASCII characters, every other character becomes `?`. A key that
    cannot be a header name, and whatever exceeds S3's 2 KiB, is left out: `.info` and HEAD have
    the exact original. ``tag`` says whose object it is; None for one of tusd's.
    """
    kept = {} if tag is None else {TAG: tag}
    room = _MAX_METADATA - sum(len(name) + len(value) for name, value in kept.items())
    left_out = []
    for key, raw in metadata.items():
        name = key.lower()
        value = _ascii(raw)
        if (
            not _NAME.fullmatch(name)
            or name == TAG
            or name in kept
            or len(name) + len(value) > room
        ):
            left_out.append(key)
            continue
        kept[name] = value
        room -= len(name) + len(value)
    headers = ObjectHeaders(content_type=content_type_of(metadata), metadata=kept)
    return headers, tuple(left_out)


def _ascii(raw: bytes) -> str:
    text = raw.decode("utf-8", "replace")
    # Leading and trailing blanks do not survive HTTP, and would break the request's signature.
    return "".join(c if " " <= c <= "~" else "?" for c in text).strip()
