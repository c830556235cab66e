"""S3 acted but its answer was lost: that is found out, and the client notices nothing."""

import pytest

from tests import tus_client
from tests.faults.rig import MIB, PART, Rig, pattern
from tests.faults.s3_proxy import Match, cut_after, on
from tests.tus_client import Resumer

pytestmark = pytest.mark.slow  # real servers, and retries with pauses between them


@pytest.mark.parametrize(
    "match",
    [
        pytest.param(on("put_tail"), id="tail"),
        pytest.param(on("upload_part", number=1), id="part"),
        pytest.param(on("upload_part", number=3), id="last part"),
        pytest.param(on("complete"), id="complete"),
        pytest.param(on("put_info"), id="info"),
        pytest.param(on("delete_objects"), id="delete"),
        pytest.param(on("delete_tail"), id="delete one"),
    ],
)
@pytest.mark.parametrize("sent", [MIB, 11 * MIB - MIB], ids=["into a tail", "to the end"])
def test_lost_answer_does_not_fail_a_patch(any_rig: Rig, match: Match, sent: int) -> None:
    """S3 acted but its answer was lost: repeating finds that out, the client notices nothing."""
    upload, resumer = any_rig.begun(11 * MIB, MIB)
    any_rig.proxy.add(match, cut_after(), times=1)
    patched = tus_client.patch(upload, MIB, resumer.data[MIB : MIB + sent])

    assert (patched.status, patched.offset) == (204, MIB + sent)
    resumer.acknowledged = patched.offset
    resumer.finish()
    any_rig.assert_finished(upload, resumer.data)
    assert any_rig.leftovers(upload) == []


def test_lost_answer_of_a_first_tail(any_rig: Rig) -> None:
    """The tail was created with If-None-Match, so its repetition is refused: it is our own."""
    data = pattern(2 * PART)
    upload = any_rig.upload(len(data))
    fault = any_rig.proxy.add(on("put_tail"), cut_after(), times=1)
    patched = tus_client.patch(upload, 0, data[:MIB])

    assert fault.hits == 1
    assert (patched.status, patched.offset) == (204, MIB)


@pytest.mark.parametrize("operation", ["create_multipart", "put_info"])
def test_lost_answer_does_not_fail_a_creation(any_rig: Rig, operation: str) -> None:
    """The upload that the client is told about works, whatever happened to the first attempt."""
    data = pattern(PART + MIB)
    fault = any_rig.proxy.add(on(operation), cut_after(), times=1)
    upload = any_rig.upload(len(data))
    resumer = Resumer(lambda: upload, data)
    resumer.finish()

    assert fault.hits == 1
    any_rig.assert_finished(upload, data)


def test_lost_answer_of_a_single_put(any_rig: Rig) -> None:
    """An upload that fits in one part is one PutObject, and that can be repeated."""
    data = pattern(MIB)
    upload = any_rig.upload(len(data))
    fault = any_rig.proxy.add(on("put_object"), cut_after(), times=1)
    patched = tus_client.patch(upload, 0, data)

    assert fault.hits == 1
    assert (patched.status, patched.offset) == (204, MIB)
    any_rig.assert_finished(upload, data)


@pytest.mark.parametrize(
    "operation", ["abort", "delete_objects", "put_info", "delete_info", "delete_object"]
)
def test_lost_answer_does_not_fail_a_termination(any_rig: Rig, operation: str) -> None:
    """The upload is gone, and the client is told so."""
    upload, _ = any_rig.begun(3 * PART, PART + MIB)
    any_rig.proxy.add(on(operation), cut_after(), times=1)

    assert tus_client.delete(upload).status == 204
    assert tus_client.head(upload).status == 404
    assert any_rig.leftovers(upload) == []
