"""The fault proxy itself: it changes nothing unless told to, and then exactly what it was told."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import botocore.exceptions
import pytest

from tests.conftest import BucketPlace
from tests.faults.s3_proxy import (
    S3Proxy,
    answer,
    classify,
    cut_after,
    cut_before,
    hang,
    on,
)
from tests.servers import S3Server

BUCKET = "proxied"
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def proxied_bucket(moto: S3Server) -> S3Server:
    """Return a store that has the bucket."""
    moto.create_bucket(BUCKET)
    return moto


@pytest.fixture
def proxy(proxied_bucket: S3Server) -> Iterator[S3Proxy]:
    """Return a proxy before moto."""
    with S3Proxy(proxied_bucket) as proxy:
        yield proxy


@pytest.fixture
def s3(proxy: S3Proxy) -> Iterator[Any]:
    """Return a boto3 client that goes through the proxy and does not retry."""
    client = proxy.server.client(attempts=1)
    yield client
    client.close()


@pytest.fixture
def direct(proxied_bucket: S3Server) -> Iterator[Any]:
    """Return a boto3 client that goes around the proxy."""
    client = proxied_bucket.client()
    yield client
    client.close()


@pytest.mark.parametrize(
    ("method", "target", "named"),
    [
        ("PUT", "/b/k", "put_object"),
        ("PUT", "/b/folder/k.info", "put_info"),
        ("GET", "/b/k.info", "get_info"),
        ("HEAD", "/b/k.part.3", "head_tail"),
        ("DELETE", "/b/k.part", "delete_tail"),
        ("PUT", "/b/k.part.12", "put_tail"),
        ("POST", "/b/k?uploads", "create_multipart"),
        ("POST", "/b/k?uploads=", "create_multipart"),
        ("PUT", "/b/k?partNumber=7&uploadId=u%2Fv", "upload_part 7"),
        ("GET", "/b/k?max-parts=1000&uploadId=u", "list_parts"),
        ("POST", "/b/k?uploadId=u", "complete"),
        ("DELETE", "/b/k?uploadId=u", "abort"),
        ("POST", "/b?delete", "delete_objects"),
        ("GET", "/b?list-type=2&prefix=p", "list_objects"),
        ("HEAD", "/b", "head_bucket"),
        ("PUT", "/b/k%2Einfo", "put_info"),
    ],
)
def test_requests_are_named(method: str, target: str, named: str) -> None:
    """Method, query and key say what a request is to S3."""
    assert str(classify(method, target, {})) == named


@pytest.mark.parametrize("kind", ["moto", "versitygw", "minio"])
def test_signed_bodies_pass_unchanged(
    kind: str, s3_of: Callable[[str], S3Server], bucket_factory: Callable[[str], BucketPlace]
) -> None:
    """Signatures stay valid, bodies of every size arrive, listings come back."""
    place = bucket_factory(kind)
    with S3Proxy(s3_of(kind)) as proxy:
        client = proxy.server.client()
        bodies = {"empty": b"", "a b+c/ü%2F": b"x", "big": bytes(range(256)) * 8192}
        for key, body in bodies.items():
            client.put_object(Bucket=place.name, Key=key, Body=body, Metadata={"m": "v"})
        got = {k: client.get_object(Bucket=place.name, Key=k)["Body"].read() for k in bodies}
        size = client.head_object(Bucket=place.name, Key="big")["ContentLength"]
        client.close()

        assert got == bodies
        assert size == len(bodies["big"])
        assert proxy.operations() == ["put_object"] * 3 + ["get_object"] * 3 + ["head_object"]
        assert all(call.status == 200 for call in proxy.calls)


def test_nth_call_is_refused_and_not_forwarded(proxy: S3Proxy, s3: Any, direct: Any) -> None:
    """The first passes, the second gets the error, the third passes."""
    fault = proxy.add(on("put_object"), answer(403, "AccessDenied"), first=2, times=1)
    s3.put_object(Bucket=BUCKET, Key="nth", Body=b"1")
    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        s3.put_object(Bucket=BUCKET, Key="nth", Body=b"2")
    second = direct.get_object(Bucket=BUCKET, Key="nth")["Body"].read()
    s3.put_object(Bucket=BUCKET, Key="nth", Body=b"3")

    assert second == b"1"
    assert fault.hits == 1
    assert [call.status for call in proxy.calls] == [200, 403, 200]


def test_fault_lasts_until_it_is_removed(proxy: S3Proxy, s3: Any) -> None:
    """Without a number of times it holds for ever; afterwards all is well."""
    fault = proxy.add(on("get_info"), answer(500, "InternalError"))
    for _ in range(3):
        with pytest.raises(botocore.exceptions.ClientError):
            s3.get_object(Bucket=BUCKET, Key="x.info")
    fault.remove()
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket=BUCKET, Key="x.info")


def test_only_the_part_that_was_named_fails(proxy: S3Proxy, s3: Any) -> None:
    """Part 2 fails, 1 and 3 do not notice."""
    proxy.add(on("upload_part", number=2), answer(503, "SlowDown"))
    multipart = s3.create_multipart_upload(Bucket=BUCKET, Key="parts")["UploadId"]
    for number in (1, 3):
        s3.upload_part(Bucket=BUCKET, Key="parts", UploadId=multipart, PartNumber=number, Body=b"x")
    with pytest.raises(botocore.exceptions.ClientError, match="SlowDown"):
        s3.upload_part(Bucket=BUCKET, Key="parts", UploadId=multipart, PartNumber=2, Body=b"x")
    s3.abort_multipart_upload(Bucket=BUCKET, Key="parts", UploadId=multipart)


def test_cut_before_means_that_s3_did_not_act(proxy: S3Proxy, s3: Any, direct: Any) -> None:
    """The client sees a broken connection, the callback ran, the store has nothing."""
    ran = threading.Event()
    proxy.add(on("put_object"), cut_before(ran.set))
    with pytest.raises(botocore.exceptions.BotoCoreError):
        s3.put_object(Bucket=BUCKET, Key="cut-before", Body=b"x" * MIB)

    assert ran.is_set()
    assert "Contents" not in direct.list_objects_v2(Bucket=BUCKET, Prefix="cut-before")


def test_cut_after_means_that_only_the_answer_was_lost(
    proxy: S3Proxy, s3: Any, direct: Any
) -> None:
    """The client sees a broken connection, but the store has the bytes when the callback runs."""
    seen: list[int] = []

    def look() -> None:
        seen.append(direct.head_object(Bucket=BUCKET, Key="cut-after")["ContentLength"])

    proxy.add(on("put_object"), cut_after(look), times=1)
    with pytest.raises(botocore.exceptions.BotoCoreError):
        s3.put_object(Bucket=BUCKET, Key="cut-after", Body=b"x" * MIB)

    assert seen == [MIB]


def test_hanging_call_goes_on_when_the_gate_opens(proxy: S3Proxy, s3: Any) -> None:
    """Until then nothing reaches the store; afterwards the call succeeds as usual."""
    gate = threading.Event()
    fault = proxy.add(on("put_object"), hang(gate))
    thread = threading.Thread(target=lambda: s3.put_object(Bucket=BUCKET, Key="hang", Body=b"x"))
    thread.start()
    assert fault.hit.wait(10)
    waiting = proxy.calls[-1].status
    gate.set()
    thread.join(10)

    assert waiting is None
    assert proxy.calls[-1].status == 200
