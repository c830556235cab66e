"""Facts about `Upload-Concat` and the URLs in it."""

from contextlib import suppress
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.strategies import is_safe_field_value
from tusd_s3.errors import InvalidConcat
from tusd_s3.model import Kind
from tusd_s3.protocol.concat import Concat, Place, parse_concat, resolve_partial
from tusd_s3.web.proxy import Origin, format_location

HERE = Place("http://up.example/files/", ["up.example"], ["/files/"])
BEHIND = Place(
    "https://up.example:8443/api/files/",
    ["up.example:8443", "10.0.0.1:8080"],
    ["/files/", "/api/files/"],
)
AT_ROOT = Place("http://up.example/", ["up.example"], ["/", "/files/"])

ids = st.text("abcXYZ019+-._~@=,()", min_size=1).filter(lambda text: text != "." and text != "..")
hosts = st.sampled_from(["up.example", "UP.example", "other.example", "127.0.0.1", "[::1]", "a"])
ports = st.sampled_from(["", ":80", ":443", ":8080", ":8443"])


def test_a_partial_upload_says_so() -> None:
    """CAT-02."""
    assert parse_concat("partial") == Concat(Kind.PARTIAL, "partial")


@pytest.mark.parametrize(
    ("raw", "urls"),
    [
        ("final;/files/a", ("/files/a",)),
        ("final;/files/a /files/b /files/a", ("/files/a", "/files/b", "/files/a")),
        ("final; /files/a", ("/files/a",)),
        ("final;/files/a   http://h/files/b ", ("/files/a", "http://h/files/b")),
    ],
)
def test_a_final_upload_lists_its_partials(raw: str, urls: tuple[str, ...]) -> None:
    """CAT-03, CAT-13, CAT-23, AMB-33: in order, with duplicates, and no URL is empty."""
    assert parse_concat(raw) == Concat(Kind.FINAL, raw, urls)


@pytest.mark.parametrize(
    "raw",
    [
        "", "foo", "Partial", "partial;", "partial;/files/a", " partial", "final", "final;",
        "final;   ", "Final;/files/a", "final: /files/a", "final /files/a", "final;/files/é",
        "final;/files/a\t/files/b", "final;/files/\udce9", "final;/files/\x7f",
    ],
)  # fmt: skip
def test_any_other_value_is_refused(raw: str) -> None:
    """CAT-04: 400."""
    with pytest.raises(InvalidConcat) as refusal:
        parse_concat(raw)

    assert refusal.value.status == 400


@given(rest=st.text(), start=st.sampled_from(["", "partial", "final;", "final;/a"]))
def test_any_text_is_understood_or_refused(rest: str, start: str) -> None:
    """CAT-21, CAT-23: what is understood is echoed, and has URLs if and only if it is final."""
    raw = start + rest
    try:
        concat = parse_concat(raw)
    except InvalidConcat:
        return

    assert concat.raw == raw
    assert is_safe_field_value(raw)
    assert all(url and " " not in url for url in concat.urls)
    assert bool(concat.urls) == (concat.kind is Kind.FINAL)
    assert concat.kind is not Kind.WHOLE


@pytest.mark.parametrize(
    "url",
    [
        "/files/a+b", "a+b", "http://up.example/files/a+b", "https://up.example/files/a+b",
        "http://UP.example:80/files/a+b", "https://up.example:443/files/a+b",
        "//up.example/files/a+b", "/files/a+b/", "/files/a%2Bb", "/files/a%2bb", "/fi%6Ces/a+b",
        "./a+b", "/x/../files/a+b", "/files/a+b?",
    ],
)  # fmt: skip
def test_all_spellings_of_a_url_mean_its_upload(url: str) -> None:
    """CAT-22, AMB-33, PITFALLS 20: absolute, relative, encoded, with a last slash."""
    assert resolve_partial(url, HERE) == "a+b"


@pytest.mark.parametrize(
    "url",
    [
        "https://up.example:8443/api/files/a", "https://up.example:8443/files/a", "/files/a",
        "/api/files/a", "http://10.0.0.1:8080/files/a", "a",
    ],
)  # fmt: skip
def test_behind_a_proxy_both_views_count(url: str) -> None:
    """CAT-22: with the proxy's prefix and origin, and as we see ourselves."""
    assert resolve_partial(url, BEHIND) == "a"


