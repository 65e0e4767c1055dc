"""
A port for a program that listens for itself: nobody else may come by it between our choice and its listen().

The kernel hands out ports of its ephemeral range, to whoever binds port 0 and to every connection that goes
out. So the port is taken from below that range. A probe could otherwise find a stranger behind it, or itself:
a connection from a port to that same port succeeds, with nobody there.
"""

import functools
import random
import socket
from pathlib import Path

_LEAST = 20_000  # below are the ports that services have by convention
_FEWEST = 1000  # fewer to choose from, and two that choose at once would meet
_TRIES = 50


@functools.cache
def _limit() -> int:
    """The first port of the ephemeral range; 0 where nobody says."""
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0


def bound() -> socket.socket:
    """A socket bound to a free port of loopback, not listening. Raises OSError where there is none."""
    ours = socket.socket()
    try:
        if _limit() - _LEAST >= _FEWEST:
            for _ in range(_TRIES):
                try:
                    ours.bind(("127.0.0.1", random.randrange(_LEAST, _limit())))  # noqa: S311  no secret
                except OSError:
                    continue
                return ours
        ours.bind(("127.0.0.1", 0))
    except OSError:
        ours.close()
        raise
    return ours
