"""What surrounds every request: its id, the log line, and refusals turned into HTTP."""

import re
import time
import uuid
from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from tusd_s3 import log
from tusd_s3.errors import ExpectationFailed, StateUnknown, StoreError, TusError, UploadGone
from tusd_s3.protocol import answers
from tusd_s3.protocol.answers import Answer
from tusd_s3.web import refusals
from tusd_s3.web.cors import Cors
from tusd_s3.web.options import WebOptions

REQUEST_ID = web.RequestKey("request_id", str)
METHOD = web.RequestKey("method", str)  # the one that is meant, see parse_method_override

_SANE_ID = re.compile(r"[A-Za-z0-9._~=+/:@-]{1,128}")
_COME_BACK = frozenset({423, 503})
_REASONS = {460: "Checksum Mismatch"}
_log = log.get_logger(__name__)


def method_of(request: web.Request) -> str:
    """Return the method that is meant, as far as it has been found out."""
    method: str = request.get(METHOD, request.method)
    return method


def respond(request: web.Request, answer: Answer) -> web.Response:
    """Turn an answer into aiohttp's response; one to HEAD has no body."""
    headers = dict(answer.headers)
    if method_of(request) == "HEAD":
        headers.pop("Content-Type", None)
        body = None
    else:
        body = answer.body.encode() or None
    reason = _REASONS.get(answer.status)
    return web.Response(status=answer.status, reason=reason, headers=headers, body=body)


def surround(options: WebOptions) -> Middleware:
    """Return the middleware: request id, one log line, and an answer whatever happens."""

    @web.middleware
    async def surrounding(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.monotonic()
        request[REQUEST_ID] = current = _choose_request_id(request)
        log.request_id.set(current)  # every request is a task of its own: nothing to reset
        try:
            _check_expectation(request)
            response = await handler(request)
        except (TusError, StoreError) as exc:
            response = respond(request, answers.refused(_refusal_of(exc, request, options)))
        except (ConnectionError, web.HTTPException):
            raise  # nobody is left to answer to; aiohttp's own answer
        except Exception:  # noqa: BLE001  # the outermost handler: logged and answered
            _log.exception("request failed", method=method_of(request), path=request.path)
            response = respond(request, answers.refused(TusError()))
        _log_access(request, response, time.monotonic() - started)
        return response

    return surrounding


def decorate(cors: Cors | None) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Return the signal handler that completes every response, whoever made it."""

    async def decorating(request: web.Request, response: web.StreamResponse) -> None:
        for name, value in answers.COMMON_HEADERS.items():
            response.headers[name] = value
        if REQUEST_ID in request:
            response.headers["X-Request-ID"] = request[REQUEST_ID]
        if cors is not None:
            origin = request.headers.get(hdrs.ORIGIN)
            is_preflight = method_of(request) == "OPTIONS"
            response.headers.update(cors.headers(origin, is_preflight=is_preflight))
        if method_of(request) == "HEAD":
            response.headers["Cache-Control"] = "no-store"
        if not request.content.is_eof():
            # The rest of the body is of no use: tell the client to stop sending (RFC 9112, 9.6).
            # aiohttp reads on for a while, so that the answer is not lost to a reset.
            response.force_close()
            response.headers[hdrs.CONNECTION] = "close"

    return decorating


async def postpone_continue(request: web.Request) -> None:
    """Do nothing about `Expect`, in place of aiohttp's handler, which invites every body.

    `100 Continue` is sent when the first byte is wanted, after every check.
    """
    del request


def _check_expectation(request: web.Request) -> None:
    """Refuse expectations that nobody here can meet (RFC 9110, 10.1.1)."""
    expected = request.headers.get(hdrs.EXPECT)
    if expected is not None and expected.lower() != "100-continue":
        raise ExpectationFailed


def _choose_request_id(request: web.Request) -> str:
    """Return the client's or proxy's id if it is harmless in logs and headers, else a new one."""
    given = request.headers.get("X-Request-ID", "")
    return given if _SANE_ID.fullmatch(given) else uuid.uuid4().hex


def _refusal_of(exc: TusError | StoreError, request: web.Request, options: WebOptions) -> TusError:
    """Return what the client is told, and log what it is not told."""
    failure = exc if isinstance(exc, StoreError) else exc.__cause__
    if isinstance(failure, StoreError):
        event = "upload is gone" if isinstance(failure, UploadGone) else "store failed"
        _log.warning(
            event,
            path=request.path,
            operation=failure.operation,
            key=failure.key,
            reason=failure.reason,
            kind=type(failure).__name__,
        )
    is_head = method_of(request) == "HEAD"
    refusal = refusals.of_failure(exc, is_head=is_head) if isinstance(exc, StoreError) else exc
    if is_head and refusal.status == 503:  # whatever passes is 423 to HEAD
        refusal = StateUnknown()
    if refusal.status in _COME_BACK:
        refusal.headers.setdefault("Retry-After", str(options.retry_after_s))
    return refusal


def _log_access(request: web.Request, response: web.StreamResponse, took_s: float) -> None:
    is_noise = request.path.startswith("/health/") or method_of(request) == "OPTIONS"
    (_log.debug if is_noise else _log.info)(
        "request",
        method=method_of(request),
        path=request.path,
        status=response.status,
        took_s=round(took_s, 6),
    )
