"""Names: of an upload's objects in the bucket, and of the upload in a URL. No I/O."""

import re
from dataclasses import dataclass

from tusd_s3.errors import UploadNotFound

# A segment of an object id. No control characters, no percent sign, no leading dot (which also
# keeps `.` and `..` out), and nothing that could be taken for one of our own suffixes.
# 240 characters leave room for a suffix in stores that keep objects as files.
_SEGMENT = re.compile(r"[A-Za-z0-9_~@=+,()-][A-Za-z0-9._~@=+,()-]{0,239}")
_OUR_SUFFIX = re.compile(r"\.(info|part|part\.[0-9]+)$")
_MULTIPART_ID = re.compile(r"[A-Za-z0-9._~=-]{1,1024}")
_MAX_OBJECT_ID = 768  # leaves room for prefixes and suffixes within S3's 1,024 bytes


@dataclass(frozen=True, slots=True)
class UploadId:
    """An upload id taken apart; ``multipart_id`` is None for an upload that fits in one part."""

    object_id: str
    multipart_id: str | None

    def __str__(self) -> str:
        """Return the id as URLs and `.info` have it (tusd's form)."""
        return self.object_id if self.multipart_id is None else "+".join(self._both())

    def _both(self) -> tuple[str, str]:
        return self.object_id, self.multipart_id or ""


def is_object_id(text: str) -> bool:
    """Whether ``text`` is in the grammar of object ids."""
    if len(text) > _MAX_OBJECT_ID or _OUR_SUFFIX.search(text):
        return False
    return all(_SEGMENT.fullmatch(segment) for segment in text.split("/"))


def is_multipart_id(text: str) -> bool:
    """Whether ``text`` can stand behind the `+` of an upload id."""
    return _MULTIPART_ID.fullmatch(text) is not None


def parse_upload_id(raw: str) -> UploadId:
    """Take an id from a client apart, at the last `+` as tusd does.

    Raises:
        UploadNotFound: no upload could have this id; nothing is asked of the bucket.
    """
    object_id, plus, multipart_id = raw.rpartition("+")
    if not plus:
        object_id, multipart_id = raw, ""
    if not is_object_id(object_id) or (plus and not is_multipart_id(multipart_id)):
        raise UploadNotFound
    return UploadId(object_id, multipart_id or None)


@dataclass(frozen=True, slots=True)
class Names:
    """Where the objects of an upload are kept. Prefixes end in `/` or are empty, as in tusd."""

    object_prefix: str = ""
    metadata_prefix: str = ""

    @classmethod
    def of(cls, object_prefix: str, metadata_prefix: str | None) -> "Names":
        """Build from settings: a missing slash is added, the second defaults to the first."""
        if metadata_prefix is None:
            metadata_prefix = object_prefix
        return cls(
            *(p if not p or p.endswith("/") else p + "/" for p in (object_prefix, metadata_prefix))
        )

    def object(self, object_id: str) -> str:
        """Key of the finished object."""
        return self.object_prefix + object_id

    def info(self, object_id: str) -> str:
        """Key of the record."""
        return f"{self.metadata_prefix}{object_id}.info"

    def tail(self, object_id: str, number: int) -> str:
        """Key of the acknowledged beginning of part ``number``."""
        return f"{self.metadata_prefix}{object_id}.part.{number}"

    def plain_tail(self, object_id: str) -> str:
        """Key of the tail that tusd keeps."""
        return f"{self.metadata_prefix}{object_id}.part"

    def is_tail(self, key: str, object_id: str) -> bool:
        """Whether ``key`` is one of the upload's tails."""
        start = self.plain_tail(object_id)
        return key == start or (
            key.startswith(start + ".")
            and key[len(start) + 1 :].isascii()
            and key[len(start) + 1 :].isdigit()
        )
