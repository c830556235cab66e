"""How S3 is called: on which client, within which limit, how often. What is said stands in `s3`.

The reasons are measurements: no payload hash but a checksum in the header, bodies that are
neither joined nor copied, one attempt in botocore and our own retries around it, since
botocore's would also cover a body that cannot be read any more.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, TypeVar

import tenacity
from botocore.exceptions import BotoCoreError

from tusd_s3 import log
from tusd_s3.buckets.s3_errors import translated
from tusd_s3.buckets.s3_options import S3Options
from tusd_s3.buckets.s3_session import CONTROL_CONNECTIONS, Opener
from tusd_s3.buckets.s3_values import checksum_arguments
from tusd_s3.buckets.s3_wire import ContentFailed, Wire
from tusd_s3.errors import ConfigError, StoreBusy
from tusd_s3.interfaces import Content
from tusd_s3.model import MIB

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client

T = TypeVar("T")

FIRST_BACKOFF_S = 0.2
LONGEST_BACKOFF_S = 5.0
_ONE_ALLOWANCE = 64 * MIB  # `timeout_s` is for a body of up to so much

_log = log.get_logger(__name__)


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
        options = self.options
        opener = Opener(options, self._stack)
        try:
            found = await opener.find_credentials()
            client = self.control = await opener.open_client()
            self.quick = await opener.open_wire(client, found, connections=CONTROL_CONNECTIONS)
            self.data = await opener.open_wire(client, found, connections=options.max_connections)
            self.reads = await opener.open_wire(
                client, found, connections=0, read_timeout_s=options.timeout_s
            )
        except (BotoCoreError, ValueError) as exc:
            raise ConfigError(f"the settings for {options.place} do not work: {exc}") from exc

    async def close(self) -> None:
        """Close every connection."""
        await self._stack.aclose()

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

        Args:
            operation: the bucket's operation, for errors.
            content: the body.
            call: the method of one of the clients.
            arguments: those of the method but for ``Bucket``, ``Body`` and the checksum.

        Raises:
            Exception: whatever reading the content raised; there is no second attempt then.
        """
        limit_s = self.options.timeout_s * max(1.0, content.size / _ONE_ALLOWANCE)
        arguments |= checksum_arguments(content.checksum)

        async def attempt() -> T:
            with translated(operation, _key_of(arguments)):
                async with asyncio.timeout(limit_s):
                    return await call(Bucket=self.options.bucket, Body=content, **arguments)

        try:
            return await self._persistently(attempt)
        except ContentFailed as exc:
            raise exc.failure from None

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


def _key_of(arguments: dict[str, Any]) -> str:
    return str(arguments.get("Key") or arguments.get("Prefix", ""))


def _tell(state: tenacity.RetryCallState) -> None:
    failure = state.outcome.exception() if state.outcome else None
    _log.debug("S3 is asked again", attempt=state.attempt_number + 1, failure=str(failure))
