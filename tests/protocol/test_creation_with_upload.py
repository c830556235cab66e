"""The creation-with-upload extension."""

import asyncio

import pytest

from tests.protocol.wire import OFFSET_TYPE, VERSION, Tus, patching


def creating(length: int, **more: str) -> dict[str, str]:
    """Return the headers of a creation with a body."""
    named = {name.replace("_", "-"): value for name, value in more.items()}
    return {**VERSION, "Upload-Length": str(length), "Content-Type": OFFSET_TYPE, **named}


async def test_it_is_advertised_with_creation(tus: Tus) -> None:
    """CWU-01, CWU-02."""
    members = (await tus.options()).members("Tus-Extension")

    assert {"creation", "creation-with-upload"} <= set(members)


@pytest.mark.parametrize("size", [0, 3, 10])
async def test_body_of_a_creation_is_stored(tus: Tus, size: int) -> None:
    """CWU-03, CWU-04, CWU-06, CWU-07: none, some or all bytes; the offset says how many."""
    response = await tus.post(10, b"0123456789"[:size])
    url = tus.resolve(response["Location"])

    assert (response.status, response.offset) == (201, size)
    assert await tus.offset(url) == size
    await tus.patch(url, size, b"0123456789"[size:])
    assert (await tus.get(url)).body == b"0123456789"


@pytest.mark.parametrize("content_type", ["application/octet-stream", "text/plain", ""])
async def test_other_type_is_refused(tus: Tus, content_type: str) -> None:
    """CWU-04, AMB-23: bytes of another type are 415, not dropped; nothing is created."""
    response = await tus.post(10, b"abc", Content_Type=content_type)

    assert response.status == 415
    assert response.get("Location") is None


async def test_cut_creation_leaks_nothing(tus: Tus) -> None:
    """CWU-05, CORE-41: a connection cut within the body harms nobody else."""
    headers = {**creating(10), "Content-Length": "10"}
    async with tus.begun("POST", tus.url, headers, b"012") as connection:
        connection.reset()

    assert (await tus.post(10, b"0123456789")).status == 201


async def test_short_body_says_where_it_went(tus: Tus) -> None:
    """CWU-05, AMB-24: a client that only shut down its sending half is told what was created."""
    headers = {**creating(10), "Content-Length": "10"}
    async with tus.begun("POST", tus.url, headers, b"012") as connection:
        connection.finish()
        await connection.rest()

    assert (await tus.options()).status in {200, 204}


async def test_announced_overrun(tus: Tus) -> None:
    """CWU-08: a body longer than the upload is 413, and nothing is created."""
    response = await tus.post(5, b"toolong")

    assert response.status == 413
    assert response.get("Location") is None


async def test_chunked_overrun(tus: Tus) -> None:
    """CWU-08, AMB-24: a body that grows too long is 413 and says what exists by then."""
    response = await tus.chunked("POST", tus.url, creating(5), b"hel", b"lo, world")

    assert response.status == 413
    url = tus.resolve(response["Location"])
    assert await tus.offset(url) == response.offset <= 5


async def test_chunked_body(tus: Tus) -> None:
    """CWU-03: the body may be chunked."""
    response = await tus.chunked("POST", tus.url, creating(10), b"01234", b"56789")

    assert (response.status, response.offset) == (201, 10)
    assert (await tus.get(tus.resolve(response["Location"]))).body == b"0123456789"


async def test_whole_body_completes(tus: Tus) -> None:
    """CWU-09: afterwards the upload behaves as any complete one."""
    url = await tus.create(5, b"hello")

    assert (await tus.get(url)).body == b"hello"
    assert (await tus.patch(url, 5, b"")).status == 204
    assert (await tus.patch(url, 5, b"!")).status == 413


