"""Facts about `.info`: ours, tusd's, and what only looks like one."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.strategies import metadata
from tusd_s3.model import Kind, Limits
from tusd_s3.protocol.metadata import format_metadata, parse_metadata
from tusd_s3.store.grid import adopt_grid, choose_grid
from tusd_s3.store.info import (
    OURS,
    VERSION,
    Assembly,
    Phase,
    Record,
    RecordError,
    format_record,
    parse_record,
)

# What tusd 2 writes for an upload with two metadata values.
TUSDS: dict[str, Any] = {
    "ID": "24e533e02ec3bc40c387f1a0e460e216+JXTLKEHe3mmb9qJ0Y",
    "Size": 52428800,
    "SizeIsDeferred": False,
    "Offset": 0,
    "MetaData": {"filename": "Menü.pdf", "filetype": "application/pdf", "is_public": ""},
    "IsPartial": False,
    "IsFinal": False,
    "PartialUploads": None,
    "Storage": {
        "Bucket": "uploads",
        "Key": "files/24e533e02ec3bc40c387f1a0e460e216",
        "Type": "s3store",
    },
}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
unknown_fields = st.dictionaries(
    st.text(max_size=8).map(lambda name: "x" + name),
    st.none() | st.integers() | st.text(max_size=5) | st.lists(st.booleans(), max_size=2),
    max_size=3,
)


@st.composite
def records(draw: st.DrawFn) -> Record:
    """Records as the store makes them."""
    meant = draw(metadata)
    length = draw(st.none() | st.integers(0, 5 * 2**40))
    return Record(
        id=draw(st.sampled_from(["0a1b+2c3d", "0a1b", "a/b+c"])),
        length=length,
        metadata_raw=format_metadata(meant) if meant else draw(st.sampled_from([None, ""])),
        metadata=meant,
        kind=draw(st.sampled_from(Kind)),
        concat_raw=draw(st.none() | st.sampled_from(["partial", "final;/a /b"])),
        storage={"Type": "s3store", "Bucket": "b", "Key": "k"},
        grid=draw(st.none() | st.just(choose_grid(length, Limits()))),
        checksum=draw(st.sampled_from(["CRC64NVME", "MD5"])),
        tag=draw(st.none() | st.just("0a1b+4e5f")),
        created=draw(st.floats(0, 2**40)),
        phase=draw(st.sampled_from(Phase)),
        partials=draw(st.none() | st.just(("a+b", "c"))),
        assembly=draw(st.none() | st.just(Assembly("m", "copy"))),
    )


def without_rest(record: Record) -> dict[str, Any]:
    """The fields of a record that mean something."""
    return {name: getattr(record, name) for name in Record.__slots__ if name != "rest"}


def tusds(**changed: Any) -> bytes:
    """Tusd's record with other fields; None removes one."""
    fields = {**TUSDS, **changed}
    return json.dumps({k: v for k, v in fields.items() if v is not ... and k}).encode()


def ours(**changed: Any) -> bytes:
    """A record of ours with other fields in our object; ``...`` removes one."""
    data = json.loads(format_record(Record(id="a+b", length=5, grid=choose_grid(5, Limits()))))
    nested = {**data[OURS], **changed}
    return json.dumps({**data, OURS: {k: v for k, v in nested.items() if v is not ...}}).encode()


# -- ours ----------------------------------------------------------------------------------------


@given(record=records())
def test_records_survive_the_way_there_and_back(record: Record) -> None:
    """Every field that means something; a second rewrite changes no byte."""
    data = format_record(record)
    read = parse_record(data)

    assert without_rest(read) == without_rest(record)
    assert format_record(read) == data


@given(record=records())
def test_tusd_can_read_our_records(record: Record) -> None:
    """Its names and types; a deferred length has size 0, as tusd writes it."""
    data = json.loads(format_record(record))

    assert set(TUSDS) <= set(data)
    assert data["Size"] == (record.length or 0)
    assert data["SizeIsDeferred"] is (record.length is None)
    assert isinstance(data["Offset"], int) or record.length is None
    assert all(isinstance(value, str) for value in data["MetaData"].values())
    assert (data["IsPartial"], data["IsFinal"]) == (
        record.kind is Kind.PARTIAL,
        record.kind is Kind.FINAL,
    )


