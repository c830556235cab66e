"""Listings, over pages of any size and shape."""

import pytest

from tests.unit.buckets.s3_front import Answer, Front, reply
from tusd_s3.buckets.s3 import S3Bucket
from tusd_s3.errors import StoreError
from tusd_s3.model import Checksum, Part

pytestmark = pytest.mark.asyncio(loop_scope="module")


class TestParts:
    """Parts of a multipart upload."""

    PAGE = (
        "<ListPartsResult><UploadId>id</UploadId><IsTruncated>{truncated}</IsTruncated>"
        "{marker}{parts}</ListPartsResult>"
    )
    PART = (
        "<Part><PartNumber>{0}</PartNumber><Size>{0}0</Size><ETag>&quot;e{0}&quot;</ETag>"
        "<ChecksumCRC32C>AAAAA{0}==</ChecksumCRC32C></Part>"
    )

    MARKER = "<NextPartNumberMarker>{}</NextPartNumberMarker>"

    def page(self, *numbers: int, marker: int | str | None = None) -> Answer:
        """Answer with a page of parts; with a marker there is another one."""
        parts = "".join(self.PART.format(number) for number in numbers)
        truncated = "false" if marker is None else "true"
        following = "" if marker is None else self.MARKER.format(marker)
        return reply(200, self.PAGE.format(truncated=truncated, marker=following, parts=parts))

    async def test_pages_of_any_size_and_order(self, bucket: S3Bucket, front: Front) -> None:
        """The parts come out ordered, once each, with their checksums."""
        front.answer("ListParts", self.page(3, 1, marker=3), self.page(3, 2, 5, 4))

        parts = await bucket.list_parts("k", "id")

        assert parts == [
            Part(n, n * 10, f'"e{n}"', Checksum("CRC32C", f"AAAAA{n}==")) for n in range(1, 6)
        ]
        assert front.seen == ["ListParts"] * 2

    async def test_a_listing_that_does_not_go_on(self, bucket: S3Bucket, front: Front) -> None:
        """The same page again and again ends as an error, not as a loop."""
        front.always["ListParts"] = self.page(1, 2, marker=2)

        with pytest.raises(StoreError, match="does not go on"):
            await bucket.list_parts("k", "id")

    async def test_a_number_that_is_none(self, bucket: S3Bucket, front: Front) -> None:
        """Botocore's own surprise is translated too."""
        front.answer("ListParts", self.page(1, marker="soon"))

        with pytest.raises(StoreError):
            await bucket.list_parts("k", "id")


class TestObjects:
    """Objects by prefix."""

    PAGE = "<ListBucketResult><IsTruncated>true</IsTruncated>{}</ListBucketResult>"

    @pytest.mark.parametrize("token", ["", "<NextContinuationToken>same</NextContinuationToken>"])
    async def test_a_listing_that_does_not_go_on(
        self, bucket: S3Bucket, front: Front, token: str
    ) -> None:
        """No token, or the same one again, ends as an error."""
        front.always["ListObjectsV2"] = reply(200, self.PAGE.format(token))

        with pytest.raises(StoreError, match="does not go on"):
            await anext(bucket.list_objects(""))
