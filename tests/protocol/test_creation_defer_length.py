"""The creation-defer-length extension."""

import pytest

from tests.protocol.wire import Tus, patching


async def test_it_is_advertised(tus: Tus) -> None:
    """DEF-01."""
    assert "creation-defer-length" in (await tus.options()).members("Tus-Extension")


async def test_one_is_accepted(tus: Tus) -> None:
    """DEF-02: `Upload-Defer-Length: 1`."""
    assert (await tus.post(Upload_Defer_Length="1")).status == 201


@pytest.mark.parametrize("value", ["0", "2", "true", "01", "", "1, 1"])
async def test_other_values_are_refused(tus: Tus, value: str) -> None:
    """DEF-02, DEF-03, AMB-17: 400, and nothing is created."""
    response = await tus.post(Upload_Defer_Length=value)

    assert response.status == 400
    assert response.get("Location") is None


async def test_deferral_is_told_exactly_while_it_lasts(tus: Tus) -> None:
    """DEF-04, DEF-05: HEAD has `Upload-Defer-Length: 1` and no length, until it is declared."""
    fixed = await tus.head(await tus.create(5))
    url = await tus.create()
    told = [await tus.head(url)]
    await tus.patch(url, 0, b"abc")
    told.append(await tus.head(url))
    await tus.patch(url, 3, b"", Upload_Length="5")
    declared = await tus.head(url)

    assert fixed.get("Upload-Defer-Length") is None
    assert [r["Upload-Defer-Length"] for r in told] == ["1", "1"]
    assert [r.get("Upload-Length") for r in told] == [None, None]
    assert declared.get("Upload-Defer-Length") is None
    assert (declared["Upload-Length"], declared.offset) == ("5", 3)


@pytest.mark.parametrize("declared_at", [0, 1, 2])
async def test_length_is_declared_on_any_patch(tus: Tus, declared_at: int) -> None:
    """DEF-06: on the first, a middle or the last request."""
    url = await tus.create()
    for number, piece in enumerate((b"abc", b"def", b"ghi")):
        more = {"Upload_Length": "9"} if number == declared_at else {}
        response = await tus.patch(url, 3 * number, piece, **more)
        assert response.status == 204
        told = await tus.head(url)
        assert told.get("Upload-Length") == ("9" if number >= declared_at else None)

    assert (await tus.get(url)).body == b"abcdefghi"


async def test_length_is_declared_on_an_extra_patch(tus: Tus) -> None:
    """DEF-06, DEF-11: length == offset with an empty PATCH completes the upload."""
    url = await tus.create()
    await tus.patch(url, 0, b"abc")
    unfinished = await tus.get(url)

    response = await tus.patch(url, 3, b"", Upload_Length="3")

    assert unfinished.status == 400
    assert (response.status, response.offset) == (204, 3)
    assert (await tus.get(url)).body == b"abc"


async def test_declared_empty(tus: Tus) -> None:
    """DEF-06: a deferred upload may turn out to be empty."""
    url = await tus.create()

    response = await tus.patch(url, 0, b"", Upload_Length="0")

    assert (response.status, response.offset) == (204, 0)
    assert (await tus.get(url)).body == b""


async def test_length_never_changes(tus: Tus) -> None:
    """DEF-07: another length is 400, also for uploads that never deferred it."""
    deferred, fixed = await tus.create(), await tus.create(5)
    await tus.patch(deferred, 0, b"abc", Upload_Length="5")
    responses = [
        await tus.patch(deferred, 3, b"de", Upload_Length="6"),
        await tus.patch(deferred, 3, b"", Upload_Length="4"),
        await tus.patch(fixed, 0, b"hello", Upload_Length="6"),
    ]

    assert [r.status for r in responses] == [400, 400, 400]
    assert (await tus.head(deferred))["Upload-Length"] == "5"
    assert (await tus.head(fixed))["Upload-Length"] == "5"
    assert await tus.offset(deferred) == 3


async def test_same_length_again(tus: Tus) -> None:
    """DEF-07, AMB-16, CLI-11: repeating the declared length is fine."""
    url = await tus.create()
    await tus.patch(url, 0, b"abc", Upload_Length="5")

    assert (await tus.patch(url, 3, b"de", Upload_Length="5")).status == 204
    assert (await tus.patch(url, 5, b"", Upload_Length="5")).status == 204


async def test_declared_length_below_the_offset(tus: Tus) -> None:
    """DEF-08: 400, and nothing changes."""
    url = await tus.create()
    await tus.patch(url, 0, b"abc")
    before = await tus.state(url)

    response = await tus.patch(url, 3, b"", Upload_Length="2")

    assert response.status == 400
    assert await tus.state(url) == before


async def test_body_beyond_the_declared_length(tus: Tus) -> None:
    """CORE-45: the length declared along with a body limits that body already."""
    url = await tus.create()

    response = await tus.patch(url, 0, b"abcdef", Upload_Length="3")

    assert response.status == 413
    assert await tus.offset(url) == 0


async def test_declared_length_above_the_maximum(limited: Tus) -> None:
    """DEF-09, AMB-18: 413, and the length stays open."""
    url = await limited.create()

    response = await limited.patch(url, 0, b"abc", Upload_Length="1001")

    assert response.status == 413
    assert (await limited.head(url)).get("Upload-Length") is None


async def test_deferred_bytes_beyond_the_maximum(limited: Tus) -> None:
    """DEF-10, PITFALLS 31: deferring the length is no way around the maximum."""
    url = await limited.create()

    announced = await limited.patch(url, 0, bytes(1001))
    chunked = await limited.chunked("PATCH", url, patching(0), bytes(600), bytes(600))

    assert (announced.status, chunked.status) == (413, 413)
    assert await limited.offset(url) <= 1000


async def test_undeclared_is_unfinished(tus: Tus) -> None:
    """DEF-11: without a length an upload is never complete, however many bytes came."""
    url = await tus.create()
    await tus.patch(url, 0, b"abc")

    assert (await tus.get(url)).status == 400
    assert (await tus.head(url))["Upload-Defer-Length"] == "1"
