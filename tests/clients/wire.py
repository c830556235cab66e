"""A TCP relay between a client and a server that breaks connections at a byte of one's choice.

It knows no HTTP. What a client sends is counted, request heads included, so a test says "after
6 MiB" and gets the same break each time, without a sleep. `url` is the server's URL seen through
the relay; the server builds its own URLs from the Host header, so clients stay on the relay.
"""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit, urlunsplit

_LIMIT_S = 60.0
_READ = 64 * 1024


class Wire:
    """The relay; a context manager. `held` is set while a connection is held.

    Args:
        upstream: any URL of the server; its host and port are what counts.
    """

    def __init__(self, upstream: str) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._port: int = self._listener.getsockname()[1]
        self._upstream_url = upstream
        self._guard = threading.Lock()
        self._left: int | None = None
        self._holds = False
        self._released = threading.Event()
        self._threads: list[threading.Thread] = []
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self.held = threading.Event()
        self.cuts = 0
        self._start(self._accept)

    @property
    def url(self) -> str:
        """The upstream URL with the relay's port in it."""
        parts = urlsplit(self._upstream_url)
        return urlunsplit(parts._replace(netloc=f"127.0.0.1:{self._port}"))

    def retarget(self, upstream: str) -> None:
        """Relay new connections to another server, e.g. the restarted one."""
        self._upstream_url = upstream

    def cut_after(self, count: int) -> None:
        """Close the connection that carries the ``count``-th byte from now, right behind it."""
        with self._guard:
            self._left, self._holds = count, False

    def hold_after(self, count: int) -> None:
        """As `cut_after`, but keep the connection open and silent until `drop`."""
        self.held.clear()
        self._released.clear()
        with self._guard:
            self._left, self._holds = count, True

    def drop(self) -> None:
        """Close the connection that is held."""
        self._released.set()

    def close(self) -> None:
        """Close everything and wait for the threads."""
        self._released.set()
        # A blocked accept() is woken by shutdown, not by close.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for pair in list(self._pairs):
            _hang_up(*pair)
        for thread in self._threads:
            thread.join(_LIMIT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, target: Callable[..., None], *args: object) -> threading.Thread:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._start(self._relay, client)

    def _relay(self, client: socket.socket) -> None:
        parts = urlsplit(self._upstream_url)
        try:
            server = socket.create_connection((parts.hostname, parts.port), timeout=_LIMIT_S)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        pair = (client, server)
        self._pairs.add(pair)
        back = self._start(self._pump_back, server, client)
        self._pump(client, server)
        _hang_up(client, server)
        back.join(_LIMIT_S)
        self._pairs.discard(pair)
        client.close()
        server.close()

    def _pump(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(_READ):
                allowed = self._allow(len(data))
                server.sendall(data[:allowed])
                if allowed == len(data):
                    continue
                self.cuts += 1
                if self._holds:
                    self.held.set()
                    self._released.wait(_LIMIT_S)
                return

    def _allow(self, count: int) -> int:
        """Return how many of ``count`` bytes may pass; fewer than all means: break here."""
        with self._guard:
            if self._left is None:
                return count
            if count < self._left:
                self._left -= count
                return count
            allowed, self._left = self._left, None
            return min(allowed, count - 1)

    @staticmethod
    def _pump_back(server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(_READ):
                client.sendall(data)
        _hang_up(client, server)


def _hang_up(*sockets: socket.socket) -> None:
    """End both directions; unlike close this wakes whoever is blocked on them."""
    for sock in sockets:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
