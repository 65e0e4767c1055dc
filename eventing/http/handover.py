"""
A connection goes from one process to another on this machine: the kernel carries descriptors (SCM_RIGHTS).

    ingress                                    serving
    Giver: connects, again and again           Taker: listens on a unix socket of packets
    give(descriptor, data) ------------------> taken(socket, data)
    taken(socket, data) <--------------------- give(descriptor, data)

One packet is one connection with what was read of it and not answered. The client notices nothing, and from
then on its requests have one hop less. Either side may refuse to give; none ever waits: where there is no
other side, or its queue is full, `give` says False and the request is served as it would be without.

It knows neither HTTP nor why a connection is given.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from pathlib import Path

# What was read of a request with its connection: more goes the slower way.
_DATA_BYTES = 64 * 1024
_PACKETS = 64  # taken at a time, before other things have their turn
_RETRY_S = 0.5  # how soon a Giver asks again for a Taker
_BACKLOG = 16

# The socket of a connection, ours now, and what was read of it.
Taken = Callable[[socket.socket, bytes], None]


class Channel:
    """One end of a pair of connected sockets."""

    def __init__(self, sock: socket.socket, taken: Taken) -> None:
        """Read *sock*, which is ours now."""
        self._sock = sock
        self._taken = taken
        self._loop = asyncio.get_running_loop()
        self.closed = asyncio.Event()
        sock.setblocking(False)
        self._loop.add_reader(sock.fileno(), self._readable)

    def __repr__(self) -> str:
        """Open or not."""
        return f"<Channel [{'closed' if self.closed.is_set() else 'open'}]>"

    def give(self, descriptor: int, data: bytes) -> bool:
        """Send a connection, whose *descriptor* stays open here too; False: it was not sent."""
        if self.closed.is_set() or not 0 < len(data) <= _DATA_BYTES:
            return False
        try:
            socket.send_fds(self._sock, [data], [descriptor])
        except OSError:  # no room now, or nobody there any more
            return False
        return True

    def close(self) -> None:
        """Give and take no more."""
        if not self.closed.is_set():
            self.closed.set()
            self._loop.remove_reader(self._sock.fileno())
            self._sock.close()

    def _readable(self) -> None:
        for _ in range(_PACKETS):
            try:
                data, descriptors, _, _ = socket.recv_fds(self._sock, _DATA_BYTES, 1, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return
            except OSError:
                data, descriptors = b"", []
            if not data:
                self.close()
                return
            for descriptor in descriptors:  # none where this process may not have more
                self._taken(socket.socket(fileno=descriptor), data)


class Giver:
    """The side that connects."""

    def __init__(self, path: Path, taken: Taken) -> None:
        """Give to whoever listens at *path*; what it gives back is *taken*."""
        self._path = path
        self._taken = taken
        self._channel: Channel | None = None

    def __repr__(self) -> str:
        """The channel."""
        return f"<Giver {self._channel!r}>"

    def give(self, descriptor: int, data: bytes) -> bool:
        """See Channel.give."""
        return self._channel is not None and self._channel.give(descriptor, data)

    async def run(self) -> None:
        """Keep a channel open, until cancelled."""
        try:
            while True:
                with contextlib.suppress(OSError):
                    self._channel = Channel(_connected(self._path), self._taken)
                    await self._channel.closed.wait()
                await asyncio.sleep(_RETRY_S)
        finally:
            if self._channel is not None:
                self._channel.close()


class Taker:
    """The side that listens."""

    def __init__(self, path: Path, taken: Taken) -> None:
        """Listen at *path*. Raises OSError where that cannot be had."""
        self._taken = taken
        self._channels: list[Channel] = []
        self._loop = asyncio.get_running_loop()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        path.unlink(missing_ok=True)
        self._listener.bind(str(path))
        self._listener.listen(_BACKLOG)
        self._loop.add_reader(self._listener.fileno(), self._accept)

    def __repr__(self) -> str:
        """How many give."""
        return f"<Taker [{len(self._channels)} channels]>"

    def give(self, descriptor: int, data: bytes) -> bool:
        """Give a connection back to one who gives."""
        return any(channel.give(descriptor, data) for channel in self._channels)

    def close(self) -> None:
        """Take no more."""
        self._loop.remove_reader(self._listener.fileno())
        self._listener.close()
        for channel in self._channels:
            channel.close()

    def _accept(self) -> None:
        self._channels = [channel for channel in self._channels if not channel.closed.is_set()]
        with contextlib.suppress(OSError):
            self._channels.append(Channel(self._listener.accept()[0], self._taken))


def _connected(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    try:
        sock.connect(str(path))
    except OSError:
        sock.close()
        raise
    return sock
