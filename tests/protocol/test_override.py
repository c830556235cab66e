"""`X-HTTP-Method-Override`."""

import pytest

from tests.protocol.wire import VERSION, Tus, patching


@pytest.mark.parametrize("spelling", ["PATCH", "patch", "Patch"])
async def test_post_that_means_patch(tus: Tus, spelling: str) -> None:
    """CORE-15, CORE-16, CLI-06: the upload grows as by PATCH."""
    url = await tus.create(5)
    headers = {**patching(0), "X-HTTP-Method-Override": spelling}

    response = await tus.request("POST", url, headers, b"hello")

    assert (response.status, response.offset) == (204, 5)
    assert (await tus.get(url)).body == b"hello"


async def test_post_that_means_delete(tus: Tus) -> None:
    """CORE-15: the upload is gone."""
    url = await tus.create(5)
    headers = {**VERSION, "X-HTTP-Method-Override": "DELETE"}

    response = await tus.request("POST", url, headers, b"")

    assert response.status == 204
    assert (await tus.head(url)).status in {404, 410}


async def test_post_that_means_head(tus: Tus) -> None:
    """CORE-15, CORE-25: the state is told, uncached and without a body."""
    url = await tus.create(5, b"he")
    headers = {**VERSION, "X-HTTP-Method-Override": "HEAD"}

    response = await tus.request("POST", url, headers, b"")

    assert (response.status, response.offset, response.body) == (200, 2, b"")
    assert response["Cache-Control"] == "no-store"


async def test_post_that_means_options(tus: Tus) -> None:
    """CORE-16: nothing is created, and no version is asked for."""
    headers = {"Upload-Length": "5", "X-HTTP-Method-Override": "OPTIONS"}

    response = await tus.request("POST", tus.url, headers, b"")

    assert response.status in {200, 204}
    assert response["Tus-Version"] == "1.0.0"
    assert response.get("Location") is None


@pytest.mark.parametrize("method", ["BREW", "", "PUT", "PATCH, DELETE"])
async def test_unknown_method(tus: Tus, method: str) -> None:
    """CORE-15: what is not known is refused, never taken for the carrier's method."""
    url = await tus.create(5)
    headers = {**patching(0), "Upload-Length": "5", "X-HTTP-Method-Override": method}

    for target in (tus.url, url):
        response = await tus.request("POST", target, headers, b"hello")
        assert response.status in {405, 501}
        assert response.get("Location") is None
    assert await tus.offset(url) == 0


async def test_post_to_an_upload_needs_an_override(tus: Tus) -> None:
    """CORE-16: a POST that means POST is 405 on an upload, and says what is allowed."""
    url = await tus.create(5)

    response = await tus.request("POST", url, patching(0), b"hello")

    assert response.status == 405
    assert "PATCH" in response["Allow"]
    assert await tus.offset(url) == 0


async def test_safe_carriers_stay_safe(tus: Tus) -> None:
    """AMB-07: on GET the header is ignored, a documented deviation from CORE-16."""
    url = await tus.create(5, b"hello")
    headers = {**VERSION, "X-HTTP-Method-Override": "DELETE"}

    response = await tus.request("GET", url, headers)

    assert (response.status, response.body) == (200, b"hello")
