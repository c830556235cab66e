"""Facts about what tus 1.0.0 allows."""

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.strategies import small_numbers, terms, upload_infos
from tusd_s3.errors import (
    IncompleteUpload,
    InvalidConcat,
    InvalidUploadLength,
    MaxSizeExceeded,
    MethodNotAllowed,
    MismatchedOffset,
    ModifyFinal,
    NotImplementedHere,
    UploadSizeExceeded,
)
from tusd_s3.model import Kind, NewUpload, UploadInfo
from tusd_s3.protocol.concat import Concat
from tusd_s3.protocol.headers import Append, Creation
from tusd_s3.protocol.rules import (
    AppendPlan,
    CreatePlan,
    Terms,
    decide_append,
    decide_concat,
    decide_create,
    decide_download,
    decide_finish,
    decide_terminate,
    serves_inline,
)

ANYTHING = Terms()
AT_MOST_1000 = Terms(max_size=1000)


def creation(length: int | None, *, body: int | None = None) -> Creation:
    """Return a request for an upload, perhaps with bytes."""
    return Creation(length, None, {}, has_body=body is not None, body_length=body)


def append(offset: int, *, body: int | None = 0, declared: int | None = None) -> Append:
    """Return a PATCH; a body of None is chunked."""
    return Append(offset=offset, declared_length=declared, body_length=body)


def upload(offset: int, length: int | None, kind: Kind = Kind.WHOLE) -> UploadInfo:
    """Return an upload as the bucket has it."""
    return UploadInfo(id="a", length=length, offset=offset, kind=kind)


def test_the_extensions_are_listed_in_the_order_of_tusd() -> None:
    """CORE-11, CRE-02, DEF-01, CWU-01, CWU-02, TRM-01, CAT-01, CAU-01."""
    assert ANYTHING.extensions == (
        "creation",
        "creation-with-upload",
        "termination",
        "concatenation",
        "concatenation-unfinished",
        "creation-defer-length",
    )


def test_what_is_off_is_not_listed() -> None:
    """CORE-11, TRM-01, CAT-01: neither as an extension nor as a method."""
    offered = Terms(termination=False, concatenation=False, download=False)

    assert offered.extensions == ("creation", "creation-with-upload", "creation-defer-length")
    assert offered.methods == ("POST", "HEAD", "PATCH", "OPTIONS")


def test_a_creation_is_planned_as_asked() -> None:
    """CRE-18: metadata go on raw and decoded; the body may fill the upload."""
    asked = Creation(5, "a QQ==", {"a": b"A"}, has_body=True, body_length=5)

    assert decide_create(asked, ANYTHING) == CreatePlan(
        new=NewUpload(length=5, metadata_raw="a QQ==", metadata={"a": b"A"}), body_limit=5
    )


PARTIAL = Concat(Kind.PARTIAL, "partial")
FINAL = Concat(Kind.FINAL, "final;/files/a", ("/files/a",))


@pytest.mark.parametrize(("length", "concat"), [(5, PARTIAL), (None, PARTIAL), (None, FINAL)])
def test_what_an_upload_is_to_others_is_planned_as_asked(
    length: int | None, concat: Concat
) -> None:
    """CAT-02, CAT-03, CAT-21."""
    plan = decide_create(replace(creation(length), concat=concat), ANYTHING)

    assert plan.new == NewUpload(length=length, kind=concat.kind, concat_raw=concat.raw)


@pytest.mark.parametrize("concat", [PARTIAL, FINAL])
def test_concatenation_can_be_off(concat: Concat) -> None:
    """AMB-38: 501, since a partial upload must not become an ordinary one."""
    with pytest.raises(NotImplementedHere) as refusal:
        decide_create(replace(creation(5), concat=concat), Terms(concatenation=False))

    assert refusal.value.status == 501


@pytest.mark.parametrize("partials", [[(3, 5)], [(0, 0), (5, 5), (3, None)]])
def test_partials_are_joined_finished_or_not(partials: list[tuple[int, int | None]]) -> None:
    """CAT-03, CAU-02: whatever their lengths."""
    decide_concat([upload(*stands, Kind.PARTIAL) for stands in partials], ANYTHING)


@pytest.mark.parametrize("kind", [Kind.WHOLE, Kind.FINAL])
def test_only_partials_are_joined(kind: Kind) -> None:
    """CAT-25: 400 for an ordinary or a final upload among them."""
    with pytest.raises(InvalidConcat) as refusal:
        decide_concat([upload(5, 5, Kind.PARTIAL), upload(5, 5, kind)], ANYTHING)

    assert refusal.value.status == 400


