"""The `Upload-Metadata` codec, and what may safely be made of the values. No I/O.

Values are arbitrary bytes from a stranger: nothing here returns text that could end a header
line or lead out of a folder.
"""

import base64
import re
from collections.abc import Mapping
from urllib.parse import quote

from tusd_s3.errors import InvalidMetadata

OCTET_STREAM = "application/octet-stream"

_BLANK = " \t"
_KEY = re.compile(r"[!-+\--~]+")  # visible ASCII without the comma
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")

_TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"  # noqa: S105 - the grammar's name for a word
_QUOTED = r'"(?:[ !#-\[\]-~]|\\[ -~])*"'
_MEDIA_TYPE = re.compile(rf"{_TOKEN}/{_TOKEN}(?: *; *{_TOKEN}=(?:{_TOKEN}|{_QUOTED}))*")
_LONGEST_MEDIA_TYPE = 255

# C0, DEL, C1, line and paragraph separators, and what reverses the reading order
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_LONGEST_FILENAME = 255  # bytes of UTF-8, the limit of file systems
_LONGEST_EXTENSION = 32
_ATTR_CHAR = "!#$&+-.^_`|~"  # RFC 8187, besides letters and digits


def parse_metadata(raw: str) -> dict[str, bytes]:
    """Decode an `Upload-Metadata` value.

    Blanks around commas are tolerated, a key without a value has ``b""``, and an empty header
    is none. Base64 is the standard alphabet, padded.

    Raises:
        InvalidMetadata: an empty, repeated or non-ASCII key, or a value that is not Base64.
    """
    metadata: dict[str, bytes] = {}
    if not raw.strip(_BLANK):
        return metadata
    for pair in raw.split(","):
        key, _, value = pair.strip(_BLANK).partition(" ")
        if not _KEY.fullmatch(key):
            raise InvalidMetadata("a key is empty or not printable ASCII")
        if key in metadata:
            raise InvalidMetadata("a key was sent twice")
        if not _BASE64.fullmatch(value):
            raise InvalidMetadata("a value is not padded Base64")
        metadata[key] = base64.b64decode(value)
    return metadata


def is_metadata_key(key: str) -> bool:
    """Whether the `Upload-Metadata` header can carry this key."""
    return _KEY.fullmatch(key) is not None


def format_metadata(metadata: Mapping[str, bytes]) -> str:
    """Encode metadata, in the mapping's order; an empty value is left out with its blank.

    Raises:
        ValueError: a key that the header cannot carry.
    """
    pairs = []
    for key, value in metadata.items():
        if not _KEY.fullmatch(key):
            raise ValueError(f"not a metadata key: {key!r}")
        pairs.append(f"{key} {base64.b64encode(value).decode('ascii')}" if value else key)
    return ",".join(pairs)


def text(value: bytes) -> str:
    """Decode a value for use as text: UTF-8, with U+FFFD for what is not."""
    return value.decode("utf-8", "replace")


def content_type_of(metadata: Mapping[str, bytes]) -> str:
    """Return the media type the client gave as `filetype` or `contentType`, if it is one.

    Anything but a well-formed type of printable ASCII could smuggle in a header, so it becomes
    ``application/octet-stream``.
    """
    for key in ("filetype", "contentType"):
        given = text(metadata.get(key, b""))
        if len(given) <= _LONGEST_MEDIA_TYPE and _MEDIA_TYPE.fullmatch(given):
            return given
    return OCTET_STREAM


def filename_of(metadata: Mapping[str, bytes]) -> str | None:
    """Return the file's name as the client gave it (`filename`, else `name`), made harmless.

    Only what follows the last separator of any system counts, without control characters; the
    extension survives where a very long name is cut. None if nothing is left.
    """
    given = text(metadata.get("filename") or metadata.get("name") or b"")
    name = _UNPRINTABLE.sub("", re.split(r"[/\\]", given)[-1]).strip()
    return None if name in {"", ".", ".."} else _shortened(name)


def format_disposition(filename: str | None, *, inline: bool) -> str:
    """Write a `Content-Disposition` (RFC 6266): an ASCII name, and the exact one if it differs.

    Quotes, backslashes and percent signs are left to the exact form, since browsers disagree
    about them in the other one.
    """
    kind = "inline" if inline else "attachment"
    if not filename:
        return kind
    plain = re.sub(r'[^ -~]|["\\%]', "_", filename)
    disposition = f'{kind}; filename="{plain}"'
    if plain != filename:
        exact = quote(filename, safe=_ATTR_CHAR, errors="replace")
        disposition += f"; filename*=UTF-8''{exact}"
    return disposition


def _shortened(name: str) -> str:
    """Cut a name to what file systems take, in the middle, before a short extension."""
    if len(name.encode()) <= _LONGEST_FILENAME:
        return name
    stem, dot, extension = name.rpartition(".")
    ending = (dot + extension).encode()
    if not stem or len(ending) > _LONGEST_EXTENSION:
        stem, ending = name, b""
    return (stem.encode()[: _LONGEST_FILENAME - len(ending)] + ending).decode("utf-8", "ignore")
