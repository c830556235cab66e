"""The concatenation extension, with unfinished partials too."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from tests.protocol.conftest import Serve
from tests.protocol.wire import OFFSET_TYPE, VERSION, Response, Tus, encoded, patching
from tusd_s3 import Config, create_app
from tusd_s3.app import create_runner
from tusd_s3.protocol.rules import Terms
from tusd_s3.web.options import WebOptions

BEHIND = WebOptions(trusted_proxies=(ipaddress.ip_network("127.0.0.0/8"),))


async def partial(tus: Tus, data: bytes, length: int | None = None, **more: str) -> str:
    """Create a partial upload with these bytes, which are all by default; return its URL."""
    length = len(data) if length is None else length
    return await tus.create(length, data or None, Upload_Concat="partial", **more)


async def final(tus: Tus, *urls: str, **more: str) -> Response:
    """Ask for a final upload of these."""
    return await tus.post(None, None, Upload_Concat="final;" + " ".join(urls), **more)


async def joined(tus: Tus, *urls: str, **more: str) -> str:
    """Create a final upload of these and return its URL."""
    response = await final(tus, *urls, **more)
    assert response.status == 201, response
    return tus.resolve(response["Location"])


async def test_it_is_advertised(tus: Tus) -> None:
    """CAT-01, CAU-01."""
    members = (await tus.options()).members("Tus-Extension")

    assert {"concatenation", "concatenation-unfinished"} <= set(members)


async def test_partials_are_created_like_any_upload(tus: Tus) -> None:
    """CAT-02, CAT-19, CAT-21: with a length, a deferred one or a body; HEAD says what they are."""
    urls = [
        await tus.create(5, Upload_Concat="partial"),
        await tus.create(Upload_Concat="partial"),
        await tus.create(5, b"01", Upload_Concat="partial"),
    ]
    told = [await tus.head(url) for url in urls]

    assert [answer["Upload-Concat"] for answer in told] == ["partial"] * 3
    assert [answer.offset for answer in told] == [0, 0, 2]


async def test_a_final_has_the_bytes_of_its_partials(tus: Tus) -> None:
    """CAT-03, CAT-06, CAT-07, CAT-08, CAT-18: in the order listed, not that of their creation."""
    first, second, third = [await partial(tus, data) for data in (b"ab", b"", b"cde")]

    url = await joined(tus, third, second, first)
    told = await tus.head(url)

    assert (told.offset, told["Upload-Length"]) == (5, "5")
    assert (await tus.get(url)).body == b"cdeab"


async def test_a_final_tells_an_offset_once_it_is_finished(tus: Tus) -> None:
    """CAT-18, CLI-08: 201 with `Location`; the object is there when it is answered."""
    response = await final(tus, await partial(tus, b"abc"))

    assert response.status == 201
    assert response.offset == 3
    assert (await tus.get(response["Location"])).body == b"abc"


@pytest.mark.parametrize("value", ["Partial", "final", "final;", "final: /a", "foo", "final;%20"])
async def test_other_values(tus: Tus, value: str) -> None:
    """CAT-04: 400 (an id that no upload has is 404), and nothing is created."""
    response = await tus.post(5, Upload_Concat=value)

    assert response.status in ({400, 404} if value.endswith("20") else {400})
    assert response.get("Location") is None


@pytest.mark.parametrize("name", ["Upload-Length", "Upload-Defer-Length"])
async def test_a_final_with_a_length(tus: Tus, name: str) -> None:
    """CAT-08, AMB-35: 400."""
    url = await partial(tus, b"abc")
    headers = {**VERSION, "Upload-Concat": f"final;{url}", name: "1" if "Defer" in name else "3"}

    assert (await tus.request("POST", tus.url, headers, b"")).status == 400


async def test_a_final_with_a_body(tus: Tus) -> None:
    """AMB-25: 403, as tusd; nothing is created."""
    url = await partial(tus, b"abc")
    headers = {**VERSION, "Upload-Concat": f"final;{url}", "Content-Type": OFFSET_TYPE}
    response = await tus.request("POST", tus.url, headers, b"xyz")

    assert response.status in {400, 403}
    assert response.get("Location") is None


async def test_unfinished_partials(tus: Tus) -> None:
    """CAT-09, CAT-17, CAT-20, CAU-02, AMB-36: no offset until all are done, then the whole."""
    first = await partial(tus, b"ab", 5)
    second = await tus.create(Upload_Concat="partial")
    response = await final(tus, first, second)
    url = tus.resolve(response["Location"])

    begun = await tus.head(url)
    assert (await tus.patch(second, 0, b"XYZ", Upload_Length="3")).status == 204
    known = await tus.head(url)
    early = await tus.get(url)
    assert (await tus.patch(first, 2, b"cde")).status == 204
    done = await tus.head(url)

    assert (response.status, response.get("Upload-Offset")) == (201, None)
    assert (begun.get("Upload-Offset"), begun.get("Upload-Length")) == (None, None)
    assert begun.get("Upload-Defer-Length") is None
    assert (known.get("Upload-Offset"), known["Upload-Length"]) == (None, "8")
    assert early.status == 400
    assert (done.offset, done["Upload-Length"]) == (8, "8")
    assert (await tus.get(url)).body == b"abcdeXYZ"


async def test_metadata_are_the_finals_own(tus: Tus) -> None:
    """CAT-10, CAT-11: those of the partials are not carried over."""
    raw = f"filename {encoded('a.txt')}"
    urls = [await partial(tus, b"ab", Upload_Metadata="a QQ=="), await partial(tus, b"cd")]

    without = await tus.head(await joined(tus, *urls))
    with_own = await tus.head(await joined(tus, *urls, Upload_Metadata=raw))

    assert without.get("Upload-Metadata") is None
    assert with_own["Upload-Metadata"] == raw


async def test_partials_can_be_used_again(tus: Tus) -> None:
    """CAT-12, CAT-13: they stay; several times in one request, and in several requests."""
    first, second = await partial(tus, b"ab"), await partial(tus, b"cd")

    doubled = await joined(tus, first, first, second)
    other = await joined(tus, second, first)

    assert (await tus.get(doubled)).body == b"ababcd"
    assert (await tus.get(other)).body == b"cdab"
    assert await tus.offset(first) == 2


async def test_the_same_request_again(tus: Tus) -> None:
    """CAT-13: a client that lost the answer gets the same final, whole."""
    urls = [await partial(tus, b"ab"), await partial(tus, b"cd")]

    answers = await asyncio.gather(*(final(tus, *urls) for _ in range(5)))
    later = await final(tus, *urls)

    assert {answer.status for answer in (*answers, later)} == {201}
    assert len({answer["Location"] for answer in (*answers, later)}) == 1
    assert (await tus.get(later["Location"])).body == b"abcd"


@pytest.mark.parametrize("is_finished", [True, False])
@pytest.mark.parametrize(
    ("offset", "body", "content_type"),
    [(4, b"x", OFFSET_TYPE), (9, b"x", OFFSET_TYPE), (4, b"", OFFSET_TYPE), (4, b"x", "text/x")],
)
async def test_patch_of_a_final(
    tus: Tus, offset: int, body: bytes, content_type: str, *, is_finished: bool
) -> None:
    """CAT-14, CAT-15, AMB-37: 403 before 415, 400 and 409, and nothing changes."""
    urls = [await partial(tus, b"ab"), await partial(tus, b"cd" if is_finished else b"c", 2)]
    url = await joined(tus, *urls)
    before = [await tus.state(each) for each in (url, *urls)]

    response = await tus.patch(url, offset, body, Content_Type=content_type)

    assert response.status == 403
    assert [await tus.state(each) for each in (url, *urls)] == before


async def test_patch_of_a_final_without_an_offset(tus: Tus) -> None:
    """CAT-14, AMB-37: 403 before 400; an unknown upload is 404 first."""
    url = await joined(tus, await partial(tus, b"ab"))

    assert (await tus.request("PATCH", url, VERSION, b"")).status == 403
    assert (await tus.request("PATCH", tus.url + "unknown", VERSION, b"")).status == 404


async def test_patch_of_a_partial_afterwards(tus: Tus) -> None:
    """CAT-16: more bytes are refused, and the final stays as it is."""
    part = await partial(tus, b"ab")
    url = await joined(tus, part)

    response = await tus.patch(part, 2, b"x")

    assert response.status in {400, 403, 413}
    assert (await tus.get(url)).body == b"ab"


async def test_the_value_comes_back_as_it_was_sent(tus: Tus) -> None:
    """CAT-21, AMB-34: relative URLs stay relative, order, duplicates and blanks are kept."""
    first, second = await partial(tus, b"ab"), await partial(tus, b"cd")
    value = f"final;{second} {urlsplit(first).path}  {second}"
    response = await tus.post(Upload_Concat=value)

    again = value.replace("  ", " ")
    other = await tus.post(Upload_Concat=again)

    assert (await tus.head(response["Location"]))["Upload-Concat"] == value
    assert (await tus.head(other["Location"]))["Upload-Concat"] == again


async def test_spellings_of_partial_urls(tus: Tus) -> None:
    """CAT-22, CAT-23, AMB-33: absolute, relative, encoded; blanks make no empty id."""
    url = await partial(tus, b"ab")
    path = urlsplit(url).path
    name = path.rpartition("/")[2]
    spelled = [url, path, name, f"//{tus.host}{path}", path + "/", path.replace(name, _all(name))]
    response = await tus.post(Upload_Concat="final; " + "  ".join(spelled))

    assert response.status == 201
    assert (await tus.get(response["Location"])).body == b"ab" * len(spelled)


def _all(text: str) -> str:
    """Percent-encode every character."""
    return "".join(f"%{ord(c):02x}" for c in text)


async def test_unknown_partials(tus: Tus) -> None:
    """CAT-24: 404, as tusd; nothing is created."""
    known = await partial(tus, b"ab")
    gone = await partial(tus, b"ab")
    await tus.delete(gone)

    for other in (tus.url + "unknown", tus.url + "..%2f..%2fetc", gone):
        response = await final(tus, known, other)
        assert response.status in {400, 404, 410}
        assert response.get("Location") is None


async def test_uploads_that_are_not_partial(tus: Tus) -> None:
    """CAT-25: 400 for an ordinary upload, and for a final in another final."""
    part = await partial(tus, b"ab")
    ordinary = await tus.create(2, b"cd")
    other = await joined(tus, part)

    assert (await final(tus, part, ordinary)).status == 400
    assert (await final(tus, part, other)).status == 400


async def test_foreign_urls(tus: Tus) -> None:
    """CAT-26, AMB-33: another origin or path is refused, though the id would be known."""
    url = await partial(tus, b"ab")
    path = urlsplit(url).path
    foreign = [
        f"http://other.example{path}", f"//other.example{path}", f"http://{tus.host}:1{path}",
        f"http://{tus.host}@other.example{path}", f"ftp://{tus.host}{path}",
        f"/other{path}", f"{path}?x=1", f"{path}#x", "file:///etc/passwd",
    ]  # fmt: skip

    assert {(await final(tus, each)).status for each in foreign} == {400}


async def test_the_sum_is_limited(limited: Tus) -> None:
    """CAT-27: 413."""
    urls = [await partial(limited, bytes(600)), await partial(limited, bytes(400))]

    assert (await final(limited, urls[0], urls[0])).status == 413
    assert (await final(limited, *urls)).status == 201


async def test_the_sum_of_deferred_partials_is_limited(limited: Tus) -> None:
    """CAT-27, PITFALLS 31: 413 when it becomes known, and never an object."""
    urls = [await limited.create(Upload_Concat="partial") for _ in range(2)]
    url = await joined(limited, *urls)
    for part in urls:
        await limited.patch(part, 0, bytes(600), Upload_Length="600")

    assert (await limited.head(url)).status == 413
    assert (await limited.get(url)).status == 400


async def test_many_partials(tus: Tus) -> None:
    """CAT-28: as many as fit into a header; what does not is refused, and the server lives."""
    path = urlsplit(await partial(tus, b"ab")).path
    count = 65_000 // (len(path) + 1)

    many = await final(tus, *[path] * count)
    async with tus.begun(
        "POST", tus.url, {**VERSION, "Upload-Concat": "final;" + " ".join([path] * 2 * count)}
    ) as connection:
        refusal = (await connection.rest()).split(b" ")[1]

    assert many.status == 201
    assert many.offset == 2 * count
    assert (await tus.get(many["Location"])).body == b"ab" * count
    assert refusal in {b"400", b"413", b"431"}
    assert "concatenation" in (await tus.options()).members("Tus-Extension")


@pytest.mark.parametrize("is_finished", [True, False])
async def test_a_partial_that_goes_away(tus: Tus, *, is_finished: bool) -> None:
    """CAU-03: before the final is made it fails for good; afterwards it has its own bytes."""
    going = await partial(tus, b"ab" if is_finished else b"a", 2)
    staying = await partial(tus, b"cd" if is_finished else b"c", 2)
    url = await joined(tus, going, staying)

    await tus.delete(going)
    if not is_finished:
        await tus.patch(staying, 1, b"d")
    told = await tus.head(url)

    assert told.status == (200 if is_finished else 410)
    if is_finished:
        assert (await tus.get(url)).body == b"abcd"
    else:
        assert (await final(tus, going, staying)).status == 410
        assert (await tus.patch(url, 0, b"x")).status in {403, 410}
        assert (await tus.delete(url)).status == 204


async def test_a_terminated_final_can_be_made_again(tus: Tus) -> None:
    """TRM-03, CAT-13: its partials are still there."""
    urls = [await partial(tus, b"ab"), await partial(tus, b"cd")]
    first = await joined(tus, *urls)

    assert (await tus.delete(first)).status == 204
    assert (await tus.head(first)).status == 404
    second = await joined(tus, *urls)

    assert (await tus.get(second)).body == b"abcd"


async def test_switched_off(serve: Serve) -> None:
    """CAT-01, AMB-38: not advertised, and 501 rather than an ordinary upload."""
    tus = await serve(Terms(concatenation=False))
    partial_answer = await tus.post(5, Upload_Concat="partial")
    final_answer = await final(tus, "/files/a")

    assert not {"concatenation", "concatenation-unfinished"} & set(
        (await tus.options()).members("Tus-Extension")
    )
    assert (partial_answer.status, final_answer.status) == (501, 501)
    assert partial_answer.get("Location") is None


async def test_behind_a_proxy(serve: Serve) -> None:
    """CAT-22: the URLs that clients were given, and our own, with and without the prefix."""
    tus = await serve(options=BEHIND)
    proxied = {
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "up.example",
        "X-Forwarded-Prefix": "/api",
    }
    made = await tus.request(
        "POST", tus.url,
        {**VERSION, **proxied, "Upload-Length": "2", "Upload-Concat": "partial",
         "Content-Type": OFFSET_TYPE}, b"ab",
    )  # fmt: skip
    location = made["Location"]
    path = urlsplit(location).path
    spelled = [location, path, path.removeprefix("/api"), tus.url + path.rpartition("/")[2]]
    value = "final;" + " ".join(spelled)

    async def ask(value: str, headers: dict[str, str]) -> Response:
        headers = {**VERSION, **headers, "Upload-Concat": value}
        return await tus.request("POST", tus.url, headers, b"")

    through = await ask(value, proxied)
    directly = await ask(f"final;{location}", {})

    assert location.startswith("https://up.example/api/files/")
    assert through.status == 201
    assert through["Location"].startswith("https://up.example/api/files/")
    assert (await tus.get(urlsplit(through["Location"]).path.removeprefix("/api"))).body == (
        b"ab" * len(spelled)
    )
    assert directly.status == 400


async def test_a_proxy_that_is_not_trusted(serve: Serve) -> None:
    """CAT-26: anybody can say that he is somewhere else."""
    tus = await serve()
    path = urlsplit(await partial(tus, b"ab")).path
    headers = {
        **VERSION,
        "X-Forwarded-Host": "up.example",
        "Upload-Concat": f"final;http://up.example{path}",
    }

    assert (await tus.request("POST", tus.url, headers, b"")).status == 400


@pytest.mark.parametrize("base_path", ["/files/", "/", "/a/b/"])
async def test_mounted(serve: Serve, base_path: str) -> None:
    """CAT-22: below a prefix of somebody else's application, and at any base path."""

    def mount(app: web.Application) -> web.Application:
        parent = web.Application()
        parent.add_subapp("/api/v1", app)
        return parent

    tus = await serve(
        options=WebOptions(base_path=base_path), wrap=mount, path=f"/api/v1{base_path}"
    )
    urls = [await partial(tus, b"ab"), await partial(tus, b"cd")]

    url = await joined(tus, urls[0], urlsplit(urls[1]).path)

    assert url.startswith(tus.url)
    assert (await tus.get(url)).body == b"abcd"


