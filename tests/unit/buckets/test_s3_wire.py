"""The hot calls, over real sockets: what is sent byte by byte, what is made of every answer."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import aiohttp
import pytest
import pytest_asyncio
from aiohttp.abc import AbstractResolver, AbstractStreamWriter, ResolveResult
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from tests.conformance.bucket_suite import AWKWARD_KEYS
from tests.conformance.contents import (
    BytesContent,
    ChunkedContent,
    Unreadable,
    UnreadableContent,
    random_bytes,
)
from tests.servers import HOST, REGION, S3Server
from tests.unit.buckets.raw_store import REFUSED, Keys, RawStore, answer, raw_store
from tusd_s3.buckets.s3_wire import SMALL, ContentFailed, Outgoing, Wire, compose
from tusd_s3.interfaces import Chunk
from tusd_s3.model import KIB, MIB

LIMIT_S = 5  # for what should happen at once
PARTS = b"<ListPartsResult><IsTruncated>false</IsTruncated></ListPartsResult>"


def content(size: int = 4, **options: Any) -> BytesContent:
    """Return so many bytes."""
    return BytesContent(random_bytes(size), "CRC32", **options)


async def read(wire: Wire, **arguments: Any) -> bytes:
    """Get an object and read it to its end."""
    got = await wire.get_object(Key="k", **arguments)
    data: bytes = await got["Body"].raw_stream.read()
    got["Body"].close()
    return data


# every call: its answer if all is well, and how it is made
CALLS: dict[str, tuple[bytes, Callable[[Wire], Awaitable[Any]]]] = {
    "PutObject": (answer(), lambda wire: wire.put_object(Key="k", Body=content())),
    "UploadPart": (
        answer(),
        lambda wire: wire.upload_part(
            Key="k", UploadId="id", PartNumber=1, Body=content(SMALL + 1)
        ),
    ),
    "HeadObject": (answer(), lambda wire: wire.head_object(Key="k")),
    "GetObject": (answer(), read),
    "DeleteObject": (answer(204), lambda wire: wire.delete_object(Key="k")),
    "ListParts": (answer(200, PARTS), lambda wire: wire.list_parts(Key="k", UploadId="id")),
}
every_call = pytest.mark.parametrize("operation", CALLS)


@pytest_asyncio.fixture
async def store() -> AsyncIterator[RawStore]:
    """A store that checks signatures."""
    async with raw_store() as running:
        yield running


@pytest_asyncio.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A session of one connection: a call that kept it would be the last one."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=1), auto_decompress=False
    ) as http:
        yield http


@pytest.fixture
def keys() -> Keys:
    """The credentials."""
    return Keys()


@pytest_asyncio.fixture
async def wire(store: RawStore, session: aiohttp.ClientSession, keys: Keys) -> AsyncIterator[Wire]:
    """The calls on a bucket ``b`` of the store; after each test there is a free connection."""
    made = Wire(base_url=f"{store.url}/b/", region=REGION, credentials=keys, session=session)
    yield made
    store.answers.clear()
    store.early = False
    async with asyncio.timeout(LIMIT_S):
        await made.delete_object(Key="no-connection-is-left-behind")


class TestRequests:
    """What is asked for."""

    @pytest.mark.parametrize(
        ("call", "line"),
        [
            (lambda w: w.put_object(Key="k", Body=content()), "PUT /b/k"),
            (
                lambda w: w.upload_part(Key="k", UploadId="a+b/c=", PartNumber=10, Body=content()),
                "PUT /b/k?partNumber=10&uploadId=a%2Bb%2Fc%3D",
            ),
            (lambda w: w.head_object(Key="k"), "HEAD /b/k"),
            (read, "GET /b/k"),
            (lambda w: w.delete_object(Key="k"), "DELETE /b/k"),
            (lambda w: w.list_parts(Key="k", UploadId="i~d"), "GET /b/k?uploadId=i~d"),
            (
                lambda w: w.list_parts(Key="k", UploadId="id", PartNumberMarker=1000),
                "GET /b/k?part-number-marker=1000&uploadId=id",
            ),
        ],
    )
    async def test_the_request_line(
        self, wire: Wire, store: RawStore, call: Callable[[Wire], Awaitable[Any]], line: str
    ) -> None:
        """Method, path and query are those of S3's documentation."""
        store.answers.append(answer(200, PARTS))

        await call(wire)

        seen = store.seen[0]
        assert (f"{seen.method} {seen.target}", seen.version) == (line, "HTTP/1.1")

    @pytest.mark.parametrize("operation", ["HeadObject", "GetObject", "DeleteObject", "ListParts"])
    async def test_nothing_is_sent_that_is_not_needed(
        self, wire: Wire, store: RawStore, operation: str
    ) -> None:
        """No body, no name of a library; answers are wanted as they are stored."""
        said, call = CALLS[operation]
        store.answers.append(said)

        await call(wire)

        headers = store.seen[0].headers
        assert headers["host"] == store.url.removeprefix("http://")
        assert headers["accept-encoding"] == "identity"
        assert headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
        signing = {"authorization", "x-amz-content-sha256", "x-amz-date"}
        own = {"content-length"} if operation == "DeleteObject" else set()  # 0, aiohttp's
        assert headers.keys() == {"host", "accept-encoding", *signing, *own}

    @pytest.mark.parametrize(
        ("argument", "header"),
        [
            ("ChecksumCRC32", "x-amz-checksum-crc32"),
            ("ChecksumCRC32C", "x-amz-checksum-crc32c"),
            ("ChecksumCRC64NVME", "x-amz-checksum-crc64nvme"),
            ("ContentMD5", "content-md5"),
            ("ContentType", "content-type"),
            ("ContentDisposition", "content-disposition"),
            ("IfMatch", "if-match"),
            ("IfNoneMatch", "if-none-match"),
            ("Range", "range"),
        ],
    )
    async def test_arguments_become_signed_headers(
        self, wire: Wire, store: RawStore, argument: str, header: str
    ) -> None:
        """Each under its name, with its value as it is."""
        value = "a  value; with=\"all\" 'sorts' of, signs"

        await wire.put_object(Key="k", Body=content(), **{argument: value})

        headers = store.seen[0].headers
        assert headers[header] == value
        assert header in headers["authorization"]

    async def test_metadata_becomes_headers(self, wire: Wire, store: RawStore) -> None:
        """Every key has a header of its own."""
        await wire.put_object(
            Key="k", Body=content(), Metadata={"tus-upload-id": "a+b", "x": "~!@ #"}
        )

        headers = store.seen[0].headers
        assert headers["x-amz-meta-tus-upload-id"] == "a+b"
        assert headers["x-amz-meta-x"] == "~!@ #"

    async def test_an_argument_without_a_place_is_a_bug(self, wire: Wire, store: RawStore) -> None:
        """Nothing is left out silently, and nothing is sent."""
        with pytest.raises(TypeError, match="ACL"):
            await wire.put_object(Key="k", Body=content(), ACL="private")

        assert store.seen == []

    async def test_the_buckets_name_is_in_the_url_already(
        self, wire: Wire, store: RawStore
    ) -> None:
        """The argument exists because boto's methods have it."""
        await wire.head_object(Bucket="b", Key="k")

        assert store.seen[0].target == "/b/k"

    @pytest.mark.parametrize(
        ("key", "path"),
        [
            ("a b", "a%20b"),
            ("a+b", "a%2Bb"),
            ("50%", "50%25"),
            ("%2F", "%252F"),
            ("a&b=c", "a%26b%3Dc"),
            ("a~b", "a~b"),
            ("a?b#c", "a%3Fb%23c"),
            ("a/../b//c/.", "a/../b//c/."),
            ("ü", "%C3%BC"),
        ],
    )
    async def test_keys_are_encoded_as_the_signature_wants_them(
        self, wire: Wire, store: RawStore, key: str, path: str
    ) -> None:
        """Everything but unreserved characters and slashes; nothing is normalised."""
        await wire.head_object(Key=key)

        assert store.seen[0].target == f"/b/{path}"

    @given(key=st.text(min_size=1), value=st.text())
    def test_any_key_can_be_found_in_its_url(self, key: str, value: str) -> None:
        """Encoding loses nothing."""
        try:
            key.encode(), value.encode()
        except UnicodeEncodeError:
            return

        url, _ = compose("http://x/", key, {"UploadId": value}, {})

        path, _, query = url.partition("?")
        assert unquote(path) == f"http://x/{key}"
        assert unquote(query) == f"uploadId={value}"

    async def test_a_bucket_may_be_a_host(self, store: RawStore, keys: Keys) -> None:
        """Virtual-hosted style: the host is sent and signed, the path is the key alone."""
        port = int(store.url.rpartition(":")[2])

        class Resolver(AbstractResolver):
            async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[Any]:
                return [
                    ResolveResult(hostname=host, host=HOST, port=port, family=2, proto=0, flags=0)
                ]

            async def close(self) -> None:
                pass

        connector = aiohttp.TCPConnector(resolver=Resolver())
        async with aiohttp.ClientSession(connector=connector) as session:
            wire = Wire(
                base_url=f"http://photos.store.test:{port}/",
                region=REGION,
                credentials=keys,
                session=session,
            )
            await wire.head_object(Key="a/k")

        assert store.seen[0].target == "/a/k"
        assert store.seen[0].headers["host"] == f"photos.store.test:{port}"


