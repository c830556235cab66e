"""The `.info` record: tusd's fields, and one nested object of ours. No I/O.

Unknown fields survive a rewrite, so that tusd, a later version of this program and people who
add fields of their own do not lose them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from tusd_s3.errors import TusError
from tusd_s3.model import Kind, UploadInfo
from tusd_s3.protocol.metadata import format_metadata, is_metadata_key, parse_metadata
from tusd_s3.store.grid import Grid

VERSION = 1  # of our nested object; a higher one is not read, since it may mean something else
OURS = "TusdS3"


class Phase(Enum):
    """How far an upload has come, as far as the record knows."""

    OPEN = "open"
    FINISHED = "finished"
    TERMINATED = "terminated"
    CONFLICT = "conflict"  # a part came twice with different bytes: never to become an object


@dataclass(frozen=True, slots=True)
class Assembly:
    """How the object of a final upload is being made; recorded before the first part is."""

    multipart_id: str
    way: str  # `concat.Way`: which of the plans the parts follow


class RecordError(ValueError):
    """The record is not one that this version can read."""


@dataclass(frozen=True, slots=True)
class Record:
    """One upload's `.info`.

    Attributes:
        id: the whole upload id.
        length: bytes, None while deferred.
        grid: None for an upload of tusd that we have not written to yet.
        checksum: algorithm of the multipart upload, see `Features.checksum`.
        tag: value of the object's `tus-upload-id`; None for tusd's objects, which have none.
        created: seconds since the epoch; 0.0 where tusd did not record it.
        partials: of a final upload of ours: its partials' ids, in order; None for all others.
        assembly: of a final upload whose parts are being made.
        rest: the whole record as it was read, for the fields that we do not know.
    """

    id: str
    length: int | None
    metadata_raw: str | None = None
    metadata: Mapping[str, bytes] = field(default_factory=dict)
    kind: Kind = Kind.WHOLE
    concat_raw: str | None = None
    storage: Mapping[str, str] = field(default_factory=dict)
    grid: Grid | None = None
    checksum: str = "MD5"
    tag: str | None = None
    created: float = 0.0
    phase: Phase = Phase.OPEN
    partials: tuple[str, ...] | None = None
    assembly: Assembly | None = None
    rest: Mapping[str, Any] = field(default_factory=dict)

    def describe(self, offset: int, length: int | None, *, finished: bool) -> UploadInfo:
        """Return the upload as the protocol sees it."""
        return UploadInfo(
            id=self.id,
            length=length,
            offset=offset,
            metadata_raw=self.metadata_raw,
            metadata=self.metadata,
            kind=self.kind,
            concat_raw=self.concat_raw,
            finished=finished,
        )

    def finished(self) -> "Record":
        """Return the record of the upload when its object exists."""
        return replace(self, phase=Phase.FINISHED)

    def terminated(self) -> "Record":
        """Return the record of the upload when it is to be deleted."""
        return replace(self, phase=Phase.TERMINATED)

    def in_conflict(self) -> "Record":
        """Return the record of an upload that must never be completed."""
        return replace(self, phase=Phase.CONFLICT)

    def with_length(self, length: int) -> "Record":
        """Return the record with the deferred length declared."""
        return replace(self, length=length)

    def with_grid(self, grid: Grid) -> "Record":
        """Return the record of an upload of tusd that is ours from now on."""
        return replace(self, grid=grid)


def format_record(record: Record) -> bytes:
    """Write a record as tusd would, with our object beside its fields."""
    ours: dict[str, Any] = dict(record.rest.get(OURS) or {})
    ours |= {
        "Version": VERSION,
        "Phase": record.phase.value,
        "Checksum": record.checksum,
        "Tag": record.tag,
        "Created": record.created,
        "RawMetadata": record.metadata_raw,
        "RawConcat": record.concat_raw,
        "Grid": None if record.grid is None else record.grid.to_json(),
    }
    if record.partials is not None:
        ours["Partials"] = list(record.partials)
    if record.assembly is not None:
        ours["Assembly"] = {
            "MultipartId": record.assembly.multipart_id,
            "Way": record.assembly.way,
        }
    done = record.phase is Phase.FINISHED
    fields = {
        "ID": record.id,
        "Size": record.length or 0,
        "SizeIsDeferred": record.length is None,
        "Offset": record.length if done else 0,
        "MetaData": {k: v.decode("utf-8", "replace") for k, v in record.metadata.items()},
        "IsPartial": record.kind is Kind.PARTIAL,
        "IsFinal": record.kind is Kind.FINAL,
        "PartialUploads": record.rest.get("PartialUploads")
        if record.partials is None
        else list(record.partials),
        "Storage": dict(record.storage),
    }
    return json.dumps({**record.rest, **fields, OURS: ours}).encode()


def parse_record(data: bytes) -> Record:
    """Read a record of ours or of tusd.

    Raises:
        RecordError: it is neither, or of a later version.
    """
    try:
        rest = json.loads(data)
        ours = rest.get(OURS)
        if ours is not None and ours["Version"] > VERSION:
            raise RecordError(f".info has version {ours['Version']}, this program reads {VERSION}")
        length = None if rest.get("SizeIsDeferred") else _size(rest["Size"])
        values = rest.get("MetaData") or {}
        common = Record(
            id=_text(rest["ID"]),
            length=length,
            kind=_kind(rest),
            storage={str(k): str(v) for k, v in (rest.get("Storage") or {}).items()},
            rest=rest,
        )
        if ours is None:
            metadata = {_text(k): _text(v).encode() for k, v in values.items()}
            # tusd takes keys that cannot stand in the header: they are kept but not echoed.
            echoed = {k: v for k, v in metadata.items() if is_metadata_key(k)}
            raw = format_metadata(echoed) if echoed else None
            return replace(common, metadata=metadata, metadata_raw=raw)
        raw = _optional_text(ours["RawMetadata"])
        return replace(
            common,
            metadata_raw=raw,
            metadata=parse_metadata(raw) if raw is not None else {},
            concat_raw=_optional_text(ours["RawConcat"]),
            grid=None if ours["Grid"] is None else Grid.from_json(ours["Grid"]),
            checksum=_text(ours["Checksum"]),
            tag=_optional_text(ours["Tag"]),
            created=float(ours["Created"]),
            phase=Phase(ours["Phase"]),
            partials=_partials(ours.get("Partials")),
            assembly=_assembly(ours.get("Assembly")),
        )
    except RecordError:
        raise
    except (
        AttributeError,
        LookupError,
        OverflowError,
        RecursionError,
        TypeError,
        ValueError,
        TusError,
    ) as exc:
        raise RecordError(f".info cannot be read: {type(exc).__name__}") from exc


def _size(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise RecordError(".info has no usable Size")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise RecordError(".info has a field of the wrong type")
    return value


def _optional_text(value: object) -> str | None:
    return None if value is None else _text(value)


def _partials(data: Sequence[Any] | None) -> tuple[str, ...] | None:
    return None if data is None else tuple(_text(upload_id) for upload_id in data)


def _assembly(data: Mapping[str, Any] | None) -> Assembly | None:
    if data is None:
        return None
    return Assembly(multipart_id=_text(data["MultipartId"]), way=_text(data["Way"]))


def _kind(rest: Mapping[str, Any]) -> Kind:
    if rest.get("IsFinal"):
        return Kind.FINAL
    return Kind.PARTIAL if rest.get("IsPartial") else Kind.WHOLE
