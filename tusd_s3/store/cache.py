"""What the last holder of an upload knew, so that the next request need not read it again.

An entry counts only if the locker is sure that nobody held the upload in between, and it never
outlives a write whose outcome is unknown.
"""

from collections import OrderedDict
from dataclasses import dataclass

from tusd_s3.interfaces import Lock
from tusd_s3.store.buffer import PartBuffer
from tusd_s3.store.snapshot import Snapshot


@dataclass(slots=True)
class Remembered:
    """A snapshot, and the tail's bytes if they are still in memory."""

    generation: int
    snapshot: Snapshot
    tail_bytes: PartBuffer | None


class StateCache:
    """The uploads that were written to last, at most ``capacity`` of them."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[str, Remembered] = OrderedDict()

    def keep(self, lock: Lock, snapshot: Snapshot, tail_bytes: PartBuffer | None) -> None:
        """Remember what the holder of ``lock`` knows; the bytes are the cache's from now on."""
        upload_id = str(snapshot.id)
        self.drop(upload_id)
        if tail_bytes is not None:
            tail_bytes.remember()
        self._entries[upload_id] = Remembered(lock.generation, snapshot, tail_bytes)
        while len(self._entries) > self._capacity:
            self.drop(next(iter(self._entries)))

    def find(self, upload_id: str, lock: Lock) -> Snapshot | None:
        """Return what is remembered, if nobody else held the upload since; it stays remembered."""
        entry = self._entries.get(upload_id)
        if entry is None:
            return None
        if entry.generation != lock.previous:
            self.drop(upload_id)
            return None
        entry.generation = lock.generation
        return entry.snapshot

    def claim(self, upload_id: str) -> PartBuffer | None:
        """Forget an upload that is about to change, and hand the tail's bytes over."""
        entry = self._entries.pop(upload_id, None)
        return None if entry is None else entry.tail_bytes

    def drop(self, upload_id: str) -> None:
        """Forget an upload."""
        tail_bytes = self.claim(upload_id)
        if tail_bytes is not None:
            tail_bytes.forget()

    def drop_oldest_tail(self) -> bool:
        """Give the memory of one tail back; False if there is none left."""
        for entry in self._entries.values():
            if entry.tail_bytes is not None:
                entry.tail_bytes.forget()
                entry.tail_bytes = None
                return True
        return False


@dataclass(frozen=True, slots=True)
class Memory:
    """The cache, and the lock whose holder's knowledge goes there."""

    cache: StateCache
    lock: Lock
