"""Contents to put into a bucket: good ones, and ones that are not what they say."""

import random
from collections.abc import AsyncIterator

from tusd_s3.digests import checksum_of
from tusd_s3.interfaces import Chunk, ObjectReader
from tusd_s3.model import KIB, Checksum


def random_bytes(size: int, seed: int = 0) -> bytes:
    """Return the same bytes for the same size and seed, and others for others."""
    return random.Random(f"{size} {seed}").randbytes(size)


async def read_all(reader: ObjectReader) -> bytes:
    """Return everything that a reader hands out."""
    return b"".join([bytes(chunk) async for chunk in reader.chunks()])


class BytesContent:
    """Bytes as `interfaces.Content`, handed out in chunks of ``chunk_size``.

    Attributes:
        iterations: how often the chunks were asked for.
    """

    def __init__(self, data: bytes, algorithm: str, *, chunk_size: int = 256 * KIB) -> None:
        self._data = data
        self._chunk_size = chunk_size
        self.size = len(data)
        self.checksum: Checksum = checksum_of(algorithm, data)
        self.iterations = 0

    async def chunks(self) -> AsyncIterator[Chunk]:
        self.iterations += 1
        view = memoryview(self._data)
        for start in range(0, self.size, self._chunk_size):
            yield view[start : start + self._chunk_size]


class ChunkedContent(BytesContent):
    """Bytes in exactly these chunks; ``size`` may be a lie."""

    def __init__(self, *given: Chunk, size: int | None = None, algorithm: str = "CRC32") -> None:
        super().__init__(b"".join(bytes(chunk) for chunk in given), algorithm)
        self.size = self.size if size is None else size
        self._given = given

    async def chunks(self) -> AsyncIterator[Chunk]:
        self.iterations += 1
        for chunk in self._given:
            yield chunk


class CorruptContent(BytesContent):
    """Bytes whose checksum is that of other bytes of the same size."""

    def __init__(self, data: bytes, algorithm: str) -> None:
        super().__init__(data, algorithm)
        self.checksum = checksum_of(algorithm, bytes(byte ^ 1 for byte in data[:1]) + data[1:])


class Unreadable(Exception):
    """What reading an `UnreadableContent` raises."""


class UnreadableContent(BytesContent):
    """Bytes of which only the first half can be read; then ``failure`` is raised."""

    failure: Exception = Unreadable()

    async def chunks(self) -> AsyncIterator[Chunk]:
        self.iterations += 1
        yield self._data[: self.size // 2]
        raise self.failure
