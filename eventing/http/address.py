"""
Where a URL leads: host, port, and what to ask for there.

Names under `localhost` are this machine (RFC 6761, section 6.3) and are never looked up: a Service is
reached at `name.namespace.localhost` whatever the resolver thinks of it.
"""

import functools
import urllib.parse
from typing import NamedTuple

from eventing.errors import NoAnswer

# Host and port, or the path of a unix socket; one that begins with NUL is an abstract name (Linux).
Address = tuple[str, int] | str

# Subscribers, sinks and brokers of a busy installation; a URL is about 100 bytes.
_KNOWN_URLS = 4096
# What is left as it is in a path and a query; the rest is percent-encoded.
_SAFE = "/:@!$&'()*+,;=~-._%?"


class Place(NamedTuple):
    """A parsed URL."""

    host: str
    port: int
    target: bytes  # path and query, as a request line has them
    authority: bytes  # what the Host header says


@functools.lru_cache(maxsize=_KNOWN_URLS)
def parse(url: str) -> Place:
    """Take *url* apart. Raises NoAnswer("bad-url") for anything but an http URL with a host."""
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise NoAnswer("bad-url", f"{url!r}: {error}") from error
    if parts.scheme != "http":
        raise NoAnswer("bad-url", f"{url!r}: only http:// URLs can be reached")
    if not parts.hostname or parts.username is not None:
        raise NoAnswer("bad-url", f"{url!r}: a host is needed, without user and password")
    try:
        host = parts.hostname.encode("idna").decode() if not parts.hostname.isascii() else parts.hostname
    except UnicodeError as error:
        raise NoAnswer("bad-url", f"{url!r}: {error}") from error
    if not host.isprintable() or " " in host:
        raise NoAnswer("bad-url", f"{url!r}: the host has characters that no host has")
    target = urllib.parse.quote(parts.path or "/", safe=_SAFE)
    if parts.query:
        target += "?" + urllib.parse.quote(parts.query, safe=_SAFE)
    shown = f"[{host}]" if ":" in host else host
    authority = shown if port is None else f"{shown}:{port}"
    return Place(host, 80 if port is None else port, target.encode(), authority.encode())


def resolve(host: str, port: int) -> tuple[str, int]:
    """Address of *host*: loopback for localhost and the names under it, else the host itself."""
    if host == "localhost" or host.endswith(".localhost"):
        return "127.0.0.1", port
    return host, port
