"""Where a bucket is, in words."""

from tusd_s3.buckets.s3_options import S3Options


def test_the_place_is_named() -> None:
    """For the sentences of a failed start."""
    assert S3Options(bucket="b", region="eu-west-1").place == "Amazon S3 (eu-west-1)"
    assert S3Options(bucket="b").place == "Amazon S3 (region by the AWS settings)"
    assert S3Options(bucket="b", endpoint="http://x").place == "http://x"
