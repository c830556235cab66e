import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from aiohttp.base_protocol import BaseProtocol
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.wire import Connection, Tus
from tests.unit.web.fakes import running
from tusd_s3.model import Ended
from tusd_s3.web.body import Body, LiveBodies

Read = Callable[[Body], Awaitable[None]]


def make_stream() -> aiohttp.StreamReader:
    """Return a stream as aiohttp makes it, on a connection that is open."""
    loop = asyncio.get_running_loop()
    protocol = BaseProtocol(loop)
    protocol.transport = asyncio.Transport()
    return aiohttp.StreamReader(protocol, 2**20, loop=loop)


def make_body(stream: aiohttp.StreamReader, idle_timeout_s: float = 60) -> Body:
    """Return a body over a stream."""
    return Body(stream, idle_timeout_s=idle_timeout_s)


async def read_all(body: Body) -> bytes:
    """Read to the end."""
    taken = b""
    while data := await body.read():
        taken += data
    return taken


@given(
    chunks=st.lists(st.binary(min_size=1, max_size=8), max_size=8),
    limit=st.none() | st.integers(min_value=0, max_value=64),
    lost=st.booleans(),
)
async def test_body_hands_out_what_arrived_up_to_its_limit(
    chunks: list[bytes], limit: int | None, *, lost: bool
) -> None:
    """Whatever the chunks: the first ``limit`` bytes, and the right reason for the end."""
    stream = make_stream()
    body = make_body(stream)
    body.limit = limit
    for chunk in chunks:
        stream.feed_data(chunk)
    if lost:
        stream.set_exception(ConnectionResetError())
    else:
        stream.feed_eof()
    sent = b"".join(chunks)

    taken = await read_all(body)

    assert taken == sent[:limit]
    assert body.received == len(taken)
    if limit is not None and len(sent) > limit:
        assert body.ended is Ended.OVERRUN
    else:
        assert body.ended is (Ended.DISCONNECTED if lost else Ended.COMPLETE)


async def test_bytes_are_handed_out_as_they_arrive() -> None:
    """A read waits for bytes, not for the end."""
    stream = make_stream()
    body = make_body(stream)
    reading = asyncio.create_task(body.read())
    await asyncio.sleep(0)
    stream.feed_data(b"abc")

    assert await reading == b"abc"
    assert body.ended is None
    body.close()


async def test_whole_body_is_whole_although_the_client_left() -> None:
    """A connection lost after the last byte does not make a body incomplete."""
    stream = make_stream()
    stream.feed_data(b"abc")
    stream.feed_eof()
    stream.set_exception(ConnectionResetError())
    body = make_body(stream)

    assert await read_all(body) == b"abc"
    assert body.ended is Ended.COMPLETE


@pytest.mark.parametrize(
    "fault",
    [
        ConnectionResetError(),
        web.RequestPayloadError("x"),
        aiohttp.http_exceptions.TransferEncodingError("x"),
    ],
)
async def test_fault_while_waiting_is_an_ordinary_end(fault: Exception) -> None:
    """No exception of aiohttp's reaches the reader."""
    stream = make_stream()
    body = make_body(stream)
    reading = asyncio.create_task(body.read())
    await asyncio.sleep(0)
    stream.set_exception(fault)

    assert await reading == b""
    assert body.ended is Ended.DISCONNECTED
    assert await body.read() == b""


async def test_connection_lost_before_the_request_began() -> None:
    """A stream without an exception on a connection that is gone is an end too."""
    loop = asyncio.get_running_loop()
    stream = aiohttp.StreamReader(BaseProtocol(loop), 2**20, loop=loop)
    body = make_body(stream)

    assert await body.read() == b""
    assert body.ended is Ended.DISCONNECTED


async def test_stop_wakes_a_waiting_read_at_once() -> None:
    """The read returns in the same moment, and the first reason counts."""
    body = make_body(make_stream())
    reading = asyncio.create_task(body.read())
    await asyncio.sleep(0)
    body.stop(Ended.TAKEN_OVER)
    body.stop(Ended.SHUTDOWN)

    async with asyncio.timeout(1):
        assert await reading == b""
    assert body.ended is Ended.TAKEN_OVER


