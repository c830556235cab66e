"""A bucket that fails when told to: the real one behind it does what is not failed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tusd_s3.errors import StoreError
from tusd_s3.interfaces import Bucket, Chunk, Content, ObjectReader
from tusd_s3.model import Features, Limits, ObjectHeaders, ObjectStat, Part

Match = Callable[[str, int | None], bool]

EVERY = "*"  # as an operation: whichever comes


def anything(key: str, number: int | None) -> bool:
    """Match every call."""
    return True


def part(wanted: int) -> Match:
    """Match the calls that are about this part number."""
    return lambda _key, number: number == wanted


def ending(suffix: str) -> Match:
    """Match the calls about a key with this ending."""
    return lambda key, _number: key.endswith(suffix)


def containing(piece: str) -> Match:
    """Match the calls about a key that contains this."""
    return lambda key, _number: piece in key


@dataclass(slots=True)
class _Fault:
    operation: str
    error: StoreError | type[StoreError]
    after: bool
    times: int | None
    skip: int
    match: Match

    def strikes(self, operation: str, keys: Sequence[str], number: int | None) -> bool:
        """Whether this call fails; counts it."""
        if self.operation not in {operation, EVERY} or self.times == 0:
            return False
        if not any(self.match(key, number) for key in keys):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True

    def make(self, operation: str, key: str) -> StoreError:
        """Return the error to raise."""
        if isinstance(self.error, StoreError):
            return self.error
        return self.error(operation, key, "as the test wants it")


@dataclass(slots=True)
class Gate:
    """A place where calls wait: ``reached`` when one has come, until ``opened``."""

    operation: str
    match: Match
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def pass_by(self, operation: str, keys: Sequence[str], number: int | None) -> None:
        """Wait if this call is meant."""
        if self.operation in {operation, EVERY} and any(self.match(key, number) for key in keys):
            self.reached.set()
            await self.opened.wait()


class FaultyBucket:
    """A `Bucket` that delegates, records every call, and fails or waits where told to.

    Args:
        inner: the real bucket; starting and closing it is its owner's business.
        conditional_writes: False makes it a store that ignores conditions.
        limits: other limits to announce than those of ``inner``.

    Attributes:
        calls: ``(operation, key)`` in the order in which they began; several keys of one delete
            are joined by a blank.
    """

    def __init__(
        self, inner: Bucket, *, conditional_writes: bool = True, limits: Limits | None = None
    ) -> None:
        self.calls: list[tuple[str, str]] = []
        self._inner = inner
        self._conditional_writes = conditional_writes
        self._limits = limits
        self._faults: list[_Fault] = []
        self._gates: list[Gate] = []

    # -- for tests -----------------------------------------------------------------------------

    def fail(
        self,
        operation: str,
        error: StoreError | type[StoreError],
        *,
        after: bool = False,
        times: int | None = 1,
        skip: int = 0,
        match: Match = anything,
    ) -> None:
        """Let calls of an operation fail.

        Args:
            operation: a method's name, or `EVERY`.
            error: what is raised; a class is given operation and key.
            after: fail when the real bucket has done it (the answer is lost). A `get` fails in
                the middle of its bytes, a `list_objects` after its last object.
            times: how often; None for always.
            skip: how many matching calls succeed before.
            match: key and part number (None where there is none) -> whether the call is meant.
        """
        self._faults.append(_Fault(operation, error, after, times, skip, match))

    def block(self, operation: str, *, match: Match = anything) -> Gate:
        """Let calls of an operation wait, before they act, until the gate is opened."""
        gate = Gate(operation, match)
        self._gates.append(gate)
        return gate

    def heal(self) -> None:
        """Forget all faults and open all gates."""
        self._faults.clear()
        for gate in self._gates:
            gate.opened.set()
        self._gates.clear()

    @property
    def operations(self) -> list[str]:
        """The names of the calls, in order."""
        return [operation for operation, _ in self.calls]

    async def _before(
        self, operation: str, *keys: str, number: int | None = None
    ) -> StoreError | None:
        """Record a call; raise its fault, or return the one to raise when it has acted."""
        self.calls.append((operation, " ".join(keys)))
        for gate in list(self._gates):
            await gate.pass_by(operation, keys, number)
        for fault in self._faults:
            if fault.strikes(operation, keys, number):
                error = fault.make(operation, keys[0])
                if not fault.after:
                    raise error
                return error
        return None

    # -- Bucket --------------------------------------------------------------------------------

    @property
    def limits(self) -> Limits:
        return self._limits or self._inner.limits

    @property
    def features(self) -> Features:
        features = self._inner.features
        return Features(features.conditional_writes and self._conditional_writes, features.checksum)

    async def start(self) -> None:
        await self._inner.start()

    async def close(self) -> None:
        await self._inner.close()

    async def check(self) -> None:
        late = await self._before("check", "")
        await self._inner.check()
        _raise(late)

    async def put(
        self,
        key: str,
        content: Content,
        *,
        headers: ObjectHeaders = ObjectHeaders(),
        if_match: str | None = None,
        if_absent: bool = False,
    ) -> str:
        late = await self._before("put", key)
        if not self._conditional_writes:
            if_match, if_absent = None, False
        etag = await self._inner.put(
            key, content, headers=headers, if_match=if_match, if_absent=if_absent
        )
        _raise(late)
        return etag

    @asynccontextmanager
    async def get(
        self, key: str, *, start: int = 0, end: int | None = None, if_match: str | None = None
    ) -> AsyncIterator[ObjectReader]:
        late = await self._before("get", key)
        async with self._inner.get(key, start=start, end=end, if_match=if_match) as reader:
            yield reader if late is None else _CutReader(reader, late)

    async def head(self, key: str) -> ObjectStat:
        late = await self._before("head", key)
        stat = await self._inner.head(key)
        _raise(late)
        return stat

    async def delete(self, keys: Sequence[str]) -> None:
        late = await self._before("delete", *keys)
        await self._inner.delete(keys)
        _raise(late)

    async def list_objects(self, prefix: str) -> AsyncIterator[ObjectStat]:
        late = await self._before("list_objects", prefix)
        async for stat in self._inner.list_objects(prefix):
            yield stat
        _raise(late)

    async def create_multipart(self, key: str, *, headers: ObjectHeaders, checksum: str) -> str:
        late = await self._before("create_multipart", key)
        multipart_id = await self._inner.create_multipart(key, headers=headers, checksum=checksum)
        _raise(late)
        return multipart_id

    async def upload_part(self, key: str, multipart_id: str, number: int, content: Content) -> Part:
        late = await self._before("upload_part", key, number=number)
        stored = await self._inner.upload_part(key, multipart_id, number, content)
        _raise(late)
        return stored

    async def copy_part(
        self,
        key: str,
        multipart_id: str,
        number: int,
        source: str,
        *,
        start: int,
        end: int,
        source_etag: str,
    ) -> Part:
        late = await self._before("copy_part", key, number=number)
        stored = await self._inner.copy_part(
            key, multipart_id, number, source, start=start, end=end, source_etag=source_etag
        )
        _raise(late)
        return stored

    async def list_parts(self, key: str, multipart_id: str) -> list[Part]:
        late = await self._before("list_parts", key)
        parts = await self._inner.list_parts(key, multipart_id)
        _raise(late)
        return parts

    async def complete_multipart(self, key: str, multipart_id: str, parts: Sequence[Part]) -> None:
        late = await self._before("complete_multipart", key)
        await self._inner.complete_multipart(key, multipart_id, parts)
        _raise(late)

    async def abort_multipart(self, key: str, multipart_id: str) -> None:
        late = await self._before("abort_multipart", key)
        await self._inner.abort_multipart(key, multipart_id)
        _raise(late)


def _raise(late: StoreError | None) -> None:
    if late is not None:
        raise late


class _CutReader:
    """A reader whose connection breaks after half of the bytes."""

    def __init__(self, inner: ObjectReader, error: StoreError) -> None:
        self._inner = inner
        self._error = error

    @property
    def stat(self) -> ObjectStat:
        return self._inner.stat

    async def chunks(self) -> AsyncIterator[Chunk]:
        async for chunk in self._inner.chunks():
            yield chunk[: len(chunk) // 2]
            break
        raise self._error
