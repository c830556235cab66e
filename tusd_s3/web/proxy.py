"""The URL of a new upload, as its client has to write it, also behind proxies. No I/O.

Forwarded headers count only where the peer is trusted, and only if they have the form of what they
claim to be; otherwise they are ignored. Of several hops the first one counts: it saw the client.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from tusd_s3.protocol.headers import HeaderSource
from tusd_s3.web.options import Network

_HOST = re.compile(
    r"(?P<name>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9](?:[A-Za-z0-9._-]{0,253}[A-Za-z0-9.])?)"
    r"(?::(?P<port>[0-9]{1,5}))?"
)
_PREFIX = re.compile(r"(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+)+/?")
_PAIR = re.compile(
    r"""[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*))[ \t]*"""
)
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a client sees this server.

    Attributes:
        scheme: ``http`` or ``https``.
        authority: host and, unless it is the scheme's own, port; None if it cannot be known.
        prefix: path in front of ours that a proxy takes away; begins with ``/`` or is empty.
    """

    scheme: str
    authority: str | None
    prefix: str = ""


def is_trusted(peer: str | None, trusted: Sequence[Network]) -> bool:
    """Return whether a peer's forwarded headers are believed.

    A peer without an address has come over a Unix socket: it is trusted like any proxy as soon
    as proxies are trusted at all.
    """
    if not peer:
        return bool(trusted)
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in network for network in trusted)


def seen_directly(scheme: str, host: str | None) -> Origin:
    """Return the origin of a request that no proxy has explained."""
    return Origin(scheme, _authority(scheme, host, None))


def seen_through_proxy(scheme: str, host: str | None, headers: HeaderSource) -> Origin:
    """Return the origin that a trusted proxy's headers describe.

    `Forwarded` (RFC 7239) wins over `X-Forwarded-Proto` and `-Host`. `X-Forwarded-Port` counts
    where the host names no port of its own.
    """
    forwarded = parse_forwarded(",".join(headers.getall("Forwarded", ())))
    said_scheme = (forwarded.get("proto") or _first(headers, "X-Forwarded-Proto")).lower()
    scheme = said_scheme if said_scheme in _DEFAULT_PORTS else scheme
    said_host = forwarded.get("host") or _first(headers, "X-Forwarded-Host")
    said_port = _first(headers, "X-Forwarded-Port")
    authority = _authority(scheme, said_host, said_port) or _authority(scheme, host, said_port)
    prefix = _first(headers, "X-Forwarded-Prefix")
    return Origin(scheme, authority, prefix.rstrip("/") if _PREFIX.fullmatch(prefix) else "")


def parse_forwarded(value: str) -> dict[str, str]:
    """Return the parameters of the first hop in a `Forwarded` header, names in lower case.

    Empty if the header is malformed up to the end of that hop.
    """
    pairs: dict[str, str] = {}
    position = 0
    while match := _PAIR.match(value, position):
        quoted, plain = match[2], match[3]
        pairs[match[1].lower()] = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        position = match.end()
        if value[position : position + 1] != ";":
            break
        position += 1
    return pairs if value[position : position + 1] in {"", ","} else {}


def format_location(origin: Origin, path: str, upload_id: str, *, is_relative: bool) -> str:
    """Return the URL of an upload: absolute, or its path alone, which is a valid `Location` too.

    Args:
        origin: without an authority only a path can be answered.
        path: the creation URL's path, already encoded, with or without its last ``/``.
        upload_id: as the store made it.
        is_relative: whether the path is enough.
    """
    local = f"{origin.prefix}{path.rstrip('/')}/{quote(upload_id, safe='/')}"
    if is_relative or origin.authority is None:
        return local
    return f"{origin.scheme}://{origin.authority}{local}"


def _first(headers: HeaderSource, name: str) -> str:
    """Return the first member of a list header, empty if there is none."""
    values = headers.getall(name, ())
    return values[0].partition(",")[0].strip(" \t") if values else ""


def _authority(scheme: str, host: str | None, port: str | None) -> str | None:
    """Join host and port, leaving a default port out; None if the host is none."""
    match = _HOST.fullmatch(host or "")
    if match is None:
        return None
    number = match["port"] or (port if port and re.fullmatch("[0-9]{1,5}", port) else "")
    if not number or int(number) == _DEFAULT_PORTS.get(scheme):
        return match["name"]
    return f"{match['name']}:{int(number)}" if 0 < int(number) < 65536 else None