@pytest.mark.parametrize("last", [upload(0, 401), upload(401, None)])
def test_partials_that_are_too_long_together_are_refused(last: UploadInfo) -> None:
    """CAT-27, CRE-09: 413; of a deferred one counts what is there."""
    first = upload(600, 600, Kind.PARTIAL)
    last = replace(last, kind=Kind.PARTIAL)

    decide_concat([first, replace(last, length=400, offset=0)], AT_MOST_1000)
    with pytest.raises(MaxSizeExceeded) as refusal:
        decide_concat([first, last], AT_MOST_1000)

    assert refusal.value.status == 413


@pytest.mark.parametrize(
    "info", [upload(1000, 1000, Kind.FINAL), upload(2000, 2000), upload(2000, 2000, Kind.PARTIAL)]
)
def test_an_upload_whose_bytes_are_there_is_finished(info: UploadInfo) -> None:
    """CRE-09: what was accepted before the maximum was lowered stays accepted."""
    decide_finish(info, AT_MOST_1000)


def test_a_final_upload_that_became_too_long_is_not_made() -> None:
    """CAT-27, PITFALLS 31: 413, though its partials did not say their lengths when it began."""
    with pytest.raises(MaxSizeExceeded):
        decide_finish(upload(1001, 1001, Kind.FINAL), AT_MOST_1000)


@pytest.mark.parametrize("length", [0, 1, 1000])
def test_an_upload_up_to_the_maximum_is_granted(length: int) -> None:
    """CRE-08, CRE-09: zero bytes and the maximum itself included."""
    assert decide_create(creation(length), AT_MOST_1000).new.length == length


def test_an_upload_above_the_maximum_is_refused() -> None:
    """CRE-09: 413."""
    with pytest.raises(MaxSizeExceeded) as refusal:
        decide_create(creation(1001), AT_MOST_1000)

    assert refusal.value.status == 413


def test_a_first_body_longer_than_its_upload_is_refused() -> None:
    """CWU-08: 413, before a byte is stored."""
    with pytest.raises(UploadSizeExceeded) as refusal:
        decide_create(creation(5, body=6), ANYTHING)

    assert refusal.value.status == 413


@pytest.mark.parametrize(("offered", "expected"), [(ANYTHING, None), (AT_MOST_1000, 1000)])
def test_the_body_of_a_deferred_upload_is_limited_by_the_maximum(
    offered: Terms, expected: int | None
) -> None:
    """CWU-11, DEF-10, PITFALLS 31: deferring is no way around it."""
    plan = decide_create(creation(None, body=1000), offered)

    assert plan.new.length is None
    assert plan.body_limit == expected


def test_a_first_body_above_the_maximum_is_refused() -> None:
    """DEF-10: 413 for a deferred upload too."""
    with pytest.raises(MaxSizeExceeded):
        decide_create(creation(None, body=1001), AT_MOST_1000)


@pytest.mark.parametrize("body", [0, 1, 5, None])
def test_a_body_that_fits_is_granted(body: int | None) -> None:
    """CORE-36, AMB-13: none, some, all, or chunked up to the rest."""
    assert decide_append(append(3, body=body), upload(3, 8), ANYTHING) == AppendPlan(5, None)


@pytest.mark.parametrize("offset", [0, 2, 4, 8, 9])
def test_an_append_elsewhere_is_told_where(offset: int) -> None:
    """CORE-33, CORE-34, AMB-12: 409 with the offset that holds."""
    with pytest.raises(MismatchedOffset) as refusal:
        decide_append(append(offset, body=99), upload(3, 8), ANYTHING)

    assert refusal.value.status == 409
    assert refusal.value.headers == {"Upload-Offset": "3"}


def test_a_body_longer_than_the_rest_is_refused() -> None:
    """CORE-45, AMB-11: 413, before a byte is stored."""
    with pytest.raises(UploadSizeExceeded) as refusal:
        decide_append(append(3, body=6), upload(3, 8), ANYTHING)

    assert refusal.value.status == 413


@pytest.mark.parametrize("finished", [True, False])
def test_a_complete_upload_takes_an_empty_body(*, finished: bool) -> None:
    """AMB-10: the repeated last request of a client that lost the answer."""
    complete = replace(upload(8, 8), finished=finished)

    assert decide_append(append(8), complete, ANYTHING) == AppendPlan(0, None)
    assert decide_append(append(8, body=None), complete, ANYTHING) == AppendPlan(0, None)


