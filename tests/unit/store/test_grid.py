"""Facts about the arithmetic of parts."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tusd_s3.errors import MaxSizeExceeded
from tusd_s3.model import GIB, MIB, TIB, Limits, Part
from tusd_s3.store.grid import Grid, Ledger, adopt_grid, choose_grid, choose_part_size

S3 = Limits()
SMALL = Limits(min_part=1, max_part=64, max_parts=40, max_object=2000, preferred_part=8)
PREFERRED = [5 * MIB, 8 * MIB, 16 * MIB]

lengths = st.integers(0, 2000)
small_limits = st.builds(
    Limits,
    min_part=st.just(1),
    max_part=st.integers(8, 64),
    max_parts=st.integers(1, 40),
    max_object=st.integers(1, 2000),
    preferred_part=st.integers(1, 32),
)
grids = st.builds(
    Grid,
    part_size=st.integers(1, 16),
    growth=st.integers(1, 4),
    largest=st.integers(16, 64),
    max_parts=st.integers(1, 3500),
    first_number=st.integers(1, 50),
    base_parts=st.just(0),
    base_bytes=st.integers(0, 1000),
)


def part(number: int, size: int) -> Part:
    """A part with an ETag that nobody looks at."""
    return Part(number, size, f'"{number}-{size}"')


def parts_of(grid: Grid, length: int | None, numbers: list[int]) -> list[Part]:
    """Whole parts of a grid."""
    return [part(number, grid.size(number, length)) for number in numbers]


# -- sizes ---------------------------------------------------------------------------------------


@given(grid=grids, data=st.data())
def test_a_part_begins_where_the_one_before_it_ends(grid: Grid, data: st.DataObject) -> None:
    """No gap and no overlap, over the steps of a schedule too; sizes never shrink."""
    assume(grid.first_number <= grid.max_parts)
    number = data.draw(st.integers(grid.first_number, grid.max_parts))

    assert grid.start(grid.first_number) == grid.base_bytes
    assert grid.start(number + 1) == grid.start(number) + grid.size(number, None)
    if number < grid.max_parts:
        assert grid.size(number, None) <= grid.size(number + 1, None) <= grid.largest


@given(limits=small_limits, length=lengths)
def test_the_parts_of_a_known_length_tile_the_upload(limits: Limits, length: int) -> None:
    """Equal parts, the last one shorter, never too many or too large; or a refusal."""
    try:
        grid = choose_grid(length, limits)
    except MaxSizeExceeded:
        assert length > min(limits.max_object, limits.max_part * limits.max_parts)
        return
    sizes = [grid.size(number, length) for number in range(1, limits.max_parts + 1)]
    used = [size for size in sizes if size]

    assert sum(used) == length
    assert sizes == used + [0] * (len(sizes) - len(used))
    assert len(set(used[:-1])) <= 1
    assert all(size <= limits.max_part for size in used)
    assert not used or used[-1] <= used[0]


@pytest.mark.parametrize("preferred", PREFERRED)
@given(length=st.integers(0, 5 * TIB))
def test_amazons_limits_are_kept(preferred: int, length: int) -> None:
    """Any object that S3 can hold fits in 10,000 parts of at least 5 MiB."""
    grid = choose_grid(length, replace(S3, preferred_part=preferred))

    assert preferred <= grid.part_size <= S3.max_part
    assert grid.start(S3.max_parts + 1) >= length
    assert grid.size(1, length) == min(length, grid.part_size)


@pytest.mark.parametrize("preferred", PREFERRED)
def test_the_schedule_of_a_deferred_length_reaches_the_largest_object(preferred: int) -> None:
    """5 TiB in at most 10,000 parts; the first 1,000 have the preferred size."""
    limits = replace(S3, preferred_part=preferred)
    grid = choose_grid(None, limits)
    sizes = [grid.size(number, None) for number in range(1, limits.max_parts + 1)]

    assert sum(sizes) == grid.capacity >= limits.max_object
    assert sizes == sorted(sizes)
    assert set(sizes[:1000]) == {preferred}
    assert sizes[1000] == preferred * grid.growth
    assert sizes[-1] <= limits.max_part


def test_growth_is_no_larger_than_needed() -> None:
    """16 MiB doubled every 1,000 parts is enough; where few numbers are left, more is needed."""
    assert choose_grid(None, S3).growth == 2
    assert choose_grid(None, S3, first_number=6_000).growth > 2


@given(limits=small_limits)
def test_a_deferred_grid_tiles_even_where_the_preferred_part_is_too_large(limits: Limits) -> None:
    """Parts follow each other, and none exceeds what the bucket takes."""
    grid = choose_grid(None, limits)

    for number in range(1, limits.max_parts + 1):
        assert grid.start(number + 1) == grid.start(number) + grid.size(number, None)
        assert grid.size(number, None) <= limits.max_part


def test_a_preferred_part_above_the_largest_is_cut_down() -> None:
    """Buffers may be smaller than the preferred part; what fits is still accepted."""
    limits = Limits(min_part=1, max_part=8, max_parts=10, max_object=100, preferred_part=16)

    assert choose_part_size(1, limits) == 8


@given(grid=grids, number=st.integers(-5, 4000), length=st.none() | lengths)
def test_numbers_outside_the_grid_have_no_bytes(
    grid: Grid, number: int, length: int | None
) -> None:
    """Neither the base nor what lies behind the last number."""
    if grid.first_number <= number <= grid.max_parts:
        assert grid.size(number, None) > 0
    else:
        assert grid.size(number, length) == 0


@pytest.mark.parametrize(
    ("length", "limits"),
    [
        (5 * TIB + 1, S3),
        (65 * 40, replace(SMALL, max_object=10**9)),
        (2001, SMALL),
    ],
)
def test_what_the_bucket_cannot_hold_is_refused(length: int, limits: Limits) -> None:
    """Above the largest object, or above the largest part times their number."""
    with pytest.raises(MaxSizeExceeded):
        choose_part_size(length, limits)


def test_long_uploads_get_larger_parts() -> None:
    """The preferred size wins until 10,000 parts are not enough."""
    assert choose_part_size(160_000 * MIB, S3) == 16 * MIB
    assert choose_part_size(160_000 * MIB + 1, S3) == 16 * MIB + 1
    assert choose_part_size(5 * TIB, S3) < GIB


@given(grid=grids, length=st.none() | st.integers(0, 5000))
def test_the_last_part_holds_the_last_byte(grid: Grid, length: int | None) -> None:
    """The highest number that a part, and so a tail, of this upload can have."""
    assume(grid.first_number <= grid.max_parts)
    last = grid.last_number(length)

    if length is None:
        assert last == grid.max_parts
    else:
        assert grid.size(last + 1, length) == 0
        assert last < grid.first_number or grid.size(last, length) > 0


# -- in `.info` ----------------------------------------------------------------------------------


@given(grid=grids)
def test_grids_survive_the_way_there_and_back(grid: Grid) -> None:
    """Seven numbers."""
    assert Grid.from_json(grid.to_json()) == grid


@given(
    grid=grids,
    name=st.sampled_from(["PartSize", "Growth", "Largest", "FirstNumber"]),
    value=st.integers(max_value=0) | st.none() | st.just("x"),
)
def test_a_grid_of_nothing_is_refused(grid: Grid, name: str, value: object) -> None:
    """It would make every offset wrong."""
    with pytest.raises((TypeError, ValueError)):
        Grid.from_json({**grid.to_json(), name: value})


@pytest.mark.parametrize("name", list(choose_grid(1, S3).to_json()))
def test_a_grid_without_one_of_its_numbers_is_refused(name: str) -> None:
    """Nothing is guessed."""
    data = choose_grid(1, S3).to_json()
    del data[name]
    with pytest.raises(KeyError):
        Grid.from_json(data)


# -- the ledger ----------------------------------------------------------------------------------


@st.composite
def stored(draw: st.DrawFn) -> tuple[Grid, int | None, list[Part]]:
    """A grid, a length, and parts in any order, some of another size than the grid's."""
    length = draw(st.none() | st.integers(1, 300))
    grid = choose_grid(length, SMALL)
    numbers = draw(st.lists(st.integers(1, 40), unique=True, max_size=40))
    odd = draw(st.sets(st.sampled_from(numbers))) if numbers else set()
    listed = [part(n, grid.size(n, length) + (1 if n in odd else 0)) for n in numbers]
    return grid, length, listed


