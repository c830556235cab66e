"""The checksums that S3 verifies, computed as bytes arrive. Knows bytes, not buckets."""

import base64
import hashlib
from collections.abc import Callable

from awscrt import checksums as crt

from tusd_s3.model import Checksum

Buffer = bytes | bytearray | memoryview

# name -> (function(data, previous), digest length in bytes)
_CRCS: dict[str, tuple[Callable[[Buffer, int], int], int]] = {
    "CRC64NVME": (crt.crc64nvme, 8),
    "CRC32C": (crt.crc32c, 4),
    "CRC32": (crt.crc32, 4),
}
ALGORITHMS = (*_CRCS, "MD5")  # in order of preference: CPU per byte


class Digest:
    """A running checksum.

    Args:
        algorithm: one of `ALGORITHMS`.
    """

    __slots__ = ("_crc", "_hash", "algorithm")

    def __init__(self, algorithm: str) -> None:
        self.algorithm = algorithm
        self._crc = 0
        self._hash = hashlib.md5(usedforsecurity=False) if algorithm == "MD5" else None
        if self._hash is None and algorithm not in _CRCS:
            raise ValueError(f"unknown checksum algorithm {algorithm!r}")

    def update(self, data: Buffer) -> None:
        """Take in the next bytes."""
        if self._hash is not None:
            self._hash.update(data)
        else:
            self._crc = _CRCS[self.algorithm][0](data, self._crc)

    @property
    def checksum(self) -> Checksum:
        """The checksum of the bytes so far; more may follow."""
        if self._hash is not None:
            raw = self._hash.digest()
        else:
            raw = self._crc.to_bytes(_CRCS[self.algorithm][1], "big")
        return Checksum(self.algorithm, base64.b64encode(raw).decode("ascii"))


def checksum_of(algorithm: str, data: Buffer) -> Checksum:
    """Return the checksum of bytes that are all there."""
    digest = Digest(algorithm)
    digest.update(data)
    return digest.checksum