def test_a_complete_upload_takes_no_bytes() -> None:
    """AMB-10: they are not dropped silently but refused."""
    with pytest.raises(UploadSizeExceeded):
        decide_append(append(8, body=1), upload(8, 8), ANYTHING)


def test_a_complete_upload_is_at_its_end_only() -> None:
    """CORE-34: a wrong offset is 409 on a completed upload as well."""
    with pytest.raises(MismatchedOffset):
        decide_append(append(0), upload(8, 8), ANYTHING)


@pytest.mark.parametrize("offset", [0, 8, 99])
def test_a_final_upload_is_never_appended_to(offset: int) -> None:
    """CAT-14, AMB-37: 403, at a wrong offset too."""
    with pytest.raises(ModifyFinal) as refusal:
        decide_append(append(offset), upload(8, 8, Kind.FINAL), ANYTHING)

    assert refusal.value.status == 403


def test_a_partial_upload_is_appended_to_like_any_other() -> None:
    """CAT-02: it is an upload."""
    assert decide_append(append(3), upload(3, 8, Kind.PARTIAL), ANYTHING).limit == 5


@pytest.mark.parametrize(
    ("declared", "limit"), [(3, 0), (8, 5), (1000, 997)], ids=["last", "middle", "maximum"]
)
def test_a_deferred_length_is_declared_once_known(declared: int, limit: int) -> None:
    """DEF-06, DEF-11: also equal to the offset, with an empty body, which completes it."""
    plan = decide_append(append(3, declared=declared), upload(3, None), AT_MOST_1000)

    assert plan == AppendPlan(limit=limit, declared_length=declared)


def test_a_length_below_the_offset_is_refused() -> None:
    """DEF-08: 400."""
    with pytest.raises(InvalidUploadLength) as refusal:
        decide_append(append(3, declared=2), upload(3, None), ANYTHING)

    assert refusal.value.status == 400


def test_a_declared_length_above_the_maximum_is_refused() -> None:
    """DEF-09, AMB-18: 413."""
    with pytest.raises(MaxSizeExceeded) as refusal:
        decide_append(append(3, declared=1001), upload(3, None), AT_MOST_1000)

    assert refusal.value.status == 413


def test_a_body_longer_than_the_length_it_declares_is_refused() -> None:
    """CORE-45, DEF-06: the declaration counts for its own request."""
    with pytest.raises(UploadSizeExceeded):
        decide_append(append(3, body=6, declared=8), upload(3, None), ANYTHING)


def test_the_known_length_may_be_repeated() -> None:
    """AMB-16, CLI-11, PITFALLS 18: it is no news."""
    assert decide_append(append(3, declared=8), upload(3, 8), ANYTHING) == AppendPlan(5, None)


@pytest.mark.parametrize("declared", [0, 3, 7, 9])
def test_a_length_never_changes(declared: int) -> None:
    """DEF-07, AMB-16: another one is 400."""
    with pytest.raises(InvalidUploadLength):
        decide_append(append(3, declared=declared), upload(3, 8), ANYTHING)


def test_the_offset_is_compared_before_the_length() -> None:
    """Checklist 12: 409 goes before 400 and 413."""
    with pytest.raises(MismatchedOffset):
        decide_append(append(4, body=99, declared=9), upload(3, 8), ANYTHING)


def test_a_deferred_upload_without_maximum_takes_any_number_of_bytes() -> None:
    """DEF-10: there is nothing to exceed."""
    assert decide_append(append(3, body=None), upload(3, None), ANYTHING).limit is None


@pytest.mark.parametrize(("body", "limit"), [(997, 997), (None, 997)])
def test_a_deferred_upload_may_reach_the_maximum(body: int | None, limit: int) -> None:
    """DEF-10: and a chunked body is cut there."""
    assert decide_append(append(3, body=body), upload(3, None), AT_MOST_1000).limit == limit


def test_a_deferred_upload_never_exceeds_the_maximum() -> None:
    """DEF-10, PITFALLS 31: 413."""
    with pytest.raises(MaxSizeExceeded) as refusal:
        decide_append(append(3, body=998), upload(3, None), AT_MOST_1000)

    assert refusal.value.status == 413


def test_a_maximum_lowered_below_a_deferred_upload_leaves_no_room() -> None:
    """DEF-10: no negative number of bytes."""
    assert decide_append(append(2000), upload(2000, None), AT_MOST_1000).limit == 0