async def test_relative_locations(serve: Serve) -> None:
    """CAT-22, PITFALLS 20: a path is enough, for partials and for the final."""
    tus = await serve(options=WebOptions(relative_location=True))
    made = await tus.post(2, b"ab", Upload_Concat="partial")
    response = await final(tus, made["Location"])

    assert response["Location"].startswith("/files/")
    assert (await tus.get(response["Location"])).body == b"ab"


async def test_without_a_host(serve: Serve) -> None:
    """CAT-22, CAT-26: where no host can be known paths are understood, origins are not."""
    tus = await serve()
    path = urlsplit(await partial(tus, b"ab")).path

    async def ask(url: str) -> Response:
        headers = {**VERSION, "Host": "a b", "Upload-Concat": f"final;{url}"}
        return await tus.request("POST", tus.url, headers, b"")

    assert (await ask(path)).status == 201
    assert (await ask(f"http://{tus.host}{path}")).status == 400


async def test_repeated_concat_headers(tus: Tus) -> None:
    """PITFALLS 20: clients repeat the header on HEAD and PATCH; it is ignored there."""
    url = await partial(tus, b"ab", 4)
    headers = {**patching(2), "Upload-Concat": "partial"}

    assert (await tus.head(url, Upload_Concat="partial")).status == 200
    assert (await tus.request("PATCH", url, headers, b"cd")).status == 204


@pytest.fixture
async def tidy(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Tus]:
    """A client of a server that deletes partials."""
    if request.config.getoption("--server", None):
        pytest.skip("needs a server with other settings")
    config = Config(upload_dir=tmp_path / "uploads", delete_partials=True)
    runner = create_runner(create_app(config), config)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        tus = Tus(f"http://127.0.0.1:{runner.addresses[0][1]}/files/")
        yield tus
        await tus.close()
    finally:
        await runner.cleanup()


async def test_partials_can_be_deleted(tidy: Tus) -> None:
    """CAT-12, CAT-13: 404 then; the same request still finds the final, another one fails."""
    urls = [await partial(tidy, b"ab"), await partial(tidy, b"cd")]
    url = await joined(tidy, *urls)

    assert {(await tidy.head(each)).status for each in urls} == {404}
    assert await joined(tidy, *urls) == url
    assert (await final(tidy, *reversed(urls))).status == 404
    assert (await tidy.get(url)).body == b"abcd"
