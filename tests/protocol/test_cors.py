"""CORS: what browsers of other origins are told."""

import pytest

from tests.protocol.conftest import Serve
from tests.protocol.wire import VERSION, Response, Tus
from tusd_s3.web.options import CorsOptions, WebOptions

ORIGIN = {"Origin": "https://app.example"}
TUS_HEADERS = {"tus-resumable", "upload-length", "upload-offset", "upload-metadata"}


def exposed(response: Response) -> set[str]:
    """Return what scripts may read."""
    return set(response.members("Access-Control-Expose-Headers"))


async def test_preflight(tus: Tus) -> None:
    """CORE-55, PITFALLS 21: methods and headers of tus are allowed."""
    asked = {
        **ORIGIN,
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "tus-resumable,upload-offset,content-type",
    }
    url = await tus.create(5)

    for target in (tus.url, url):
        response = await tus.options(target, asked)
        methods = set(response.members("Access-Control-Allow-Methods"))
        allowed = set(response.members("Access-Control-Allow-Headers"))
        assert response.status in {200, 204}
        assert response["Access-Control-Allow-Origin"] in {"*", ORIGIN["Origin"]}
        assert {"post", "head", "patch", "delete", "options"} <= methods
        assert TUS_HEADERS | {"x-request-id", "content-type", "upload-defer-length"} <= allowed
        assert {"x-http-method-override", "upload-concat", "upload-checksum"} <= allowed


async def test_headers_are_exposed(tus: Tus) -> None:
    """CORE-55, PITFALLS 21: scripts may read what tus clients need."""
    response = await tus.request("POST", tus.url, {**VERSION, **ORIGIN, "Upload-Length": "5"}, b"")

    assert response.status == 201
    assert exposed(response) >= {
        *("location", "upload-offset", "upload-length", "upload-metadata", "upload-expires"),
        *("upload-defer-length", "upload-concat", "tus-version", "tus-resumable"),
        *("tus-max-size", "tus-extension", "retry-after", "x-request-id"),
    }


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("HEAD", VERSION, 404),
        ("PUT", VERSION, 405),
        ("PATCH", {}, 412),
        ("PATCH", {**VERSION, "Expect": "x"}, 417),
    ],
)
async def test_errors_can_be_read(
    tus: Tus, method: str, headers: dict[str, str], status: int
) -> None:
    """PITFALLS 21: CORS headers are on errors as well."""
    response = await tus.request(method, tus.url + "unknown", {**headers, **ORIGIN})

    assert response.status == status
    assert response["Access-Control-Allow-Origin"] == ORIGIN["Origin"]
    assert "upload-offset" in exposed(response)


async def test_other_origins_are_told_nothing(serve: Serve) -> None:
    """An origin must match as a whole."""
    cors = CorsOptions(allow_origin=r"https://(app|www)\.example", allow_credentials=True)
    tus = await serve(options=WebOptions(cors=cors))

    allowed = await tus.options(headers=ORIGIN)
    refused = await tus.options(headers={"Origin": "https://app.example.evil"})

    assert allowed["Access-Control-Allow-Origin"] == "https://app.example"
    assert allowed["Access-Control-Allow-Credentials"] == "true"
    assert refused.get("Access-Control-Allow-Origin") is None
    assert "origin" in refused.members("Vary")


async def test_switched_off(serve: Serve) -> None:
    """Without CORS no header says anything about origins."""
    tus = await serve(options=WebOptions(cors=None))

    response = await tus.options(headers=ORIGIN)

    assert [name for name, _ in response.fields if name.startswith("Access-Control")] == []
    assert response.get("Vary") is None


async def test_more_headers(serve: Serve) -> None:
    """Headers of an application's own can be allowed and exposed."""
    cors = CorsOptions(allow_headers=("X-Csrf",), expose_headers=("X-Quota",), max_age_s=7)
    tus = await serve(options=WebOptions(cors=cors))

    response = await tus.options(headers=ORIGIN)

    assert "x-csrf" in response.members("Access-Control-Allow-Headers")
    assert "x-quota" in exposed(response)
    assert response["Access-Control-Max-Age"] == "7"
