"""Connections beyond the limit are told so, however many they are."""

import asyncio
import contextlib
import socket

GET = (b"GET / HTTP/1.1", b"host: h")


async def test_a_crowd_is_refused_with_503(start, connect):
    """Each connection beyond the limit gets a 503, also where there are more than may wait for theirs."""
    server = await start(lambda exchange: exchange.respond(200), connections=1)
    first = await connect(server)
    first.send(*GET)
    assert (await first.answer())[0] == 200
    crowd = [await connect(server) for _ in range(300)]
    answers = await asyncio.gather(*(wire.answer() for wire in crowd))
    assert set(answers) == {(503, b"too many connections\n")}
    first.send(*GET)
    assert (await first.answer())[0] == 200


async def test_one_of_a_crowd_that_has_asked(start, connect):
    """Also one that has sent its request before it is refused."""
    server = await start(lambda exchange: exchange.respond(200), connections=1)
    crowd = [await connect(server) for _ in range(200)]

    def ask():
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
            with contextlib.suppress(ConnectionError):
                sock.sendall(b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 20000\r\n\r\n" + bytes(20000))
            return sock.recv(12)

    assert {await asyncio.to_thread(ask) for _ in range(20)} == {b"HTTP/1.1 503"}
    assert len(crowd) == 200
