"""An upload as it stands in the bucket: what was found, and what is made of it. No I/O."""

from dataclasses import dataclass

from tusd_s3.model import UploadInfo
from tusd_s3.store.grid import Ledger
from tusd_s3.store.info import Phase, Record
from tusd_s3.store.keys import UploadId


@dataclass(frozen=True, slots=True)
class Tail:
    """The acknowledged beginning of part ``number``, kept under ``key``."""

    number: int
    key: str
    size: int
    etag: str


@dataclass(slots=True)
class Snapshot:
    """An upload as it was found in the bucket, and as its holder changes it.

    Attributes:
        etag: of `.info`, for its conditional rewrite.
        ledger: the parts; None for an upload that is finished, terminated or gone.
        tail: that of the next part, if it counts.
        object_exists: the finished object was seen or made.
        gone: neither the multipart upload nor an object of ours exists.
        partials: of an unfinished final upload.
    """

    id: UploadId
    record: Record
    etag: str
    ledger: Ledger | None = None
    tail: Tail | None = None
    object_exists: bool = False
    gone: bool = False
    partials: tuple[UploadInfo, ...] | None = None

    @property
    def offset(self) -> int:
        """Bytes that are durable and contiguous, as a fresh read would count them.

        A single object counts when `.info` knows of it: nobody looks for it before.
        """
        if self.partials is not None and self.record.phase is Phase.OPEN:
            return (self.length or 0) if all(p.finished for p in self.partials) else 0
        is_multipart = self.id.multipart_id is not None
        if (
            self.ledger is None
            or self.record.phase is Phase.FINISHED
            or (self.object_exists and is_multipart)
        ):
            return self.record.length or 0
        if self.tail is not None and self.tail.number == self.ledger.next_number:
            return self.ledger.prefix_bytes + self.tail.size
        return self.ledger.prefix_bytes

    @property
    def length(self) -> int | None:
        """Bytes, None while it is not known."""
        if self.record.length is None and self.partials is not None:
            lengths = [partial.length for partial in self.partials]
            return None if None in lengths else sum(filter(None, lengths))
        return self.record.length

    @property
    def info(self) -> UploadInfo:
        """The upload as the protocol sees it: finished when the record says so.

        An object that `.info` does not know of yet leaves the upload pending, so that whoever
        comes next writes it down; otherwise it would be lost when a consumer moves the object.
        """
        finished = self.record.phase is Phase.FINISHED
        return self.record.describe(self.offset, self.length, finished=finished)
