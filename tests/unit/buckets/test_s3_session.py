"""Where credentials, addresses and proxies come from."""

import asyncio
import ssl
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.conformance.contents import BytesContent
from tests.servers import HOST
from tests.unit.buckets.conftest import MakeBucket
from tests.unit.buckets.raw_store import Keys, raw_store
from tusd_s3.buckets.s3_options import S3Options
from tusd_s3.buckets.s3_session import Opener, proxy_for
from tusd_s3.buckets.s3_wire import Wire
from tusd_s3.errors import ConfigError

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def open_wire(stack: AsyncExitStack, options: S3Options) -> Wire:
    """Return the hot calls on a bucket."""
    opener = Opener(options, stack)
    return await opener.open_wire(await opener.open_client(), Keys(), connections=2)


def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """Return a file with a certificate for this host that nobody knows, and a server's context."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a store of our own")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(HOST))]), False)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "public.pem", folder / "private.pem"
    public.write_bytes(made.public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(public, private)
    return public, context


class TestAddresses:
    """Where requests go."""

    @pytest.mark.parametrize(
        ("endpoint", "path_style", "url"),
        [
            ("http://x:1", None, "http://x:1/photos/k"),
            ("http://x:1", True, "http://x:1/photos/k"),
            ("http://x:1", False, "http://photos.x:1/k"),
            (None, None, "https://photos.s3.amazonaws.com/k"),
            (None, True, "https://s3.amazonaws.com/photos/k"),
        ],
    )
    async def test_path_style_is_for_endpoints(
        self, aws: None, endpoint: str | None, path_style: bool | None, url: str
    ) -> None:
        """Unless something else is asked for."""
        options = S3Options(bucket="photos", endpoint=endpoint, path_style=path_style)

        async with AsyncExitStack() as stack:
            wire = await open_wire(stack, options)
            client = await Opener(options, stack).open_client()
            presigned = await client.generate_presigned_url(
                "get_object", Params={"Bucket": "photos", "Key": "k"}
            )

        assert f"{wire._base_url}k" == url
        assert presigned.partition("?")[0] == url

    async def test_the_region_is_signed(self, aws: None) -> None:
        """Also one that only the options name."""
        async with raw_store() as store, AsyncExitStack() as stack:
            options = S3Options(bucket="b", endpoint=store.url, region="eu-west-9")
            wire = await open_wire(stack, options)
            await wire.head_object(Key="k")

        assert "/eu-west-9/s3/aws4_request" in store.seen[0].headers["authorization"]

    async def test_a_bundle_of_authorities_is_trusted(
        self, aws: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """The AWS setting for stores with a certificate of their own; others are refused."""
        bundle, context = certificate(tmp_path)

        async with raw_store(context) as store, AsyncExitStack() as stack:
            options = S3Options(bucket="b", endpoint=store.url)
            stranger = await open_wire(stack, options)
            monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
            friend = await open_wire(stack, options)

            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await stranger.head_object(Key="k")
            await friend.head_object(Key="k")

        assert len(store.seen) == 1

    async def test_only_so_many_connections_are_used(self, aws: None) -> None:
        """The third call waits for one of the first two."""
        async with raw_store() as store, AsyncExitStack() as stack:
            store.answers += [None, None]
            wire = await open_wire(stack, S3Options(bucket="b", endpoint=store.url))
            calls = [asyncio.ensure_future(wire.head_object(Key="k")) for _ in range(3)]
            async with asyncio.timeout(5):
                await store.unanswered.acquire()
                await store.unanswered.acquire()
                opened = store.connections
                calls[0].cancel()
                calls[1].cancel()
                await calls[2]

        assert opened == 2


class TestProxies:
    """The environment names them."""

    @pytest.fixture(autouse=True)
    def direct(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Forget those of this machine."""
        for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.upper(), raising=False)

    @pytest.mark.parametrize(
        ("url", "proxy"),
        [
            ("http://x/b/", "http://plain:1"),
            ("https://x/b/", "http://secure:2"),
            ("http://inside/b/", None),
            ("http://a.inside:9000/b/", None),
            ("http://x:9000/b/", None),
        ],
    )
    async def test_it_depends_on_scheme_and_host(
        self, monkeypatch: pytest.MonkeyPatch, url: str, proxy: str | None
    ) -> None:
        """As every AWS program reads it; a proxy without a scheme is spoken to in HTTP."""
        monkeypatch.setenv("HTTP_PROXY", "plain:1")
        monkeypatch.setenv("https_proxy", "http://secure:2")
        monkeypatch.setenv("no_proxy", "inside, x:9000")

        assert proxy_for(url) == proxy

    async def test_none_is_named(self) -> None:
        """Then there is none."""
        assert proxy_for("http://x/b/") is None

    async def test_calls_go_through_it(self, aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is signed is the request for the store."""
        async with raw_store() as proxy, AsyncExitStack() as stack:
            monkeypatch.setenv("http_proxy", proxy.url)
            wire = await open_wire(stack, S3Options(bucket="b", endpoint="http://store.test:9000"))
            await wire.put_object(Key="k", Body=BytesContent(b"data", "CRC32"))

        assert proxy.seen[0].target == "http://store.test:9000/b/k"
        assert proxy.seen[0].headers["host"] == "store.test:9000"
        assert proxy.seen[0].body == b"data"


class TestCredentials:
    """They come from where every AWS program looks."""

    @pytest.fixture(autouse=True)
    def nothing(self, monkeypatch: pytest.MonkeyPatch, aws: None) -> pytest.MonkeyPatch:
        """Forget the environment's."""
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        return monkeypatch

    async def test_without_any_start_says_what_to_set(self, make_bucket: MakeBucket) -> None:
        """In one sentence."""
        with pytest.raises(ConfigError, match=r"no credentials for http.*AWS_ACCESS_KEY_ID"):
            await make_bucket().start()

    async def test_a_metadata_service_that_never_answers(
        self, make_bucket: MakeBucket, nothing: pytest.MonkeyPatch
    ) -> None:
        """A black hole, as outside Amazon, does not hang the start."""
        connected = asyncio.Semaphore(0)

        async def listen(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connected.release()
            await _reader.read()
            writer.close()

        async with await asyncio.start_server(listen, HOST, 0) as server:
            port = server.sockets[0].getsockname()[1]
            nothing.setenv("AWS_EC2_METADATA_DISABLED", "false")
            nothing.setenv("AWS_METADATA_SERVICE_TIMEOUT", "60")
            nothing.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://{HOST}:{port}")

            async with asyncio.timeout(5):
                with pytest.raises(ConfigError, match=r"longer than 0\.2 s"):
                    await make_bucket(control_timeout_s=0.2).start()
                await connected.acquire()

    async def test_a_profile_works(
        self, make_bucket: MakeBucket, nothing: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """Also one with a region of its own."""
        file = tmp_path / "credentials"
        file.write_text("[me]\naws_access_key_id=a\naws_secret_access_key=b\nregion=eu-west-9\n")
        nothing.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
        nothing.setenv("AWS_PROFILE", "me")
        for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
            nothing.delenv(name)
        bucket = make_bucket()

        await bucket.start()

        assert bucket.features.conditional_writes

    async def test_an_unknown_profile_is_a_wrong_setting(
        self, make_bucket: MakeBucket, nothing: pytest.MonkeyPatch
    ) -> None:
        """Botocore's sentence is passed on."""
        nothing.setenv("AWS_PROFILE", "nobody")

        with pytest.raises(ConfigError, match="nobody"):
            await make_bucket().start()

    async def test_half_a_pair_is_a_wrong_setting(
        self, make_bucket: MakeBucket, nothing: pytest.MonkeyPatch
    ) -> None:
        """A key id without its secret."""
        nothing.setenv("AWS_ACCESS_KEY_ID", "a")

        with pytest.raises(ConfigError, match="settings"):
            await make_bucket().start()
