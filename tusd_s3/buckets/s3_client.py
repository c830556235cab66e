"""How we talk to S3: clients, bodies, limits of time, retries. What is said stands in `s3`.

The reasons are measurements: no payload hash but a checksum in the header, bodies that are
neither joined nor copied, one attempt in botocore and our own retries around it, since
botocore's would also cover a body that cannot be read any more.
"""

import asyncio
import io
import random
import ssl
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import aiobotocore.config  # type: ignore[import-untyped]
import aiobotocore.session  # type: ignore[import-untyped]
import aiohttp
import tenacity
from botocore.exceptions import BotoCoreError
from botocore.handlers import add_expect_header

from tusd_s3 import log
from tusd_s3.buckets.s3_errors import translated
from tusd_s3.buckets.s3_values import checksum_arguments
from tusd_s3.buckets.s3_wire import Wire
from tusd_s3.digests import checksum_of
from tusd_s3.errors import ConfigError, StoreBusy, StoreError
from tusd_s3.interfaces import Chunk, Content
from tusd_s3.model import KIB, MIB, Limits

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client

T = TypeVar("T")

CONTROL_CONNECTIONS = 64
CREDENTIALS_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 10.0
FIRST_BACKOFF_S = 0.2
LONGEST_BACKOFF_S = 5.0
_ONE_ALLOWANCE = 64 * MIB  # `timeout_s` is for a body of up to so much
_JOINED = 64 * KIB

_log = log.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Options:
    """Where a bucket is and how patiently it is talked to; credentials come the AWS way.

    Attributes:
        endpoint: URL of the service; None is Amazon's (or what the AWS settings say).
        region: None is that of the AWS settings; ``us-east-1`` where an endpoint is given.
        path_style: None is path style if and only if an endpoint is given.
        timeout_s: limit of one data call, for each 64 MiB of its body; and of the wait for
            the next bytes of an object that is read.
        control_timeout_s: limit of every other call.
        complete_timeout_s: limit of a Complete, which Amazon may take minutes for.
        max_connections: data calls at the same time.
        attempts: how often a call that may pass (`StoreBusy`) is tried in all.
        scratch_prefix: what the keys begin with that are written, and removed, to find out
            what the bucket can do.
    """

    bucket: str
    endpoint: str | None = None
    region: str | None = None
    path_style: bool | None = None
    timeout_s: float = 60
    control_timeout_s: float = 20
    complete_timeout_s: float = 300
    max_connections: int = 32
    attempts: int = 4
    scratch_prefix: str = ""
    limits: Limits = field(default_factory=Limits)

    @property
    def place(self) -> str:
        """The service in words."""
        return self.endpoint or f"Amazon S3 ({self.region or 'region by the AWS settings'})"


