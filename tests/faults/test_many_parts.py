"""More parts than one page of ListParts has: they all count, and the object is made of them all."""

import hashlib
import http.client
import json
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests import servers, tus_client
from tests.conftest import BucketPlace
from tests.faults.rig import Rig, pattern
from tests.tus_client import Resumer

pytestmark = pytest.mark.slow  # 1,200 calls

PARTS = 1_200
SIZE = 4_096  # of a part; S3's minimum is lifted
KEY = "many"
UNSIGNED = {"Authorization": "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/s3/aws4_request"}


@pytest.fixture(scope="module")
def lenient_moto() -> Iterator[servers.S3Server]:
    """A moto that completes multipart uploads with small parts."""
    with servers.s3_server("moto", env={"S3_UPLOAD_PART_MIN_SIZE": "1"}) as server:
        server.create_bucket("many-parts")
        yield server


@pytest.fixture
def rig(lenient_moto: servers.S3Server) -> Iterator[Rig]:
    """A server on that moto."""
    with Rig(BucketPlace("moto", "many-parts", lenient_moto, None)) as rig:
        yield rig


def _begin_as_tusd(rig: Rig, data: bytes, parts: int) -> str:
    """Store an upload of many parts as tusd leaves it, and return its multipart id."""
    created = rig.s3.create_multipart_upload(Bucket=rig.bucket, Key=KEY)
    multipart_id: str = created["UploadId"]
    store = http.client.HTTPConnection(urlsplit(rig.upstream.endpoint).netloc)
    for number in range(1, parts + 1):  # moto looks at no signature; boto3 takes 5 ms for one
        target = f"/{rig.bucket}/{KEY}?partNumber={number}&uploadId={multipart_id}"
        part = data[(number - 1) * SIZE : number * SIZE]
        store.request("PUT", target, body=part, headers=UNSIGNED)
        response = store.getresponse()
        assert response.status == 200, response.read()
        response.read()
    store.close()
    record = {
        "ID": f"{KEY}+{multipart_id}",
        "Size": len(data),
        "SizeIsDeferred": False,
        "Offset": 0,
        "MetaData": {"filename": "many.bin"},
        "IsPartial": False,
        "IsFinal": False,
        "PartialUploads": None,
        "Storage": {"Type": "s3store", "Bucket": rig.bucket, "Key": KEY},
    }
    rig.s3.put_object(Bucket=rig.bucket, Key=f"{KEY}.info", Body=json.dumps(record).encode())
    return multipart_id


def test_all_pages_of_parts_count(rig: Rig) -> None:
    """1,200 parts are resumed where they end, and completed together with what follows."""
    data = pattern(PARTS * SIZE + 1_000)
    multipart_id = _begin_as_tusd(rig, data, PARTS)
    rig.start()
    upload = f"{rig.url}{KEY}+{multipart_id}"
    headed = tus_client.head(upload)
    listings = rig.proxy.operations().count("list_parts")
    Resumer(lambda: upload, data).finish()
    stored = rig.stored(upload)

    assert headed.offset == PARTS * SIZE
    assert listings >= 2
    assert stored is not None
    assert hashlib.sha256(stored).digest() == hashlib.sha256(data).digest()


def test_gap_on_the_second_page_ends_the_count(rig: Rig) -> None:
    """Part 1,101 is missing: neither it nor what lies behind it is counted."""
    data = pattern(PARTS * SIZE + 1_000, seed=1)
    multipart_id = _begin_as_tusd(rig, data, 1_100)
    rig.s3.upload_part(
        Bucket=rig.bucket, Key=KEY, UploadId=multipart_id, PartNumber=1_102, Body=b"x" * SIZE
    )
    rig.start()
    upload = f"{rig.url}{KEY}+{multipart_id}"
    headed = tus_client.head(upload)
    Resumer(lambda: upload, data).finish()

    assert headed.offset == 1_100 * SIZE
    assert rig.stored(upload) == data


def test_an_upload_of_many_parts_of_ours_is_resumed(rig: Rig) -> None:
    """1,200 parts sent in two requests, another server process between them."""
    data = pattern(PARTS * SIZE, seed=2)
    rig.start("--s3-part-size", str(SIZE))
    upload = rig.upload(len(data))
    resumer = Resumer(lambda: upload, data, chunk=1_100 * SIZE + 7)
    first = resumer.patch_once(0)
    rig.start("--s3-part-size", str(SIZE))
    headed = tus_client.head(upload)
    listings = rig.proxy.operations().count("list_parts")
    resumer.finish()

    assert first is not None
    assert (first.status, first.offset) == (204, 1_100 * SIZE + 7)
    assert headed.offset == first.offset
    assert listings >= 2
    assert rig.stored(upload) == data