class TestCredentials:
    """Whose requests these are."""

    async def test_a_session_token_is_sent_and_signed(
        self, wire: Wire, store: RawStore, keys: Keys
    ) -> None:
        """Credentials of a role have one."""
        keys.current = keys.current._replace(token="the token")

        await wire.head_object(Key="k")

        headers = store.seen[0].headers
        assert headers["x-amz-security-token"] == "the token"
        assert "x-amz-security-token" in headers["authorization"]

    async def test_they_are_asked_for_at_each_call(
        self, wire: Wire, store: RawStore, keys: Keys
    ) -> None:
        """Those of a role are others after an hour."""
        await wire.head_object(Key="k")
        keys.current = keys.current._replace(access_key="later", token="new")
        await wire.head_object(Key="k")

        assert keys.asked == 2
        assert "Credential=a/" in store.seen[0].headers["authorization"]
        assert "Credential=later/" in store.seen[1].headers["authorization"]
        assert "x-amz-security-token" not in store.seen[0].headers

    async def test_another_secret_makes_another_signature(
        self, wire: Wire, store: RawStore, keys: Keys
    ) -> None:
        """What was derived from the old one is not used again."""
        await wire.head_object(Key="k")
        store.assert_signed()
        store.seen.clear()

        keys.current = keys.current._replace(secret_key="other")
        await wire.head_object(Key="k")

        store.secret_key = "other"
        store.assert_signed()
        keys.current = keys.current._replace(secret_key="other")