@given(given_=stored())
def test_only_the_contiguous_prefix_of_right_sizes_counts(
    given_: tuple[Grid, int | None, list[Part]],
) -> None:
    """tus-node-server#505: a part behind a gap, or of another size, is not acknowledged."""
    grid, length, listed = given_
    ledger = Ledger(grid, listed, length)
    right = {p.number for p in listed if 0 < p.size == grid.size(p.number, length)}
    counted = [p.number for p in ledger.counted()]

    assert counted == list(range(1, ledger.next_number))
    assert set(counted) <= right
    assert ledger.next_number not in right
    assert ledger.prefix_bytes == sum(p.size for p in ledger.counted())
    assert ledger.prefix_bytes == grid.start(ledger.next_number) or ledger.prefix_bytes == length
    assert ledger.has_own_parts == bool(counted)


@given(given_=stored(), data=st.data())
def test_the_prefix_never_falls_and_knows_no_order(
    given_: tuple[Grid, int | None, list[Part]], data: st.DataObject
) -> None:
    """Parts are stored concurrently: whichever comes first, the same counts in the end."""
    grid, length, listed = given_
    ledger = Ledger(grid, [], length)
    prefixes = [0]
    for added in data.draw(st.permutations(listed)):
        ledger.add(added)
        prefixes.append(ledger.prefix_bytes)
    at_once = Ledger(grid, listed, length)

    assert prefixes == sorted(prefixes)
    assert ledger.prefix_bytes == at_once.prefix_bytes
    assert ledger.counted() == at_once.counted()


