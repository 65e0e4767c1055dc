"""Connect to an address; what goes wrong there is a NoAnswer."""

import asyncio
import errno
import os
import socket
from collections.abc import Callable

from eventing.errors import NoAnswer
from eventing.http.address import Address

_REFUSED = f"[Errno {errno.ECONNREFUSED}]"


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
        raise _translated(error, address, limit_s) from error


def _connected(path: str) -> socket.socket:
    """A connection to the unix socket *path*; the kernel makes it at once or not at all. Raises OSError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        sock.connect(path)
    except OSError:
        sock.close()
        raise
    return sock


def _translated(error: OSError, address: Address, limit_s: float) -> NoAnswer:
    """What a failure to connect is called here."""
    if isinstance(address, str):
        where = address.replace("\0", "@")  # a name that is no file, as `ss` shows it
    else:
        host, port = address
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if isinstance(error, TimeoutError):
        return NoAnswer("timeout", f"no connection to {where} within {limit_s:g} s")
    if isinstance(error, socket.gaierror):
        why = "" if error.errno == socket.EAI_NONAME else f": {error.strerror}"
        return NoAnswer("unresolved", f"the name {address[0]} is not known{why}")
    # Of a name with several addresses asyncio joins what each of them said, without a number.
    if error.errno == errno.ECONNREFUSED or (error.errno is None and _REFUSED in str(error)):
        return NoAnswer("refused", f"nothing listens at {where}")
    why = os.strerror(error.errno) if error.errno else str(error)
    return NoAnswer("refused", f"cannot connect to {where}: {why}")