class TestBodies:
    """How bytes are sent."""

    @pytest.mark.parametrize("size", [0, 1, SMALL - 1, SMALL, SMALL + 1, MIB + 1])
    @pytest.mark.parametrize("chunk_size", [10_007, 4 * MIB])
    async def test_a_body_arrives_with_its_length(
        self, wire: Wire, store: RawStore, size: int, chunk_size: int
    ) -> None:
        """Never chunked, never with a type of its own, in both ways of sending."""
        await wire.put_object(Key="k", Body=content(size, chunk_size=chunk_size))

        seen = store.seen[0]
        assert seen.body == random_bytes(size)
        assert seen.headers["content-length"] == str(size)
        assert not {"transfer-encoding", "content-type", "expect"} & seen.headers.keys()
        assert "content-length" in seen.headers["authorization"]

    @pytest.mark.parametrize(("size", "headers_first"), [(SMALL, False), (SMALL + 1, True)])
    async def test_a_small_body_is_read_before_anything_is_sent(
        self, wire: Wire, store: RawStore, size: int, headers_first: bool
    ) -> None:
        """A large one is sent while it is read."""
        go_on = asyncio.Event()

        class Slow(BytesContent):
            async def chunks(self) -> AsyncIterator[Chunk]:
                await go_on.wait()
                async for chunk in super().chunks():
                    yield chunk

        slow = Slow(random_bytes(size), "CRC32")
        task = asyncio.create_task(wire.put_object(Key="k", Body=slow))
        async with asyncio.timeout(LIMIT_S):
            if headers_first:
                await store.heads.acquire()
            else:
                await asyncio.sleep(0)
                assert store.connections == 0
            go_on.set()
            await task

        assert store.seen[0].body == random_bytes(size)

    async def test_chunks_go_through_as_they_are(self) -> None:
        """Neither joined nor copied, after the headers."""
        written: list[str | Chunk] = []

        class Recorder(AbstractStreamWriter):
            def send_headers(self) -> None:
                written.append("headers")

            async def write(self, chunk: Any, **_: Any) -> None:
                written.append(chunk)

            async def write_eof(self, chunk: bytes = b"") -> None: ...
            async def drain(self) -> None: ...
            def enable_compression(self, *_: Any, **__: Any) -> None: ...
            def enable_chunking(self) -> None: ...
            async def write_headers(self, *_: Any) -> None: ...

        given = b"x" * MIB, bytearray(b"y" * KIB), memoryview(b"z")

        await Outgoing(ChunkedContent(*given)).write(Recorder())

        assert written[0] == "headers"
        views = [chunk for chunk in written if isinstance(chunk, memoryview)]
        assert [view.obj for view in views] == [given[0], given[1], given[2].obj]
        assert len(written) == 4

    def test_a_body_is_no_text(self) -> None:
        """It is asked for by nobody; a library that begins to is told."""
        with pytest.raises(TypeError):
            Outgoing(content()).decode()

    @pytest.mark.parametrize("announced", [SMALL - 10, SMALL + 10, MIB, 3 * MIB])
    @pytest.mark.parametrize("more", [-1, 1, SMALL])
    async def test_a_content_of_another_size_is_a_bug(
        self, wire: Wire, store: RawStore, announced: int, more: int
    ) -> None:
        """Neither sent short, which would hang, nor on into the next request."""
        half = (announced + more) // 2
        data = random_bytes(announced + more)
        body = ChunkedContent(data[:half], data[half:], size=announced)

        async with asyncio.timeout(LIMIT_S):
            with pytest.raises(ContentFailed, match="bytes") as caught:
                await wire.put_object(Key="k", Body=body)

        assert isinstance(caught.value.failure, ValueError)
        assert store.seen == []

    @pytest.mark.parametrize("size", [10, MIB])
    @pytest.mark.parametrize(
        "failure", [Unreadable("lost"), OSError(5, "lost"), TimeoutError("lost")]
    )
    async def test_what_reading_raises_is_told(
        self, wire: Wire, store: RawStore, size: int, failure: Exception
    ) -> None:
        """It is not taken for a lost connection, which aiohttp would try to make good."""
        body = UnreadableContent(random_bytes(size), "CRC32")
        body.failure = failure

        with pytest.raises(ContentFailed, match="lost") as caught:
            await wire.put_object(Key="k", Body=body)

        assert caught.value.failure is failure
        assert body.iterations == 1
        assert store.seen == []

    async def test_a_connection_that_was_closed_meanwhile_costs_nothing(
        self, wire: Wire, store: RawStore
    ) -> None:
        """The content is read again for a new one."""
        body = content(MIB)
        await wire.head_object(Key="k")
        store.answers += [b"", answer()]

        async with asyncio.timeout(LIMIT_S):
            await wire.put_object(Key="k", Body=body)

        assert store.seen[-1].body == random_bytes(MIB)
        assert body.iterations == 2

    async def test_a_refusal_may_come_before_the_body_is_sent(
        self, wire: Wire, store: RawStore
    ) -> None:
        """It is what counts, and the rest is not sent."""
        store.early = True
        store.answers.append(answer(403, b"<Error><Code>AccessDenied</Code></Error>"))

        class Endless(BytesContent):
            async def chunks(self) -> AsyncIterator[Chunk]:
                yield bytes(KIB)
                await asyncio.Event().wait()

        async with asyncio.timeout(LIMIT_S):
            with pytest.raises(ClientError, match="AccessDenied"):
                await wire.put_object(Key="k", Body=Endless(bytes(MIB), "CRC32"))
            await store.hung_up.acquire()


