"""Signatures of requests to S3: botocore's, without its containers. No I/O."""

from typing import Any

from botocore.auth import S3SigV4Auth
from multidict import CIMultiDict


class Request:
    """What botocore's signer wants to know of a request; ``headers`` is what it adds to."""

    __slots__ = ("context", "headers", "method", "params", "url")

    def __init__(self, method: str, url: str, headers: CIMultiDict[str]) -> None:
        self.method = method
        self.url = url
        self.headers = headers
        self.params = None  # they stand in the URL
        self.context: dict[str, Any] = {}


class Signer(S3SigV4Auth):  # type: ignore[misc]  # botocore has no types
    """botocore's signer for requests whose body is not hashed.

    Only what costs most of its time is done another way: it keeps headers in e-mail messages,
    three of them for each request.

    Args:
        region: as in the signatures.
        host: value of the Host header, which is sent by somebody else.
    """

    def __init__(self, region: str, host: str) -> None:
        super().__init__(None, "s3", region)
        self._host = host

    def sign(self, request: Request, credentials: Any) -> None:
        """Add the headers that authenticate a request.

        Args:
            request: with every header that is to be signed.
            credentials: frozen ones.
        """
        self.credentials = credentials
        self.add_auth(request)

    def headers_to_sign(self, request: Request) -> dict[str, str]:
        """Return the headers, ordered by their lower-case names."""
        found = {name.lower(): value for name, value in request.headers.items()}
        found["host"] = self._host
        return dict(sorted(found.items()))

    def canonical_headers(self, headers_to_sign: dict[str, str]) -> str:
        """Return the lines of headers; they are ordered and have one value each."""
        return "\n".join(
            [f"{name}:{' '.join(value.split())}" for name, value in headers_to_sign.items()]
        )

    def signed_headers(self, headers_to_sign: dict[str, str]) -> str:
        """Return the names of headers; they are ordered."""
        return ";".join(headers_to_sign)

    def _should_sha256_sign_payload(self, _request: Request) -> bool:
        return False  # a checksum guards it
