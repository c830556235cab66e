import ipaddress
import re
import string
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from tests.strategies import field_values
from tusd_s3.web.proxy import (
    Origin,
    format_location,
    is_trusted,
    parse_forwarded,
    seen_directly,
    seen_through_proxy,
)

NETWORKS = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"))
HEADERS = (
    "Forwarded",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
)
AUTHORITY = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[1-9][0-9]{0,4})?")

names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z]{2,5})?", fullmatch=True)
ports = st.integers(min_value=1, max_value=65535)
schemes = st.sampled_from(["http", "https"])


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ("10.1.2.3", True),
        ("11.1.2.3", False),
        ("::ffff:10.1.2.3", True),
        ("::ffff:11.1.2.3", False),
        ("fd00::1", True),
        ("fe80::1%eth0", False),
        ("nonsense", False),
        ("", True),
        (None, True),
    ],
)
def test_peers_are_trusted_by_network(peer: str | None, *, expected: bool) -> None:
    """Also if IPv4 comes as IPv6; a peer without an address came over a Unix socket."""
    assert is_trusted(peer, NETWORKS) is expected


@pytest.mark.parametrize("peer", ["10.1.2.3", "", None, "127.0.0.1"])
def test_without_networks_nobody_is_trusted(peer: str | None) -> None:
    """The default."""
    assert not is_trusted(peer, ())


@given(st.dictionaries(st.sampled_from(HEADERS), field_values), schemes, field_values)
def test_no_value_can_break_out_of_location(sent: dict[str, str], scheme: str, host: str) -> None:
    """Whatever a trusted proxy passes on: a URL or a path, one line, ending as it should."""
    origin = seen_through_proxy(scheme, host, CIMultiDict(sent))
    location = format_location(origin, "/files/", "id+1", is_relative=False)

    assert location.isascii()
    assert location.isprintable()
    assert location.endswith("/files/id%2B1")
    parts = urlsplit(location)
    if parts.scheme:
        assert parts.scheme in {"http", "https"}
        assert AUTHORITY.fullmatch(parts.netloc)
    else:
        assert location.startswith("/")
        assert not location.startswith("//")


@given(schemes, names, ports)
def test_host_is_kept_and_default_ports_are_not(scheme: str, name: str, port: int) -> None:
    """Directly, through `X-Forwarded-*` and through `Forwarded` alike."""
    default = {"http": 80, "https": 443}[scheme]
    expected = name if port == default else f"{name}:{port}"
    said = [
        CIMultiDict(
            {
                "X-Forwarded-Proto": scheme,
                "X-Forwarded-Host": name,
                "X-Forwarded-Port": str(port),
            }
        ),
        CIMultiDict({"X-Forwarded-Proto": scheme, "X-Forwarded-Host": f"{name}:{port}, inner"}),
        CIMultiDict({"Forwarded": f'for=_x ; Proto={scheme};HOST="{name}:{port}", host=inner'}),
    ]

    assert seen_directly(scheme, f"{name}:{port}") == Origin(scheme, expected)
    for headers in said:
        assert seen_through_proxy("http", "inner:1080", headers) == Origin(scheme, expected)


def test_named_port_wins_over_forwarded_port() -> None:
    """The proxy may listen on another port than the one its clients see."""
    headers = CIMultiDict({"X-Forwarded-Port": "443", "X-Forwarded-Proto": "https"})

    assert seen_through_proxy("http", "a.example:8443", headers).authority == "a.example:8443"
    assert seen_through_proxy("http", "a.example", headers).authority == "a.example"


@pytest.mark.parametrize(
    ("host", "authority"),
    [
        ("[::1]:8080", "[::1]:8080"),
        ("[::1]", "[::1]"),
        ("a.example.", "a.example."),
        ("a:0", None),
        ("a:99999", None),
        ("a b", None),
        ("a/b", None),
        ("u@a", None),
        ("", None),
        (None, None),
        ("-a", None),
        ("a:", None),
    ],
)
def test_host_has_the_form_of_a_host(host: str | None, authority: str | None) -> None:
    """Anything else is not known."""
    assert seen_directly("http", host).authority == authority


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("/api", "/api"),
        ("/api/v1/", "/api/v1"),
        ("/a, /b", "/a"),
        ("/a%20b", "/a%20b"),
        ("/", ""),
        ("api", ""),
        ("//evil", ""),
        ("/a//b", ""),
        ("/a?b", ""),
        ("/a b", ""),
        ("/a%2", ""),
    ],
)
def test_prefix_is_a_path(prefix: str, expected: str) -> None:
    """`X-Forwarded-Prefix` counts only if it is one."""
    headers = CIMultiDict({"X-Forwarded-Prefix": prefix})

    assert seen_through_proxy("http", "a", headers).prefix == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", {}),
        ("host=a", {"host": "a"}),
        ('Host="a:1";proto=https', {"host": "a:1", "proto": "https"}),
        (r'host="a\"b"', {"host": 'a"b'}),
        ("for=1;host=a, for=2;host=b", {"for": "1", "host": "a"}),
        ("host=a;", {"host": "a"}),
        ("host", {}),
        ('host="a', {}),
        ("host=a b", {}),
    ],
)
def test_forwarded_is_read_to_the_end_of_its_first_hop(
    value: str, expected: dict[str, str]
) -> None:
    """RFC 7239, section 4: case of names does not matter, values may be quoted."""
    assert parse_forwarded(value) == expected


@given(field_values)
def test_forwarded_reads_anything(value: str) -> None:
    """It never fails."""
    assert isinstance(parse_forwarded(value), dict)


@given(st.text(string.printable + "é€", min_size=1), st.sampled_from(["/f", "/f/", "/"]))
def test_ids_survive_the_url(upload_id: str, path: str) -> None:
    """Decoding the path once gives the id back."""
    location = format_location(Origin("http", "a"), path, upload_id, is_relative=False)

    base = "http://a" + path.rstrip("/") + "/"
    assert location.startswith(base)
    assert unquote(location.removeprefix(base)) == upload_id
    relative = format_location(Origin("http", "a"), path, upload_id, is_relative=True)
    assert "http://a" + relative == location


def test_relative_location_keeps_the_prefix() -> None:
    """It is relative to the host, not to the proxy's path."""
    origin = Origin("https", "a", "/api")

    assert format_location(origin, "/f/", "x", is_relative=True) == "/api/f/x"
