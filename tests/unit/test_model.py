"""Facts about the values that travel between the layers."""

import dataclasses

import pytest
from hypothesis import given

from tests.strategies import upload_infos
from tusd_s3.model import GIB, KIB, MIB, TIB, Limits, NewUpload, ObjectHeaders, UploadInfo


@given(info=upload_infos())
def test_an_upload_is_pending_between_its_last_byte_and_its_object(info: UploadInfo) -> None:
    """Of unfinished, pending and finished, exactly one holds."""
    is_short = info.length is None or info.offset < info.length

    assert [is_short, info.is_pending, info.finished].count(True) == 1


@pytest.mark.parametrize(
    ("length", "offset", "finished", "expected"),
    [
        (8, 8, False, True),
        (8, 8, True, False),
        (8, 7, False, False),
        (None, 8, False, False),
        (0, 0, False, True),
    ],
)
def test_pending_means_complete_but_not_finished(
    *, length: int | None, offset: int, finished: bool, expected: bool
) -> None:
    """DEF-11: an upload whose length is unknown is never pending."""
    info = UploadInfo(id="a", length=length, offset=offset, finished=finished)

    assert info.is_pending is expected


def test_the_limits_are_those_of_amazon() -> None:
    """10,000 parts of 5 MiB to 5 GiB, objects up to 5 TiB."""
    limits = Limits()

    assert (limits.min_part, limits.max_part) == (5 * MIB, 5 * GIB)
    assert (limits.max_parts, limits.max_object) == (10_000, 5 * TIB)
    assert limits.min_part <= limits.preferred_part <= limits.max_part
    assert (KIB, MIB, GIB, TIB) == (2**10, 2**20, 2**30, 2**40)


def test_uploads_do_not_share_their_metadata() -> None:
    """A default that somebody fills would show up everywhere."""
    assert NewUpload(1).metadata is not NewUpload(1).metadata
    assert ObjectHeaders().metadata is not ObjectHeaders().metadata


def test_an_upload_is_a_fact_and_cannot_be_changed() -> None:
    """A decision made on it stays right."""
    info = UploadInfo(id="a", length=8, offset=3)

    with pytest.raises(dataclasses.FrozenInstanceError):
        info.offset = 4  # type: ignore[misc]
