"""Parts, records or objects change behind our back: what is gone is gone, nothing is guessed."""

import json

import pytest

from tests import tus_client
from tests.faults.rig import MIB, PART, Rig
from tests.faults.s3_proxy import answer, on

pytestmark = pytest.mark.slow  # real servers, and retries with pauses between them


def _abort(rig: Rig, upload: str) -> None:
    rig.s3.abort_multipart_upload(
        Bucket=rig.bucket, Key=rig.key(upload), UploadId=rig.multipart_id(upload)
    )


@pytest.mark.parametrize("restart", [False, True], ids=["same process", "fresh process"])
@pytest.mark.parametrize("sent", [MIB, PART + MIB], ids=["tail only", "part and tail"])
def test_multipart_upload_aborted_behind_our_back_is_410(
    any_rig: Rig, sent: int, *, restart: bool
) -> None:
    """A lifecycle rule threw the parts away: gone, never complete, never 404."""
    upload, resumer = any_rig.begun(2 * PART, sent)
    _abort(any_rig, upload)
    if restart:
        any_rig.start()
    patched = tus_client.patch(upload, sent, resumer.data[sent:])
    headed = tus_client.head(upload)

    assert (patched.status, headed.status) == (410, 410)
    assert any_rig.stored(upload) is None
    assert tus_client.delete(upload).status == 204
    assert tus_client.head(upload).status == 404


def test_multipart_upload_aborted_before_the_complete_is_410(rig: Rig) -> None:
    """All bytes were there, then the parts vanished: not complete."""
    upload, resumer = rig.begun(2 * PART, PART)
    rig.proxy.add(on("complete"), answer(500, "InternalError"))
    tus_client.patch(upload, PART, resumer.data[PART:])
    _abort(rig, upload)
    rig.start()

    assert tus_client.head(upload).status == 410


def test_object_of_somebody_else_does_not_make_an_upload_finished(rig: Rig) -> None:
    """Same key, same size, but not ours: after an abort the upload is gone, not complete."""
    upload, resumer = rig.begun(2 * PART, MIB)
    _abort(rig, upload)
    rig.s3.put_object(Bucket=rig.bucket, Key=rig.key(upload), Body=resumer.data[::-1])
    rig.start()

    assert tus_client.head(upload).status == 410
    assert tus_client.delete(upload).status == 204
    assert rig.stored(upload) == resumer.data[::-1]


def test_single_part_upload_has_no_multipart_upload_to_lose(rig: Rig) -> None:
    """An upload that fits in one part is open at its tail, however often it is looked at."""
    upload, resumer = rig.begun(PART, MIB)
    rig.start()

    assert rig.multipart_id(upload) == ""
    assert tus_client.head(upload).offset == MIB
    resumer.finish()
    rig.assert_finished(upload, resumer.data)


def test_missing_info_is_404(rig: Rig) -> None:
    """Without its record there is no upload; the parts alone are nothing."""
    upload, resumer = rig.begun(2 * PART, MIB)
    rig.s3.delete_object(Bucket=rig.bucket, Key=rig.key(upload) + ".info")
    rig.start()

    assert tus_client.head(upload).status == 404
    assert tus_client.patch(upload, MIB, resumer.data[MIB:]).status == 404


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b'{"ID": 3}', b"\xff\xfe"])
def test_broken_info_is_trouble_and_not_a_missing_upload(rig: Rig, body: bytes) -> None:
    """A record that makes no sense is never told as 404: somebody has to look at it."""
    upload, resumer = rig.begun(2 * PART, MIB)
    info = rig.key(upload) + ".info"
    good = rig.s3.get_object(Bucket=rig.bucket, Key=info)["Body"].read()
    rig.s3.put_object(Bucket=rig.bucket, Key=info, Body=body)
    rig.start()

    assert tus_client.head(upload).status == 423
    assert json.loads(good)["ID"]
    rig.s3.put_object(Bucket=rig.bucket, Key=info, Body=good)
    resumer.finish()
    rig.assert_finished(upload, resumer.data)
