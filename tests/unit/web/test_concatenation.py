"""Facts about requests for final uploads, with a store that does what it is told."""

import asyncio
from dataclasses import replace

import pytest

from tests.protocol.wire import VERSION, Response, Tus
from tests.unit.web.fakes import FakeStore, serving
from tusd_s3.errors import InvalidConcat, StoreBusy, StoreFull, UploadGone
from tusd_s3.lockers.memory import MemoryLocker
from tusd_s3.model import Kind, UploadInfo
from tusd_s3.protocol.concat import parse_concat
from tusd_s3.protocol.rules import Terms
from tusd_s3.web.concatenation import partials_of, place_of
from tusd_s3.web.options import WebOptions
from tusd_s3.web.proxy import Origin

DIRECT = Origin("http", "10.0.0.1:8080")
PROXIED = Origin("https", "up.example", "/api")
NOWHERE = Origin("http", None)
PARTIAL = UploadInfo("p", 2, 2, kind=Kind.PARTIAL, concat_raw="partial", finished=True)
PENDING = UploadInfo("final-p-q", 4, 4, kind=Kind.FINAL, concat_raw="final;p q")


def store_of_two() -> FakeStore:
    """Return a store with two finished partials, whose final has the id ``final-p-q``."""
    store = FakeStore()
    for upload_id in ("p", "q"):
        store.add(upload_id, replace(PARTIAL, id=upload_id))
    return store


async def join(tus: Tus, urls: str = "/files/p /files/q") -> Response:
    """Ask for a final upload."""
    headers = {**VERSION, "Upload-Concat": f"final;{urls}"}
    return await tus.request("POST", tus.url, headers, b"")


def test_a_server_is_where_it_is_seen() -> None:
    """CAT-22: relative URLs are resolved as the client would, and both views count."""
    place = place_of("/files", [DIRECT, PROXIED])

    assert place.creation_url == "https://up.example/api/files/"
    assert set(place.authorities) == {"10.0.0.1:8080", "up.example"}
    assert set(place.paths) == {"/files/", "/api/files/"}


@pytest.mark.parametrize(
    ("seen", "url"),
    [
        ([DIRECT], "http://10.0.0.1:8080/files/a"),
        ([DIRECT], "a"),
        ([DIRECT, PROXIED], "https://up.example/api/files/a"),
        ([NOWHERE], "/files/a"),
        ([NOWHERE, PROXIED], "a"),
    ],
)
def test_partials_are_found(seen: list[Origin], url: str) -> None:
    """CAT-22: in order, as often as they are named."""
    concat = parse_concat(f"final;{url} /files/b {url}")

    assert partials_of(concat, "/files/", seen) == ("a", "b", "a")


@pytest.mark.parametrize("seen", [[DIRECT], [NOWHERE], [DIRECT, PROXIED]])
def test_other_servers_have_no_partials_of_ours(seen: list[Origin]) -> None:
    """CAT-26."""
    with pytest.raises(InvalidConcat):
        partials_of(parse_concat("final;/files/a http://other.example/files/b"), "/files/", seen)


async def test_a_final_is_created_and_made() -> None:
    """CAT-03: recorded, then made under its lock."""
    store = store_of_two()
    store.infos["final-p-q"] = PENDING
    async with serving(store) as tus:
        response = await join(tus)

    assert (response.status, response.offset) == (201, 4)
    assert store.calls == ["read", "open", "finish"]
    assert response["Location"].endswith("/files/final-p-q")


async def test_a_final_of_unfinished_partials_is_only_recorded() -> None:
    """CAU-02: 201 without an offset."""
    store = store_of_two()
    async with serving(store) as tus:
        response = await join(tus)

    assert (response.status, response.get("Upload-Offset")) == (201, None)
    assert store.calls == ["read", "read", "read", "read", "create_final"]


async def test_a_final_that_is_there_is_answered_at_once() -> None:
    """CAT-13: its partials may be gone by now; nobody asks for them."""
    store = FakeStore()
    store.infos["final-p-q"] = replace(PENDING, finished=True)
    async with serving(store) as tus:
        response = await join(tus)

    assert (response.status, response.offset) == (201, 4)
    assert store.calls == ["read"]


async def test_an_assembly_that_goes_on_too_long_is_waited_for_later() -> None:
    """AMB-26: 423 with `Retry-After`, after the usual time."""
    store, locker = store_of_two(), MemoryLocker()
    store.infos["final-p-q"] = PENDING
    async with (
        locker.hold("final-p-q", on_release_requested=lambda: None, timeout_s=1),
        serving(store, locker=locker, options=WebOptions(lock_timeout_s=0.05)) as tus,
    ):
        response = await join(tus)

    assert response.status == 423
    assert response["Retry-After"] == "1"


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (StoreBusy("copy_part", "k", "SlowDown"), 503),
        (StoreFull("copy_part", "k", "QuotaExceeded"), 503),
        (UploadGone("head", "k", "gone"), 410),
    ],
)
async def test_an_assembly_that_fails_can_be_asked_for_again(
    failure: Exception, status: int
) -> None:
    """CAU-03: but where a partial is gone; S3's words stay here."""
    store = store_of_two()
    store.infos["final-p-q"] = PENDING
    store.fail["finish"] = failure
    async with serving(store) as tus:
        refused = await join(tus)
        store.fail.clear()
        again = await join(tus)

    assert refused.status == status
    assert (refused.get("Retry-After") == "1") == (status == 503)
    assert b"SlowDown" not in refused.body
    assert again.status == 201


async def test_equal_requests_at_once_record_one_final() -> None:
    """CAT-13: also in a bucket that would let the second record replace the first."""
    store = store_of_two()
    async with serving(store) as tus:
        answers = await asyncio.gather(*(join(tus) for _ in range(4)))

    assert {answer.status for answer in answers} == {201}
    assert store.calls.count("create_final") == 1


@pytest.mark.parametrize("path", ["", "final-p-q"])
async def test_a_final_above_the_maximum_is_not_made(path: str) -> None:
    """CAT-27, PITFALLS 31: neither by POST nor by HEAD, though it was recorded before."""
    store = store_of_two()
    store.infos["final-p-q"] = PENDING
    async with serving(store, terms=Terms(max_size=3)) as tus:
        response = await (tus.head(tus.url + path) if path else join(tus))

    assert response.status == 413
    assert "finish" not in store.calls


@pytest.mark.parametrize(
    ("urls", "status"),
    [
        ("/files/p /files/unknown", 404),
        ("/files/p http://other.example/files/q", 400),
        ("/files/p /files/whole", 400),
    ],
)
async def test_a_final_that_cannot_be_is_not_recorded(urls: str, status: int) -> None:
    """CAT-24, CAT-25, CAT-26."""
    store = store_of_two()
    store.add("whole")
    async with serving(store) as tus:
        response = await join(tus, urls)

    assert response.status == status
    assert "create_final" not in store.calls
