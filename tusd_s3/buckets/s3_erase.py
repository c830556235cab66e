"""Deleting objects: many with one call where the store can, and no failure overlooked."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from tusd_s3.buckets.s3_client import Connection
from tusd_s3.buckets.s3_errors import NOT_OFFERED, class_of
from tusd_s3.errors import ObjectMissing, StoreBusy, StoreError

_AT_ONCE = 1000  # the limit of DeleteObjects
_SINGLY = 16  # at the same time, where a store has no DeleteObjects


class Eraser:
    """Deletes, and remembers whether the store has DeleteObjects."""

    def __init__(self) -> None:
        self._deletes_many = True

    async def erase(self, s3: Connection, keys: Sequence[str]) -> None:
        """Delete objects, any number of them; keys that do not exist are fine.

        Raises:
            StoreError: some keys could not be deleted; says the first and how many.
        """
        failures: list[StoreError] = []
        for first in range(0, len(keys), _AT_ONCE):
            batch = keys[first : first + _AT_ONCE]
            failures += await self._erase_batch(s3, batch)
        if failures:
            first_failure = failures[0]
            reason = f"{first_failure.reason} ({len(failures)} of {len(keys)} keys not deleted)"
            raise type(first_failure)("delete", first_failure.key, reason) from first_failure

    async def _erase_batch(self, s3: Connection, keys: Sequence[str]) -> list[StoreError]:
        """Delete up to 1,000 objects and return a failure for each that could not be."""
        if len(keys) > 1 and self._deletes_many:
            try:
                failures = await _delete_many(s3, keys)
                again = [failed.key for failed in failures if isinstance(failed, StoreBusy)]
                lasting = [failed for failed in failures if not isinstance(failed, StoreBusy)]
                return lasting + await _delete_singly(s3, again)
            except StoreError as exc:
                if type(exc) is not StoreError:
                    return [exc] * len(keys)
                # Not understood: by itself a key may be, at the price of a call each.
                self._deletes_many = exc.reason not in NOT_OFFERED
        return await _delete_singly(s3, keys)


async def _delete_singly(s3: Connection, keys: Sequence[str]) -> list[StoreError]:
    slots = asyncio.Semaphore(_SINGLY)

    async def delete_one(key: str) -> StoreError | None:
        try:
            async with slots:
                await _delete_one(s3, key)
        except StoreError as exc:
            return exc
        return None

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(delete_one(key)) for key in keys]
    return [failure for task in tasks if (failure := task.result()) is not None]


async def _delete_one(s3: Connection, key: str) -> None:
    with suppress(ObjectMissing):  # some stores say so
        await s3.ask("delete", s3.quick.delete_object, Key=key)


async def _delete_many(s3: Connection, keys: Sequence[str]) -> list[StoreError]:
    listed: Any = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
    answer = await s3.ask("delete", s3.control.delete_objects, Delete=listed)
    failures: list[StoreError] = []
    for error in answer.get("Errors", ()):
        code = error.get("Code", "?")
        found = class_of("delete", code, 0, error.get("Message", ""))
        if found is not ObjectMissing:
            failures.append(found("delete", error.get("Key", keys[0]), code))
    return failures
