"""What S3 answered, under botocore's names."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from tusd_s3.buckets.s3_answers import parse_headers, parse_parts, parse_refusal

NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


def page(inside: str, attributes: str = NAMESPACE) -> bytes:
    """Return a page of ListParts."""
    return f"<ListPartsResult {attributes}>{inside}</ListPartsResult>".encode()


class TestRefusals:
    """Errors."""

    @pytest.mark.parametrize("attributes", ["", NAMESPACE])
    def test_code_and_message_are_read(self, attributes: str) -> None:
        """In Amazon's namespace or in none."""
        body = f"<Error {attributes}><Code>SlowDown</Code><Message>please</Message></Error>"

        refusal = parse_refusal("PutObject", 503, body.encode())

        assert refusal.operation_name == "PutObject"
        assert refusal.response == {
            "Error": {"Code": "SlowDown", "Message": "please"},
            "ResponseMetadata": {"HTTPStatusCode": 503},
        }

    @pytest.mark.parametrize("body", [b"", b"Bad Gateway", b"<html><br>", b"<a/>", b"\xff\xfe"])
    def test_without_a_code_the_status_is_the_code(self, body: bytes) -> None:
        """Answers to HEAD, pages of proxies, and XML of other things."""
        response: Any = parse_refusal("HeadObject", 404, body).response

        assert response["Error"] == {"Code": "404", "Message": ""}

    @given(st.binary(), st.integers(min_value=300, max_value=599))
    def test_any_body_is_a_refusal(self, body: bytes, status: int) -> None:
        """Reading an error never raises another one."""
        response: Any = parse_refusal("GetObject", status, body).response

        assert response["Error"]["Code"]


class TestParts:
    """Pages of ListParts."""

    @pytest.mark.parametrize("attributes", ["", NAMESPACE])
    def test_a_page_is_read(self, attributes: str) -> None:
        """Numbers become numbers; fields that we do not know are kept as they are."""
        part = (
            "<Part><PartNumber>{0}</PartNumber><Size>{0}0</Size><ETag>&quot;e{0}&quot;</ETag>"
            "<ChecksumCRC64NVME>AAAAAA{0}=</ChecksumCRC64NVME></Part>"
        )
        inside = (
            "<Bucket>b</Bucket><Key>k</Key><IsTruncated>true</IsTruncated>"
            "<NextPartNumberMarker>2</NextPartNumberMarker>" + part.format(1) + part.format(2)
        )

        assert parse_parts(page(inside, attributes)) == {
            "IsTruncated": True,
            "NextPartNumberMarker": 2,
            "Parts": [
                {
                    "PartNumber": number,
                    "Size": number * 10,
                    "ETag": f'"e{number}"',
                    "ChecksumCRC64NVME": f"AAAAAA{number}=",
                }
                for number in (1, 2)
            ],
        }

    def test_a_page_without_parts(self) -> None:
        """The marker may be empty."""
        inside = "<IsTruncated>false</IsTruncated><NextPartNumberMarker/>"

        assert parse_parts(page(inside)) == {"IsTruncated": False, "Parts": []}

    def test_what_is_missing_is_left_out(self) -> None:
        """Who needs it notices."""
        assert parse_parts(b"<a/>") == {"Parts": []}
        assert parse_parts(page("<Part><ETag/></Part>")) == {"Parts": [{"ETag": ""}]}

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"welcome",
            b"<html><br>",
            page("<NextPartNumberMarker>soon</NextPartNumberMarker>"),
            page("<Part><Size>large</Size></Part>"),
            page("<Part><PartNumber/></Part>"),
        ],
    )
    def test_what_is_no_page_is_an_error(self, body: bytes) -> None:
        """No XML, or a number that is none: nothing is guessed."""
        with pytest.raises(ValueError, match=r"XML|invalid literal"):
            parse_parts(body)


class TestHeaders:
    """What is said of an object."""

    def test_every_field_has_botocores_name(self) -> None:
        """However the store writes the names of headers."""
        answer = parse_headers(
            CIMultiDict(
                {
                    "etag": '"e"',
                    "CONTENT-TYPE": "video/mp4",
                    "Content-Disposition": "inline",
                    "Content-Range": "bytes 0-1/3",
                    "Content-Length": "2",
                    "Last-Modified": "Mon, 23 Nov 2026 03:56:10 GMT",
                    "X-Amz-Meta-Name": "value",
                    "x-amz-request-id": "1",
                }
            )
        )

        assert answer == {
            "ETag": '"e"',
            "ContentType": "video/mp4",
            "ContentDisposition": "inline",
            "ContentRange": "bytes 0-1/3",
            "ContentLength": 2,
            "LastModified": datetime(2026, 11, 23, 3, 56, 10, tzinfo=UTC),
            "Metadata": {"Name": "value"},
        }

    def test_nothing_is_made_up(self) -> None:
        """An answer without headers describes nothing."""
        assert parse_headers({}) == {"Metadata": {}}

    @pytest.mark.parametrize("name", ["Content-Length", "Last-Modified"])
    def test_a_value_that_is_none_is_an_error(self, name: str) -> None:
        """Lengths are numbers, times are dates."""
        with pytest.raises(ValueError, match="soon"):
            parse_headers({name: "soon"})
