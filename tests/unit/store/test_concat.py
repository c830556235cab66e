"""Properties of the plan of a concatenation."""

import time
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tusd_s3.errors import MaxSizeExceeded
from tusd_s3.model import GIB, MIB, TIB, Limits
from tusd_s3.store.concat import PlannedPart, Way, plan_assembly, plan_equal, plan_parts

MIN = 5 * MIB
LIMITS = Limits()
EDGES = [0, 1, 4, MIN - 1, MIN, MIN + 1, 2 * MIN, 64 * MIB, 5 * GIB - 1, 5 * GIB, 5 * GIB + 1]
size = st.sampled_from(EDGES) | st.integers(0, 20 * MIB) | st.integers(0, 6 * GIB)
some_sizes = st.lists(size, max_size=60)


def tiles(parts: list[PlannedPart], sizes: list[int]) -> bool:
    """Whether the parts' ranges are the sources, every byte once and in order."""
    position = [(r.source, r.start, r.end) for part in parts for r in part.ranges]
    expected = 0
    at = [0] * len(sizes)
    for source, start, end in position:
        if source < expected or start != at[source] or end <= start:
            return False
        expected, at[source] = source, end
    return at == sizes


def seams(sizes: list[int]) -> int:
    """How many boundaries between sources that are not empty there are."""
    return max(0, sum(1 for s in sizes if s) - 1)


@given(sizes=some_sizes)
@example(sizes=[0, 1, MIN - 1, MIN, MIN + 1, 64 * MIB])
@example(sizes=[MIN - 1, 1, MIN - 1, 1])
@example(sizes=[64 * MIB, 3, 6 * MIB, 64 * MIB])
def test_every_byte_stands_in_one_part_in_order(sizes: list[int]) -> None:
    """CAT-07: the object is the partials, one after the other."""
    parts = plan_assembly(sizes, LIMITS)

    assert tiles(parts, sizes)
    assert [part.number for part in parts] == list(range(1, len(parts) + 1))


@given(sizes=some_sizes)
def test_every_part_is_one_that_the_bucket_accepts(sizes: list[int]) -> None:
    """No part but the last is below the minimum, none above the maximum, none too many."""
    parts = plan_assembly(sizes, LIMITS)

    assert all(part.size >= LIMITS.min_part for part in parts[:-1])
    assert all(0 < part.size <= LIMITS.max_part for part in parts)
    assert len(parts) <= LIMITS.max_parts


@given(sizes=some_sizes)
def test_what_passes_through_memory_is_one_minimum_part_per_seam(sizes: list[int]) -> None:
    """Everything else is copied within the bucket."""
    parts = plan_assembly(sizes, LIMITS)

    stitched = sum(part.size for part in parts if not part.is_copy)
    assert stitched <= MIN * seams(sizes)
    assert all(part.is_copy == (len(part.ranges) == 1) for part in parts)


@given(count=st.integers(1, 1000), each=st.sampled_from([1, MIN - 1, MIN, MIN + 1, 5 * GIB]))
def test_up_to_a_thousand_partials_of_one_size_are_planned(count: int, each: int) -> None:
    """Up to 1,000 partials and 5 TiB: within the limits, whatever the size."""
    sizes = [each] * count

    parts = plan_assembly(sizes, LIMITS)

    assert tiles(parts, sizes)
    assert all(MIN <= part.size <= LIMITS.max_part for part in parts[:-1])
    assert len(parts) <= LIMITS.max_parts


@given(
    sizes=st.lists(st.integers(0, 40 * MIB), max_size=30),
    part_size=st.sampled_from([MIN, 16 * MIB]),
    copies=st.booleans(),
)
def test_equal_parts_are_equal(sizes: list[int], part_size: int, copies: bool) -> None:
    """All parts but the last have the one size; copied is what lies within one partial."""
    parts = plan_equal(sizes, LIMITS, part_size=part_size, copies=copies)

    assert tiles(parts, sizes)
    assert all(part.size == part_size for part in parts[:-1])
    assert all(part.size <= part_size for part in parts)
    assert all(part.is_copy == (copies and len(part.ranges) == 1) for part in parts)


def test_nothing_needs_no_parts() -> None:
    """Partials of no bytes make an object of no bytes, which is no multipart upload."""
    assert plan_assembly([], LIMITS) == plan_assembly([0, 0], LIMITS) == []


@pytest.mark.parametrize("sizes", [[5 * TIB, 1], [5 * GIB] * 1025])
def test_more_than_an_object_can_hold_is_refused(sizes: list[int]) -> None:
    """5 TiB is S3's largest object."""
    with pytest.raises(MaxSizeExceeded):
        plan_assembly(sizes, LIMITS)


def test_more_parts_than_numbers_are_refused() -> None:
    """Twelve partials just above the minimum do not fit in ten numbers."""
    limits = Limits(max_parts=10)

    with pytest.raises(MaxSizeExceeded):
        plan_assembly([MIN + 1] * 12, limits)
    with pytest.raises(MaxSizeExceeded):
        plan_equal([MIN + 1] * 12, limits, part_size=MIN, copies=True)


@pytest.mark.parametrize("way", Way)
def test_every_way_joins_the_same_bytes(way: Way) -> None:
    """What a store does not take changes how the parts are made, not what they hold."""
    sizes = [0, 1, MIN - 1, MIN, MIN + 1, 64 * MIB]

    parts = plan_parts(sizes, LIMITS, way, part_size=MIN)

    assert tiles(parts, sizes)
    assert any(part.is_copy for part in parts) == (way is not Way.STREAM)
    assert (len({part.size for part in parts[:-1]}) == 1) == (way is not Way.COPY)


@pytest.mark.parametrize(
    "sizes",
    [[5 * TIB], [5 * GIB] * 1024, [640 * GIB + 1, 640 * GIB - 1] * 4, [5 * TIB // 1000] * 1000],
    ids=["one", "largest objects", "eight", "thousand"],
)
def test_the_largest_object_is_planned_in_no_time(
    sizes: list[int], record_property: Callable[[str, object], None]
) -> None:
    """5 TiB: within the numbers, and copied but for the seams."""
    began = time.perf_counter()

    parts = plan_assembly(sizes, LIMITS)

    took_ms = (time.perf_counter() - began) * 1000
    stitched = sum(part.size for part in parts if not part.is_copy)
    record_property("parts", len(parts))
    print(f"{len(sizes)} partials: {len(parts)} parts, {stitched} bytes sent, {took_ms:.0f} ms")  # noqa: T201
    assert tiles(parts, sizes)
    assert len(parts) <= LIMITS.max_parts
    assert stitched <= MIN * seams(sizes)
    assert took_ms < 1000
