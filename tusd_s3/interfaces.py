"""Every seam of the program. Implementations import this file; nothing here imports them.

The docstrings are the specification that the conformance suites test.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from tusd_s3.model import (
    Checksum,
    Ended,
    Features,
    Limits,
    NewUpload,
    ObjectHeaders,
    ObjectStat,
    Part,
    UploadInfo,
)

Chunk = bytes | bytearray | memoryview


class Clock(Protocol):
    """Wall clock: seconds since the epoch, UTC."""

    def __call__(self) -> float: ...


class Content(Protocol):
    """Bytes on their way into a bucket: size and checksum known, readable again and again."""

    @property
    def size(self) -> int:
        """Length in bytes."""
        ...

    @property
    def checksum(self) -> Checksum:
        """The checksum of exactly these bytes, which the bucket verifies."""
        ...

    def chunks(self) -> AsyncIterator[Chunk]:
        """Iterate over the bytes from the beginning; each call starts afresh (retries)."""
        ...


class ObjectReader(Protocol):
    """An object that is being read. The range asked for, in chunks of the bucket's choice."""

    @property
    def stat(self) -> ObjectStat:
        """The whole object's description; ``size`` is that of the object, not of the range."""
        ...

    def chunks(self) -> AsyncIterator[Chunk]:
        """Iterate once over the bytes of the range. A body that is cut short raises StoreBusy."""
        ...


