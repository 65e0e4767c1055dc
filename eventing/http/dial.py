"""Connect to an address; what goes wrong there is a NoAnswer."""

import asyncio
import errno
import os
import socket
from collections.abc import Callable

from eventing.errors import NoAnswer
from eventing.http.address import Address
from eventing.http.lookup import Lookups


async def connect(make: Callable[[], asyncio.Protocol], address: Address, limit_s: float,
                  lookups: Lookups) -> None:
    """Have what *make* makes last connected to *address* within *limit_s*. Raises NoAnswer."""
    found: tuple[str, ...] = ()
    try:
        async with asyncio.timeout(limit_s):
            if isinstance(address, str):
                loop = asyncio.get_running_loop()
                await loop.create_unix_connection(make, sock=_connected(address))
            else:
                host, port = address
                found = await lookups.addresses(host)
                await _connect(make, found, port)
    except TimeoutError as error:
        if found or isinstance(address, str):
            raise _translated(error, address, limit_s) from error
        raise NoAnswer("timeout", f"the name {address[0]} did not resolve within {limit_s:g} s") from error
    except OSError as error:
        raise _translated(error, address, limit_s) from error


async def _connect(make: Callable[[], asyncio.Protocol], found: tuple[str, ...], port: int) -> None:
    """Connect to the first of the addresses *found* that can be reached. Raises OSError: the most telling."""
    failure = OSError("it has no address")
    for number, host in enumerate(found):
        try:
            await asyncio.get_running_loop().create_connection(make, host, port)
        except OSError as error:
            if number == 0 or error.errno == errno.ECONNREFUSED:
                failure = error
        else:
            return
    raise failure


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
    if error.errno == errno.ECONNREFUSED:
        return NoAnswer("refused", f"nothing listens at {where}")
    why = os.strerror(error.errno) if error.errno else str(error)
    return NoAnswer("refused", f"cannot connect to {where}: {why}")
