"""What the last holder of an upload knew, so that the next request need not read it again.

An entry counts only if the locker is sure that nobody held the upload in between, and it never
outlives a write whose outcome is unknown.
"""

from collections import OrderedDict
from dataclasses import dataclass

from tusd_s3.interfaces import Lock
from tusd_s3.store.spool import PartBuffer
from tusd_s3.store.state import Snapshot


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
        """Remember what the holder of ``lock`` knows when it lets go."""
        key = str(snapshot.id)
        if tail_bytes is not None:
            tail_bytes.reuse(lambda: self._drop_tail(key))
        self._entries[key] = Remembered(lock.generation, snapshot, tail_bytes)
        while len(self._entries) > self._capacity:
            _, oldest = self._entries.popitem(last=False)
            _forget(oldest)

    def take(self, upload_id: str, lock: Lock) -> Remembered | None:
        """Return and remove the entry of an upload, if nobody held it since."""
        entry = self._entries.pop(upload_id, None)
        if entry is None:
            return None
        if entry.generation != lock.previous:
            _forget(entry)
            return None
        return entry

    def drop(self, upload_id: str) -> None:
        """Forget an upload."""
        entry = self._entries.pop(upload_id, None)
        if entry is not None:
            _forget(entry)

    def drop_oldest_tail(self) -> bool:
        """Give the memory of one tail back; False if there is none left."""
        for entry in self._entries.values():
            if entry.tail_bytes is not None:
                _forget(entry)
                return True
        return False

    def _drop_tail(self, upload_id: str) -> None:
        entry = self._entries.get(upload_id)
        if entry is not None:
            _forget(entry)


def _forget(entry: Remembered) -> None:
    if entry.tail_bytes is not None:
        entry.tail_bytes.forget()
        entry.tail_bytes = None