class Bucket(Protocol):
    """Where the bytes rest: the operations of S3 that uploads need, and no others.

    Rules for every operation:
        1. An answer that is not understood raises `StoreError`; nothing is guessed.
        2. What may pass (throttling, network, 5xx, time-out) raises `StoreBusy`, after the
           implementation's own bounded retries; whether the operation took effect is unknown.
        3. Every wait has a limit.
        4. Reads see every write that was answered before they began.
        5. `StoreRefused` for credentials and rights, `StoreFull` for lack of space.
    """

    @property
    def limits(self) -> Limits:
        """Sizes and counts the bucket accepts."""
        ...

    @property
    def features(self) -> Features:
        """What was found out by `start`; not to be asked before."""
        ...

    async def start(self) -> None:
        """Connect, see that the bucket can be used, and find out its features.

        Raises:
            ConfigError: the bucket is missing, refused or unreachable, said in one sentence.
        """
        ...

    async def close(self) -> None:
        """Let go of connections and files. Safe to call twice and without `start`."""
        ...

    async def check(self) -> None:
        """Make the cheapest call that shows that the bucket answers; raise if it does not."""
        ...

    async def put(
        self,
        key: str,
        content: Content,
        *,
        headers: ObjectHeaders = ObjectHeaders(),
        if_match: str | None = None,
        if_absent: bool = False,
    ) -> str:
        """Store an object atomically and durably and return its ETag.

        Conditions are sent only where ``features.conditional_writes`` holds; elsewhere they
        are ignored.

        Raises:
            ConditionFailed: the object is not the version ``if_match`` names (missing counts),
                or exists although ``if_absent``.
            ContentCorrupted: what arrived does not have ``content.checksum``.
        """
        ...

    def get(
        self, key: str, *, start: int = 0, end: int | None = None, if_match: str | None = None
    ) -> AbstractAsyncContextManager[ObjectReader]:
        """Open an object, or its bytes ``start <= i < end``, for reading.

        ``start`` lies within the object; an empty object can be read with the defaults.

        Raises:
            ObjectMissing: there is no such key.
            ConditionFailed: the object does not have the ETag ``if_match``.
        """
        ...

    async def head(self, key: str) -> ObjectStat:
        """Describe an object.

        Raises:
            ObjectMissing: there is no such key.
        """
        ...

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete objects, any number of them; keys that do not exist are fine.

        Raises:
            StoreError: some key could not be deleted; the others were tried all the same.
        """
        ...

    def list_objects(self, prefix: str) -> AsyncIterator[ObjectStat]:
        """Iterate over all objects whose key begins with ``prefix``, in key order.

        The stats carry no headers.

        Raises:
            StoreRefused: the account may not list.
        """
        ...

    async def create_multipart(self, key: str, *, headers: ObjectHeaders, checksum: str) -> str:
        """Begin a multipart upload and return its id.

        ``headers`` become the object's. ``checksum`` is the algorithm of all its parts (see
        `Features.checksum`).
        """
        ...

    async def upload_part(self, key: str, multipart_id: str, number: int, content: Content) -> Part:
        """Store a part durably, replacing one with the same number.

        A part becomes visible only when all of its bytes arrived and have their checksum.

        Raises:
            MultipartMissing: there is no such multipart upload.
            ContentCorrupted: what arrived does not have ``content.checksum``.
        """
        ...

    async def copy_part(
        self,
        key: str,
        multipart_id: str,
        number: int,
        source: str,
        *,
        start: int,
        end: int,
        source_etag: str,
    ) -> Part:
        """Store bytes ``start <= i < end`` of the object ``source`` as a part, within the bucket.

        Raises:
            CopyRefused: the bucket cannot copy, or not a range like this one.
            ObjectMissing: there is no such source.
            ConditionFailed: the source does not have the ETag ``source_etag``.
            MultipartMissing: there is no such multipart upload.
        """
        ...

    async def list_parts(self, key: str, multipart_id: str) -> list[Part]:
        """Return all parts, over any number of pages, in order of their numbers.

        Raises:
            MultipartMissing: there is no such multipart upload.
        """
        ...

    async def complete_multipart(self, key: str, multipart_id: str, parts: Sequence[Part]) -> None:
        """Assemble the parts, in the order given, into the object, atomically.

        ETags and checksums are compared with what is stored. At least one part is needed.

        Raises:
            MultipartMissing: no such multipart upload, which a repeated Complete may get too.
            PartsRefused: a part is missing, too small, or not the one that was listed.
        """
        ...

    async def abort_multipart(self, key: str, multipart_id: str) -> None:
        """Give a multipart upload up and delete its parts.

        Raises:
            MultipartMissing: there is no such multipart upload.
        """
        ...


class Lock(Protocol):
    """An upload held by one request.

    ``generation`` numbers the holds of one upload; ``previous`` is the generation of the hold
    before this one if the locker knows it for certain, else None. State remembered under
    generation g is current if and only if ``previous == g``.
    """

    @property
    def generation(self) -> int: ...

    @property
    def previous(self) -> int | None: ...


class Locker(Protocol):
    """Who may write to an upload: at most one request at a time."""

    def hold(
        self,
        upload_id: str,
        *,
        on_release_requested: Callable[[], None],
        timeout_s: float,
    ) -> AbstractAsyncContextManager[Lock]:
        """Hold an upload, asking its present holder to let go.

        The holder's ``on_release_requested`` is called (once or more, in its own event loop) as
        soon as somebody waits, and at once if somebody waits already when it begins to hold.
        Waiters are served in order of arrival. Leaving the block releases, whatever happens;
        a waiter that is cancelled leaves no trace.

        Raises:
            UploadLocked: the holder did not let go within ``timeout_s``.
        """
        ...

    def born(self, upload_id: str) -> Lock | None:
        """Return the lock of an upload that was created this moment, as held and released.

        So its creator's knowledge of it stays current until somebody holds it. None if this
        locker cannot be sure of that.
        """
        ...


class Body(Protocol):
    """The body of one request, read as fast as its reader takes it.

    Every way a body can end, but for the reader's own cancellation, is an ordinary end: `read`
    returns ``b""`` and ``ended`` says why. What had arrived before is handed out first.
    """

    @property
    def ended(self) -> Ended | None:
        """None while bytes may still come."""
        ...

    @property
    def silent_s(self) -> float:
        """Seconds since the last byte arrived."""
        ...

    async def read(self) -> bytes:
        """Return the next bytes as they arrived, ``b""`` at the end."""
        ...

    def on_stop(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called when somebody stops the body: its reader may be waiting."""
        ...

    def stop(self, why: Ended) -> None:
        """Let the present or next `read` end the body. The first reason counts."""
        ...


