"""One coroutine per method of tus, each in the order: read, lock, decide, act, answer."""

from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial

from aiohttp import hdrs, web
from aiohttp.http import HttpVersion11

from tusd_s3.errors import (
    ConnectionReset,
    MethodNotAllowed,
    ModifyFinal,
    StoreError,
    TusError,
    UploadNotFound,
)
from tusd_s3.interfaces import HeldUpload, Locker, UploadStore
from tusd_s3.model import MIB, Ended, Kind, NewUpload, UploadInfo
from tusd_s3.protocol import answers, headers, rules
from tusd_s3.protocol.concat import Concat
from tusd_s3.protocol.rules import Terms
from tusd_s3.web import concatenation, download, proxy, refusals
from tusd_s3.web.body import Body, LiveBodies
from tusd_s3.web.middleware import METHOD, respond
from tusd_s3.web.options import WebOptions
from tusd_s3.web.proxy import Origin

UPLOAD_ID = "upload_id"  # name of the part of the route's pattern
_WHOLE = MIB  # bytes; a body up to this that is the whole upload is stored at once
_CREATION_METHODS = ("POST", "OPTIONS")


class Handlers:
    """The tus protocol over HTTP.

    Args:
        store: where uploads are.
        locker: who may write to them.
        terms: what is offered.
        bodies: the bodies being read, for an orderly shutdown.
    """

    def __init__(
        self,
        *,
        store: UploadStore,
        locker: Locker,
        terms: Terms,
        options: WebOptions,
        bodies: LiveBodies,
    ) -> None:
        self._store = store
        self._locker = locker
        self._terms = terms
        self._options = options
        self._bodies = bodies
        self._actions = {
            "HEAD": self.describe,
            "PATCH": self.append,
            "DELETE": self.terminate,
            "GET": self.download,
        }

    async def on_creation_url(self, request: web.Request) -> web.StreamResponse:
        """Serve the creation URL."""
        method = self._agree(request)
        if method == "OPTIONS":
            return respond(request, answers.capabilities(self._terms))
        if method != "POST":
            raise MethodNotAllowed(headers={"Allow": ", ".join(_CREATION_METHODS)})
        return await self.create(request)

    async def on_upload_url(self, request: web.Request) -> web.StreamResponse:
        """Serve the URL of one upload."""
        method = self._agree(request)
        if method == "OPTIONS":
            return respond(request, answers.capabilities(self._terms))
        action = self._actions.get(method)
        if action is None:
            raise MethodNotAllowed(headers={"Allow": ", ".join(self._terms.methods)})
        return await action(request, request.match_info[UPLOAD_ID])

    async def create(self, request: web.Request) -> web.Response:
        """POST: create an upload and store what of it came along."""
        asked = headers.parse_creation(request.headers, has_body=request.can_read_body)
        plan = rules.decide_create(asked, self._terms)
        if asked.concat is not None and asked.concat.kind is Kind.FINAL:
            return await self._concatenate(request, asked.concat, plan.new)
        if 0 < (asked.body_length or 0) <= _WHOLE and asked.body_length == plan.new.length:
            return await self._create_whole(request, plan.new)
        held = await self._store.create(plan.new, lock_of=self._locker.born)
        location = self._location_of(request, held.info.id)
        info = held.info
        if asked.has_body:
            try:
                with self._body_of(request) as body:
                    info = await self._store_body(
                        held, body, limit=plan.body_limit, expected=asked.body_length
                    )
            except TusError as refusal:  # the upload exists: say where, so that it can be resumed
                refusal.headers["Location"] = location
                raise
        with_body = asked.has_body or request.content_type == headers.OFFSET_OCTET_STREAM
        return respond(request, answers.created(info, location, with_body=with_body))

    async def _create_whole(self, request: web.Request, new: NewUpload) -> web.Response:
        """Create a small upload that comes with all of its bytes: nothing, or all of it."""
        with self._body_of(request) as body:
            body.limit = new.length
            info = await self._store.create_whole(new, body)
            if info is None:
                raise refusals.of_end(body.ended, None) or ConnectionReset()
        location = self._location_of(request, info.id)
        return respond(request, answers.created(info, location, with_body=True))

    async def describe(self, request: web.Request, upload_id: str) -> web.Response:
        """HEAD: tell the offset, without disturbing a request that is receiving bytes."""
        live = self._store.live(upload_id)
        info = await self._store.read(upload_id) if live is None else live.info
        is_stalled = live is not None and live.silent_s >= self._options.silent_takeover_s
        if is_stalled or info.is_pending:
            info = await self._settle(upload_id)
        return respond(request, answers.described(info))

    async def append(self, request: web.Request, upload_id: str) -> web.Response:
        """PATCH: store a body at the end of an upload."""
        try:
            asked = headers.parse_append(request.headers)
        except TusError:
            await self._check_appendable(upload_id)  # 404, 410 and 403 come before 400 and 415
            raise
        with self._body_of(request) as body:
            async with self._locker.hold(
                upload_id,
                on_release_requested=partial(body.stop, Ended.TAKEN_OVER),
                timeout_s=self._options.lock_timeout_s,
            ) as lock:
                held = await self._store.open(upload_id, lock)
                plan = rules.decide_append(asked, held.info, self._terms)
                info = await self._store_body(
                    held,
                    body,
                    limit=plan.limit,
                    expected=asked.body_length,
                    declared_length=plan.declared_length,
                )
        return respond(request, answers.appended(info))

    async def terminate(self, request: web.Request, upload_id: str) -> web.Response:
        """DELETE: end an upload, finished or not."""
        rules.decide_terminate(None, self._terms)
        async with self._locker.hold(
            upload_id,
            on_release_requested=_let_go_soon,
            timeout_s=self._options.lock_timeout_s,
        ) as lock:
            held = await self._store.open(upload_id, lock, for_termination=True)
            await held.terminate()
        return respond(request, answers.terminated())

    async def download(self, request: web.Request, upload_id: str) -> web.StreamResponse:
        """GET: send a finished upload. Takes no lock: what is finished does not change."""
        info = await self._store.read(upload_id)
        rules.decide_download(info, self._terms)
        return await download.serve(request, self._store, upload_id, info)

    def _agree(self, request: web.Request) -> str:
        """Return the method that is meant, once the version is agreed upon.

        Raises:
            MethodNotAllowed, UnsupportedVersion, BadRequest: there is nothing to agree upon.
        """
        method = headers.parse_method_override(request.method, request.headers)
        request[METHOD] = method
        if method not in {"OPTIONS", "GET"}:
            headers.parse_version(request.headers)
        return method

    async def _concatenate(
        self, request: web.Request, concat: Concat, new: NewUpload
    ) -> web.Response:
        """Create a final upload, or find the one that an equal request began.

        Its object is made at once if its partials are finished. Who is already at it is waited
        for; after that there is nothing left to do.
        """
        seen = self._seen(request)
        partials = concatenation.partials_of(concat, _creation_path(request), seen)
        new = replace(new, partials=partials)
        try:
            info = await self._store.read(self._store.final_id(new))
        except UploadNotFound:
            rules.decide_concat(await self._store.read_many(partials), self._terms)
            info = await self._record_final(new)
        if info.is_pending:
            info = await self._settle(info.id)
        location = self._location_of(request, info.id)
        return respond(request, answers.created(info, location, with_body=info.finished))

    async def _record_final(self, new: NewUpload) -> UploadInfo:
        """Record a final upload under its lock: not every bucket keeps the first of two records.

        An equal request may have made the object meanwhile, and its record must not be lost.
        """
        final_id = self._store.final_id(new)
        async with self._locker.hold(
            final_id, on_release_requested=_let_go_soon, timeout_s=self._options.lock_timeout_s
        ):
            try:
                return await self._store.read(final_id)
            except UploadNotFound:
                return await self._store.create_final(new)

    async def _settle(self, upload_id: str) -> UploadInfo:
        """Return the state under the lock, with the object made if every byte is there."""
        async with self._locker.hold(
            upload_id,
            on_release_requested=_let_go_soon,
            timeout_s=self._options.lock_timeout_s,
        ) as lock:
            held = await self._store.open(upload_id, lock)
            if not held.info.is_pending:
                return held.info
            rules.decide_finish(held.info, self._terms)
            return await held.finish()

    async def _check_appendable(self, upload_id: str) -> None:
        """See that there is an upload that can be appended to."""
        info = await self._store.read(upload_id)
        if info.kind is Kind.FINAL:
            raise ModifyFinal

    async def _store_body(
        self,
        held: HeldUpload,
        body: Body,
        *,
        limit: int | None,
        expected: int | None,
        declared_length: int | None = None,
    ) -> UploadInfo:
        """Append a body as far as it came.

        Raises:
            TusError: it did not come whole, or not all of it could be stored. Carries the
                durable offset.
        """
        body.limit = limit
        try:
            info = await held.append(body, declared_length=declared_length, expected=expected)
        except StoreError as exc:
            raise refusals.of_failed_append(exc, held.info) from exc
        refusal = refusals.of_end(body.ended, info)
        if refusal is not None:
            raise refusal
        return info

    def _body_of(self, request: web.Request) -> AbstractContextManager[Body]:
        """Return the request's body, counted among the live ones for the duration of a block."""
        expects = request.headers.get(hdrs.EXPECT) and request.version >= HttpVersion11
        body = Body(
            request.content,
            idle_timeout_s=self._options.body_idle_timeout_s,
            invite=partial(_invite, request) if expects else None,
        )
        return self._bodies.holding(body)

    def _location_of(self, request: web.Request, upload_id: str) -> str:
        """Return the URL of a new upload, below the creation URL of this request."""
        return proxy.format_location(
            self._seen(request)[-1],
            _creation_path(request),
            upload_id,
            is_relative=self._options.relative_location,
        )

    def _seen(self, request: web.Request) -> list[Origin]:
        """Return where this server is: as we see it, and last as the request's client does."""
        host = request.headers.get(hdrs.HOST)
        seen = [proxy.seen_directly(request.scheme, host)]
        if proxy.is_trusted(request.remote, self._options.trusted_proxies):
            seen.append(proxy.seen_through_proxy(request.scheme, host, request.headers))
        return seen


def _creation_path(request: web.Request) -> str:
    """Return the path of the creation URL that a request was sent to, encoded."""
    resource = request.match_info.route.resource
    return request.rel_url.raw_path if resource is None else resource.canonical


def _let_go_soon() -> None:
    """Ignore a waiter: what is being done under this lock takes no longer than the bucket."""


async def _invite(request: web.Request) -> None:
    """Ask a client that waits for it to send the body (RFC 9110, 15.2.1)."""
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # the response itself has not begun