class TestAnswers:
    """What becomes of answers."""

    @pytest.mark.parametrize("operation", ["PutObject", "UploadPart"])
    async def test_a_write_tells_the_etag(
        self, wire: Wire, store: RawStore, operation: str
    ) -> None:
        """And nothing where there is none."""
        store.answers += [answer(ETag='"e"'), answer()]
        call = CALLS[operation][1]

        assert await call(wire) == {"ETag": '"e"'}
        assert await call(wire) == {}

    async def test_headers_describe_an_object(self, wire: Wire, store: RawStore) -> None:
        """To HEAD and to GET alike."""
        said = answer(
            200,
            b"1234567",
            ETag='"e"',
            Content_Type="video/mp4",
            Content_Disposition="inline",
            Last_Modified="Mon, 23 Nov 2026 03:56:10 GMT",
            X_Amz_Meta_Tus_Upload_Id="a+b",
        )
        store.answers += [said, said]

        head = await wire.head_object(Key="k")
        got = await wire.get_object(Key="k")
        got.pop("Body").close()

        assert head == {
            "ETag": '"e"',
            "ContentLength": 7,
            "ContentType": "video/mp4",
            "ContentDisposition": "inline",
            "LastModified": datetime(2026, 11, 23, 3, 56, 10, tzinfo=UTC),
            "Metadata": {"Tus-Upload-Id": "a+b"},
        }
        assert got == head

    async def test_an_object_is_read(self, wire: Wire, store: RawStore) -> None:
        """Whole or a range of it, as it is stored, on one connection."""
        store.answers += [
            answer(200, b"0123456789", Content_Encoding="gzip"),
            answer(206, b"234", Content_Range="bytes 2-4/10"),
        ]

        assert await read(wire) == b"0123456789"
        assert await read(wire, Range="bytes=2-4") == b"234"
        assert store.connections == 1

    async def test_a_download_that_is_given_up_closes_its_connection(
        self, wire: Wire, store: RawStore
    ) -> None:
        """Nobody waits for bytes that nobody wants."""
        store.answers.append(answer(200, b"x").replace(b"Length: 1", b"Length: 1000"))
        got = await wire.get_object(Key="k")

        got["Body"].close()

        async with asyncio.timeout(LIMIT_S):
            await store.hung_up.acquire()

    @pytest.mark.parametrize("status", [201, 203, 204])
    async def test_a_get_that_is_answered_otherwise_is_refused(
        self, wire: Wire, store: RawStore, status: int
    ) -> None:
        """An object comes with 200 or 206; anything else is some proxy's."""
        store.answers.append(answer(status))

        with pytest.raises(ClientError, match=str(status)):
            await wire.get_object(Key="k")

    @pytest.mark.parametrize("operation", ["HeadObject", "GetObject"])
    async def test_a_date_that_is_none(self, wire: Wire, store: RawStore, operation: str) -> None:
        """It is an error, and the connection is not lost."""
        store.answers.append(answer(200, b"", Last_Modified="yesterday"))

        with pytest.raises(ValueError, match="yesterday"):
            await CALLS[operation][1](wire)

    async def test_parts_are_listed(self, wire: Wire, store: RawStore) -> None:
        """A page of them."""
        part = b"<Part><PartNumber>3</PartNumber><ETag>e</ETag><Size>9</Size></Part>"
        store.answers.append(answer(200, PARTS.replace(b"</List", part + b"</List")))

        page = await wire.list_parts(Key="k", UploadId="id")

        assert page == {
            "IsTruncated": False,
            "Parts": [{"PartNumber": 3, "ETag": "e", "Size": 9}],
        }

    async def test_a_listing_that_is_no_xml(self, wire: Wire, store: RawStore) -> None:
        """A login page is no empty listing."""
        store.answers.append(answer(200, b"<!doctype html>welcome<br>"))

        with pytest.raises(ValueError, match="not XML"):
            await wire.list_parts(Key="k", UploadId="id")

    @every_call
    async def test_a_refusal_has_code_and_status(
        self, wire: Wire, store: RawStore, operation: str
    ) -> None:
        """As botocore tells it; HEAD has no body, so the status is the code."""
        store.answers.append(answer(404, REFUSED))

        with pytest.raises(ClientError) as caught:
            await CALLS[operation][1](wire)

        assert caught.value.operation_name == operation
        response: Any = caught.value.response
        said = response["Error"]["Code"], response["Error"]["Message"]
        assert said == (
            ("404", "") if operation == "HeadObject" else ("NoSuchUpload", "none there")
        )
        assert response["ResponseMetadata"]["HTTPStatusCode"] == 404

    @every_call
    async def test_a_refusal_without_xml_has_the_status(
        self, wire: Wire, store: RawStore, operation: str
    ) -> None:
        """A proxy's page."""
        store.answers.append(answer(502, b"<html>Bad Gateway<br>"))

        with pytest.raises(ClientError) as caught:
            await CALLS[operation][1](wire)

        response: Any = caught.value.response
        assert response["Error"]["Code"] == "502"

    @every_call
    async def test_a_redirect_is_not_followed(
        self, wire: Wire, store: RawStore, operation: str
    ) -> None:
        """The signature is for this host; the region is wrong, which start says."""
        store.answers.append(answer(307, b"", Location=f"{store.url}/other"))

        with pytest.raises(ClientError, match="307"):
            await CALLS[operation][1](wire)

        assert len(store.seen) == 1