def test_an_upload_begun_under_a_higher_maximum_can_be_ended() -> None:
    """CRE-09: the maximum is a condition of creation."""
    assert decide_append(append(3), upload(3, 2000), AT_MOST_1000).limit == 1997


@given(
    info=upload_infos(),
    offered=terms,
    offset=small_numbers,
    declared=st.none() | small_numbers,
    body=st.none() | small_numbers,
    exact=st.booleans(),
)
def test_no_append_leads_beyond_the_length_or_the_maximum(
    info: UploadInfo,
    offered: Terms,
    offset: int,
    declared: int | None,
    body: int | None,
    *,
    exact: bool,
) -> None:
    """CORE-45, DEF-07..10: whatever is asked, what is granted fits; the rest is a 4xx."""
    maximum = offered.max_size
    assume(maximum is None or max(info.length or 0, info.offset) <= maximum)
    asked = append(info.offset if exact else offset, body=body, declared=declared)
    try:
        plan = decide_append(asked, info, offered)
    except (ModifyFinal, MismatchedOffset, InvalidUploadLength):
        return
    except (MaxSizeExceeded, UploadSizeExceeded):
        assert body or declared
        return

    length = plan.declared_length if info.length is None else info.length
    assert asked.offset == info.offset
    assert info.length is None or plan.declared_length is None
    if plan.limit is None:
        assert length is None
        assert maximum is None
        return
    end = info.offset + plan.limit
    assert plan.limit >= (body or 0)
    assert length is None or end == length
    assert maximum is None or end <= maximum


@given(length=st.none() | small_numbers, body=st.none() | small_numbers, offered=terms)
def test_no_creation_leads_beyond_the_length_or_the_maximum(
    length: int | None, body: int | None, offered: Terms
) -> None:
    """CRE-09, CWU-08, DEF-10: what is granted fits."""
    with suppress(MaxSizeExceeded, UploadSizeExceeded):
        plan = decide_create(creation(length, body=body), offered)

        bounds = [bound for bound in (length, offered.max_size) if bound is not None]
        assert plan.body_limit == min(bounds, default=None)
        assert plan.body_limit is None or plan.body_limit >= (body or 0)


@pytest.mark.parametrize("info", [None, upload(0, 8), upload(8, 8), upload(0, None)])
def test_every_upload_can_be_terminated(info: UploadInfo | None) -> None:
    """TRM-02, AMB-32: finished, unfinished, deferred, half gone."""
    decide_terminate(info, ANYTHING)


def test_termination_can_be_off() -> None:
    """TRM-01: 405, and `Allow` says what is not."""
    with pytest.raises(MethodNotAllowed) as refusal:
        decide_terminate(None, Terms(termination=False))

    assert refusal.value.status == 405
    assert refusal.value.headers == {"Allow": "POST, HEAD, PATCH, OPTIONS, GET"}


def test_a_finished_upload_can_be_fetched() -> None:
    """AMB-41."""
    decide_download(replace(upload(8, 8), finished=True), ANYTHING)


@pytest.mark.parametrize("info", [upload(0, 8), upload(8, 8), upload(8, None)])
def test_an_unfinished_upload_cannot_be_fetched(info: UploadInfo) -> None:
    """AMB-41: also with every byte there, since the object is not."""
    with pytest.raises(IncompleteUpload):
        decide_download(info, ANYTHING)


def test_downloads_can_be_off() -> None:
    """AMB-41: 405, and `Allow` says what is not."""
    with pytest.raises(MethodNotAllowed) as refusal:
        decide_download(replace(upload(8, 8), finished=True), Terms(download=False))

    assert refusal.value.headers == {"Allow": "POST, HEAD, PATCH, OPTIONS, DELETE"}


@pytest.mark.parametrize(
    "content_type", ["image/png", "IMAGE/PNG", "text/plain; charset=utf-8", "video/mp4"]
)
def test_harmless_types_may_be_shown(content_type: str) -> None:
    """PITFALLS 35: as tusd does, whatever the case and parameters."""
    assert serves_inline(content_type)


@pytest.mark.parametrize(
    "content_type",
    ["text/html", "image/svg+xml", "application/pdf", "application/xml", "text/plain+x", ""],
)
def test_active_types_are_saved(content_type: str) -> None:
    """PITFALLS 35: what is not on the list is not shown."""
    assert not serves_inline(content_type)
