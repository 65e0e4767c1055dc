"""Connect to an address; what goes wrong there is a NoAnswer."""

import asyncio
import socket
from collections.abc import Callable

from eventing.errors import NoAnswer
from eventing.http.address import Address


async def connect(make: Callable[[], asyncio.Protocol], address: Address, limit_s: float) -> None:
    """Have what *make* makes connected to *address* within *limit_s*. Raises NoAnswer."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(limit_s):
            if isinstance(address, str):
                await loop.create_unix_connection(make, sock=_connected(address))
            else:
                await loop.create_connection(make, *address)
    except OSError as error:  # TimeoutError, too
        raise _translated(error, address) from error


def _connected(path: str) -> socket.socket:
    """A connection to the unix socket *path*; the kernel makes it at once or not at all. Raises OSError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        sock.connect(path)
    except OSError:
        sock.close()
        raise
    return sock


def _translated(error: OSError, address: Address) -> NoAnswer:
    """What a failure to connect is called here."""
    if isinstance(address, str):
        address = address.replace("\0", "@")  # a name that is no file, as `ss` shows it
    if isinstance(error, TimeoutError):
        return NoAnswer("timeout", f"cannot connect to {address}")
    if isinstance(error, socket.gaierror):
        return NoAnswer("unresolved", f"{address}: {error.strerror}")
    return NoAnswer("refused", f"{address}: {error.strerror or error}")