def test_the_longest_path_decides() -> None:
    """CAT-22: a prefix is not taken for a part of the id."""
    assert resolve_partial("/files/a", AT_ROOT) == "a"
    assert resolve_partial("/other/a", AT_ROOT) == "other/a"


@pytest.mark.parametrize(
    "url",
    [
        "http://other.example/files/a", "//other.example/files/a", "http://up.example:81/files/a",
        "http://up.example@other.example/files/a", "http://user@up.example/files/a",
        "https://up.example:80/files/a", "http://up.example.other.example/files/a",
        "ftp://up.example/files/a", "file:///files/a", "javascript:alert(1)", "data:,a",
        "http://[up.example/files/a", "http://[::1/files/a",
    ],
)  # fmt: skip
def test_another_server_is_refused(url: str) -> None:
    """CAT-26: and nothing is fetched from anywhere."""
    with pytest.raises(InvalidConcat):
        resolve_partial(url, HERE)


@pytest.mark.parametrize(
    "url",
    [
        "/", "/files", "/files/", "/files//", "/other/a", "/filesa", "/files/../a", "..", "",
        "/files/a?x=1", "/files/a#x",
    ],
)  # fmt: skip
def test_what_is_not_below_the_creation_url_is_refused(url: str) -> None:
    """CAT-26, AMB-33."""
    with pytest.raises(InvalidConcat):
        resolve_partial(url, HERE)


def test_where_no_host_is_known_only_paths_are_understood() -> None:
    """CAT-26: a request without a usable `Host` has no origin to compare with."""
    nowhere = Place("http://unknown.invalid/files/", ["unknown.invalid"], ["/files/"])

    assert resolve_partial("/files/a", nowhere) == "a"
    with pytest.raises(InvalidConcat):
        resolve_partial("http://up.example/files/a", nowhere)


@given(
    upload_id=st.lists(ids, min_size=1, max_size=3).map("/".join),
    scheme=st.sampled_from(["http", "https"]),
    authority=st.sampled_from(["up.example", "up.example:8443", "[::1]:80", "127.0.0.1:1"]),
    prefix=st.sampled_from(["", "/api", "/a/b"]),
    path=st.sampled_from(["/files/", "/", "/a%20b/"]),
    is_relative=st.booleans(),
)
def test_a_location_means_the_upload_that_it_was_made_for(
    upload_id: str, scheme: str, authority: str, prefix: str, path: str, *, is_relative: bool
) -> None:
    """CAT-22, CLI-08: whatever the origin, the prefix and the id."""
    assume(not {".", ".."} & set(upload_id.split("/")))
    origin = Origin(scheme, authority, prefix)
    place = Place(
        f"{scheme}://{authority}{prefix}{path}",
        [authority.removesuffix(":80" if scheme == "http" else ":443")],
        [path, prefix + path],
    )

    location = format_location(origin, path, upload_id, is_relative=is_relative)

    assert resolve_partial(location, place) == upload_id


@st.composite
def some_urls(draw: st.DrawFn) -> str:
    """URLs of all kinds, from right to nonsense."""
    if draw(st.booleans()):
        return draw(st.text("/.%:;?#@[]\\ab2Ff", max_size=30))
    origin = draw(st.sampled_from(["", "//", "http://", "https://", "ftp://", "HTTP://x@"]))
    authority = draw(hosts) + draw(ports) if origin else ""
    path = draw(st.sampled_from(["/files/", "/files", "/file/", "/FILES/", "/files/../", "/"]))
    return origin + authority + path + draw(ids.map(quote))


@given(url=some_urls(), place=st.sampled_from([HERE, BEHIND]))
def test_an_id_comes_from_our_origin_and_path_only(url: str, place: Place) -> None:
    """CAT-26: any URL resolves to an upload of this server or is refused."""
    with suppress(InvalidConcat):
        upload_id = resolve_partial(url, place)

        assert upload_id
        authority = urlsplit(url).netloc.lower()
        assert authority.removesuffix(":80").removesuffix(":443") in {"", *place.authorities}
        assert urlsplit(url).scheme in {"", "http", "https"}
        assert not urlsplit(url).query
