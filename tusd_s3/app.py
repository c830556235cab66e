"""The composition root: settings in, an aiohttp application out. Nothing else knows all parts."""

import ipaddress
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiohttp import web

from tusd_s3.buckets.disk import DiskBucket
from tusd_s3.buckets.s3 import S3Bucket, S3Options
from tusd_s3.config import Config
from tusd_s3.interfaces import Bucket
from tusd_s3.lockers.memory import MemoryLocker
from tusd_s3.model import Limits
from tusd_s3.protocol.rules import Terms
from tusd_s3.store.keys import Names
from tusd_s3.store.spool import Spool
from tusd_s3.store.store import Store, StoreOptions
from tusd_s3.web.options import CorsOptions, Network, WebOptions
from tusd_s3.web.routes import make_application


def create_app(config: Config, *, bucket: Bucket | None = None) -> web.Application:
    """Return an application that serves uploads under ``config.base_path``.

    It can be run by itself or mounted with ``add_subapp``. The bucket is opened when the
    application starts, which raises `ConfigError` if it cannot be used, and closed after the
    last request has ended. What the runner has to set is in `runner_settings`.

    Args:
        config: the settings.
        bucket: one of somebody else's making, instead of that which the settings name.
    """
    bucket = bucket or make_bucket(config)
    spool = Spool(
        memory_budget=config.memory_budget,
        disk_budget=config.disk_budget,
        directory=config.temp_dir,
    )
    store = Store(
        bucket,
        names=_names(config),
        spool=spool,
        options=StoreOptions(
            is_sole_writer=True,  # the memory locker: one process for one bucket
            concurrent_parts=config.s3_concurrent_part_uploads,
            delete_partials=config.delete_partials,
            storage_bucket=config.s3_bucket or "",
        ),
    )
    app = make_application(
        store=store,
        locker=MemoryLocker(),
        terms=Terms(
            max_size=config.max_size or None,
            termination=not config.disable_termination,
            concatenation=not config.disable_concatenation,
            download=not config.disable_download,
        ),
        options=_web_options(config),
        ready=bucket.check,
    )
    # first in, last out: whatever else ends with the application still has its bucket
    app.cleanup_ctx.insert(0, _open(bucket))
    return app


def create_runner(app: web.Application, config: Config) -> web.AppRunner:
    """Return a runner for an application with nothing but uploads in it."""
    # requests are logged by the middleware
    return web.AppRunner(app, access_log=None, **runner_settings(config))


def runner_settings(config: Config) -> dict[str, Any]:
    """Return what an application with uploads in it needs of `web.AppRunner` or `web.run_app`.

    Bodies must arrive as they were sent (offsets count bytes), long `Upload-Metadata` must fit,
    and a handler must live on when its client leaves, so that what arrived is stored.
    """
    return {
        "auto_decompress": False,
        "handler_cancellation": False,
        "max_line_size": config.max_header_size,
        "max_field_size": config.max_header_size,
        "shutdown_timeout": config.shutdown_timeout,
    }


def make_bucket(config: Config) -> Bucket:
    """Return the bucket that the settings name: one on S3, or a folder. Nothing is opened yet."""
    limits = Limits(preferred_part=config.s3_part_size)
    if config.s3_bucket is None:
        return DiskBucket(config.upload_dir, limits=limits)
    return S3Bucket(
        S3Options(
            bucket=config.s3_bucket,
            endpoint=config.s3_endpoint,
            path_style=config.s3_path_style,
            timeout_s=config.s3_timeout,
            # besides parts there are tails, `.info` objects and downloads
            max_connections=config.s3_concurrent_part_uploads + 32,
            scratch_prefix=_names(config).metadata_prefix,
            limits=limits,
        )
    )


def _names(config: Config) -> Names:
    return Names.of(config.s3_object_prefix, config.s3_metadata_prefix)


def _open(bucket: Bucket) -> Callable[[web.Application], AsyncIterator[None]]:
    async def lifetime(_app: web.Application) -> AsyncIterator[None]:
        try:
            await bucket.start()
            yield
        finally:
            await bucket.close()

    return lifetime


def _web_options(config: Config) -> WebOptions:
    cors = CorsOptions(
        allow_origin=config.cors_allow_origin,
        allow_credentials=config.cors_allow_credentials,
        max_age_s=int(config.cors_max_age),
        allow_headers=config.cors_allow_headers,
        expose_headers=config.cors_expose_headers,
    )
    return WebOptions(
        base_path=config.base_path,
        trusted_proxies=_networks(config.behind_proxy),
        relative_location=config.relative_location,
        cors=None if config.disable_cors else cors,
        body_idle_timeout_s=config.network_timeout,
        lock_timeout_s=config.acquire_lock_timeout,
        silent_takeover_s=config.silent_takeover,
    )


def _networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    if "*" in texts:
        return (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)
