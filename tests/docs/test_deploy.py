"""The files for deployment, as far as they can be tried without Docker."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import servers, tus_client
from tests.servers import Child, S3Server, TusServer
from tusd_s3 import sources
from tusd_s3.config import Config

PROJECT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[tuple[str, TusServer]]:
    """Run nginx with our configuration in front of our server; yield the proxied creation URL."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip("nginx is not installed")
    port = servers.free_port()
    with TusServer("--behind-proxy", "127.0.0.1", "--upload-dir", str(tmp_path / "data")) as server:
        upstream = server.url.removeprefix("http://").partition("/")[0]
        text = (PROJECT / "deploy" / "nginx.conf").read_text()
        text = text.replace("server tusd:8080;", f"server {upstream};")
        text = text.replace("listen 8080;", f"listen 127.0.0.1:{port};")
        temporary = "".join(
            f"{kind}_temp_path {tmp_path}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        whole = f"daemon off; pid {tmp_path}/pid; error_log stderr;\nevents {{}}\n"
        whole += f"http {{ access_log off;\n{temporary}{text}\n}}\n"
        (tmp_path / "nginx.conf").write_text(whole)
        child = Child(
            [program, "-e", "stderr", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")]
        )
        try:
            child.wait_until(lambda: servers.is_listening(port))
            yield f"http://127.0.0.1:{port}/files/", server
        finally:
            child.close()


@pytest.mark.slow  # starts nginx and a server
def test_an_upload_goes_through_nginx_as_it_is_shipped(nginx: tuple[str, TusServer]) -> None:
    """Longer than nginx's default limit, and `Location` leads back to nginx."""
    url, _ = nginx
    body = b"x" * 3_000_000

    upload = tus_client.new_upload(url, len(body))
    answer = tus_client.patch(upload, 0, body)

    assert upload.startswith(url)
    assert answer.status == 204
    assert tus_client.get(upload).body == body


@pytest.mark.slow  # starts nginx and a server
def test_bytes_pass_nginx_as_they_come(nginx: tuple[str, TusServer]) -> None:
    """What arrived counts although the request never ended; a buffering nginx would drop it."""
    url, server = nginx
    upload = tus_client.new_upload(url, 1_000_000)
    with tus_client.open_patch(upload, 0, 1_000_000) as patch:
        patch.send(b"x" * 200_000)
        patch.fin()
    direct = server.url + upload.rpartition("/")[2]
    server.child.wait_until(lambda: tus_client.head(direct).offset > 0)

    assert tus_client.head(upload).offset > 0


@pytest.mark.slow  # starts nginx and a server
def test_clients_cannot_lie_about_where_they_are(nginx: tuple[str, TusServer]) -> None:
    """The server believes nginx, so nginx lets no forwarded header of a client through."""
    url, _ = nginx
    lies = {
        "Forwarded": "host=evil.example;proto=https",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Port": "99",
        "X-Forwarded-Prefix": "/evil",
    }

    answer = tus_client.request("POST", url, {**tus_client.VERSION, "Upload-Length": "1", **lies})

    assert answer.headers["location"].startswith(url)


@pytest.mark.slow  # starts versitygw
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_bucket_of_the_compose_file_is_made_and_may_exist_already(versitygw: S3Server) -> None:
    """The command is the one in the file, against the same kind of server."""
    service = COMPOSE["services"]["bucket"]
    command = service["command"][0].replace("$$", "$")
    command = command.replace("http://s3:7070/uploads", f"{versitygw.endpoint}/compose-uploads")
    for _ in range(2):
        subprocess.run(
            [*service["entrypoint"], command],
            env={**versitygw.env(), "PATH": "/usr/bin:/bin"},
            check=True,
            timeout=60,
        )

    client = versitygw.client()
    names = [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]
    client.close()
    assert "compose-uploads" in names


def test_the_compose_file_uses_settings_that_exist_and_go_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As does the image."""
    image = re.findall(r"(TUSD_[A-Z_0-9]+)=(\S+)", (PROJECT / "Dockerfile").read_text())
    variables = dict(image) | {
        name: value
        for name, value in COMPOSE["services"]["tusd"]["environment"].items()
        if name.startswith("TUSD_")
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    config = sources.read_settings({}, None)

    assert set(variables) <= {sources.variable_of(name) for name in Config.model_fields}
    assert (config.host, config.s3_bucket) == ("0.0.0.0", "uploads")


def test_the_container_is_given_the_time_that_stopping_takes() -> None:
    """Otherwise Docker kills it while it stores what it received."""
    grace = COMPOSE["services"]["tusd"]["stop_grace_period"]

    assert int(grace.removesuffix("s")) > Config().shutdown_timeout
