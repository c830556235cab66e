"""Sizes, times, lists and addresses, as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tusd_s3 import values


@given(st.integers(min_value=0, max_value=2**60))
def test_a_size_that_was_formatted_is_parsed_back(size: int) -> None:
    """`format_size` never loses a byte."""
    assert values.parse_size(values.format_size(size)) == size


@given(st.integers(min_value=0, max_value=10**6))
def test_a_duration_that_was_formatted_is_parsed_back(seconds: int) -> None:
    """`format_duration` never loses a second."""
    assert values.parse_duration(values.format_duration(seconds)) == seconds


@given(st.text())
def test_any_text_is_a_size_or_refused(text: str) -> None:
    """Only ValueError leaves the parser, and sizes are not negative."""
    try:
        size = values.parse_size(text)
    except ValueError:
        return

    assert size >= 0


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        (5368709120, 5368709120),
        ("5GiB", 5 * 1024**3),
        ("5 gib", 5 * 1024**3),
        ("1.5MiB", 1572864),
        ("500MB", 500_000_000),
        ("16kB", 16_000),
        (" 7B ", 7),
        ("2TiB", 2 * 1024**4),
    ],
)
def test_sizes_have_binary_and_decimal_units(text: object, size: int) -> None:
    """KiB is 1024, kB is 1000, and no unit is bytes."""
    assert values.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "-1", "5XB", "1.3KiB", "1e9", "٣MiB", True, [5]])
def test_what_is_no_size_is_refused(text: object) -> None:
    """A size is a number of whole bytes, not less than none."""
    with pytest.raises(ValueError, match=r"is not a (size|whole number)"):
        values.parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        (90, 90),
        ("90s", 90),
        ("1m30s", 90),
        ("500ms", 0.5),
        ("1.5h", 5400),
        ("1d", 86400),
    ],
)
def test_durations_are_seconds_or_have_units(text: object, seconds: float) -> None:
    """No unit is seconds; units can be put one after the other, as in Go."""
    assert values.parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "-1", "5 minutes", "1m x", "nan", True])
def test_what_is_no_duration_is_refused(text: object) -> None:
    """A time is made of numbers and known units only."""
    with pytest.raises(ValueError, match="is not a time"):
        values.parse_duration(text)


def test_a_limit_cannot_be_nothing() -> None:
    """A wait of 0 s would refuse everything."""
    with pytest.raises(ValueError, match="must be longer than nothing"):
        values.parse_positive_duration("0s")


def test_a_limit_that_is_something_is_taken() -> None:
    """As `parse_duration` reads it."""
    assert values.parse_positive_duration("2m") == 120


@pytest.mark.parametrize("value", ["a, b,", ["a", "b"], ("a", " b ")])
def test_a_list_is_text_with_commas_or_a_list(value: object) -> None:
    """The environment has text, the file has lists; empty items are nothing."""
    assert values.parse_list(value) == ("a", "b")


def test_a_number_is_no_list() -> None:
    """A list that is none is refused instead of taken for its only item."""
    with pytest.raises(ValueError, match="is not a list"):
        values.parse_list(5)


def test_headers_are_tokens() -> None:
    """RFC 9110 5.1: a field name is a token."""
    assert values.parse_header_names("X-A,x_b") == ("X-A", "x_b")
    with pytest.raises(ValueError, match="cannot be the name of a header"):
        values.parse_header_names("X A")


def test_networks_are_addresses_networks_or_everybody() -> None:
    """IPv4 and IPv6, with and without a length, and a star."""
    texts = "127.0.0.1,10.1.2.3/8,::1,fd00::/8,*"

    assert values.parse_networks(texts) == tuple(texts.split(","))


@pytest.mark.parametrize("text", ["true", "proxy.example", "10.0.0.0/33"])
def test_what_is_no_network_is_refused_with_an_example(text: str) -> None:
    """The --behind-proxy of tusd is a switch; who writes that is told what to write."""
    with pytest.raises(ValueError, match="for example"):
        values.parse_networks(text)


@pytest.mark.parametrize(
    ("text", "path"),
    [("/files/", "/files/"), ("files", "/files/"), ("/a/b", "/a/b/"), ("/", "/"), ("", "/")],
)
def test_a_base_path_gets_its_slashes(text: str, path: str) -> None:
    """A missing slash is added, not refused."""
    assert values.parse_base_path(text) == path


@pytest.mark.parametrize("text", ["/a?b/", "/{id}/", "/../", "/a//b/", "/ä/", "http://h/files/"])
def test_what_is_no_base_path_is_refused(text: str) -> None:
    """No queries, patterns, dot segments, or letters that would have to be encoded."""
    with pytest.raises(ValueError, match="is not a path"):
        values.parse_base_path(text)


def test_an_endpoint_has_a_scheme_and_no_credentials() -> None:
    """What would otherwise fail on the first call fails here."""
    assert values.parse_endpoint("https://s3.example:9000/") == "https://s3.example:9000"
    for text in ("s3.example", "s3.example:9000", "https://key:secret@s3.example", "ftp://x", ""):
        with pytest.raises(ValueError, match="is not an address"):
            values.parse_endpoint(text)


def test_a_bucket_is_a_name_and_not_a_url() -> None:
    """Names of any service, and ARNs of access points."""
    for text in ("uploads", "My_Bucket.1", "arn:aws:s3:eu-west-1:1:accesspoint/ap"):
        assert values.parse_bucket_name(text) == text
    for text in ("", "s3://uploads", "uploads/a"):
        with pytest.raises(ValueError, match="is not the name of a bucket"):
            values.parse_bucket_name(text)


def test_a_pattern_has_to_compile() -> None:
    """Python says what is wrong with it."""
    assert values.parse_pattern(".*") == ".*"
    with pytest.raises(ValueError, match="is not a regular expression: "):
        values.parse_pattern("(")


def test_prefixes_have_no_control_characters() -> None:
    """They would be in the key of every object."""
    assert values.parse_prefix("a/b") == "a/b"
    with pytest.raises(ValueError, match="control character"):
        values.parse_prefix("a\n")


def test_numbers_have_bounds() -> None:
    """Both ends are included, and other digits than ASCII's are none."""
    parse = values.number_between(1, 3)

    assert (parse("1"), parse(3)) == (1, 3)
    for value in ("0", "4", "x", "", "-1", "٢", 1.0, True):
        with pytest.raises(ValueError, match="is not a number from 1 to 3"):
            parse(value)
