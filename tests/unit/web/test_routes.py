import pytest
from aiohttp import web

from tests.protocol.wire import VERSION
from tests.unit.web.fakes import FakeStore, fine, running, serving
from tusd_s3.lockers.memory import MemoryLocker
from tusd_s3.model import UploadInfo
from tusd_s3.protocol.rules import Terms
from tusd_s3.web.options import WebOptions
from tusd_s3.web.routes import make_application


@pytest.mark.parametrize(
    ("sent", "upload_id"),
    [
        ("a", "a"),
        ("a+b", "a+b"),
        ("a%2Bb", "a+b"),
        ("a%2bb", "a+b"),
        ("a%252Bb", "a%2Bb"),
        ("a/b", "a/b"),
        ("a%2Fb", "a/b"),
        ("a%252Fb", "a%2Fb"),
        ("a%20b", "a b"),
        ("%C3%A9", "é"),
        ("a%0Ab", "a\nb"),
        ("a%3Fb", "a?b"),
        ("a%25", "a%"),
        ("a;b=c", "a;b=c"),
        ("a?b=c", "a"),
        ("a/", "a/"),
        ("a%00b", "a\x00b"),
    ],
)
async def test_ids_are_decoded_once(sent: str, upload_id: str) -> None:
    """Everything behind the base path is the id, a query is not."""
    store = FakeStore()
    store.add(upload_id)
    async with serving(store) as tus:
        assert (await tus.head(tus.url + sent)).status == 200


async def test_location_leads_back() -> None:
    """An id that needs encoding is found under its own `Location`, as is and mounted."""
    store = FakeStore()
    app = make_application(
        store=store,
        locker=MemoryLocker(),
        terms=Terms(),
        options=WebOptions(relative_location=True),
        ready=fine,
    )
    parent = web.Application()
    parent.add_subapp("/a/b", app)
    async with running(parent) as tus:
        created = await tus.request("POST", "/a/b/files", {**VERSION, "Upload-Length": "5"}, b"")
        location = created["Location"]

        assert location == "/a/b/files/up1%2Bpart/%C3%A9"
        assert (await tus.head(location)).offset == 0


@pytest.mark.parametrize(("path", "status"), [("/", 200), ("/nowhere", 404), ("/filesystem", 404)])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_other_paths(method: str, path: str, status: int) -> None:
    """A greeting at the root, 404 elsewhere."""
    async with serving(FakeStore()) as tus:
        assert (await tus.request(method, path, VERSION)).status == status


async def test_uploads_at_the_root() -> None:
    """With the base path `/` there is no greeting, and health is still where it was."""
    store = FakeStore()
    store.add("a", UploadInfo("a", 5, 3))
    async with serving(store, options=WebOptions(base_path="/")) as tus:
        created = await tus.request("POST", "/", {**VERSION, "Upload-Length": "5"}, b"")
        told = await tus.head("/a")
        live = await tus.request("GET", "/health/live")
        root = await tus.request("GET", "/", VERSION)

    assert (created.status, told.offset, live.status, root.status) == (201, 3, 200, 405)
