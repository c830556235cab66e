"""Whether this process wrote to an upload while it was being read.

A read without the lock has to be repeated until two agree, unless nobody can have written. Where
one process serves a bucket alone, that process knows.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Watch:
    """One read of an upload; ``disturbed`` once somebody has written to it."""

    disturbed: bool


class Watchers:
    """The uploads being written to, and those being read.

    Args:
        is_sole: whether nobody but this process writes to the bucket.
    """

    def __init__(self, *, is_sole: bool) -> None:
        self._is_sole = is_sole
        self._writing: Counter[str] = Counter()
        self._watches: dict[str, set[Watch]] = {}

    @contextmanager
    def writing(self, upload_id: str) -> Iterator[None]:
        """Note that an upload is being changed."""
        self._writing[upload_id] += 1
        for watch in self._watches.get(upload_id, ()):
            watch.disturbed = True
        try:
            yield
        finally:
            self._writing[upload_id] -= 1
            if not self._writing[upload_id]:
                del self._writing[upload_id]

    @contextmanager
    def reading(self, upload_id: str) -> Iterator[Watch]:
        """Watch an upload while it is being read."""
        watch = Watch(disturbed=not self._is_sole or upload_id in self._writing)
        watches = self._watches.setdefault(upload_id, set())
        watches.add(watch)
        try:
            yield watch
        finally:
            watches.discard(watch)
            if not watches:
                self._watches.pop(upload_id, None)
