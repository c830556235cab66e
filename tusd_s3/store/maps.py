"""Memory for large part buffers: maps that are used again while they are warm."""

import asyncio
import mmap


class MapPool:
    """Memory maps to be used again, the last one first: its pages are there and warm.

    Args:
        keep_s: seconds after which maps that nobody uses go back to the system.
    """

    def __init__(self, *, keep_s: float = 1.0) -> None:
        self._keep_s = keep_s
        self._free: dict[int, list[mmap.mmap]] = {}
        self._trimming: asyncio.TimerHandle | None = None

    def take(self, size: int) -> mmap.mmap:
        """Return a map of ``size`` bytes."""
        free = self._free.get(size)
        return free.pop() if free else mmap.mmap(-1, size)

    def give_back(self, used: mmap.mmap) -> None:
        """Keep a map that nobody refers to any more."""
        self._free.setdefault(len(used), []).append(used)
        if self._trimming is None:
            self._trimming = asyncio.get_running_loop().call_later(self._keep_s, self._trim)

    def _trim(self) -> None:
        """Give all pages back. Maps that are in use are not here."""
        self._trimming = None
        self._free.clear()  # nothing refers to them: they are unmapped at once
