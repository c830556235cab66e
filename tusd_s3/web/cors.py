"""What browsers of other origins are told (the Fetch standard's CORS protocol). No I/O."""

import re
from collections.abc import Mapping

from tusd_s3.protocol.answers import ALLOWED_HEADERS, ALLOWED_METHODS, EXPOSED_HEADERS
from tusd_s3.web.options import CorsOptions


class Cors:
    """The CORS headers of every answer, errors included: without them browsers hide the error.

    Raises:
        re.error: ``allow_origin`` is no regular expression.
    """

    def __init__(self, options: CorsOptions) -> None:
        self._origin = re.compile(options.allow_origin)
        self._always: dict[str, str] = {
            "Access-Control-Expose-Headers": ", ".join((*EXPOSED_HEADERS, *options.expose_headers))
        }
        if options.allow_credentials:
            self._always["Access-Control-Allow-Credentials"] = "true"
        self._preflight = {
            "Access-Control-Allow-Methods": ", ".join(ALLOWED_METHODS),
            "Access-Control-Allow-Headers": ", ".join((*ALLOWED_HEADERS, *options.allow_headers)),
            "Access-Control-Max-Age": str(options.max_age_s),
        }

    def headers(self, origin: str | None, *, is_preflight: bool) -> Mapping[str, str]:
        """Return the headers for a request that came from ``origin``.

        The origin is echoed, never ``*``, so that credentials can be allowed; `Vary` keeps
        caches from giving one origin's answer to another.
        """
        headers = {"Vary": "Origin"}
        if origin is None or not self._origin.fullmatch(origin):
            return headers
        headers["Access-Control-Allow-Origin"] = origin
        headers |= self._preflight if is_preflight else {}
        return headers | self._always
