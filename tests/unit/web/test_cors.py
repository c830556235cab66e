import pytest
from hypothesis import given

from tests.strategies import field_values
from tusd_s3.protocol.answers import ALLOWED_HEADERS, EXPOSED_HEADERS
from tusd_s3.web.cors import Cors
from tusd_s3.web.options import CorsOptions


@pytest.mark.parametrize("is_preflight", [False, True])
def test_without_an_origin_only_caches_are_told(*, is_preflight: bool) -> None:
    """The answer to another origin would differ."""
    assert Cors(CorsOptions()).headers(None, is_preflight=is_preflight) == {"Vary": "Origin"}


@given(origin=field_values)
def test_only_a_whole_match_is_allowed(origin: str) -> None:
    """No origin but the one that the expression describes is ever echoed."""
    cors = Cors(CorsOptions(allow_origin=r"https://a\.example"))

    allowed = cors.headers(origin, is_preflight=False).get("Access-Control-Allow-Origin")

    assert allowed == (origin if origin == "https://a.example" else None)


def test_expression_has_to_match_to_the_end() -> None:
    """A trusted name in the beginning of another one does not help."""
    cors = Cors(CorsOptions(allow_origin=r"https://a\.example"))

    headers = cors.headers("https://a.example.evil", is_preflight=True)

    assert headers == {"Vary": "Origin"}


def test_answers_expose_what_scripts_need() -> None:
    """Exposed headers are on every answer, allowances on preflights only."""
    options = CorsOptions(allow_headers=("X-A",), expose_headers=("X-B",), max_age_s=60)

    plain = Cors(options).headers("https://a", is_preflight=False)
    preflight = Cors(options).headers("https://a", is_preflight=True)

    assert plain["Access-Control-Expose-Headers"] == ", ".join((*EXPOSED_HEADERS, "X-B"))
    assert "Access-Control-Allow-Methods" not in plain
    assert "Access-Control-Allow-Credentials" not in plain
    assert preflight["Access-Control-Allow-Headers"] == ", ".join((*ALLOWED_HEADERS, "X-A"))
    assert preflight["Access-Control-Max-Age"] == "60"


def test_credentials_are_allowed_when_asked_for() -> None:
    """And the origin is echoed, since browsers refuse credentials for `*`."""
    headers = Cors(CorsOptions(allow_credentials=True)).headers("https://a", is_preflight=False)

    assert headers["Access-Control-Allow-Credentials"] == "true"
    assert headers["Access-Control-Allow-Origin"] == "https://a"
