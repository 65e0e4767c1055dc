"""Clients that send no more, or are gone, while their request is at work."""

import pytest

from tests.eventing.http.wire import GET


async def test_a_client_that_says_it_sends_no_more_is_still_answered(start, connect, until, silent):
    """A half-closed connection: all that was asked is answered, whole or streamed, and then it is closed."""
    wire = await connect(await start(silent.handle))
    wire.send(*GET, body=b"GET /2 HTTP/1.1\r\nhost: x\r\n\r\n")
    wire.writer.write_eof()
    await until(lambda: silent.exchanges)
    silent.exchanges[0].start(200, [(b"content-length", b"2")])
    silent.exchanges[0].write(b"ok")
    silent.exchanges[0].end()
    await until(lambda: len(silent.exchanges) > 1)
    silent.exchanges[1].respond(200, (), b"two")

    assert await wire.answer() == (200, b"ok")
    assert await wire.answer() == (200, b"two")
    assert await wire.rest() == b""
    assert silent.left == []


async def test_a_client_that_leaves_a_stream_is_noticed_at_once(start, connect, until):
    """Nobody waits for the next chunk, which may never come, to tell that the client has closed."""
    left = []
    exchanges = []

    def handle(exchange):
        exchange.on_disconnect = lambda: left.append(exchange)
        exchange.start(200, ())
        exchange.write(b"one")
        exchanges.append(exchange)

    wire = await connect(await start(handle))
    wire.send(*GET)
    await wire.head()
    wire.writer.close()

    await until(lambda: left)
    assert left == exchanges


async def test_a_client_that_sends_no_more_is_sounded(start, connect, until, silent):
    """Where the answer takes a while: one that waits gets a 100 before it, one that is gone is noticed."""
    server = await start(silent.handle, linger_s=0.2)  # it looks four times as often
    waiting, gone = await connect(server), await connect(server)
    waiting.send(*GET)
    waiting.writer.write_eof()
    await until(lambda: silent.exchanges)
    gone.send(*GET)
    gone.writer.close()
    await until(lambda: silent.left)

    assert silent.left == silent.exchanges[1:]
    assert await waiting.head() == [b"HTTP/1.1 100 Continue"]
    silent.exchanges[0].respond(200, (), b"ok")
    assert await waiting.answer() == (200, b"ok")


@pytest.mark.parametrize("part", [
    b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nabc", b"GET / HT",
])
async def test_a_request_that_is_cut_off_is_400(start, connect, part):
    """The client says that it sends no more in the middle of a body, or of a head; its handler is told."""
    left = []

    def handle(exchange):
        exchange.on_disconnect = lambda: left.append(exchange)
        exchange.collect(100, lambda _: None)

    wire = await connect(await start(handle))
    wire.writer.write(part)
    wire.writer.write_eof()

    assert await wire.answer() == (400, b"the request was not sent to its end\n")
    assert await wire.rest() == b""
    assert len(left) == (1 if part.startswith(b"POST") else 0)


async def test_answering_after_the_client_left_does_nothing(start, connect, until):
    """A handler may be late."""
    exchanges = []
    server = await start(exchanges.append)
    wire = await connect(server)
    wire.send(b"POST / HTTP/1.1", b"host: x", b"content-length: 1")
    await until(lambda: exchanges)
    wire.writer.transport.abort()
    await until(lambda: server.connections == 0)
    exchange = exchanges[0]
    exchange.respond(200)
    exchange.start(200, [])
    exchange.write(b"x")
    exchange.end()

    assert repr(exchange) == "<Exchange POST / [answered]>"
