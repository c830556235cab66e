"""GET of finished uploads, which is no part of tus."""

import pytest

from tests.protocol.conftest import Serve
from tests.protocol.wire import Tus, encoded
from tusd_s3.protocol.rules import Terms

DIGITS = b"0123456789"


async def test_whole(tus: Tus) -> None:
    """The bytes, their length, type, name and an ETag; ranges are offered."""
    metadata = f"filename {encoded('a b.txt')},filetype {encoded('text/plain')}"
    url = await tus.create(10, DIGITS, Upload_Metadata=metadata)

    response = await tus.get(url)

    assert (response.status, response.body) == (200, DIGITS)
    assert response["Content-Length"] == "10"
    assert response["Content-Type"].startswith("text/plain")
    assert "a b.txt" in response["Content-Disposition"]
    assert response["Accept-Ranges"] == "bytes"
    assert response["ETag"].startswith('"')


@pytest.mark.parametrize(
    ("asked", "expected", "where"),
    [
        ("bytes=0-3", b"0123", "bytes 0-3/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=-2", b"89", "bytes 8-9/10"),
        ("bytes=5-100", b"56789", "bytes 5-9/10"),
        ("bytes=9-9", b"9", "bytes 9-9/10"),
    ],
)
async def test_range(tus: Tus, asked: str, expected: bytes, where: str) -> None:
    """One range is 206 with exactly those bytes."""
    url = await tus.create(10, DIGITS)

    response = await tus.get(url, Range=asked)

    assert (response.status, response.body) == (206, expected)
    assert response["Content-Range"] == where
    assert response["Content-Length"] == str(len(expected))


async def test_range_behind_the_end(tus: Tus) -> None:
    """416 says how long the object is."""
    url = await tus.create(10, DIGITS)

    response = await tus.get(url, Range="bytes=10-")

    assert response.status == 416
    assert response["Content-Range"] == "bytes */10"


@pytest.mark.parametrize("asked", ["bytes=0-1,3-4", "items=0-1", "bytes=x", "bytes=4-2"])
async def test_ranges_that_may_be_ignored(tus: Tus, asked: str) -> None:
    """Several ranges, other units and nonsense give the whole."""
    url = await tus.create(10, DIGITS)

    response = await tus.get(url, Range=asked)

    assert (response.status, response.body) == (200, DIGITS)


async def test_conditions(tus: Tus) -> None:
    """`If-None-Match` gives 304, `If-Range` the range or, for another object, the whole."""
    url = await tus.create(10, DIGITS)
    etag = (await tus.get(url))["ETag"]

    known = await tus.get(url, If_None_Match=etag)
    resumed = await tus.get(url, Range="bytes=5-", If_Range=etag)
    changed = await tus.get(url, Range="bytes=5-", If_Range='"other"')
    by_date = await tus.get(url, Range="bytes=5-", If_Range="Mon, 23 Nov 2026 00:00:00 GMT")

    assert (known.status, known.body) == (304, b"")
    assert (resumed.status, resumed.body) == (206, b"56789")
    assert (changed.status, changed.body) == (200, DIGITS)
    assert (by_date.status, by_date.body) == (200, DIGITS)


async def test_empty_object(tus: Tus) -> None:
    """An upload of no bytes can be fetched, whole or by a range that is behind its end."""
    url = await tus.create(0)

    assert (await tus.get(url)).body == b""
    assert (await tus.get(url, Range="bytes=0-")).status in {200, 416}


async def test_unfinished(tus: Tus) -> None:
    """AMB-41: nothing is served before the upload is complete."""
    url = await tus.create(10, b"01234")

    response = await tus.get(url)

    assert response.status == 400
    assert response.body.startswith(b"ERR_INCOMPLETE_UPLOAD")


async def test_switched_off(serve: Serve) -> None:
    """Where downloads are off GET is 405."""
    tus = await serve(Terms(download=False))
    url = await tus.create(5, b"hello")

    response = await tus.get(url)

    assert response.status == 405
    assert "GET" not in response["Allow"]


@pytest.mark.parametrize(
    ("filetype", "how"),
    [
        ("text/html", "attachment"),
        ("image/svg+xml", "attachment"),
        ("application/javascript", "attachment"),
        ("text/xml", "attachment"),
        ("image/png", "inline"),
    ],
)
async def test_active_content_is_not_shown(tus: Tus, filetype: str, how: str) -> None:
    """PITFALLS 35: what could run scripts is saved, not shown; types are not guessed."""
    url = await tus.create(5, b"hello", Upload_Metadata=f"filetype {encoded(filetype)}")

    response = await tus.get(url)

    assert response["Content-Disposition"].startswith(how)
    assert response["X-Content-Type-Options"] == "nosniff"


async def test_file_names_are_encoded(tus: Tus) -> None:
    """PITFALLS 35: names beyond ASCII come as RFC 8187 has it."""
    url = await tus.create(5, b"hello", Upload_Metadata=f"filename {encoded('naïve €.txt')}")

    disposition = (await tus.get(url))["Content-Disposition"]

    assert "filename*=UTF-8''na%C3%AFve%20%E2%82%AC.txt" in disposition


async def test_downloads_do_not_disturb_each_other(tus: Tus) -> None:
    """PITFALLS 15: GET takes no lock, so two at once and a HEAD all succeed."""
    content = bytes(3_000_000)
    url = await tus.create(len(content), content)
    async with tus.begun("GET", url, {}) as first, tus.begun("GET", url, {}) as second:
        told = await tus.head(url)
        bodies = [(await first.receive()).body, (await second.receive()).body]

    assert told.offset == len(content)
    assert bodies == [content, content]