class HeldUpload(Protocol):
    """An upload read under its lock; valid until the lock is released."""

    @property
    def info(self) -> UploadInfo:
        """The upload as it stands now; kept up to date by the methods below."""
        ...

    async def append(
        self, body: Body, *, declared_length: int | None = None, expected: int | None = None
    ) -> UploadInfo:
        """Store a body at the present offset and finish the upload if that was its last byte.

        What arrived is stored however the body ends. The caller has limited the body to what
        the upload may take (`rules.decide_append`). ``declared_length`` fixes a deferred length
        and is saved before the first byte. ``expected`` is the number of bytes that the client
        has announced, if it has: a few need little room.

        Returns:
            The upload afterwards: its offset is what a fresh read of the bucket would give.

        Raises:
            OutOfRoom, MaxSizeExceeded: no more of the body could be taken; what was is stored.
            StoreError: something could not be stored. ``info`` has the durable offset.
        """
        ...

    async def finish(self) -> UploadInfo:
        """Make the object of an upload whose every byte is stored. Doing it again is harmless.

        Raises:
            UploadGone: the parts vanished.
            StoreError: the object could not be made; a later call may succeed.
        """
        ...

    async def terminate(self) -> None:
        """Delete the upload and everything that belongs to it. Doing it again is harmless.

        Raises:
            StoreError: something is left; a later call may succeed.
        """
        ...


class LiveUpload(Protocol):
    """An upload that a request of this process is writing to right now."""

    @property
    def info(self) -> UploadInfo:
        """The durable state, for a HEAD that must not disturb."""
        ...

    @property
    def silent_s(self) -> float:
        """Seconds since the holder's client last sent a byte."""
        ...


class UploadStore(Protocol):
    """What the HTTP side knows of the store. Ids are as in URLs, percent-decoded and untrusted."""

    async def create(
        self, new: NewUpload, *, lock_of: Callable[[str], Lock | None] | None = None
    ) -> HeldUpload:
        """Create an upload that nobody else knows yet (so no lock is needed to append to it).

        An upload of zero bytes is finished when this returns. ``lock_of`` is `Locker.born`.
        """
        ...

    async def create_whole(self, new: NewUpload, body: Body) -> UploadInfo | None:
        """Create a small upload of known length with all of its bytes, at once.

        Returns:
            The finished upload, or None if the body ended early: then nothing was created.

        Raises:
            OutOfRoom: there is no room for the bytes.
            StoreError: the bucket failed; nothing that anybody can see is left.
        """
        ...

    def final_id(self, new: NewUpload) -> str:
        """Return the id that a final upload has: the same for the same request.

        So a client that repeats the request after a lost answer finds what it began.
        """
        ...

    async def create_final(self, new: NewUpload) -> UploadInfo:
        """Record a final upload; its partials have been looked at. `finish` makes its object.

        Doing it again finds the upload that is there.
        """
        ...

    async def read_many(self, upload_ids: Sequence[str]) -> list[UploadInfo]:
        """Read several uploads at once, as `read`.

        Raises:
            UploadNotFound, UploadGone: one of them is not there.
        """
        ...

    async def read(self, upload_id: str) -> UploadInfo:
        """Read an upload's state without its lock: repeated until two reads agree.

        Raises:
            UploadNotFound: the id is malformed, unknown or terminated.
            UploadGone: its multipart upload vanished.
        """
        ...

    def live(self, upload_id: str) -> LiveUpload | None:
        """Return the upload if a request of this process is appending to it."""
        ...

    async def open(
        self, upload_id: str, lock: Lock, *, for_termination: bool = False
    ) -> HeldUpload:
        """Read an upload's state under its lock.

        With ``for_termination`` an upload that is gone or half terminated can be opened too.

        Raises:
            UploadNotFound, UploadGone: as `read`.
        """
        ...

    def download(
        self, upload_id: str, *, start: int = 0, end: int | None = None
    ) -> AbstractAsyncContextManager[ObjectReader]:
        """Open the object of a finished upload, or its bytes ``start <= i < end``.

        Raises:
            UploadNotFound: no such upload, or its object was moved away.
            IncompleteUpload: it is not finished.
        """
        ...