class TestConnections:
    """They come back, whatever happens (the fixture asks for one after each test)."""

    @every_call
    async def test_an_answer_gives_its_connection_back(
        self, wire: Wire, store: RawStore, operation: str
    ) -> None:
        """Also a refusal's: one is enough for all calls."""
        said, call = CALLS[operation]
        for _ in range(2):
            store.answers += [said, answer(404, REFUSED)]
            await call(wire)
            with pytest.raises(ClientError):
                await call(wire)

        assert store.connections == 1

    @every_call
    async def test_an_answer_that_is_cut(self, wire: Wire, store: RawStore, operation: str) -> None:
        """A broken connection is told as such, and is not kept."""
        cut = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Le"
        store.answers += [cut] * 2  # aiohttp may try again on its own

        with pytest.raises(aiohttp.ClientError):
            await CALLS[operation][1](wire)

    @pytest.mark.parametrize("operation", ["PutObject", "ListParts", "GetObject"])
    async def test_an_answer_whose_body_is_cut(
        self, wire: Wire, store: RawStore, operation: str
    ) -> None:
        """Half an answer is none, be it a refusal or not."""
        for status in (200, 500):
            said = answer(status, b"<a>", Connection="close")
            store.answers.append(said.replace(b"Length: 3", b"Length: 100"))
            with pytest.raises(aiohttp.ClientPayloadError):
                await CALLS[operation][1](wire)

    @every_call
    async def test_a_call_that_is_cancelled(
        self, wire: Wire, store: RawStore, operation: str
    ) -> None:
        """It ends at once, and its connection is closed."""
        store.answers.append(None)
        task = asyncio.ensure_future(CALLS[operation][1](wire))
        async with asyncio.timeout(LIMIT_S):
            await store.unanswered.acquire()

            task.cancel()

            with pytest.raises(asyncio.CancelledError):
                await task
            await store.hung_up.acquire()

    @every_call
    async def test_a_call_that_is_cancelled_within_the_answer(
        self, wire: Wire, store: RawStore, operation: str
    ) -> None:
        """Half an answer is not left in the connection."""
        if operation == "HeadObject":
            pytest.skip("an answer to HEAD has no body")
        store.answers.append(answer(500, b"<a>").replace(b"Length: 3", b"Length: 100"))
        store.early = True  # the answer stays as it is
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await CALLS[operation][1](wire)

        async with asyncio.timeout(LIMIT_S):
            await store.hung_up.acquire()


