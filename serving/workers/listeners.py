"""
The sockets of a worker that listened before it was born: connections wait in them until it accepts.

    the port    of loopback, what PORT says: for probes, and for whoever asks it directly
    the name    of a unix socket, for the activator: a request over loopback's TCP costs both ends more

The kernel chooses the name (an abstract one, see unix(7)). There is no file: nothing that the worker's user
would have to reach, and nothing to remove. It is as open as the port, to whoever is on this machine.

What a function sees of a connection does not tell the two apart.
"""

import socket

# Held requests arrive all at once; the kernel caps it at net.core.somaxconn.
_BACKLOG = 4096


def opened() -> list[socket.socket]:
    """The port, and the name. Raises OSError where this process can have no more descriptors."""
    port = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
    try:
        return [port, named()]
    except OSError:
        port.close()
        raise


def named() -> socket.socket:
    """A unix socket that listens; its `getsockname` is what to connect to. Raises OSError."""
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind("")
        name.listen(_BACKLOG)
    except OSError:
        name.close()
        raise
    return name