async def test_acceptable_creation_is_invited(tus: Tus) -> None:
    """CWU-10: a client that expects it is sent 100 Continue before it sends the body."""
    headers = {**creating(5), "Content-Length": "5", "Expect": "100-continue"}
    async with tus.begun("POST", tus.url, headers) as connection:
        invitation = await connection.receive(interim=True)
        await connection.send(b"hello")
        response = await connection.receive(interim=True)

    assert invitation.status == 100
    assert (response.status, response.offset) == (201, 5)


async def test_refused_creation_is_not_invited(limited: Tus) -> None:
    """CWU-10: what cannot be accepted gets its final answer without 100 Continue."""
    headers = {**creating(1001), "Content-Length": "1001", "Expect": "100-continue"}
    async with limited.begun("POST", limited.url, headers) as connection:
        response = await connection.receive(interim=True)
        rest = await connection.rest()

    assert response.status == 413
    assert response["Connection"] == "close"
    assert rest == b""


@pytest.mark.parametrize(
    ("more", "status"),
    [({"Upload-Offset": "3"}, 409), ({"Content-Type": "a/b"}, 415), ({}, 100)],
)
async def test_patches_are_invited_after_every_check(
    tus: Tus, more: dict[str, str], status: int
) -> None:
    """CWU-10: on PATCH the offset is compared before 100 Continue is sent."""
    url = await tus.create(5)
    headers = {**patching(0), "Content-Length": "5", "Expect": "100-continue", **more}
    async with tus.begun("PATCH", url, headers) as connection:
        first = await connection.receive(interim=True)
        if first.status == 100:
            await connection.send(b"hello")
            assert (await connection.receive(interim=True)).status == 204

    assert first.status == status


async def test_nothing_is_invited_where_nothing_is(tus: Tus) -> None:
    """CWU-10: a body for a URL that does not exist is not asked for."""
    headers = {**patching(0), "Content-Length": "5", "Expect": "100-continue"}
    for url in (tus.url + "unknown", "/nowhere/at/all"):
        async with tus.begun("PATCH", url, headers) as connection:
            assert (await connection.receive(interim=True)).status == 404


async def test_impatient_client_needs_no_invitation(tus: Tus) -> None:
    """CWU-10: a body that comes unasked is taken."""
    headers = {**creating(5), "Content-Length": "5", "Expect": "100-continue"}
    async with tus.begun("POST", tus.url, headers, b"hello") as connection:
        async with asyncio.timeout(5):
            response = await connection.receive()

    assert (response.status, response.offset) == (201, 5)


async def test_deferred_length(tus: Tus) -> None:
    """CWU-11: the offset is the size of the body, and the length is still open."""
    headers = {**VERSION, "Upload-Defer-Length": "1", "Content-Type": OFFSET_TYPE}

    response = await tus.request("POST", tus.url, headers, b"abc")
    told = await tus.head(tus.resolve(response["Location"]))

    assert (response.status, response.offset) == (201, 3)
    assert told["Upload-Defer-Length"] == "1"


async def test_deferred_body_beyond_the_maximum(limited: Tus) -> None:
    """DEF-10, CWU-08: the first bytes of a deferred upload are limited too."""
    headers = {**VERSION, "Upload-Defer-Length": "1", "Content-Type": OFFSET_TYPE}

    response = await limited.request("POST", limited.url, headers, bytes(1001))

    assert response.status == 413
    assert response.get("Location") is None


async def test_partial_and_final_uploads(tus: Tus) -> None:
    """CWU-12, AMB-25: a partial upload may bring its body, a final one may not."""
    if "concatenation" not in (await tus.options()).members("Tus-Extension"):
        pytest.skip("concatenation is not offered")
    headers = {**VERSION, "Content-Type": OFFSET_TYPE, "Upload-Concat": f"final;{tus.url}x"}

    partial = await tus.post(3, b"abc", Upload_Concat="partial")
    final = await tus.request("POST", tus.url, headers, b"abc")

    assert (partial.status, partial.offset) == (201, 3)
    assert final.status in {400, 403}
    assert final.get("Location") is None
