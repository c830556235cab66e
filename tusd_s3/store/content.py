"""Bytes on their way into a bucket, as `interfaces.Content`."""

from collections.abc import AsyncIterator

from tusd_s3.digests import Digest
from tusd_s3.interfaces import Chunk
from tusd_s3.store.buffer import PartBuffer


class BufferContent:
    """A part buffer as `Content`: fixed at the size it has now."""

    def __init__(self, buffer: PartBuffer) -> None:
        self._buffer = buffer
        self.size = buffer.size
        self.checksum = buffer.checksum

    def chunks(self) -> AsyncIterator[Chunk]:
        """Iterate over the bytes from the beginning."""
        return self._buffer.chunks()


class BytesContent:
    """Bytes that are all there as `Content`: records and empty objects."""

    def __init__(self, data: bytes, algorithm: str) -> None:
        digest = Digest(algorithm)
        digest.update(data)
        self._data = data
        self.size = len(data)
        self.checksum = digest.checksum

    async def chunks(self) -> AsyncIterator[Chunk]:
        """Iterate over the bytes from the beginning."""
        if self._data:
            yield self._data