@given(record=records(), top=unknown_fields, nested=unknown_fields)
def test_unknown_fields_survive_every_rewrite(
    record: Record, top: dict[str, Any], nested: dict[str, Any]
) -> None:
    """tusd, later versions and people add fields of their own; ours too."""
    data = json.loads(format_record(record))
    data.update(top)
    data[OURS].update(nested)
    read = parse_record(json.dumps(data).encode())
    for changed in (read.finished(), read.terminated(), read.with_length(5)):
        written = json.loads(format_record(changed))

        assert {name: written[name] for name in top} == top
        assert {name: written[OURS][name] for name in nested} == nested


def test_changes_change_what_they_say() -> None:
    """The record is a value: each step returns another one."""
    record = Record(id="a+b", length=None)
    grid = adopt_grid([], None, Limits())

    assert record.finished().phase is Phase.FINISHED
    assert record.terminated().phase is Phase.TERMINATED
    assert record.in_conflict().phase is Phase.CONFLICT
    assert record.with_length(7).length == 7
    assert record.with_grid(grid).grid is grid
    assert record == Record(id="a+b", length=None)


@given(record=records(), offset=st.integers(0, 10), finished=st.booleans())
def test_a_record_describes_its_upload(record: Record, offset: int, finished: bool) -> None:
    """Offset, length and end come from the bucket, the rest from the record."""
    info = record.describe(offset, 10, finished=finished)

    assert (info.offset, info.length, info.finished) == (offset, 10, finished)
    assert (info.id, info.kind) == (record.id, record.kind)
    assert (info.metadata, info.metadata_raw) == (record.metadata, record.metadata_raw)
    assert info.concat_raw == record.concat_raw


def test_the_offset_in_the_record_is_for_people() -> None:
    """It is the length once finished; before, the bucket is asked."""
    record = Record(id="a+b", length=7)

    assert json.loads(format_record(record))["Offset"] == 0
    assert json.loads(format_record(record.finished()))["Offset"] == 7


# -- tusd's --------------------------------------------------------------------------------------


def test_a_record_of_tusd_is_read() -> None:
    """No grid, no tag, open: what is not there is asked of the bucket."""
    record = parse_record(tusds())

    assert (record.id, record.length) == (TUSDS["ID"], 52428800)
    assert record.metadata == {
        "filename": "Menü.pdf".encode(),
        "filetype": b"application/pdf",
        "is_public": b"",
    }
    assert parse_metadata(record.metadata_raw or "") == record.metadata
    assert record.storage == TUSDS["Storage"]
    assert (record.grid, record.tag, record.phase) == (None, None, Phase.OPEN)
    assert (record.checksum, record.created) == ("MD5", 0.0)


def test_a_record_of_tusd_stays_readable_for_tusd() -> None:
    """Rewriting adds our object and leaves the other fields."""
    record = parse_record(tusds(PartialUploads=["a", "b"], IsFinal=True))
    written = json.loads(format_record(record))
    del written[OURS]

    assert written == {**TUSDS, "PartialUploads": ["a", "b"], "IsFinal": True}


def test_a_record_of_tusd_is_ours_once_it_has_a_grid() -> None:
    """The second read finds what the first rewrite wrote."""
    record = parse_record(tusds())
    adopted = record.with_grid(adopt_grid([], record.length, Limits()))
    read = parse_record(format_record(adopted))

    assert without_rest(read) == without_rest(adopted)


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({}, Kind.WHOLE),
        ({"IsPartial": True}, Kind.PARTIAL),
        ({"IsFinal": True}, Kind.FINAL),
        ({"IsFinal": True, "IsPartial": True}, Kind.FINAL),
    ],
)
def test_the_kind_is_as_tusd_writes_it(fields: dict[str, bool], kind: Kind) -> None:
    """Two flags."""
    assert parse_record(tusds(**fields)).kind is kind