async def test_stop_before_a_read_hands_out_what_is_there() -> None:
    """What has arrived comes first; a client that goes on sending cannot prevent the end."""
    stream = make_stream()
    body = make_body(stream)
    stream.feed_data(b"abc")
    body.stop(Ended.SHUTDOWN)

    assert await body.read() == b"abc"
    stream.feed_data(b"def")
    assert await body.read() == b""
    assert body.ended is Ended.SHUTDOWN


async def test_stop_of_a_body_that_is_all_there() -> None:
    """What is whole is whole, whoever asked for an end."""
    stream = make_stream()
    stream.feed_data(b"abc")
    stream.feed_eof()
    body = make_body(stream)
    body.stop(Ended.TAKEN_OVER)

    assert await read_all(body) == b"abc"
    assert body.ended is Ended.COMPLETE


@given(st.data())
async def test_no_byte_is_lost_when_stop_and_bytes_come_together(data: st.DataObject) -> None:
    """Whatever the order of events within one turn of the loop."""
    stream = make_stream()
    body = make_body(stream)
    reading = asyncio.create_task(read_all(body))
    await asyncio.sleep(0)
    events = data.draw(st.permutations(["stop", "abc", "def"]))
    for event in events:
        if event == "stop":
            body.stop(Ended.TAKEN_OVER)
        else:
            stream.feed_data(event.encode())

    taken = await reading

    assert taken.decode() == "".join(event for event in events if event != "stop")
    assert body.ended is Ended.TAKEN_OVER


async def test_cancelled_reader_is_cancelled() -> None:
    """The reader's own cancellation is not mistaken for an end of the body."""
    stream = make_stream()
    body = make_body(stream)
    reading = asyncio.create_task(body.read())
    await asyncio.sleep(0)
    reading.cancel()

    with pytest.raises(asyncio.CancelledError):
        await reading
    assert body.ended is None
    stream.feed_data(b"abc")
    assert await body.read() == b"abc"
    body.close()


async def test_silence_ends_the_body() -> None:
    """After the limit, counted from the beginning of the wait."""
    body = make_body(make_stream(), idle_timeout_s=0.02)

    assert await body.read() == b""
    assert body.ended is Ended.IDLE


async def test_slow_client_is_not_silent() -> None:
    """A byte within the limit starts the clock again, with the one timer there is."""
    stream = make_stream()
    body = make_body(stream, idle_timeout_s=0.1)
    loop = asyncio.get_running_loop()
    for number in range(1, 7):
        loop.call_later(0.04 * number, stream.feed_data, b"x")
    loop.call_later(0.26, stream.feed_eof)

    assert await read_all(body) == b"xxxxxx"
    assert body.ended is Ended.COMPLETE


async def test_slow_reader_is_not_the_clients_fault() -> None:
    """Time during which nobody reads does not count as silence."""
    stream = make_stream()
    stream.feed_data(b"abc")
    body = make_body(stream, idle_timeout_s=0.05)
    reading = asyncio.create_task(body.read())
    assert await reading == b"abc"
    waiting = asyncio.create_task(body.read())
    await asyncio.sleep(0)
    stream.feed_data(b"def")
    assert await waiting == b"def"

    await asyncio.sleep(0.08)  # the timer fires while nobody waits

    assert body.silent_s == 0
    stream.feed_data(b"ghi")
    assert await body.read() == b"ghi"
    assert body.ended is None
    body.close()


async def test_silence_is_measured_while_somebody_waits() -> None:
    """0 before, growing during the wait, infinite after the end."""
    body = make_body(make_stream())
    assert body.silent_s == 0
    reading = asyncio.create_task(body.read())
    await asyncio.sleep(0.02)

    assert 0 < body.silent_s < 5
    body.stop(Ended.SHUTDOWN)
    await reading
    assert body.silent_s == float("inf")


