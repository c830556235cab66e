"""Method and path -> handler. Everything that `app` needs of this package is here."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from tusd_s3.errors import NotFound
from tusd_s3.interfaces import Locker, UploadStore
from tusd_s3.model import Ended
from tusd_s3.protocol.rules import Terms
from tusd_s3.web import middleware
from tusd_s3.web.body import LiveBodies
from tusd_s3.web.cors import Cors
from tusd_s3.web.handlers import UPLOAD_ID, Handlers
from tusd_s3.web.health import Health
from tusd_s3.web.options import WebOptions


def make_application(
    *,
    store: UploadStore,
    locker: Locker,
    terms: Terms,
    options: WebOptions,
    ready: Callable[[], Awaitable[None]],
) -> web.Application:
    """Return the aiohttp application; it can also be mounted with ``add_subapp``.

    Whoever runs it must tell aiohttp not to decompress request bodies
    (``AppRunner(app, auto_decompress=False)``): offsets count bytes as sent. A body with a
    `Content-Encoding` is refused in any case.

    Args:
        store: where uploads are.
        locker: who may write to them.
        terms: what is offered.
        options: how requests are served.
        ready: raises if the server cannot do its work (`/health/ready`).
    """
    bodies = LiveBodies()
    handlers = Handlers(store=store, locker=locker, terms=terms, options=options, bodies=bodies)
    health = Health(ready, bodies, options)
    app = web.Application(middlewares=[middleware.surround(options)])
    app.on_response_prepare.append(
        middleware.decorate(Cors(options.cors) if options.cors is not None else None)
    )

    async def end_bodies(_app: web.Application) -> None:
        bodies.stop_all(Ended.SHUTDOWN)

    app.on_shutdown.append(end_bodies)
    _add_routes(app.router, handlers, health, options.base_path)
    return app


def _add_routes(
    router: web.UrlDispatcher, handlers: Handlers, health: Health, base_path: str
) -> None:
    """Route every method to one handler per URL: which one is meant is in a header (override).

    An upload id is everything behind the base path, ``/`` included, percent-decoded once.
    """
    later = middleware.postpone_continue

    async def greet(_request: web.Request) -> web.Response:
        return web.Response(text=f"tusd_s3, a tus server. Uploads are created at {base_path}\n")

    async def miss(_request: web.Request) -> web.Response:
        raise NotFound

    for path in dict.fromkeys((base_path, base_path.rstrip("/") or "/")):
        router.add_route("*", path, handlers.on_creation_url, expect_handler=later)
    router.add_get("/health/live", health.live, expect_handler=later)
    router.add_get("/health/ready", health.ready, expect_handler=later)
    if base_path != "/":
        router.add_get("/", greet, expect_handler=later)
    upload = f"{base_path}{{{UPLOAD_ID}:(?s:.+)}}"
    router.add_route("*", upload, handlers.on_upload_url, expect_handler=later)
    router.add_route("*", "/{missing:(?s:.*)}", miss, expect_handler=later)
