"""Decide how bytes become parts. No I/O: everything here is arithmetic.

Part *n* of an upload always covers the same bytes. Whoever writes it, a retry or a process that
lost its lock, writes the same range of the same file; parts may be stored in any order, and what
counts is the contiguous prefix of parts that have exactly their size.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tusd_s3.errors import MaxSizeExceeded
from tusd_s3.model import Limits, Part

PARTS_PER_STEP = 1000  # of a schedule: so many parts have one size, the next ones a larger one


@dataclass(frozen=True, slots=True)
class Grid:
    """The part sizes of one upload.

    Attributes:
        part_size: bytes of the first parts (of all parts when ``growth`` is 1).
        growth: factor from one step of `PARTS_PER_STEP` parts to the next.
        largest: no part is larger than this.
        max_parts: part numbers run up to this.
        first_number: number of the first part that this grid describes.
        base_parts, base_bytes: parts 1..n of any sizes that tusd stored before, and their sum.
    """

    part_size: int
    growth: int
    largest: int
    max_parts: int
    first_number: int = 1
    base_parts: int = 0
    base_bytes: int = 0

    def size(self, number: int, length: int | None) -> int:
        """Return the bytes of part ``number``, 0 for a part that lies behind the end."""
        whole = self._whole(number)
        if length is None:
            return whole
        return max(0, min(whole, length - self.start(number)))

    def start(self, number: int) -> int:
        """Return the offset of the first byte of part ``number``."""
        index = number - self.first_number
        start = self.base_bytes
        size = self.part_size
        while index > 0:
            run = index if self.growth == 1 else min(index, PARTS_PER_STEP)
            start += run * size
            index -= run
            size = min(size * self.growth, self.largest)
        return start

    def last_number(self, length: int | None) -> int:
        """Return the number of the last part; with a deferred length, of the last there can be."""
        if length is None:
            return self.max_parts
        low, high = self.first_number, self.max_parts + 1
        while low < high:  # the first part that begins at or behind the end
            middle = (low + high) // 2
            low, high = (low, middle) if self.start(middle) >= length else (middle + 1, high)
        return low - 1

    @property
    def has_gap(self) -> bool:
        """Whether tusd left parts behind a gap, which do not count."""
        return self.first_number > self.base_parts + 1

    @property
    def capacity(self) -> int:
        """The most bytes an upload with this grid can have."""
        return self.start(self.max_parts + 1)

    def _whole(self, number: int) -> int:
        if not self.first_number <= number <= self.max_parts:
            return 0
        step = (number - self.first_number) // PARTS_PER_STEP
        grown: int = self.part_size * self.growth**step
        return min(grown, self.largest)

    def to_json(self) -> dict[str, int]:
        """Return what `.info` keeps."""
        return {
            "PartSize": self.part_size,
            "Growth": self.growth,
            "Largest": self.largest,
            "MaxParts": self.max_parts,
            "FirstNumber": self.first_number,
            "BaseParts": self.base_parts,
            "BaseBytes": self.base_bytes,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Grid":
        """Read back what `to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: it is not that.
        """
        names = (
            "PartSize",
            "Growth",
            "Largest",
            "MaxParts",
            "FirstNumber",
            "BaseParts",
            "BaseBytes",
        )
        grid = cls(*(int(data[name]) for name in names))
        if min(grid.part_size, grid.growth, grid.largest, grid.first_number) < 1:
            raise ValueError("a grid of nothing")
        return grid


def choose_part_size(length: int, limits: Limits) -> int:
    """Return the size to cut an upload of ``length`` bytes by.

    The preferred size wins until it would need more than ``max_parts`` parts.

    Raises:
        MaxSizeExceeded: no size up to ``max_part`` is large enough.
    """
    smallest_that_fits = -(-length // limits.max_parts)  # rounded up
    size = max(min(limits.preferred_part, limits.max_part), smallest_that_fits)
    if length > limits.max_object or size > limits.max_part:
        raise MaxSizeExceeded("the bucket cannot hold an object of this size")
    return size


def choose_grid(length: int | None, limits: Limits, *, first_number: int = 1) -> Grid:
    """Return the grid of an upload from ``first_number`` on (``length`` counts from there).

    A deferred length gets a schedule that reaches the largest object the bucket takes, with the
    smallest growth that does.

    Raises:
        MaxSizeExceeded: the bucket cannot hold that many bytes.
    """
    numbers = limits.max_parts - first_number + 1
    if numbers < 1:
        raise MaxSizeExceeded("no part numbers are left")
    if length is not None:
        rest = Limits(
            limits.min_part, limits.max_part, numbers, limits.max_object, limits.preferred_part
        )
        size = choose_part_size(length, rest)
        return Grid(size, 1, size, limits.max_parts, first_number)
    first = min(limits.preferred_part, limits.max_part)
    growth = 2
    while True:
        grid = Grid(first, growth, limits.max_part, limits.max_parts, first_number)
        if grid.capacity >= limits.max_object or growth >= limits.max_part:
            return grid
        growth *= 2


def adopt_grid(parts: Iterable[Part], length: int | None, limits: Limits) -> Grid:
    """Return the grid of an upload that tusd began: its contiguous parts are the base.

    Our own parts are numbered from the highest number listed on, so that a part behind a gap can
    never be counted as one of ours. Where the rest does not fit in the numbers that are left, the
    grid has no parts beyond the base: the upload can be looked at and deleted, not continued.
    """
    listed = sorted(parts, key=lambda part: part.number)
    count = 0
    size = 0
    for part in listed:
        if part.number != count + 1:
            break
        count += 1
        size += part.size
    first_number = (listed[-1].number if listed else 0) + 1
    rest = None if length is None else max(0, length - size)
    try:
        grid = choose_grid(rest, limits, first_number=first_number)
    except MaxSizeExceeded:
        grid = Grid(limits.preferred_part, 1, limits.preferred_part, first_number - 1, first_number)
    return replace(grid, base_parts=count, base_bytes=size)


class Ledger:
    """Which parts of one upload are stored, and what of them counts.

    Invariants:
        1. ``prefix_bytes`` is the end of the contiguous run of parts that have exactly their grid
           size; it never falls while the length stays as it is.
        2. ``next_number`` is the part that begins there; a tail counts only for that part.
    """

    def __init__(self, grid: Grid, parts: Iterable[Part], length: int | None) -> None:
        self.grid = grid
        self._listed = {part.number: part for part in parts}
        self.declare(length)

    def declare(self, length: int | None) -> None:
        """Count again with this length (None: still deferred)."""
        self.length = length
        self.next_number = self.grid.first_number
        base = range(1, self.grid.base_parts + 1)
        sizes = [self._listed[number].size for number in base if number in self._listed]
        if len(sizes) < len(base) or sum(sizes) != self.grid.base_bytes:
            raise ValueError("the parts that were adopted are not there any more")
        self.prefix_bytes = self.grid.base_bytes
        self._advance()

    def add(self, part: Part) -> None:
        """Note that a part is stored."""
        self._listed[part.number] = part
        self._advance()

    def stored(self, number: int) -> Part | None:
        """Return part ``number`` if it is stored with exactly its size, behind a gap or not."""
        part = self._listed.get(number)
        if part is None or part.size != self.grid.size(number, self.length) or part.size == 0:
            return None
        return part

    @property
    def has_own_parts(self) -> bool:
        """Whether any part of the grid (not of the base) counts."""
        return self.next_number > self.grid.first_number

    def counted(self) -> list[Part]:
        """Return the parts of the prefix, in order: what Complete is given."""
        base = range(1, self.grid.base_parts + 1)
        own = range(self.grid.first_number, self.next_number)
        return [self._listed[number] for number in (*base, *own)]

    def _advance(self) -> None:
        while (part := self.stored(self.next_number)) is not None:
            self.prefix_bytes += part.size
            self.next_number += 1
