"""How the values of settings are written: sizes, times, lists, addresses. No I/O.

A parser takes what stood in a flag, a variable or the file (so text, or TOML's numbers and
lists) and raises ValueError with words that go on after the value: "5XB is not a size".
"""

import ipaddress
import re
from collections.abc import Callable

_BINARY = {"kib": 1024, "mib": 1024**2, "gib": 1024**3, "tib": 1024**4}
_DECIMAL = {"kb": 1000, "mb": 1000**2, "gb": 1000**3, "tb": 1000**4}
_BYTES = {"": 1, "b": 1, **_BINARY, **_DECIMAL}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)", re.IGNORECASE | re.ASCII)

_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*", re.IGNORECASE | re.ASCII)
_PLAIN = re.compile(r"\d+(?:\.\d+)?", re.ASCII)


def parse_size(value: object) -> int:
    """Return the bytes that ``5368709120``, ``5GiB`` or ``5.5 GB`` stand for.

    ``KiB MiB GiB TiB`` count in 1024, ``kB MB GB TB`` in 1000; case does not matter.

    Raises:
        ValueError: it is no size, or not a whole number of bytes.
    """
    match = _SIZE.fullmatch(str(value).strip())
    factor = _BYTES.get(match[2].lower()) if match else None
    if match is None or factor is None or isinstance(value, bool):
        raise ValueError("is not a size; write bytes, or a number with KiB, MiB, GiB or TiB")
    if "." not in match[1]:
        return int(match[1]) * factor
    size = float(match[1]) * factor
    if not size.is_integer():
        raise ValueError("is not a whole number of bytes")
    return int(size)


def format_size(size: int) -> str:
    """Return the shortest text that `parse_size` reads as exactly this size."""
    for unit, factor in (("TiB", 1024**4), ("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if size and size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)


def parse_duration(value: object) -> float:
    """Return the seconds that ``90``, ``90s``, ``1m30s`` or ``500ms`` stand for.

    Raises:
        ValueError: it is no time.
    """
    text = str(value).strip()
    if _PLAIN.fullmatch(text) and not isinstance(value, bool):
        return float(text)
    spans = list(_SPAN.finditer(text))
    if not spans or "".join(span[0] for span in spans) != text:
        raise ValueError("is not a time; write seconds, or numbers with ms, s, m, h or d")
    return sum(float(span[1]) * _SECONDS[span[2].lower()] for span in spans)


def format_duration(seconds: float) -> str:
    """Return the shortest text that `parse_duration` reads as exactly this time."""
    for unit, factor in (("h", 3600), ("m", 60)):
        if seconds and seconds % factor == 0:
            return f"{int(seconds // factor)}{unit}"
    return f"{int(seconds) if seconds == int(seconds) else seconds}s"


def number_between(low: int, high: int) -> Callable[[object], int]:
    """Return a parser of whole numbers from ``low`` to ``high``, both included."""

    def parse(value: object) -> int:
        text = str(value).strip()
        if not (text.isascii() and text.isdecimal() and low <= int(text) <= high):
            raise ValueError(f"is not a number from {low} to {high}")
        return int(text)

    return parse


def parse_positive_duration(value: object) -> float:
    """Return seconds as `parse_duration` does, but never none."""
    seconds = parse_duration(value)
    if seconds <= 0:
        raise ValueError("must be longer than nothing")
    return seconds


def parse_list(value: object) -> tuple[str, ...]:
    """Return the items of a list, or of a text that separates them by commas."""
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        raise ValueError("is not a list; write the items with commas between them")  # noqa: TRY004
    return tuple(item for item in (str(item).strip() for item in items) if item)


def parse_header_names(value: object) -> tuple[str, ...]:
    """Return a list of header names (RFC 9110 section 5.1: tokens)."""
    names = parse_list(value)
    for name in names:
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            raise ValueError(f"holds {name!r}, which cannot be the name of a header")
    return names


def parse_networks(value: object) -> tuple[str, ...]:
    """Return a list of IP addresses, networks, or ``*``."""
    networks = parse_list(value)
    for network in networks:
        try:
            ipaddress.ip_network("0.0.0.0/0" if network == "*" else network, strict=False)
        except ValueError:
            raise ValueError(
                f"holds {network!r}; list the proxies' addresses or networks, for example "
                "127.0.0.1,10.0.0.0/8, or * to trust everybody"
            ) from None
    return networks


def parse_base_path(value: object) -> str:
    """Return a URL path that begins and ends with a slash; missing slashes are added."""
    inner = str(value).strip().removeprefix("/").removesuffix("/")
    path = f"/{inner}/" if inner else "/"
    if not re.fullmatch(r"/([A-Za-z0-9_~-][A-Za-z0-9._~-]*/)*", path):
        raise ValueError("is not a path such as /files/")
    return path


def parse_endpoint(value: object) -> str:
    """Return the address of a service; credentials and queries have no place in it."""
    if not re.fullmatch(r"https?://[^/?#\s@]+(/[^?#\s@]*)?", str(value), re.IGNORECASE):
        raise ValueError("is not an address such as https://s3.example.com:9000")
    return str(value).rstrip("/")


def parse_bucket_name(value: object) -> str:
    """Return a bucket's name, or the ARN of an access point."""
    name = str(value)
    if not re.fullmatch(r"arn:[^\s?#]+|[A-Za-z0-9][A-Za-z0-9._-]{1,62}", name):
        raise ValueError("is not the name of a bucket (a prefix goes into s3-object-prefix)")
    return name


def parse_pattern(value: object) -> str:
    """Return a regular expression that compiles."""
    try:
        re.compile(str(value))
    except re.error as exc:
        raise ValueError(f"is not a regular expression: {exc}") from None
    return str(value)


def parse_prefix(value: object) -> str:
    """Return the beginning of keys."""
    if any(ord(char) < 32 for char in str(value)):
        raise ValueError("holds a control character")
    return str(value)