@pytest.mark.parametrize("nothing", [None, {}, ...])
def test_fields_that_go_leaves_empty_may_be_missing(nothing: object) -> None:
    """Go writes null for an empty map."""
    record = parse_record(tusds(MetaData=nothing, Storage=nothing))

    assert (record.metadata, record.metadata_raw, record.storage) == ({}, None, {})


def test_a_deferred_length_is_none() -> None:
    """Whatever Size says."""
    assert parse_record(tusds(SizeIsDeferred=True, Size=0)).length is None


@pytest.mark.parametrize("key", ["with blank", "größe", "a,b"])
def test_metadata_that_no_header_can_carry_do_not_lock_the_upload_out(key: str) -> None:
    """A hook of tusd may set any key: the object gets what fits, the header leaves it out."""
    record = parse_record(tusds(MetaData={key: "x", "filename": "a"}))

    assert record.metadata["filename"] == b"a"
    assert parse_metadata(record.metadata_raw or "")["filename"] == b"a"


# -- what is no record ---------------------------------------------------------------------------


@given(data=st.binary() | st.text().map(str.encode))
def test_any_bytes_are_a_record_or_refused(data: bytes) -> None:
    """Garbage is an error of the bucket, never a missing upload."""
    with pytest.raises(RecordError):
        parse_record(data)


@given(
    data=st.dictionaries(st.sampled_from([*TUSDS, OURS]), json_values),
    nested=st.none()
    | st.dictionaries(st.sampled_from(list(json.loads(ours())[OURS])), json_values),
)
@example(data={**TUSDS}, nested={**json.loads(ours())[OURS], "Created": 10**400})
@example(data={**TUSDS}, nested={**json.loads(ours())[OURS], "Grid": {"PartSize": float("inf")}})
@example(data={**TUSDS, "note": "\ud800"}, nested=None)
def test_any_json_is_a_record_that_can_be_written_or_refused(
    data: dict[str, Any], nested: dict[str, Any] | None
) -> None:
    """Wrong types, missing fields, numbers that no float holds, texts that are no Unicode."""
    fields = {**TUSDS, **data}
    if nested is not None:
        fields[OURS] = {**json.loads(ours())[OURS], **nested}
    try:
        record = parse_record(json.dumps(fields).encode())
    except RecordError:
        return

    assert parse_record(format_record(record)).id == record.id


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b'"a"',
        b"{}",
        b"\xff",
        b"[" * 100_000,
        tusds(ID=5),
        tusds(ID=...),
        tusds(Size="5"),
        tusds(Size=-1),
        tusds(Size=1.5),
        tusds(Size=True),
        tusds(Size=...),
        tusds(MetaData=["a"]),
        tusds(MetaData={"a": 5}),
        tusds(Storage="here"),
        tusds(**{OURS: "mine"}),
        tusds(**{OURS: {}}),
        ours(Phase="?"),
        ours(Phase=...),
        ours(Grid=5),
        ours(Grid={}),
        ours(Checksum=None),
        ours(Created="soon"),
        ours(RawMetadata="a!!! b"),
        ours(RawMetadata=5),
        ours(RawConcat=5),
        ours(Tag=["a"]),
        ours(Version="1"),
        ours(Partials=[5]),
        ours(Partials=5),
        ours(Assembly={}),
        ours(Assembly={"MultipartId": 5, "Way": "copy"}),
    ],
)
def test_what_makes_no_sense_is_refused(data: bytes) -> None:
    """One field of the wrong type or value is enough: nothing is guessed."""
    with pytest.raises(RecordError):
        parse_record(data)


def test_a_later_version_is_not_read() -> None:
    """Its fields may mean something else; who wrote it is named."""
    with pytest.raises(RecordError, match=f"version {VERSION + 1}"):
        parse_record(ours(Version=VERSION + 1))
