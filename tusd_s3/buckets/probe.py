"""What a bucket can do, found out by doing it under scratch keys that are removed afterwards.

Works on any `Bucket`; needs no right that uploading does not need.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

from tusd_s3 import log
from tusd_s3.digests import ALGORITHMS, checksum_of
from tusd_s3.errors import (
    ConditionFailed,
    ConfigError,
    MultipartMissing,
    PartsRefused,
    StoreBusy,
    StoreError,
    StoreFull,
)
from tusd_s3.interfaces import Bucket, Chunk
from tusd_s3.model import MIB, Checksum, Features, ObjectHeaders

_CLEANUP_LIMIT_S = 20.0
_NEVER_AN_ETAG = '"00000000000000000000000000000000"'
_SMALLEST_OF_S3 = 5 * MIB

_log = log.get_logger(__name__)


class _Bytes:
    """A few bytes as `Content`."""

    def __init__(self, data: bytes, algorithm: str) -> None:
        self._data = data
        self.size = len(data)
        self.checksum: Checksum = checksum_of(algorithm, data)

    async def chunks(self) -> AsyncIterator[Chunk]:
        yield self._data


def scratch_key(prefix: str) -> str:
    """Return a key that nobody else uses."""
    return f"{prefix}tusd-s3-probe-{uuid.uuid4().hex}"


async def find_features(bucket: Bucket, prefix: str) -> Features:
    """Find out what a bucket can do.

    Args:
        bucket: sends conditions and checksums as it is told, whatever its features say.
        prefix: what scratch keys begin with.

    Raises:
        ConfigError: no checksum works, or the bucket refuses parts as small as its limits say.
        StoreBusy, StoreRefused, StoreFull: something else than what is asked about failed.
    """
    algorithm = await _choose_checksum(bucket, prefix)
    checks = [_obeys_conditions(bucket, scratch_key(prefix), algorithm)]
    if bucket.limits.preferred_part < _SMALLEST_OF_S3:
        checks.append(_takes_small_parts(bucket, scratch_key(prefix), algorithm))
    is_conditional, *is_small_enough = await _together(*checks)
    if not all(is_small_enough):
        raise ConfigError(
            "the store refuses parts below 5 MiB, and the part size is set to "
            f"{bucket.limits.preferred_part} bytes: set it to 5 MiB or more"
        )
    return Features(conditional_writes=is_conditional, checksum=algorithm)


async def require_rights(bucket: Bucket, key: str) -> None:
    """Put, get and delete an object.

    Raises:
        StoreError: one of these failed.
    """
    content = _Bytes(b"tusd_s3", "MD5")
    async with _scratch(bucket, key):
        await bucket.put(key, content)
        async with bucket.get(key) as reader:
            async for _ in reader.chunks():
                pass


async def _choose_checksum(bucket: Bucket, prefix: str) -> str:
    """Return the first algorithm that both an object and a part are stored with."""
    for algorithm in ALGORITHMS:
        try:
            if await _keeps_checksum(bucket, scratch_key(prefix), algorithm):
                return algorithm
        except (StoreBusy, StoreFull):
            raise
        except StoreError as exc:
            # Among the words for "what is this header" is SignatureDoesNotMatch.
            _log.debug("a checksum is refused", algorithm=algorithm, reason=exc.reason)
            if algorithm == ALGORITHMS[-1] or exc.reason.startswith("AccessDenied"):
                raise
    raise ConfigError("the store does not list the parts of a multipart upload as they were sent")


async def _keeps_checksum(bucket: Bucket, key: str, algorithm: str) -> bool:
    """Return whether a part that is sent with a checksum is listed with it."""
    content = _Bytes(b"tusd_s3", algorithm)
    async with _scratch(bucket, key) as multiparts:

        async def part_is_listed() -> bool:
            multipart_id = await bucket.create_multipart(
                key, headers=ObjectHeaders(), checksum=algorithm
            )
            multiparts.append(multipart_id)
            sent = await bucket.upload_part(key, multipart_id, 1, content)
            listed = await bucket.list_parts(key, multipart_id)
            if algorithm == "MD5":  # which no listing shows
                listed = [replace(part, checksum=None) for part in listed]
            return listed == [sent]

        async def object_is_taken() -> bool:
            await bucket.put(key, content)
            return True

        return all(await _together(part_is_listed(), object_is_taken()))


async def _obeys_conditions(bucket: Bucket, key: str, algorithm: str) -> bool:
    """Return whether a PutObject under a condition happens if and only if the condition holds.

    One after the other: some stores answer 429 to two writes of one key at a time.
    """
    content = _Bytes(b"tusd_s3", algorithm)
    async with _scratch(bucket, key):
        try:
            etag = await bucket.put(key, content, if_absent=True)
            await bucket.put(key, content, if_match=etag)
            return await _is_refused(
                bucket.put(key, content, if_absent=True)
            ) and await _is_refused(bucket.put(key, content, if_match=_NEVER_AN_ETAG))
        except (StoreBusy, StoreFull):
            raise
        except StoreError as exc:
            _log.debug("conditional writes are refused", reason=exc.reason)
            return False


async def _is_refused(write: Awaitable[str]) -> bool:
    try:
        await write
    except ConditionFailed:
        return True
    return False


async def _takes_small_parts(bucket: Bucket, key: str, algorithm: str) -> bool:
    """Return whether a Complete with a part below 5 MiB that is not the last succeeds."""
    content = _Bytes(b"tusd_s3", algorithm)
    async with _scratch(bucket, key) as multiparts:
        multipart_id = await bucket.create_multipart(
            key, headers=ObjectHeaders(), checksum=algorithm
        )
        multiparts.append(multipart_id)
        parts = [await bucket.upload_part(key, multipart_id, n, content) for n in (1, 2)]
        try:
            await bucket.complete_multipart(key, multipart_id, parts)
        except PartsRefused:
            return False
        multiparts.clear()
        return True


async def _together(*checks: Coroutine[Any, Any, bool]) -> list[bool]:
    """Run checks concurrently, each to its end; the first one's failure is raised."""
    outcomes = await asyncio.gather(*checks, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return [outcome for outcome in outcomes if isinstance(outcome, bool)]


@asynccontextmanager
async def _scratch(bucket: Bucket, key: str) -> AsyncIterator[list[str]]:
    """Remove the object and the multipart uploads (put into the list) of a scratch key.

    Raises:
        StoreError: the block succeeded but its traces could not be removed.
    """
    multiparts: list[str] = []
    try:
        yield multiparts
    except BaseException:
        try:
            await asyncio.shield(_remove(bucket, key, multiparts))
        except (StoreError, TimeoutError) as exc:
            _log.warning("a scratch object is left behind", key=key, reason=str(exc))
        raise
    await asyncio.shield(_remove(bucket, key, multiparts))


async def _remove(bucket: Bucket, key: str, multiparts: Sequence[str]) -> None:
    async with asyncio.timeout(_CLEANUP_LIMIT_S):
        try:
            for multipart_id in multiparts:
                with suppress(MultipartMissing):
                    await bucket.abort_multipart(key, multipart_id)
        finally:
            await bucket.delete([key])