class RequestBody:
    """A `Content` as botocore and aiohttp like a file: sized, seekable, iterated by chunks.

    aiohttp writes the chunks one by one as they are. Nobody reads: `read` exists because
    botocore takes a body for a file only if it has one.
    """

    def __init__(self, content: Content) -> None:
        self._content = content
        self._position = 0
        self.failure: Exception | None = None

    def __len__(self) -> int:
        return self._content.size

    def read(self, _size: int = -1) -> bytes:
        """Refuse: reading would join the chunks."""
        raise io.UnsupportedOperation("read")

    def tell(self) -> int:
        """Return the position that was sought; sending ignores it."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Pretend to move, for those who measure the length so."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self)}[whence]
        self._position = base + offset
        return self._position

    async def __aiter__(self) -> AsyncIterator[Chunk]:
        sent = 0
        try:
            async for chunk in self._content.chunks():
                # aiohttp slices what it writes; slices of a bytearray are copies.
                part: Chunk = memoryview(chunk) if isinstance(chunk, bytearray) else chunk
                if not sent and len(part) > _JOINED:
                    # aiohttp joins the headers and the first chunk (Python < 3.12.9).
                    view = memoryview(part)
                    yield view[:KIB]
                    part = view[KIB:]
                sent += len(chunk)
                yield part
            if sent != len(self):
                raise ValueError(f"the content has {sent} bytes instead of {len(self)}")
        except Exception as exc:
            self.failure = exc  # aiohttp makes a lost connection of it
            raise


class Connection:
    """The clients of one bucket: control calls, data calls and reads never wait for each other.

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
            self.control = await self._client(session, CONTROL_CONNECTIONS)
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

    async def _client(self, session: Any, connections: int) -> "S3Client":
        options = self.options
        by_default = "path" if options.endpoint else "auto"
        addressing = {True: "path", False: "virtual", None: by_default}[options.path_style]
        region = options.region or session.get_config_variable("region")
        config = aiobotocore.config.AioConfig(
            signature_version="s3v4",
            s3={"addressing_style": addressing, "payload_signing_enabled": False},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            max_pool_connections=connections,
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

    async def ask(
        self,
        operation: str,
        call: Callable[..., Awaitable[T]],
        *,
        timeout_s: float | None = None,
        **arguments: Any,
    ) -> T:
        """Make a call, within its limit, again while it may pass; errors are ours.

        Args:
            operation: the bucket's operation, for errors.
            call: the method of one of the clients.
            timeout_s: limit of one attempt, by default that of control calls.
            arguments: those of the method but for ``Bucket``.
        """
        limit_s = self.options.control_timeout_s if timeout_s is None else timeout_s

        async def attempt() -> T:
            with translated(operation, _key_of(arguments)):
                async with asyncio.timeout(limit_s):
                    return await call(Bucket=self.options.bucket, **arguments)

        return await self._persistently(attempt)

    async def send(
        self, operation: str, content: Content, call: Callable[..., Awaitable[T]], **arguments: Any
    ) -> T:
        """Make a call with a body; each attempt reads the content from the beginning.

        Raises:
            Exception: whatever reading the content raised; there is no second attempt then.
        """
        limit_s = self.options.timeout_s * max(1.0, content.size / _ONE_ALLOWANCE)
        arguments |= checksum_arguments(content.checksum)

        async def attempt() -> T:
            body = RequestBody(content)
            try:
                with translated(operation, _key_of(arguments)):
                    async with asyncio.timeout(limit_s):
                        return await call(
                            Bucket=self.options.bucket,
                            Body=body,
                            **arguments,
                        )
            except StoreError:
                if body.failure is not None:
                    raise body.failure from None
                raise

        return await self._persistently(attempt)

    async def _persistently(self, attempt: Callable[[], Awaitable[T]]) -> T:
        try:
            return await attempt()
        except StoreBusy as exc:
            if self.options.attempts < 2:
                raise
            _log.debug("S3 is asked again", attempt=1, failure=str(exc))
        await asyncio.sleep(random.uniform(0, FIRST_BACKOFF_S))  # noqa: S311  # spreads load
        retrying = tenacity.AsyncRetrying(  # costs more than a call that succeeds at once
            stop=tenacity.stop_after_attempt(self.options.attempts - 1),
            wait=tenacity.wait_random_exponential(FIRST_BACKOFF_S, LONGEST_BACKOFF_S),
            retry=tenacity.retry_if_exception_type(StoreBusy),
            before_sleep=_tell,
            reraise=True,
        )
        return await retrying(attempt)


def _proxy_for(url: str) -> str | None:
    """Return the proxy that the environment names for a URL, as aiobotocore's clients use it."""
    parts = urlsplit(url)
    if not parts.hostname or urllib.request.proxy_bypass(parts.hostname):
        return None
    return urllib.request.getproxies().get(parts.scheme)


def _key_of(arguments: dict[str, Any]) -> str:
    return str(arguments.get("Key") or arguments.get("Prefix", ""))


def _tell(state: tenacity.RetryCallState) -> None:
    failure = state.outcome.exception() if state.outcome else None
    _log.debug("S3 is asked again", attempt=state.attempt_number + 1, failure=str(failure))


def _use_content_md5(request: Any, **_: Any) -> None:
    """Protect the list of DeleteObjects the old way, which every store understands.

    botocore would send CRC32, which stores older than 2025 refuse.
    """
    for name in ("x-amz-checksum-crc32", "x-amz-sdk-checksum-algorithm"):
        if name in request.headers:
            del request.headers[name]
    request.headers["Content-MD5"] = checksum_of("MD5", request.data).value
