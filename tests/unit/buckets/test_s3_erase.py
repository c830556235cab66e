"""Deleting objects where the store does not delete everything it was asked to."""

import pytest

from tests.conformance.contents import BytesContent
from tests.unit.buckets.conftest import MakeBucket
from tests.unit.buckets.s3_front import Answer, Front, error, reply
from tusd_s3.buckets.s3 import S3Bucket
from tusd_s3.errors import ObjectMissing, StoreRefused

pytestmark = pytest.mark.asyncio(loop_scope="module")


class TestDelete:
    """Many keys with few calls, and no failure overlooked."""

    @staticmethod
    def failed(**codes: str) -> Answer:
        """Answer that these keys were not deleted."""
        rows = (f"<Error><Key>{k}</Key><Code>{c}</Code></Error>" for k, c in codes.items())
        return reply(200, f"<DeleteResult>{''.join(rows)}</DeleteResult>")

    async def test_failures_are_counted(self, bucket: S3Bucket, front: Front) -> None:
        """The error names the first key; one that does not exist is no failure."""
        front.answer(
            "DeleteObjects", self.failed(a="NoSuchKey", b="AccessDenied", c="AccessDenied")
        )

        with pytest.raises(StoreRefused, match=r"'b': AccessDenied \(2 of 4 keys") as caught:
            await bucket.delete(["a", "b", "c", "d"])

        assert caught.value.key == "b"

    async def test_a_key_that_was_busy_is_tried_again(self, bucket: S3Bucket, front: Front) -> None:
        """By itself, since the others are gone."""
        front.answer("DeleteObjects", self.failed(b="InternalError"))

        await bucket.delete(["a", "b"])

        assert front.seen == ["DeleteObjects", "DeleteObject"]

    async def test_a_store_without_delete_objects(
        self, make_bucket: MakeBucket, front: Front
    ) -> None:
        """It is asked once; from then on keys are deleted one by one."""
        bucket = make_bucket()
        await bucket.start()
        await bucket.put("b", BytesContent(b"data", "MD5"))
        front.seen.clear()
        front.always["DeleteObjects"] = error(501, "NotImplemented")

        await bucket.delete(["a", "b"])
        await bucket.delete(["a", "b"])

        assert front.seen == ["DeleteObjects"] + ["DeleteObject"] * 4
        with pytest.raises(ObjectMissing):
            await bucket.head("b")

    async def test_one_failure_does_not_keep_the_others(
        self, bucket: S3Bucket, front: Front
    ) -> None:
        """Each key is tried, in every batch."""
        keys = [f"k{n}" for n in range(1001)]
        front.answer("DeleteObjects", error(403, "AccessDenied"))

        with pytest.raises(StoreRefused, match="1000 of 1001"):
            await bucket.delete(keys)

        assert front.seen == ["DeleteObjects", "DeleteObject"]

    async def test_a_batch_that_is_not_understood(self, bucket: S3Bucket, front: Front) -> None:
        """It is done one by one this time, and tried as a batch the next time."""
        front.answer("DeleteObjects", error(400, "MissingContentMD5"))

        await bucket.delete(["a", "b"])
        await bucket.delete(["a", "b"])

        assert front.seen == ["DeleteObjects", "DeleteObject", "DeleteObject", "DeleteObjects"]

    async def test_the_list_is_protected_as_old_stores_know_it(
        self, bucket: S3Bucket, front: Front
    ) -> None:
        """Content-MD5, and no header that a store from before 2025 would refuse."""
        await bucket.delete(["a", "b"])

        assert "content-md5" in front.headers[-1]
        assert not [name for name in front.headers[-1] if "crc32" in name or "sdk-checksum" in name]

    async def test_a_store_that_says_what_did_not_exist(
        self, bucket: S3Bucket, front: Front
    ) -> None:
        """Nothing is left, which is what was wanted."""
        front.answer("DeleteObject", error(404, "NoSuchKey"))

        await bucket.delete(["a"])

    async def test_single_deletes_that_fail(self, bucket: S3Bucket, front: Front) -> None:
        """They are reported like those of a batch."""
        front.answer("DeleteObject", error(403, "AccessDenied"))

        with pytest.raises(StoreRefused, match="1 of 1 keys"):
            await bucket.delete(["a"])
