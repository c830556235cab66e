"""Facts about the answers: status and headers of every outcome."""

import inspect
from dataclasses import replace

import pytest
from hypothesis import assume, given

from tests.strategies import is_safe_field_value, terms, upload_infos
from tusd_s3 import errors
from tusd_s3.errors import MismatchedOffset, TusError, UploadNotFound
from tusd_s3.model import Kind, UploadInfo
from tusd_s3.protocol.answers import (
    ALLOWED_HEADERS,
    ALLOWED_METHODS,
    COMMON_HEADERS,
    EXPOSED_HEADERS,
    Answer,
    appended,
    capabilities,
    created,
    described,
    download_headers,
    refused,
    terminated,
)
from tusd_s3.protocol.rules import Terms

REFUSALS = [
    error for _, error in inspect.getmembers(errors, inspect.isclass) if issubclass(error, TusError)
]


def upload(offset: int, length: int | None, raw: str | None = None) -> UploadInfo:
    """Return an upload as the bucket has it."""
    return UploadInfo(id="a", length=length, offset=offset, metadata_raw=raw)


def test_every_answer_says_the_version() -> None:
    """CORE-05, CORE-06, AMB-03: OPTIONS too."""
    info = upload(3, 8)
    answers = [
        capabilities(Terms()),
        created(info, "/files/a", with_body=False),
        described(info),
        appended(info),
        terminated(),
        *(refused(error()) for error in REFUSALS),
    ]

    assert {answer.headers["Tus-Resumable"] for answer in answers} == {"1.0.0"}
    assert download_headers(info, size=8, etag="e", byte_range=None).items() >= set(
        COMMON_HEADERS.items()
    )


def test_the_capabilities_are_what_the_terms_say() -> None:
    """CORE-03, CORE-04, CORE-11, CORE-13, CORE-14, CORE-51, AMB-04."""
    assert capabilities(Terms(max_size=1000)) == Answer(
        200,
        {
            "Tus-Resumable": "1.0.0",
            "Tus-Version": "1.0.0",
            "Tus-Extension": "creation,creation-with-upload,termination,"
            "concatenation,concatenation-unfinished,creation-defer-length",
            "Tus-Max-Size": "1000",
        },
    )


@given(offered=terms)
def test_a_maximum_is_told_where_there_is_one(offered: Terms) -> None:
    """CORE-14: a maximum of 0 is one."""
    told = capabilities(offered).headers.get("Tus-Max-Size")

    assert told == (None if offered.max_size is None else str(offered.max_size))


def test_a_new_upload_is_located() -> None:
    """CRE-04, CRE-05: 201 with `Location`; without a body there is no offset to tell."""
    assert created(upload(0, 8), "http://a/files/b", with_body=False) == Answer(
        201, {"Tus-Resumable": "1.0.0", "Location": "http://a/files/b"}
    )


def test_a_creation_with_bytes_tells_how_many_were_stored() -> None:
    """CWU-06, CWU-07, CLI-04."""
    answer = created(upload(3, 8), "/files/b", with_body=True)

    assert answer.headers["Upload-Offset"] == "3"


def test_an_upload_is_described() -> None:
    """CORE-20, CORE-21, CORE-24, CORE-25, DEF-04, CRE-19, CLI-02."""
    assert described(upload(0, 8)) == Answer(
        200,
        {
            "Tus-Resumable": "1.0.0",
            "Cache-Control": "no-store",
            "Upload-Offset": "0",
            "Upload-Length": "8",
        },
    )


def test_a_deferred_length_is_said_to_be_deferred() -> None:
    """DEF-05: and there is no `Upload-Length`."""
    headers = described(upload(3, None)).headers

    assert headers["Upload-Defer-Length"] == "1"
    assert "Upload-Length" not in headers


def test_metadata_are_echoed_as_they_were_sent() -> None:
    """CRE-18, AMB-20."""
    raw = "b QQ== ,a,\tc Qg=="

    assert described(upload(0, 8, raw)).headers["Upload-Metadata"] == raw


@given(info=upload_infos())
def test_every_upload_has_an_offset_and_one_kind_of_length(info: UploadInfo) -> None:
    """CORE-20, CAT-19, DEF-04, DEF-05: one of the two length headers, never both."""
    assume(info.kind is not Kind.FINAL)

    headers = described(info).headers

    assert headers["Upload-Offset"] == str(info.offset)
    assert ("Upload-Length" in headers) != ("Upload-Defer-Length" in headers)


@given(info=upload_infos())
def test_a_final_upload_has_an_offset_when_its_object_exists(info: UploadInfo) -> None:
    """CAT-17, CAT-18, CAT-20, AMB-36: and its length as soon as it is known."""
    info = replace(info, kind=Kind.FINAL)

    headers = described(info).headers

    assert ("Upload-Offset" in headers) == info.finished
    assert headers.get("Upload-Length") == (None if info.length is None else str(info.length))
    assert not info.finished or headers["Upload-Offset"] == headers["Upload-Length"]
    assert "Upload-Defer-Length" not in headers


