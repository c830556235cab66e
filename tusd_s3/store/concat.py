"""Plan how partial uploads become one object. No I/O: sizes and limits in, parts out.

S3 can copy a range of an object into a part without the bytes passing through us, but no part
except the last may be smaller than 5 MiB. So whatever is contiguous and large enough is copied,
and where a partial ends too early the bytes around the seam are stitched: downloaded and uploaded
once, one minimum part per seam at the most.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from tusd_s3.errors import MaxSizeExceeded
from tusd_s3.model import MIB, Limits

PREFERRED_COPY = 256 * MIB  # bytes; small enough that several copies run side by side


class Way(Enum):
    """Which plan is followed; what a store does not take is found out by trying."""

    COPY = "copy"
    EQUAL = "equal"  # the store demands parts of one size
    STREAM = "stream"  # the store cannot copy


@dataclass(frozen=True, slots=True)
class Range:
    """Bytes ``start <= i < end`` of the source with this index; never empty."""

    source: int
    start: int
    end: int

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class PlannedPart:
    """One part of the final: a single range may be copied, several have to be stitched."""

    number: int
    ranges: tuple[Range, ...]
    is_copy: bool

    @property
    def size(self) -> int:
        """Length in bytes."""
        return sum(r.size for r in self.ranges)


def plan_parts(
    sizes: Sequence[int], limits: Limits, way: Way, *, part_size: int
) -> list[PlannedPart]:
    """Plan the parts of a final; ``part_size`` is that of the plans with equal parts.

    Raises:
        MaxSizeExceeded: more bytes than an object can have, or more parts than there are numbers.
    """
    if way is Way.COPY:
        return plan_assembly(sizes, limits)
    return plan_equal(sizes, limits, part_size=part_size, copies=way is Way.EQUAL)


def plan_assembly(sizes: Sequence[int], limits: Limits) -> list[PlannedPart]:
    """Plan with as much copying as S3's own rules allow.

    Every byte stands in exactly one part, in order. Parts are between ``min_part`` and
    ``max_part`` (the last may be smaller) and no more than ``max_parts``; what is stitched is at
    most ``min_part`` bytes for each seam.

    Raises:
        MaxSizeExceeded: more bytes than an object can have, or more parts than there are numbers.
    """
    total = sum(sizes)
    if total > limits.max_object:
        raise MaxSizeExceeded("the partial uploads together are larger than an object can be")
    largest = min(limits.max_part, max(PREFERRED_COPY, 2 * limits.min_part, _share(total, limits)))
    parts = [_part(ranges) for ranges in _runs(sizes, limits.min_part, largest)]
    if len(parts) > limits.max_parts:
        raise MaxSizeExceeded("the partial uploads need more parts than an object can have")
    return _numbered(parts)


def plan_equal(
    sizes: Sequence[int], limits: Limits, *, part_size: int, copies: bool
) -> list[PlannedPart]:
    """Plan with parts of one size (the last may be smaller).

    For stores that demand equal parts: a part that lies within one partial is copied, the others
    are stitched. For stores that cannot copy (``copies`` is false) all are stitched.

    Raises:
        MaxSizeExceeded: as `plan_assembly`.
    """
    total = sum(sizes)
    if total > limits.max_object or -(-total // part_size) > limits.max_parts:
        raise MaxSizeExceeded("the partial uploads together are larger than an object can be")
    parts: list[tuple[Range, ...]] = []
    pending: list[Range] = []
    room = part_size
    for source, size in enumerate(sizes):
        start = 0
        while start < size:
            end = min(size, start + room)
            pending.append(Range(source, start, end))
            room -= end - start
            start = end
            if room == 0:
                parts.append(tuple(pending))
                pending, room = [], part_size
    if pending:
        parts.append(tuple(pending))
    planned = [_part(ranges) for ranges in parts]
    if not copies:
        planned = [PlannedPart(0, part.ranges, is_copy=False) for part in planned]
    return _numbered(planned)


def _share(total: int, limits: Limits) -> int:
    """Return a part size that leaves half of the numbers for the seams."""
    return -(-total // max(1, limits.max_parts // 2))


def _runs(sizes: Sequence[int], smallest: int, largest: int) -> Iterator[tuple[Range, ...]]:
    """Cut the sources into parts: stitch until ``smallest`` is reached, then copy."""
    pending: list[Range] = []
    missing = smallest  # bytes until what is pending can be a part
    for source, size in enumerate(sizes):
        start = 0
        if pending:
            start = min(size, missing)
            if start:
                pending.append(Range(source, 0, start))
                missing -= start
            if missing == 0:
                yield tuple(pending)
                pending, missing = [], smallest
        rest = size - start
        if rest >= smallest and not pending:
            yield from ((r,) for r in _split(source, start, size, largest))
        elif rest:
            pending.append(Range(source, start, size))
            missing = smallest - rest
    if pending:
        yield tuple(pending)


def _split(source: int, start: int, end: int, largest: int) -> Iterator[Range]:
    """Cut a long range into the fewest pieces of at most ``largest`` bytes, about equal."""
    count = -(-(end - start) // largest)
    for index in range(count):
        size = -(-(end - start) // (count - index))
        yield Range(source, start, start + size)
        start += size


def _part(ranges: tuple[Range, ...]) -> PlannedPart:
    return PlannedPart(0, ranges, is_copy=len(ranges) == 1)


def _numbered(parts: Sequence[PlannedPart]) -> list[PlannedPart]:
    return [PlannedPart(n, part.ranges, is_copy=part.is_copy) for n, part in enumerate(parts, 1)]
