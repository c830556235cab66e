"""What all uploads of a process share."""

import asyncio
from dataclasses import dataclass, field

from tusd_s3.interfaces import Bucket
from tusd_s3.model import Limits
from tusd_s3.store.concat import Way
from tusd_s3.store.keys import Names
from tusd_s3.store.quiet import Watchers
from tusd_s3.store.spool import Spool


@dataclass(slots=True)
class Copying:
    """How finals are assembled in this bucket, as far as it has been found out by trying."""

    way: Way = Way.COPY


@dataclass(frozen=True, slots=True)
class Depot:
    """The bucket, and what is shared out among the uploads.

    Attributes:
        limits: the bucket's, with no part larger than our buffers can hold.
        slots: permits to send a part, process-wide, given in order of arrival.
        parts_per_upload: how many parts of one upload may be on their way or waiting for a slot.
        delete_partials: whether partial uploads go when their final upload is complete.
    """

    bucket: Bucket
    names: Names
    spool: Spool
    limits: Limits
    slots: asyncio.Semaphore
    parts_per_upload: int
    delete_partials: bool = False
    watchers: Watchers = field(default_factory=lambda: Watchers(is_sole=False))
    copying: Copying = field(default_factory=Copying)
