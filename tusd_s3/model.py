"""What an upload is, and the values that travel between the layers. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
TIB = 1024 * GIB


class Ended(Enum):
    """Why a request body came to its end."""

    COMPLETE = "complete"  # every byte that the client announced was read
    OVERRUN = "overrun"  # more bytes came than the reader was allowed to take
    DISCONNECTED = "disconnected"  # the connection broke before the announced end
    IDLE = "idle"  # the client was silent for longer than the limit
    TAKEN_OVER = "taken over"  # another request asked for the upload
    OUT_OF_ROOM = "out of room"  # neither memory nor disk had space for more
    SHUTDOWN = "shutdown"  # the server is stopping
    FAILED = "failed"  # the reader gave up: what it does with the bytes failed


class Kind(Enum):
    """What an upload is to the concatenation extension."""

    WHOLE = "whole"
    PARTIAL = "partial"
    FINAL = "final"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a bucket accepts; the defaults are those Amazon S3 documents.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
    """

    min_part: int = 5 * MIB
    max_part: int = 5 * GIB
    max_parts: int = 10_000
    max_object: int = 5 * TIB
    preferred_part: int = 16 * MIB


@dataclass(frozen=True, slots=True)
class Features:
    """What a bucket was found to be able to do.

    Attributes:
        conditional_writes: `If-Match` and `If-None-Match: *` on PutObject are obeyed.
        checksum: name of the algorithm for new multipart uploads and all other writes, one of
            ``CRC64NVME CRC32C CRC32 MD5``; ``MD5`` stands for the Content-MD5 header.
    """

    conditional_writes: bool
    checksum: str


@dataclass(frozen=True, slots=True)
class Checksum:
    """A checksum as S3 writes it: ``value`` is Base64 of the big-endian digest."""

    algorithm: str
    value: str


@dataclass(frozen=True, slots=True)
class Part:
    """A part as the bucket lists it. ``checksum`` is None where the bucket tells none."""

    number: int
    size: int
    etag: str
    checksum: Checksum | None = None


@dataclass(frozen=True, slots=True)
class ObjectHeaders:
    """What is stored with an object besides its bytes; metadata: lower-case keys, ASCII values."""

    content_type: str | None = None
    content_disposition: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ObjectStat:
    """An object as the bucket describes it. ``modified`` is seconds since the epoch."""

    key: str
    size: int
    etag: str
    modified: float
    headers: ObjectHeaders = ObjectHeaders()


@dataclass(frozen=True, slots=True)
class NewUpload:
    """An upload to be created, as the protocol decided it.

    Attributes:
        length: bytes, or None when it is deferred.
        metadata_raw: the `Upload-Metadata` value as received, None if there was none.
        metadata: the same decoded; a key without a value has ``b""``.
        concat_raw: the `Upload-Concat` value as received, None if there was none.
        partials: of a final upload: the ids of its partial uploads, in order.
    """

    length: int | None
    metadata_raw: str | None = None
    metadata: Mapping[str, bytes] = field(default_factory=dict)
    kind: Kind = Kind.WHOLE
    concat_raw: str | None = None
    partials: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UploadInfo:
    """An upload as it stands in the bucket; enough for every decision of the protocol.

    Invariants:
        1. ``offset`` bytes are durable and contiguous from the beginning.
        2. ``finished`` is true only if the object was seen to exist or `.info` says so.
        3. ``length`` is None while it is deferred; then ``finished`` is false.
        4. An unfinished final upload has the length of its partials if all are known, and as its
           offset that length if all are finished, else 0.
    """

    id: str
    length: int | None
    offset: int
    metadata_raw: str | None = None
    metadata: Mapping[str, bytes] = field(default_factory=dict)
    kind: Kind = Kind.WHOLE
    concat_raw: str | None = None
    finished: bool = False

    @property
    def is_pending(self) -> bool:
        """Whether every byte is there but the object is not: it has to be finalised."""
        return not self.finished and self.length is not None and self.offset == self.length
