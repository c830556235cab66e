"""Clients and sessions of one bucket: credentials, addresses, proxies, TLS, limits of time."""

import asyncio
import ssl
import urllib.request
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import aiobotocore.config  # type: ignore[import-untyped]
import aiobotocore.session  # type: ignore[import-untyped]
import aiohttp
from botocore.exceptions import BotoCoreError
from botocore.handlers import add_expect_header

from tusd_s3.buckets.s3_options import S3Options
from tusd_s3.buckets.s3_wire import Wire
from tusd_s3.digests import checksum_of
from tusd_s3.errors import ConfigError

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client

CONTROL_CONNECTIONS = 64
CREDENTIALS_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 10.0


class Session:
    """Everything that is open to one bucket: control calls, data calls and reads never wait for
    each other.

    A read keeps its connection for as long as somebody's download takes, so their number is
    limited by the number of requests that are served and by nothing here.
    """

    control: "S3Client"  # what is rare
    quick: Wire  # what is small and frequent
    data: Wire
    reads: Wire

    def __init__(self, options: S3Options) -> None:
        self.options = options
        self._stack = AsyncExitStack()

    async def open(self) -> None:
        """Find credentials and make the clients; nothing is sent to the bucket yet.

        Raises:
            ConfigError: no credentials, or settings that botocore refuses.
        """
        session = aiobotocore.session.get_session()
        try:
            await self._require_credentials(session)
            self.control = await self._client(session)
            self.quick = await self._wire(session, CONTROL_CONNECTIONS)
            self.data = await self._wire(session, self.options.max_connections)
            self.reads = await self._wire(session, 0, read_timeout_s=self.options.timeout_s)
        except (BotoCoreError, ValueError) as exc:
            raise ConfigError(f"the settings for {self.options.place} do not work: {exc}") from exc

    async def close(self) -> None:
        """Close every connection."""
        await self._stack.aclose()

    async def _require_credentials(self, session: Any) -> None:
        limit_s = min(CREDENTIALS_TIMEOUT_S, self.options.control_timeout_s)
        reason = "nothing found"
        found = None
        try:
            async with asyncio.timeout(limit_s):  # the metadata service of EC2 may be a black hole
                found = await session.get_credentials()
        except TimeoutError:
            reason = f"looking for them took longer than {limit_s:g} s"
        if found is None:
            raise ConfigError(
                f"no credentials for {self.options.place} ({reason}): set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or a profile or role in the AWS way"
            )
        self._credentials = found

    async def _wire(
        self, session: Any, connections: int, *, read_timeout_s: float | None = None
    ) -> Wire:
        """Return the hot calls, on URLs and with a region that botocore has chosen."""
        presigned = await self.control.generate_presigned_url(
            "get_object", Params={"Bucket": self.options.bucket, "Key": "k"}
        )
        base_url, _, query = presigned.partition("?")
        scope = parse_qs(query)["X-Amz-Credential"][0].split("/")
        bundle = session.get_config_variable("ca_bundle")
        connector = aiohttp.TCPConnector(
            limit=connections, ssl=ssl.create_default_context(cafile=bundle) if bundle else True
        )
        limits = aiohttp.ClientTimeout(
            total=None,
            sock_connect=min(CONNECT_TIMEOUT_S, self.options.control_timeout_s),
            sock_read=read_timeout_s,
        )
        http = await self._stack.enter_async_context(
            aiohttp.ClientSession(
                connector=connector,
                timeout=limits,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                proxy=_proxy_for(base_url),  # trust_env would ask a thread at each request
            )
        )
        return Wire(
            base_url=base_url.removesuffix("k"),
            region=scope[-3],
            credentials=self._credentials,
            session=http,
        )

    async def _client(self, session: Any) -> "S3Client":
        options = self.options
        by_default = "path" if options.endpoint else "auto"
        addressing = {True: "path", False: "virtual", None: by_default}[options.path_style]
        region = options.region or session.get_config_variable("region")
        config = aiobotocore.config.AioConfig(
            signature_version="s3v4",
            s3={"addressing_style": addressing, "payload_signing_enabled": False},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            max_pool_connections=CONTROL_CONNECTIONS,
            connect_timeout=min(CONNECT_TIMEOUT_S, options.control_timeout_s),
            # Calls have limits of their own; this one must not be shorter than any of them.
            read_timeout=max(options.complete_timeout_s, options.timeout_s),
            retries={"total_max_attempts": 1, "mode": "standard"},
        )
        client: S3Client = await self._stack.enter_async_context(
            session.create_client(
                "s3",
                endpoint_url=options.endpoint,
                region_name=region or ("us-east-1" if options.endpoint else None),
                config=config,
            )
        )
        # `Expect: 100-continue` would be waited for without any limit.
        client.meta.events.unregister("before-call.s3", add_expect_header)
        client.meta.events.register("before-sign.s3.DeleteObjects", _use_content_md5)
        return client


def _proxy_for(url: str) -> str | None:
    """Return the proxy that the environment names for a URL, as aiobotocore's clients use it."""
    parts = urlsplit(url)
    if not parts.hostname or urllib.request.proxy_bypass(parts.hostname):
        return None
    return urllib.request.getproxies().get(parts.scheme)


def _use_content_md5(request: Any, **_: Any) -> None:
    """Protect the list of DeleteObjects the old way, which every store understands.

    botocore would send CRC32, which stores older than 2025 refuse.
    """
    for name in ("x-amz-checksum-crc32", "x-amz-sdk-checksum-algorithm"):
        if name in request.headers:
            del request.headers[name]
    request.headers["Content-MD5"] = checksum_of("MD5", request.data).value
