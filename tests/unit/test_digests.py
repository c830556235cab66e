"""Facts about the checksums that S3 verifies."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tusd_s3.digests import ALGORITHMS, Digest, checksum_of
from tusd_s3.model import Checksum

KNOWN = {
    "CRC64NVME": "ae8b14860a799888",
    "CRC32C": "e3069283",
    "CRC32": "cbf43926",
    "MD5": "25f9e794323b453885f5181f1b624d0b",
}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_check_value_is_the_published_one(algorithm: str) -> None:
    """The catalogue's value for "123456789", in Base64 of the big-endian digest as in S3."""
    expected = base64.b64encode(bytes.fromhex(KNOWN[algorithm])).decode()

    assert checksum_of(algorithm, b"123456789") == Checksum(algorithm, expected)


@given(algorithm=st.sampled_from(ALGORITHMS), pieces=st.lists(st.binary()))
def test_it_does_not_matter_how_the_bytes_are_cut(algorithm: str, pieces: list[bytes]) -> None:
    """Bytes arrive in pieces of any size, of any kind of buffer."""
    digest = Digest(algorithm)
    for piece in pieces:
        digest.update(memoryview(bytearray(piece)))

    assert digest.checksum == checksum_of(algorithm, b"".join(pieces))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_checksum_can_be_asked_for_on_the_way(algorithm: str) -> None:
    """A tail is stored with the checksum so far, and the part goes on."""
    digest = Digest(algorithm)
    digest.update(b"1234")
    so_far = digest.checksum
    digest.update(b"56789")

    assert so_far == checksum_of(algorithm, b"1234")
    assert digest.checksum == checksum_of(algorithm, b"123456789")


def test_an_unknown_algorithm_is_a_fault() -> None:
    """Names come from `.info` and from the bucket's features; guessing would corrupt."""
    with pytest.raises(ValueError, match="unknown checksum algorithm 'sha1'"):
        Digest("sha1")