async def test_client_is_invited_when_it_is_waited_for() -> None:
    """Once, at the first read that finds nothing."""
    invitations: list[int] = []
    stream = make_stream()

    async def invite() -> None:
        invitations.append(1)
        stream.feed_data(b"abc")

    body = Body(stream, idle_timeout_s=60, invite=invite)
    assert invitations == []
    assert await body.read() == b"abc"
    stream.feed_eof()
    assert await body.read() == b""
    assert invitations == [1]


async def test_client_that_sends_unasked_is_not_invited() -> None:
    """Neither before nor in the middle of its body."""

    async def invite() -> None:
        raise AssertionError

    stream = make_stream()
    stream.feed_data(b"abc")
    body = Body(stream, idle_timeout_s=60, invite=invite)
    assert await body.read() == b"abc"
    reading = asyncio.create_task(body.read())
    await asyncio.sleep(0)
    stream.feed_eof()

    assert await reading == b""
    assert body.ended is Ended.COMPLETE


async def test_client_that_leaves_before_it_is_invited() -> None:
    """A connection that cannot be written to has ended."""

    async def invite() -> None:
        raise ConnectionResetError

    body = Body(make_stream(), idle_timeout_s=60, invite=invite)

    assert await body.read() == b""
    assert body.ended is Ended.DISCONNECTED


async def test_all_live_bodies_are_ended_at_once() -> None:
    """Those being read, and those that come later; others are left alone."""
    bodies = LiveBodies()
    before, finished, after = (make_body(make_stream()) for _ in range(3))
    with bodies.holding(finished):
        pass
    with bodies.holding(before):
        reading = asyncio.create_task(before.read())
        await asyncio.sleep(0)
        assert not bodies.are_ending
        bodies.stop_all(Ended.SHUTDOWN)
        await reading
    with bodies.holding(after):
        await after.read()

    assert (before.ended, after.ended) == (Ended.SHUTDOWN, Ended.SHUTDOWN)
    assert finished.ended is None
    assert bodies.are_ending


@asynccontextmanager
async def receiving(read: Read) -> AsyncIterator[Tus]:
    """Run a server that hands every body to ``read``."""

    async def handle(request: web.Request) -> web.Response:
        body = make_body(request.content)
        try:
            await read(body)
        finally:
            body.close()
        return web.Response(headers={"Tus-Resumable": "1.0.0"})

    app = web.Application()
    app.router.add_route("*", "/files/", handle)
    async with running(app) as tus:
        yield tus


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [1, 21_000, 200_000])
async def test_slow_reader_gets_all_that_arrived_before_the_client_left(
    size: int, *, chunked: bool
) -> None:
    """Over a real socket: aiohttp alone would raise before handing out what it holds."""
    content = random.Random(size).randbytes(size)
    has_begun, client_left, is_read = asyncio.Event(), asyncio.Event(), asyncio.Event()
    seen: list[tuple[bytes, Ended | None]] = []

    async def read(body: Body) -> None:
        first = await body.read()
        has_begun.set()
        await client_left.wait()
        await asyncio.sleep(0.1)  # the loop reads what the kernel holds, then the end
        seen.append((first + await read_all(body), body.ended))
        is_read.set()

    async with receiving(read) as tus:
        framing = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": "900000"}
        connection: Connection
        async with tus.begun("POST", tus.url, framing) as connection:
            for start in range(0, size, 7_000):
                piece = content[start : start + 7_000]
                await (connection.send_chunk(piece) if chunked else connection.send(piece))
            await has_begun.wait()
        client_left.set()
        await is_read.wait()

    assert seen == [(content, Ended.DISCONNECTED)]


async def test_fast_client_is_held_back_by_a_slow_reader() -> None:
    """Back-pressure works, and nothing is lost on the way."""
    content = random.Random(0).randbytes(3_000_000)
    taken = bytearray()
    ends: list[Ended | None] = []

    async def read(body: Body) -> None:
        while data := await body.read():
            taken.extend(data)
            await asyncio.sleep(0)
        ends.append(body.ended)

    async with receiving(read) as tus:
        response = await tus.request("POST", tus.url, {}, content)

    assert response.status == 200
    assert taken == content
    assert ends == [Ended.COMPLETE]
