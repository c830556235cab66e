"""Which uploads the URLs in a request for a final upload mean. No I/O."""

from collections.abc import Sequence

from tusd_s3.protocol.concat import Concat, Place, resolve_partial
from tusd_s3.web.proxy import Origin

_NOWHERE = "unknown.invalid"  # RFC 6761: nobody's; so that paths can be resolved all the same


def partials_of(concat: Concat, path: str, seen: Sequence[Origin]) -> tuple[str, ...]:
    """Return the ids of the partial uploads, in order, unchecked.

    Args:
        concat: of a final upload.
        path: the creation URL's path as we see it, encoded, with or without its last ``/``.
        seen: where this server is: as we see it, and last as the request's client does.

    Raises:
        InvalidConcat: one of the URLs is not that of an upload of this server.
    """
    place = place_of(path, seen)
    return tuple(resolve_partial(url, place) for url in concat.urls)


def place_of(path: str, seen: Sequence[Origin]) -> Place:
    """Return where this server is; see `partials_of`."""
    path = path.rstrip("/") + "/"
    client = seen[-1]
    return Place(
        creation_url=f"{client.scheme}://{client.authority or _NOWHERE}{client.prefix}{path}",
        authorities=[o.authority for o in seen if o.authority is not None] or [_NOWHERE],
        paths=[origin.prefix + path for origin in seen],
    )