@given(given_=stored(), number=st.integers(0, 41))
def test_a_part_is_stored_if_it_has_its_size(
    given_: tuple[Grid, int | None, list[Part]], number: int
) -> None:
    """Behind a gap or not; a part of no bytes is none."""
    grid, length, listed = given_
    found = Ledger(grid, listed, length).stored(number)

    assert (found is not None) == any(
        p.number == number and 0 < p.size == grid.size(number, length) for p in listed
    )


def test_a_part_that_is_stored_again_replaces_the_first() -> None:
    """Its new ETag is the one to complete with."""
    grid = choose_grid(20, SMALL)
    ledger = Ledger(grid, parts_of(grid, 20, [1, 2]), 20)
    again = Part(1, 8, '"new"')
    ledger.add(again)

    assert ledger.counted()[0] is again
    assert ledger.prefix_bytes == 16


def test_declaring_the_length_counts_again() -> None:
    """A last part that is shorter than the schedule's counts once the length is known."""
    grid = choose_grid(None, SMALL)
    ledger = Ledger(grid, [part(1, 8), part(2, 3)], None)
    before = ledger.prefix_bytes
    ledger.declare(11)

    assert (before, ledger.prefix_bytes, ledger.next_number) == (8, 11, 3)


# -- uploads of tusd -----------------------------------------------------------------------------

tusds_parts = st.lists(st.integers(1, 30), max_size=12).flatmap(
    lambda sizes: st.sets(st.integers(1, 14), min_size=len(sizes), max_size=len(sizes)).map(
        lambda numbers: [
            part(number, size) for number, size in zip(sorted(numbers), sizes, strict=True)
        ]
    )
)


@given(parts=tusds_parts, left=st.none() | st.integers(0, 500))
def test_the_contiguous_parts_of_tusd_are_the_base(parts: list[Part], left: int | None) -> None:
    """Ours are numbered behind all of them, so nothing behind a gap is ever taken for ours."""
    prefix: list[Part] = []
    for found in parts:
        if found.number != len(prefix) + 1:
            break
        prefix.append(found)
    size = sum(p.size for p in prefix)
    length = None if left is None else size + left
    grid = adopt_grid(reversed(parts), length, SMALL)
    ledger = Ledger(grid, parts, length)

    assert (grid.base_parts, grid.base_bytes) == (len(prefix), size)
    assert all(p.number < grid.first_number for p in parts)
    assert grid.has_gap == (len(prefix) < len(parts))
    assert ledger.prefix_bytes == size
    assert ledger.counted() == prefix
    assert not ledger.has_own_parts
    assert grid.capacity >= (length or 0)


@given(parts=tusds_parts, left=st.integers(1, 500))
def test_an_adopted_upload_is_tiled_to_its_end(parts: list[Part], left: int) -> None:
    """Base and own parts together are the upload."""
    length = adopt_grid(parts, None, SMALL).base_bytes + left
    grid = adopt_grid(parts, length, SMALL)
    ledger = Ledger(grid, parts, length)
    while size := grid.size(ledger.next_number, length):
        ledger.add(part(ledger.next_number, size))

    assert ledger.prefix_bytes == length
    assert sum(p.size for p in ledger.counted()) == length
    assert ledger.has_own_parts


@pytest.mark.parametrize("last", [40, 39])
def test_where_the_rest_does_not_fit_nothing_can_be_added(last: int) -> None:
    """Tusd may have used the numbers up: the upload can be looked at and deleted."""
    parts = [part(1, 5), part(last, 5)]
    grid = adopt_grid(parts, 500, SMALL)
    ledger = Ledger(grid, parts, 500)

    assert (ledger.prefix_bytes, ledger.counted()) == (5, parts[:1])
    assert grid.size(ledger.next_number, 500) == 0
    assert grid.capacity < 500


def test_an_upload_whose_every_byte_tusd_stored_needs_no_more_numbers() -> None:
    """All part numbers are used, and all bytes are there: it only has to be completed."""
    parts = [part(number, 5) for number in range(1, SMALL.max_parts + 1)]
    grid = adopt_grid(parts, 200, SMALL)

    assert Ledger(grid, parts, 200).prefix_bytes == 200


@pytest.mark.parametrize("parts", [[], [part(1, 5)], [part(1, 5), part(2, 4)]])
def test_a_base_that_has_changed_is_an_error(parts: list[Part]) -> None:
    """Its bytes were acknowledged; fewer of them cannot be explained."""
    grid = adopt_grid([part(1, 5), part(2, 5)], 100, SMALL)
    with pytest.raises(ValueError, match="not there"):
        Ledger(grid, parts, 100)


def test_a_base_part_that_was_written_again_is_completed_with_its_new_etag() -> None:
    """What is listed after a refused Complete counts for the base too."""
    parts = [part(1, 5), part(2, 5)]
    ledger = Ledger(adopt_grid(parts, 10, SMALL), parts, 10)
    again = Part(2, 5, '"new"')
    ledger.add(again)

    assert ledger.counted() == [parts[0], again]
