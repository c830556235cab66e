"""Where credentials, addresses and proxies come from."""

import asyncio
import ssl
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.conformance.contents import BytesContent
from tests.servers import HOST, free_port
from tests.unit.buckets.conftest import MakeBucket
from tests.unit.buckets.raw_store import Keys, answer, raw_store
from tests.unit.buckets.s3_front import Front
from tusd_s3.buckets.s3_options import S3Options
from tusd_s3.buckets.s3_session import Opener, proxy_for
from tusd_s3.buckets.s3_wire import Wire
from tusd_s3.errors import ConfigError

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROXIES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")


async def open_wire(stack: AsyncExitStack, options: S3Options) -> Wire:
    """Return the hot calls on a bucket."""
    opener = Opener(options, stack)
    return await opener.open_wire(await opener.open_client(), Keys(), connections=2)


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
        connection = Connection(
            S3Options(bucket="photos", endpoint=endpoint, path_style=path_style)
        )
        await connection.open()

        where = await connection.control.generate_presigned_url(
            "get_object", Params={"Bucket": "photos", "Key": "k"}
        )

        assert where.partition("?")[0] == url
        await connection.close()


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