@given(info=upload_infos())
def test_what_an_upload_is_to_others_is_echoed_as_it_was_sent(info: UploadInfo) -> None:
    """CAT-21, AMB-34: the raw value, and none where there was none."""
    assert described(info).headers.get("Upload-Concat") == info.concat_raw


def test_an_append_is_answered_with_the_new_offset() -> None:
    """CORE-37, CORE-38: 204, also for the last one."""
    assert appended(upload(8, 8)) == Answer(204, {"Tus-Resumable": "1.0.0", "Upload-Offset": "8"})


def test_a_termination_is_answered_without_content() -> None:
    """TRM-04, CLI-10: exactly 204."""
    assert terminated() == Answer(204, {"Tus-Resumable": "1.0.0"})


@pytest.mark.parametrize("error", REFUSALS)
def test_every_refusal_is_answered_in_the_form_of_tusd(error: type[TusError]) -> None:
    """CORE-25: code and message as text, and nothing that a cache may keep."""
    answer = refused(error())

    assert answer.status == error.status
    assert answer.body == f"{error.code}: {error.message}\n"
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_refusal_carries_its_own_headers() -> None:
    """AMB-12: the offset on a 409."""
    answer = refused(MismatchedOffset(headers={"Upload-Offset": "3"}))

    assert answer.headers["Upload-Offset"] == "3"


def test_a_refused_lookup_has_no_offset() -> None:
    """CORE-22, CORE-23."""
    answer = refused(UploadNotFound("no such id"))

    assert answer.status == 404
    assert answer.body == "ERR_UPLOAD_NOT_FOUND: upload not found: no such id\n"
    assert "Upload-Offset" not in answer.headers


def test_browsers_may_send_and_read_every_header_of_tus() -> None:
    """CORE-55, PITFALLS 21."""
    assert set(ALLOWED_METHODS) == {"POST", "HEAD", "PATCH", "OPTIONS", "GET", "DELETE"}
    assert set(ALLOWED_HEADERS) >= {
        "Authorization", "Content-Type", "Tus-Resumable", "Upload-Checksum", "Upload-Concat",
        "Upload-Defer-Length", "Upload-Length", "Upload-Metadata", "Upload-Offset",
        "X-HTTP-Method-Override", "X-Request-ID", "X-Requested-With",
    }  # fmt: skip
    assert set(EXPOSED_HEADERS) >= {
        "Location", "Retry-After", "Tus-Checksum-Algorithm", "Tus-Extension", "Tus-Max-Size",
        "Tus-Resumable", "Tus-Version", "Upload-Concat", "Upload-Defer-Length", "Upload-Expires",
        "Upload-Length", "Upload-Metadata", "Upload-Offset",
    }  # fmt: skip


def test_browsers_may_read_every_header_that_is_answered() -> None:
    """CORE-55: but for those that CORS exposes by itself, and those for the browser alone."""
    info = upload(3, 8, "a")
    readable = {*EXPOSED_HEADERS, "Cache-Control", "Content-Length", "Content-Type"}
    answered = {
        *capabilities(Terms(max_size=1)).headers,
        *created(info, "/a", with_body=True).headers,
        *described(info).headers,
        *described(upload(3, None)).headers,
        *described(replace(info, kind=Kind.PARTIAL, concat_raw="partial")).headers,
        *refused(UploadNotFound()).headers,
        *download_headers(info, size=8, etag="e", byte_range=(0, 1)),
    }

    assert answered - readable == {"X-Content-Type-Options"}


def test_a_download_says_what_it_is() -> None:
    """PITFALLS 35: type, name, length and version; browsers do not guess another type."""
    info = UploadInfo("a", 8, 8, None, {"filetype": b"image/png", "filename": b"cat.png"})

    assert download_headers(info, size=8, etag='"e"', byte_range=None) == {
        "Tus-Resumable": "1.0.0",
        "Accept-Ranges": "bytes",
        "Content-Disposition": 'inline; filename="cat.png"',
        "Content-Length": "8",
        "Content-Type": "image/png",
        "ETag": '"e"',
        "X-Content-Type-Options": "nosniff",
    }


def test_a_range_says_where_it_lies() -> None:
    """RFC 9110, 14.4: the last byte is inclusive there."""
    headers = download_headers(upload(8, 8), size=8, etag="e", byte_range=(2, 5))

    assert headers["Content-Range"] == "bytes 2-4/8"
    assert headers["Content-Length"] == "3"
    assert headers["ETag"] == '"e"'


def test_active_content_is_saved_not_shown() -> None:
    """PITFALLS 35: an uploaded page is not run in our origin."""
    info = UploadInfo("a", 8, 8, None, {"filetype": b"text/html", "name": b"x.html"})

    headers = download_headers(info, size=8, etag="e", byte_range=None)

    assert headers["Content-Disposition"] == 'attachment; filename="x.html"'


@given(info=upload_infos())
def test_no_upload_smuggles_a_header_into_an_answer(info: UploadInfo) -> None:
    """CRE-16: every value is one line of printable ASCII."""
    headers = {
        **described(info).headers,
        **download_headers(info, size=8, etag="e", byte_range=None),
    }

    assert all(map(is_safe_field_value, headers.values()))
