"""Delete what belongs to an upload. Doing it again, from wherever it broke off, does no harm."""

import asyncio
import contextlib

import structlog

from tusd_s3.errors import MultipartMissing, ObjectMissing, StoreRefused
from tusd_s3.store.depot import Depot
from tusd_s3.store.snapshot import Snapshot
from tusd_s3.store.state import is_ours

_log = structlog.get_logger()


async def delete_all(depot: Depot, snapshot: Snapshot) -> None:
    """Delete parts, object and tails at the same time, and `.info` when they are gone.

    Raises:
        StoreError: something is left, and so is `.info`, which says that it is to be deleted.
    """
    outcomes = await asyncio.gather(
        abort(depot, snapshot),
        _delete_object(depot, snapshot),
        _delete_tails(depot, snapshot),
        return_exceptions=True,
    )
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    await depot.bucket.delete([depot.names.info(snapshot.id.object_id)])


async def abort(depot: Depot, snapshot: Snapshot) -> None:
    """Abort the multipart upload; one that is already gone is fine."""
    multipart_id = snapshot.id.multipart_id
    if snapshot.record.assembly is not None:
        multipart_id = snapshot.record.assembly.multipart_id
    if multipart_id is None:
        return
    with contextlib.suppress(MultipartMissing):
        key = depot.names.object(snapshot.id.object_id)
        await depot.bucket.abort_multipart(key, multipart_id)


async def _delete_object(depot: Depot, snapshot: Snapshot) -> None:
    """Delete the object if it is ours: somebody else's may have the same key."""
    key = depot.names.object(snapshot.id.object_id)
    try:
        stat = await depot.bucket.head(key)
    except ObjectMissing:
        return
    if is_ours(stat, snapshot.record) and stat.size == snapshot.record.length:
        await depot.bucket.delete([key])
    else:
        _log.warning("the object under an upload's key is not the upload's", key=key)


async def _delete_tails(depot: Depot, snapshot: Snapshot) -> None:
    names = depot.names
    object_id = snapshot.id.object_id
    try:
        keys = [
            stat.key
            async for stat in depot.bucket.list_objects(names.plain_tail(object_id))
            if names.is_tail(stat.key, object_id)
        ]
    except StoreRefused:  # the account may not list: delete every tail there could be
        numbers = _tail_numbers(snapshot)
        keys = [names.plain_tail(object_id), *(names.tail(object_id, n) for n in numbers)]
    if keys:
        await depot.bucket.delete(keys)


def _tail_numbers(snapshot: Snapshot) -> range:
    """Return the numbers of all parts that could ever have had a tail."""
    if snapshot.ledger is not None:
        return range(1, snapshot.ledger.next_number + 1)
    grid = snapshot.record.grid
    return range(1, 1 if grid is None else grid.last_number(snapshot.record.length) + 1)
