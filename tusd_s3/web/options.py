"""What the HTTP side can be told; plain values that `app` fills in from the settings."""

import ipaddress
from dataclasses import dataclass

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class CorsOptions:
    """What other origins may do.

    Attributes:
        allow_origin: regular expression that must match the whole `Origin`.
        allow_credentials: whether browsers may send cookies and read the answer.
        max_age_s: how long a browser may remember a preflight.
        allow_headers: request headers allowed besides those of tus.
        expose_headers: response headers readable besides those of tus.
    """

    allow_origin: str = ".*"
    allow_credentials: bool = False
    max_age_s: int = 86_400
    allow_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WebOptions:
    """How requests are served.

    Attributes:
        base_path: the creation URL's path; begins and ends with ``/``.
        trusted_proxies: peers whose forwarded headers are believed; empty: nobody's.
        relative_location: answer a path instead of an absolute URL.
        cors: None switches CORS headers off.
        body_idle_timeout_s: how long a client may send nothing before its request ends.
        lock_timeout_s: how long a request waits for the present holder of an upload.
        silent_takeover_s: a HEAD takes an upload from a holder that was silent for so long.
        retry_after_s: value of `Retry-After` wherever a client should come back.
        ready_timeout_s: how long the readiness check may take.
        ready_cache_s: how long its result is remembered.
    """

    base_path: str = "/files/"
    trusted_proxies: tuple[Network, ...] = ()
    relative_location: bool = False
    cors: CorsOptions | None = CorsOptions()
    body_idle_timeout_s: float = 60.0
    lock_timeout_s: float = 20.0
    silent_takeover_s: float = 5.0
    retry_after_s: int = 1
    ready_timeout_s: float = 5.0
    ready_cache_s: float = 2.0

    def __post_init__(self) -> None:
        """Refuse a base path that no route could be made of."""
        path = self.base_path
        if not (path.startswith("/") and path.endswith("/")) or "{" in path or "}" in path:
            raise ValueError(f"base_path must begin and end with '/': {path!r}")
