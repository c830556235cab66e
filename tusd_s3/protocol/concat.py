"""`Upload-Concat`: what it says, and which uploads its URLs mean. No I/O."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import unquote, urljoin, urlsplit

from tusd_s3.errors import InvalidConcat
from tusd_s3.model import Kind

_FINAL = "final;"
_URL = re.compile("[!-~]+")  # RFC 3986 knows ASCII only, and HEAD has to echo it
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


@dataclass(frozen=True, slots=True)
class Concat:
    """An `Upload-Concat` header.

    Attributes:
        kind: partial or final.
        raw: the value as received, which HEAD echoes.
        urls: of a final upload: its partials as the client wrote them, in order.
    """

    kind: Kind
    raw: str
    urls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """Where this server is, as its clients may write it.

    Attributes:
        creation_url: absolute, with the last ``/``; relative URLs are resolved against it.
        authorities: ``host[:port]`` of the origins that are this server.
        paths: paths of the creation URL, with the last ``/``: with a proxy's prefix and without.
    """

    creation_url: str
    authorities: Collection[str]
    paths: Collection[str]


def parse_concat(raw: str) -> Concat:
    """Read an `Upload-Concat` value. Spaces around the URLs are tolerated (tusd, AMB-33).

    Raises:
        InvalidConcat: it is neither ``partial`` nor ``final;`` with at least one URL.
    """
    if raw == "partial":
        return Concat(Kind.PARTIAL, raw)
    if not raw.startswith(_FINAL):
        raise InvalidConcat("neither partial nor final")
    urls = tuple(url for url in raw.removeprefix(_FINAL).split(" ") if url)
    if not urls:
        raise InvalidConcat("a final upload of no partial uploads")
    if not all(_URL.fullmatch(url) for url in urls):
        raise InvalidConcat("a URL with characters that no URL has")
    return Concat(Kind.FINAL, raw, urls)


def resolve_partial(url: str, place: Place) -> str:
    """Return the id of the upload that a URL means, percent-decoded once.

    The scheme does not matter: a proxy may have ended TLS. Nothing is ever fetched.

    Raises:
        InvalidConcat: it is not the URL of an upload of this server.
    """
    try:
        parts = urlsplit(urljoin(place.creation_url, url))
    except ValueError as exc:
        raise InvalidConcat("not a URL") from exc
    if parts.scheme not in _DEFAULT_PORTS or parts.query or parts.fragment:
        raise InvalidConcat("not the URL of an upload")
    authority = parts.netloc.lower().removesuffix(_DEFAULT_PORTS[parts.scheme])
    if authority not in {known.lower() for known in place.authorities}:
        raise InvalidConcat("a partial upload of another server")
    path = unquote(parts.path)
    # the longest first: a prefix of the proxy's must not be taken for a part of the id
    for above in sorted(map(unquote, place.paths), key=len, reverse=True):
        upload_id = path.removeprefix(above).removesuffix("/")
        if path.startswith(above) and upload_id:
            return upload_id
    raise InvalidConcat("not the URL of an upload")
