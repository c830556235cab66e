"""Uploads inside an application of your own: everything under /api/uploads/ is tus.

``python examples/mounted.py`` listens on http://127.0.0.1:8081/.
"""

import os
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

from tusd_s3 import Config, create_app, runner_settings


async def hello(_request: web.Request) -> web.Response:
    """Answer for the application around the uploads."""
    return web.Response(text="my application\n")


@web.middleware
async def only_known_users(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let only those in who bring the token; a browser's preflight never brings one."""
    if request.method != "OPTIONS" and request.headers.get("Authorization") != "Bearer let-me-in":
        raise web.HTTPUnauthorized
    return await handler(request)


def make_app(config: Config) -> web.Application:
    """Return the application with the uploads mounted into it."""
    app = web.Application(middlewares=[only_known_users])
    app.router.add_get("/", hello)
    app.add_subapp("/api/", create_app(config))
    return app


if __name__ == "__main__":
    port = int(os.environ.get("PORT", "8081"))
    settings = Config(base_path="/uploads/", upload_dir=Path("data"))
    web.run_app(make_app(settings), host="127.0.0.1", port=port, **runner_settings(settings))
