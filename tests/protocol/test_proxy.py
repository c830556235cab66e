"""`Location` behind proxies, and mounted into another application."""

import ipaddress

import pytest
from aiohttp import web

from tests.protocol.conftest import Serve
from tests.protocol.wire import VERSION, Tus
from tusd_s3.web.options import WebOptions

BEHIND = WebOptions(trusted_proxies=(ipaddress.ip_network("127.0.0.0/8"),))
ELSEWHERE = WebOptions(trusted_proxies=(ipaddress.ip_network("192.0.2.0/24"),))
CREATE = {**VERSION, "Upload-Length": "5"}


async def location_of(tus: Tus, headers: dict[str, str]) -> str:
    """Create an upload and return its `Location` without the id."""
    response = await tus.request("POST", tus.url, {**CREATE, **headers}, b"")
    assert response.status == 201
    return response["Location"].rpartition("/")[0] + "/"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"X-Forwarded-Proto": "https", "Host": "up.example"}, "https://up.example/files/"),
        (
            {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "up.example"},
            "https://up.example/files/",
        ),
        (
            {
                "X-Forwarded-Proto": "https",
                "X-Forwarded-Host": "up.example",
                "X-Forwarded-Port": "8443",
                "X-Forwarded-Prefix": "/api",
            },
            "https://up.example:8443/api/files/",
        ),
        (
            {"Forwarded": 'for=1.2.3.4;proto=https;host="up.example:444"'},
            "https://up.example:444/files/",
        ),
        ({"X-Forwarded-Host": "up.example:80"}, "http://up.example/files/"),
        ({"X-Forwarded-Host": "a.example, b.example"}, "http://a.example/files/"),
    ],
)
async def test_trusted_proxy(serve: Serve, headers: dict[str, str], expected: str) -> None:
    """PITFALLS 22, AMB-22: what a trusted proxy says is where the client sees us."""
    tus = await serve(options=BEHIND)

    assert await location_of(tus, headers) == expected


@pytest.mark.parametrize("options", [WebOptions(), ELSEWHERE])
async def test_anybody_else(serve: Serve, options: WebOptions) -> None:
    """PITFALLS 22: forwarded headers of a peer that is not trusted are ignored."""
    tus = await serve(options=options)
    headers = {
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Prefix": "/evil",
        "Forwarded": "host=evil.example;proto=https",
    }

    assert await location_of(tus, headers) == tus.url


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-Host": "evil.example/path"},
        {"X-Forwarded-Host": "user@evil.example"},
        {"X-Forwarded-Host": 'x"><script>'},
        {"X-Forwarded-Proto": "javascript"},
        {"X-Forwarded-Prefix": "//evil.example"},
        {"X-Forwarded-Port": "99999"},
        {"Forwarded": 'host="a b"'},
    ],
)
async def test_nonsense_is_ignored(serve: Serve, headers: dict[str, str]) -> None:
    """Values that do not have the form of what they claim to be count for nothing."""
    tus = await serve(options=BEHIND)

    assert await location_of(tus, headers) == tus.url


async def test_malformed_host_gives_a_path(serve: Serve) -> None:
    """Where no host can be known `Location` is a path, which every client resolves."""
    tus = await serve()

    assert await location_of(tus, {"Host": "a b"}) == "/files/"


async def test_mounted(serve: Serve) -> None:
    """Mounted into another application everything works below the prefix, `Location` too."""

    def mount(app: web.Application) -> web.Application:
        async def hello(_request: web.Request) -> web.Response:
            return web.Response(text="hello")

        parent = web.Application()
        parent.router.add_get("/", hello)
        parent.add_subapp("/api/v1", app)
        return parent

    tus = await serve(wrap=mount, path="/api/v1/files/")
    url = await tus.create(10, b"01234")

    assert url.startswith(tus.url)
    assert (await tus.patch(url, 5, b"56789")).status == 204
    assert (await tus.get(url)).body == b"0123456789"
    assert (await tus.head(tus.url + "unknown")).status == 404
    live = await tus.request("GET", "/api/v1/health/live")
    assert live.status == 200


async def test_mounting_leaves_other_routes_alone(serve: Serve) -> None:
    """Our headers are on our routes only."""

    def mount(app: web.Application) -> web.Application:
        async def hello(_request: web.Request) -> web.Response:
            return web.Response(text="hello", headers={"Tus-Resumable": "1.0.0"})

        async def bare(_request: web.Request) -> web.Response:
            return web.Response(text="bare", headers={"Seen": "yes"})

        parent = web.Application()
        parent.router.add_get("/hello", hello)
        parent.router.add_options("/bare", bare)
        parent.add_subapp("/api", app)
        return parent

    tus = await serve(wrap=mount, path="/api/files/")

    response = await tus.options("/bare")

    assert response["Seen"] == "yes"
    assert response.get("Tus-Resumable") is None
    assert response.get("Vary") is None
