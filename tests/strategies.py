"""Hypothesis strategies: request headers, metadata, uploads and terms."""

from collections.abc import Mapping

from hypothesis import strategies as st
from multidict import CIMultiDict

from tusd_s3.model import Kind, UploadInfo
from tusd_s3.protocol.metadata import format_metadata
from tusd_s3.protocol.rules import Terms

LARGEST_NUMBER = 10**18 - 1

numbers = st.integers(min_value=0, max_value=LARGEST_NUMBER)
small_numbers = st.integers(min_value=0, max_value=50)

# What an HTTP parser can hand over: any byte but the ones that end a line, blanks stripped.
field_values = st.text(
    st.characters(max_codepoint=0xFF, exclude_characters="\r\n\0"), max_size=40
).map(lambda value: value.strip(" \t"))

metadata_keys = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters=","),
    min_size=1,
    max_size=12,
)
metadata = st.dictionaries(metadata_keys, st.binary(max_size=24), max_size=5)

concat_values: Mapping[Kind, st.SearchStrategy[str | None]] = {
    Kind.WHOLE: st.none(),
    Kind.PARTIAL: st.just("partial"),
    Kind.FINAL: st.lists(st.from_regex("/files/[!-~]{1,9}", fullmatch=True), min_size=1).map(
        lambda urls: "final;" + " ".join(urls)
    ),
}

_blanks = st.text(" \t", max_size=2)


@st.composite
def spelled_metadata(draw: st.DrawFn) -> tuple[dict[str, bytes], str]:
    """Metadata and one of the ways in which a client may write them."""
    meant = draw(metadata.filter(bool))
    pairs = [
        draw(_blanks) + format_metadata({key: value}) + draw(_blanks)
        for key, value in meant.items()
    ]
    return meant, ",".join(pairs)


# Values that are right for some header, so that mixed-up requests get past the first check.
_plausible_values = st.one_of(
    field_values,
    numbers.map(str),
    metadata.map(format_metadata),
    st.sampled_from([
        "", "1", "-1", "+5", "1.0.0", "1.0.0, 1.0.0", "chunked", "identity", "gzip", "partial",
        "final;/files/a", "final;", "final;/files/a http://h/files/b ",
        "application/offset+octet-stream", "application/octet-stream", "PATCH", "bytes=0-1",
    ]),
)  # fmt: skip

_names = st.sampled_from([
    "Content-Encoding", "Content-Length", "Content-Type", "Range", "Transfer-Encoding",
    "Tus-Resumable", "Upload-Checksum", "Upload-Concat", "Upload-Defer-Length", "Upload-Length",
    "Upload-Metadata", "Upload-Offset", "X-HTTP-Method-Override",
])  # fmt: skip

_create_basis = st.sampled_from([
    (),
    (("Upload-Length", "5"),),
    (("Upload-Defer-Length", "1"),),
    (("Upload-Concat", "final;/files/a /files/b"),),
    (("Content-Type", "application/offset+octet-stream"), ("Upload-Offset", "0")),
])  # fmt: skip


@st.composite
def header_sources(draw: st.DrawFn) -> CIMultiDict[str]:
    """Request headers, from nearly right to nonsense, some of them repeated."""
    extra = draw(st.lists(st.tuples(_names, _plausible_values), max_size=6))
    return CIMultiDict([*draw(_create_basis), *extra])


terms = st.builds(
    Terms,
    max_size=st.none() | small_numbers,
    termination=st.booleans(),
    concatenation=st.booleans(),
    download=st.booleans(),
)


@st.composite
def upload_infos(draw: st.DrawFn) -> UploadInfo:
    """Uploads as a bucket can hold them: the offset is within the length."""
    length = draw(st.none() | small_numbers)
    offset = draw(st.integers(min_value=0, max_value=50 if length is None else length))
    meant = draw(metadata)
    kind = draw(st.sampled_from(Kind))
    return UploadInfo(
        id="0a1b+2c3d",
        length=length,
        offset=offset,
        metadata_raw=format_metadata(meant) or None,
        metadata=meant,
        kind=kind,
        concat_raw=draw(concat_values[kind]),
        finished=offset == length and draw(st.booleans()),
    )


def is_safe_field_value(value: str) -> bool:
    """Return whether a value can neither end its line nor stop the encoder of the response."""
    return value.isascii() and value.isprintable()
