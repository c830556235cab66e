"""What is open to a bucket: credentials, addresses, proxies, TLS, and the limits of each socket."""

import asyncio
import ssl
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import aiobotocore.config  # type: ignore[import-untyped]
import aiobotocore.session  # type: ignore[import-untyped]
import aiohttp
from botocore.httpsession import ProxyConfiguration
from botocore.utils import get_environ_proxies

from tusd_s3.buckets.s3_options import S3Options
from tusd_s3.buckets.s3_wire import Wire
from tusd_s3.digests import checksum_of
from tusd_s3.errors import ConfigError

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client

CONTROL_CONNECTIONS = 64
CREDENTIALS_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 10.0


class Opener:
    """Makes the clients of one bucket; nothing is sent to it.

    Args:
        options: say what is wanted; the rest is found in the AWS way.
        stack: closes what was opened.
    """

    def __init__(self, options: S3Options, stack: AsyncExitStack) -> None:
        self._options = options
        self._stack = stack
        self._session = aiobotocore.session.get_session()

    async def find_credentials(self) -> Any:
        """Return credentials that refresh themselves.

        Raises:
            ConfigError: there are none.
        """
        limit_s = min(CREDENTIALS_TIMEOUT_S, self._options.control_timeout_s)
        reason = "nothing found"
        found = None
        try:
            async with asyncio.timeout(limit_s):  # the metadata service of EC2 may be a black hole
                found = await self._session.get_credentials()
        except TimeoutError:
            reason = f"looking for them took longer than {limit_s:g} s"
        if found is None:
            raise ConfigError(
                f"no credentials for {self._options.place} ({reason}): set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or a profile or role in the AWS way"
            )
        return found

    async def open_client(self) -> "S3Client":
        """Return aiobotocore's client, which makes one attempt at a call."""
        options = self._options
        by_default = "path" if options.endpoint else "auto"
        addressing = {True: "path", False: "virtual", None: by_default}[options.path_style]
        region = options.region or self._session.get_config_variable("region")
        config = aiobotocore.config.AioConfig(
            signature_version="s3v4",
            s3={"addressing_style": addressing, "payload_signing_enabled": False},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            max_pool_connections=CONTROL_CONNECTIONS,
            connect_timeout=min(CONNECT_TIMEOUT_S, options.control_timeout_s),
            # Calls have limits of their own; this one must not be shorter than any of them.
            read_timeout=max(options.complete_timeout_s, options.control_timeout_s),
            retries={"total_max_attempts": 1, "mode": "standard"},
        )
        client: S3Client = await self._stack.enter_async_context(
            self._session.create_client(
                "s3",
                endpoint_url=options.endpoint,
                region_name=region or ("us-east-1" if options.endpoint else None),
                config=config,
            )
        )
        client.meta.events.register("before-sign.s3.DeleteObjects", _use_content_md5)
        return client

    async def open_wire(
        self,
        client: "S3Client",
        credentials: Any,
        *,
        connections: int,
        read_timeout_s: float | None = None,
    ) -> Wire:
        """Return the hot calls, on URLs and with a region that botocore has chosen.

        Args:
            client: knows the URLs.
            credentials: those of `find_credentials`.
            connections: limit of their number, 0 is none.
            read_timeout_s: limit of the wait for the next bytes.
        """
        presigned = await client.generate_presigned_url(
            "get_object", Params={"Bucket": self._options.bucket, "Key": "k"}
        )
        base_url, _, query = presigned.partition("?")
        scope = parse_qs(query)["X-Amz-Credential"][0].split("/")
        bundle = self._session.get_config_variable("ca_bundle")
        tls = ssl.create_default_context(cafile=bundle) if bundle else True
        limits = aiohttp.ClientTimeout(
            total=None,
            sock_connect=min(CONNECT_TIMEOUT_S, self._options.control_timeout_s),
            sock_read=read_timeout_s,
        )
        http = await self._stack.enter_async_context(
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=connections, ssl=tls),
                timeout=limits,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                proxy=proxy_for(base_url),  # trust_env would ask a thread at each request
            )
        )
        return Wire(
            base_url=base_url.removesuffix("k"),
            region=scope[-3],
            credentials=credentials,
            session=http,
        )


def proxy_for(url: str) -> str | None:
    """Return the proxy that the environment names for a URL, as botocore's clients use it."""
    found: str | None = ProxyConfiguration(get_environ_proxies(url)).proxy_url_for(url)
    return found


def _use_content_md5(request: Any, **_: Any) -> None:
    """Protect the list of DeleteObjects the old way, which every store understands.

    botocore would send CRC32, which stores older than 2025 refuse.
    """
    for name in ("x-amz-checksum-crc32", "x-amz-sdk-checksum-algorithm"):
        del request.headers[name]  # no error if there is none
    request.headers["Content-MD5"] = checksum_of("MD5", request.data).value