@pytest.mark.parametrize("kind", ["moto", "versitygw", "minio"])
class TestRealStores:
    """What stores say to our signatures."""

    @pytest_asyncio.fixture
    async def real(
        self, kind: str, s3_of: Callable[[str], S3Server], session: aiohttp.ClientSession
    ) -> tuple[S3Server, Wire]:
        """A bucket ``wire`` of a real store, and the calls on it."""
        server = s3_of(kind)
        client = server.client()
        if "wire" not in [found["Name"] for found in client.list_buckets()["Buckets"]]:
            client.create_bucket(Bucket="wire")
        client.close()
        credentials = Keys(server.access_key, server.secret_key)
        url = f"{server.endpoint}/wire/"
        return server, Wire(
            base_url=url, region=server.region, credentials=credentials, session=session
        )

    @pytest.mark.parametrize("key", AWKWARD_KEYS)
    async def test_every_call_is_accepted_for_awkward_keys(
        self, real: tuple[S3Server, Wire], key: str
    ) -> None:
        """The store reads the same request out of the URL that was signed."""
        server, wire = real
        client = server.client()
        upload_id = client.create_multipart_upload(Bucket="wire", Key=key)["UploadId"]
        body = content(1000)
        md5 = BytesContent(random_bytes(1000), "MD5").checksum.value

        await wire.put_object(Key=key, Body=body, Metadata={"a": "b  c"}, ContentMD5=md5)
        head = await wire.head_object(Key=key)
        got = await wire.get_object(Key=key, Range="bytes=1-5")
        data = await got["Body"].raw_stream.read()
        await wire.upload_part(Key=key, UploadId=upload_id, PartNumber=1, Body=body)
        page = await wire.list_parts(Key=key, UploadId=upload_id)
        listed = client.list_objects_v2(Bucket="wire", Prefix=key).get("Contents", [])
        await wire.delete_object(Key=key)

        assert (head["ContentLength"], data) == (1000, random_bytes(1000)[1:6])
        assert [part["Size"] for part in page["Parts"]] == [1000]
        assert [found["Key"] for found in listed] == [key]
        with pytest.raises(ClientError, match="404"):
            await wire.head_object(Key=key)
        client.abort_multipart_upload(Bucket="wire", Key=key, UploadId=upload_id)
        client.close()

    async def test_a_wrong_secret_is_noticed(
        self, kind: str, real: tuple[S3Server, Wire], session: aiohttp.ClientSession
    ) -> None:
        """So what was accepted above was verified."""
        if kind == "moto":
            pytest.skip("moto does not verify signatures")
        server, _ = real
        wire = Wire(
            base_url=f"{server.endpoint}/wire/",
            region=server.region,
            credentials=Keys(server.access_key, "wrong"),
            session=session,
        )

        with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
            await wire.get_object(Key="k")
