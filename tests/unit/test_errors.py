"""Facts about refusals and failures."""

import pytest

from tusd_s3 import errors
from tusd_s3.errors import ConfigError, MismatchedOffset, StoreError, TusError

CLASSES = [
    cls for cls in vars(errors).values() if getattr(cls, "__module__", "") == errors.__name__
]
REFUSALS = [cls for cls in CLASSES if issubclass(cls, TusError)]
FAILURES = [cls for cls in CLASSES if issubclass(cls, StoreError)]


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_refusal_is_a_row_of_a_table(refusal: type[TusError]) -> None:
    """CORE-05: an HTTP error, tusd's kind of code, words for a person, and a reason to exist."""
    assert 400 <= refusal.status < 600
    assert refusal.code.startswith("ERR_")
    assert refusal.code == refusal.code.upper()
    assert refusal.message
    assert refusal.__doc__


def test_no_two_refusals_with_a_code_have_the_same_status() -> None:
    """A log line's code and status name one row."""
    rows = [(refusal.code, refusal.status) for refusal in REFUSALS]

    assert len(set(rows)) == len(rows)


def test_a_refusal_says_its_message() -> None:
    """Without a detail there is no punctuation for it."""
    assert str(MismatchedOffset()) == "mismatched offset"


def test_a_refusal_says_its_detail_too() -> None:
    """The detail follows the message."""
    refusal = MismatchedOffset("3 is not 5", headers={"Upload-Offset": "5"})

    assert str(refusal) == "mismatched offset: 3 is not 5"
    assert refusal.detail == "3 is not 5"
    assert refusal.headers == {"Upload-Offset": "5"}


def test_refusals_do_not_share_their_headers() -> None:
    """What one answer adds is not on the next."""
    headers = {"Upload-Offset": "5"}
    refusal = MismatchedOffset(headers=headers)
    refusal.headers["Retry-After"] = "1"

    assert headers == {"Upload-Offset": "5"}
    assert MismatchedOffset().headers == {}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_says_what_was_done_to_what(failure: type[StoreError]) -> None:
    """The log needs operation, key and reason."""
    error = failure("upload_part", "a/b", "SlowDown")

    assert str(error) == "upload_part 'a/b': SlowDown"
    assert (error.operation, error.key, error.reason) == ("upload_part", "a/b", "SlowDown")


def test_there_are_three_roots() -> None:
    """Refusals, failures and settings are never mistaken for each other."""
    roots = (TusError, StoreError, ConfigError)

    assert [sum(issubclass(cls, root) for root in roots) for cls in CLASSES] == [1] * len(CLASSES)
