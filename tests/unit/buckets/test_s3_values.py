"""botocore's answers as our values."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tusd_s3.buckets.s3_values import (
    Reader,
    checksum_arguments,
    header_arguments,
    parse_checksum,
    parse_entry,
    parse_part,
    parse_stat,
    understood,
)
from tusd_s3.errors import StoreError
from tusd_s3.model import Checksum, ObjectHeaders, ObjectStat, Part

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("algorithm", ["CRC64NVME", "CRC32C", "CRC32", "SHA256", "XXHASH3"])
def test_a_listed_checksum_keeps_its_algorithm(algorithm: str) -> None:
    """Also one that we would not choose: Complete has to repeat it."""
    fields = {"ChecksumType": "COMPOSITE", "ChecksumAlgorithm": "x", f"Checksum{algorithm}": "v"}

    assert parse_checksum(fields) == Checksum(algorithm, "v")


def test_no_checksum_is_none() -> None:
    """Neither the names of algorithms nor empty values are checksums."""
    assert parse_checksum({"ChecksumType": "FULL_OBJECT", "ChecksumCRC32": ""}) is None


def test_a_checksum_becomes_the_argument_of_its_header() -> None:
    """MD5 is a header of HTTP's, the others are Amazon's."""
    assert checksum_arguments(Checksum("MD5", "v")) == {"ContentMD5": "v"}
    assert checksum_arguments(Checksum("CRC32C", "v")) == {"ChecksumCRC32C": "v"}


def test_headers_become_arguments_and_come_back() -> None:
    """Metadata keys are lower case, whatever the store makes of them."""
    headers = ObjectHeaders("text/plain", "inline", {"key": "value"})
    arguments = header_arguments(headers)
    answer = arguments | {"Metadata": {"Key": "value"}, "ETag": "e", "LastModified": NOW}

    assert parse_stat("k", answer, size=3) == ObjectStat("k", 3, "e", NOW.timestamp(), headers)


def test_no_headers_are_no_arguments() -> None:
    """The store chooses its defaults."""
    assert header_arguments(ObjectHeaders()) == {}


def test_entries_of_listings() -> None:
    """Some stores list objects without their ETag."""
    entry = {"Key": "k", "Size": 1, "LastModified": NOW}
    part = {"PartNumber": 2, "Size": 3, "ETag": "e"}

    assert parse_entry(entry) == ObjectStat("k", 1, "", NOW.timestamp())
    assert parse_part(part) == Part(2, 3, "e")


def test_a_missing_field_is_an_answer_that_is_not_understood() -> None:
    """The error names the field."""
    empty: dict[str, Any] = {}

    with pytest.raises(StoreError, match="put 'k': an answer without ETag"), understood("put", "k"):
        empty["ETag"]


def test_the_size_is_that_of_the_object() -> None:
    """Not that of the range."""
    answer = {"Body": None, "ContentLength": 2, "ETag": "e", "LastModified": NOW}
    ranged = answer | {"ContentRange": "bytes 3-4/10"}

    assert Reader("k", ranged, start=3, end=5).stat.size == 10
    assert Reader("k", answer, start=0, end=None).stat.size == 2
