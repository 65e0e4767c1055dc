"""Connections that ask for another protocol."""

import asyncio

import pytest

from tests.eventing.http.wire import GET, Receiver, echo


async def test_an_upgrade_passes_raw_bytes_both_ways(start, connect, until):
    """What came right behind the request too, and each side ends by itself."""
    receiver = Receiver()
    exchanges = []

    def handle(exchange):
        assert exchange.wants_upgrade
        exchanges.append(exchange)

    wire = await connect(await start(handle))
    wire.send(*GET, b"connection: Upgrade", b"upgrade: websocket", body=b"early")
    await until(lambda: exchanges)
    exchange = exchanges[0]
    exchange.upgrade([(b"upgrade", b"websocket"), (b"connection", b"upgrade")], receiver)
    assert await wire.head() == [
        b"HTTP/1.1 101 Switching Protocols", b"upgrade: websocket", b"connection: upgrade"]
    wire.writer.write(b"GET / HTTP/1.1\r\n\r\n")
    await until(lambda: b"".join(receiver.chunks) == b"earlyGET / HTTP/1.1\r\n\r\n")
    exchange.write(b"raw")
    assert await wire.exactly(3) == b"raw"
    wire.writer.write_eof()
    await until(lambda: receiver.state == "ended")
    exchange.write(b"bye")
    exchange.end()

    assert await wire.rest() == b"bye"


@pytest.mark.parametrize("pause", [False, True])
async def test_an_upgrade_that_is_not_granted_is_a_plain_request(start, connect, pause):
    """The connection goes on with HTTP, what was sent ahead included."""
    loop = asyncio.get_running_loop()

    def handle(exchange):
        if pause:
            loop.call_soon(exchange.respond, 200, (), b"no")
        else:
            exchange.respond(200, (), b"no")

    wire = await connect(await start(handle))
    for _ in range(3):
        wire.send(*GET, b"connection: upgrade, http2-settings", b"upgrade: h2c", b"http2-settings: ")
    wire.send(*GET)

    assert [await wire.answer() for _ in range(4)] == [(200, b"no")] * 4


@pytest.mark.parametrize(("framing", "body"), [
    (b"content-length: 5", b"hello"), (b"transfer-encoding: chunked", b"5\r\nhello\r\n0\r\n\r\n"),
])
async def test_the_body_of_a_request_that_offers_h2c_is_its_body(start, connect, framing, body):
    """Java's HttpClient and `curl --http2` offer it with every POST."""
    wire = await connect(await start(echo))
    for _ in range(2):
        wire.send(b"POST / HTTP/1.1", b"host: x", b"connection: upgrade", b"upgrade: h2c", framing, body=body)
        assert await wire.answer() == (200, b"hello")
