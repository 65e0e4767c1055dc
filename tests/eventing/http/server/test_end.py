"""Where a server listens, and how it ends."""

import asyncio
import socket

import pytest

from tests.eventing.http.wire import GET, echo


async def test_closing_finishes_what_is_in_flight(start, connect, until):
    """Idle connections go at once, the busy one after its answer, nobody new comes in."""
    exchanges = []
    server = await start(exchanges.append)
    idle, busy = await connect(server), await connect(server)
    busy.send(*GET)
    await until(lambda: exchanges and server.connections == 2)
    closing = asyncio.get_running_loop().create_task(server.close(5))
    assert await idle.rest() == b""
    with pytest.raises(ConnectionError):
        await connect(server)
    exchanges[0].respond(200, (), b"ok")

    assert await busy.head() == [b"HTTP/1.1 200 OK", b"content-length: 2", b"connection: close"]
    assert await busy.rest() == b"ok"
    busy.writer.close()
    idle.writer.close()
    await closing
    assert repr(server) == "<Server [0 connections | closing]>"


async def test_closing_cuts_what_is_left_after_the_grace(start, connect, until):
    """A handler that never answers does not hold up the end."""
    exchanges = []
    server = await start(exchanges.append)
    wire = await connect(server)
    wire.send(*GET)
    await until(lambda: exchanges)
    await server.close(0.05)

    assert server.connections == 0


async def test_it_listens_where_it_is_told(start, short_path):
    """On a unix socket's path, and on sockets that somebody else has bound."""
    await start(echo, path=short_path)
    reader, writer = await asyncio.open_unix_connection(str(short_path))
    writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    assert (await reader.readline()) == b"HTTP/1.1 200 OK\r\n"
    writer.close()
    sock = socket.create_server(("127.0.0.1", 0))
    server = await start(echo, sock=sock)
    assert server.port == sock.getsockname()[1]
