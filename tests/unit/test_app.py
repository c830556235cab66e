"""The composition: settings reach the part they are for, and the bucket lives as long as needed."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

import tusd_s3
from tests import servers
from tests.servers import S3Server
from tusd_s3 import app as composition
from tusd_s3.buckets.disk import DiskBucket
from tusd_s3.buckets.s3 import S3Bucket
from tusd_s3.config import Config
from tusd_s3.errors import ConfigError
from tusd_s3.model import MIB

TUS = {"Tus-Resumable": "1.0.0"}


@asynccontextmanager
async def running(config: Config, app: web.Application | None = None) -> AsyncIterator[str]:
    """Serve an application as the command line does; yield its root URL."""
    runner = composition.create_runner(app or composition.create_app(config), config)
    try:
        await runner.setup()
        await web.TCPSite(runner, servers.HOST, 0).start()
        yield f"http://{servers.HOST}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def options_of(session: aiohttp.ClientSession, url: str) -> aiohttp.ClientResponse:
    """Ask what the server offers."""
    async with session.options(url) as response:
        return response


async def test_the_terms_come_from_the_settings(tmp_path: Path) -> None:
    """What is switched off is neither offered nor done."""
    config = Config(
        upload_dir=tmp_path,
        max_size=10,
        disable_termination=True,
        disable_concatenation=True,
        disable_download=True,
        base_path="/up/",
    )
    async with running(config) as root, aiohttp.ClientSession() as session:
        offered = await options_of(session, f"{root}/up/")
        headers = {**TUS, "Upload-Length": "11"}
        async with session.post(f"{root}/up/", headers=headers) as too_long:
            pass

    assert offered.headers["Tus-Max-Size"] == "10"
    assert offered.headers["Tus-Extension"] == "creation,creation-with-upload,creation-defer-length"
    assert too_long.status == 413


async def test_no_limit_is_announced_where_there_is_none(tmp_path: Path) -> None:
    """A max_size of 0 means any, as in tusd."""
    async with (
        running(Config(upload_dir=tmp_path)) as root,
        aiohttp.ClientSession() as session,
    ):
        offered = await options_of(session, f"{root}/files/")

    assert "Tus-Max-Size" not in offered.headers


async def test_forwarded_headers_count_only_from_proxies_that_are_trusted(tmp_path: Path) -> None:
    """By default nobody is trusted; a star is everybody, over IPv4 and IPv6."""
    locations = []
    for trusted in ((), ("192.0.2.0/24",), ("127.0.0.1",), ("*",)):
        config = Config(upload_dir=tmp_path, behind_proxy=trusted)
        forwarded = {
            **TUS,
            "Upload-Length": "1",
            "X-Forwarded-Host": "h",
            "X-Forwarded-Proto": "https",
        }
        async with (
            running(config) as root,
            aiohttp.ClientSession() as session,
            session.post(f"{root}/files/", headers=forwarded) as response,
        ):
            locations.append(response.headers["Location"].startswith("https://h/files/"))

    assert locations == [False, False, True, True]


async def test_long_metadata_fits_into_the_headers(tmp_path: Path) -> None:
    """The limit of aiohttp, 8,190 bytes, would refuse what tusd takes."""
    value = base64.b64encode(b"x" * 20_000).decode()
    headers = {**TUS, "Upload-Length": "1", "Upload-Metadata": f"note {value}"}
    async with (
        running(Config(upload_dir=tmp_path)) as root,
        aiohttp.ClientSession(max_field_size=65536) as session,
        session.post(f"{root}/files/", headers=headers) as response,
        session.head(response.headers["Location"], headers=TUS) as state,
    ):
        assert response.status == 201
        assert state.headers["Upload-Metadata"] == f"note {value}"


async def test_cors_can_be_left_to_somebody_else(tmp_path: Path) -> None:
    """Two Access-Control-Allow-Origin headers would be refused by browsers."""
    seen = []
    for disabled in (False, True):
        config = Config(upload_dir=tmp_path, disable_cors=disabled)
        async with (
            running(config) as root,
            aiohttp.ClientSession() as session,
            session.options(f"{root}/files/", headers={"Origin": "https://a.example"}) as response,
        ):
            seen.append("Access-Control-Allow-Origin" in response.headers)

    assert seen == [True, False]


async def test_a_bucket_that_cannot_be_used_ends_the_start(tmp_path: Path) -> None:
    """The application does not begin to serve; what was opened is closed again."""
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigError):
        async with running(Config(upload_dir=tmp_path / "file")):
            pytest.fail("it serves")


async def test_the_bucket_is_open_until_everything_else_has_ended(tmp_path: Path) -> None:
    """Clean-up of the application may still have something to store."""
    config = Config(upload_dir=tmp_path)
    bucket = composition.make_bucket(config)
    app = composition.create_app(config, bucket=bucket)
    checked: list[str] = []

    async def late(_app: web.Application) -> AsyncIterator[None]:
        await bucket.check()
        checked.append("started before")
        yield
        await bucket.check()
        checked.append("closed after")

    app.cleanup_ctx.append(late)
    async with running(config, app):
        pass

    assert checked == ["started before", "closed after"]


async def test_the_folder_is_the_bucket_unless_one_is_named() -> None:
    """The part size is the bucket's preference."""
    folder = composition.make_bucket(Config())
    bucket = composition.make_bucket(Config(s3_bucket="uploads", s3_part_size=8 * MIB))

    assert isinstance(folder, DiskBucket)
    assert isinstance(bucket, S3Bucket)
    assert bucket.limits.preferred_part == 8 * MIB


async def test_prefixes_and_bucket_reach_the_store(
    moto: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys are where tusd with the same settings would have them; `.info` says which bucket."""
    for name, value in moto.env().items():
        monkeypatch.setenv(name, value)
    moto.create_bucket("app-prefixes")
    config = Config(
        s3_bucket="app-prefixes",
        s3_endpoint=moto.endpoint,
        s3_object_prefix="objects",
        s3_metadata_prefix="meta/",
    )
    async with (
        running(config) as root,
        aiohttp.ClientSession() as session,
        session.post(
            f"{root}/files/",
            headers={
                **TUS,
                "Upload-Length": "3",
                "Content-Type": "application/offset+octet-stream",
            },
            data=b"abc",
        ) as response,
    ):
        assert response.status == 201
    client = moto.client()
    listed = client.list_objects_v2(Bucket="app-prefixes")["Contents"]
    keys = sorted(item["Key"] for item in listed)
    info = client.get_object(Bucket="app-prefixes", Key=keys[0])["Body"].read()
    client.close()

    assert [key.partition("/")[0] for key in keys] == ["meta", "objects"]
    assert b'"Bucket":"app-prefixes"' in info.replace(b": ", b":")


def test_the_public_names_are_importable_from_the_package() -> None:
    """And nothing else is."""
    assert tusd_s3.create_app is composition.create_app
    for name in tusd_s3.__all__:
        assert getattr(tusd_s3, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = tusd_s3.nothing
