"""What listens on loopback for a whole run: who triggers send to, and the proxies in between."""

import asyncio

_LIMIT_BYTES = 1 << 20
_BACKLOG = 1024


class Server:
    """Listens on a free port while it is entered."""

    _server = None

    async def __aenter__(self):
        self._server = await asyncio.start_server(self.serve, "127.0.0.1", 0, limit=_LIMIT_BYTES,
                                                  backlog=_BACKLOG)
        return self

    async def __aexit__(self, *_):
        self._server.close()

    @property
    def port(self):
        """Where it listens."""
        return self._server.sockets[0].getsockname()[1]

    async def serve(self, reader, writer):
        """Serve one connection, to its end."""
        raise NotImplementedError
