"""OPTIONS: what a server offers."""

import pytest

from tests.protocol.wire import VERSION, Tus


async def test_options(tus: Tus) -> None:
    """CORE-50, CORE-51, AMB-04: 200 or 204, with the versions."""
    response = await tus.options()

    assert response.status in {200, 204}
    assert "1.0.0" in response.members("Tus-Version")


async def test_options_everywhere(tus: Tus) -> None:
    """CORE-50, AMB-05: the URL of an upload, known or not, gives the same answer."""
    url = await tus.create(5)
    asked = [await tus.options(target) for target in (tus.url, url, tus.url + "unknown")]

    assert len({(r.status, r["Tus-Version"], r["Tus-Extension"]) for r in asked}) == 1


async def test_options_carries_extensions_and_maximum(limited: Tus) -> None:
    """CORE-52: both headers are there when there is something to say."""
    response = await limited.options()

    assert "creation" in response.members("Tus-Extension")
    assert response["Tus-Max-Size"] == "1000"


@pytest.mark.parametrize("version", ["0.0.1", "", "1.0.0", "x"])
async def test_version_is_ignored(tus: Tus, version: str) -> None:
    """CORE-53: OPTIONS is answered whatever version the client names."""
    response = await tus.options(headers={**VERSION, "Tus-Resumable": version})

    assert response.status in {200, 204}


async def test_features_are_detected_by_options(tus: Tus) -> None:
    """CORE-54: `Tus-Extension` is how a client finds out."""
    assert "creation" in (await tus.options()).members("Tus-Extension")
