"""Bodies of requests, and answers that are taken slowly."""

import asyncio

import pytest

from tests.eventing.http.wire import GET, Receiver, echo


async def test_100_continue_is_said_to_who_waits_for_it(start, connect):
    """The body is asked for when the handler wants it."""
    wire = await connect(await start(echo))
    wire.send(b"POST / HTTP/1.1", b"host: x", b"content-length: 2", b"expect: 100-continue")
    assert await wire.head() == [b"HTTP/1.1 100 Continue"]
    wire.writer.write(b"ok")

    assert await wire.answer() == (200, b"ok")


async def test_a_refused_body_is_never_asked_for(start, connect):
    """No 100 before a 404 or a 413."""
    wire = await connect(await start(lambda exchange: exchange.respond(404)))
    wire.send(b"POST / HTTP/1.1", b"host: x", b"content-length: 2", b"expect: 100-continue")
    assert await wire.head() == [b"HTTP/1.1 404 Not Found", b"content-length: 0", b"connection: close"]
    wire = await connect(await start(echo))
    wire.send(b"POST / HTTP/1.1", b"host: x", b"content-length: 1001", b"expect: 100-continue")
    assert await wire.answer() == (413, b"the body is larger than the limit of 1000 bytes\n")
    wire = await connect(await start(echo))
    wire.send(b"POST / HTTP/1.1", b"host: x", b"content-length: 2", b"expect: miracles")
    assert (await wire.answer())[0] == 417


@pytest.mark.parametrize(("framing", "sent"), [
    (b"content-length: 1001", b""),
    (b"content-length: 1001", b"x" * 1001),
    (b"content-length: 10000000", b"x" * 1_000_000),
    (b"transfer-encoding: chunked", b"3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n"),
    (b"transfer-encoding: chunked", b"100000\r\n" + b"x" * 1_000_000),
])
async def test_a_body_over_the_limit_is_413_naming_the_limit(start, connect, framing, sent):
    """Even while it is still being sent: the client can read why, it is not reset."""
    wire = await connect(await start(echo))
    wire.send(b"POST / HTTP/1.1", b"host: x", framing, body=sent)

    assert await wire.answer() == (413, b"the body is larger than the limit of 1000 bytes\n")


async def test_a_body_that_nobody_reads_does_not_disturb_the_next_request(start, connect):
    """A small one is read over, so the connection stays."""
    wire = await connect(await start(lambda exchange: exchange.respond(404)))
    for _ in range(2):
        wire.send(b"POST / HTTP/1.1", b"host: x", b"content-length: 5000", body=b"x" * 4000)
        assert await wire.answer() == (404, b"")
        wire.writer.write(b"y" * 1000)


async def test_a_streamed_body_arrives_as_it_comes(start, connect, until):
    """data, data, end; and the answer may start in between."""
    receiver = Receiver()
    exchanges = []

    def handle(exchange):
        exchanges.append(exchange)
        exchange.stream(receiver)

    wire = await connect(await start(handle))
    wire.send(b"POST / HTTP/1.1", b"host: x", b"content-length: 6", body=b"abc")
    await until(lambda: receiver.chunks == [b"abc"])
    wire.writer.write(b"def")
    await until(lambda: receiver.state == "ended")
    exchanges[0].respond(200)

    assert receiver.chunks == [b"abc", b"def"]
    assert await wire.answer() == (200, b"")


async def test_a_body_whose_client_leaves_is_aborted(start, connect, until):
    """The receiver and the handler hear of it, once each."""
    receiver = Receiver()
    left = []

    def handle(exchange):
        exchange.on_disconnect = lambda: left.append(exchange)
        exchange.stream(receiver)

    wire = await connect(await start(handle))
    wire.send(b"POST / HTTP/1.1", b"host: x", b"content-length: 6", body=b"abc")
    await until(lambda: receiver.chunks)
    wire.writer.close()
    await until(lambda: receiver.state == "aborted")

    assert len(left) == 1


async def test_a_paused_body_stops_the_client(start, connect, until):
    """Memory holds what is on its way, not what a client can send."""
    receiver = Receiver()
    exchanges = []

    def handle(exchange):
        exchanges.append(exchange)
        exchange.pause_body()
        exchange.stream(receiver)

    size_bytes = 30_000_000
    server = await start(handle)
    wire = await connect(server)
    wire.send(b"POST / HTTP/1.1", b"host: x", b"content-length: %d" % size_bytes)
    await until(lambda: exchanges)
    wire.writer.write(b"x" * size_bytes)
    await asyncio.sleep(0.05)
    assert sum(map(len, receiver.chunks)) < 1_000_000
    exchanges[0].resume_body()
    await until(lambda: receiver.state == "ended")

    assert sum(map(len, receiver.chunks)) == size_bytes


async def test_a_body_nobody_has_asked_for_yet_stops_the_client(start, connect, until):
    """A handler that thinks first does not fill memory; it gets everything when it asks."""
    exchanges = []
    wire = await connect(await start(exchanges.append))
    size_bytes = 10_000_000
    wire.send(b"POST / HTTP/1.1", b"host: x", b"content-length: %d" % size_bytes)
    await until(lambda: exchanges)
    wire.writer.write(b"x" * size_bytes)
    await asyncio.sleep(0.05)
    exchange = exchanges[0]
    assert exchange.received_bytes < 1_000_000
    exchange.collect(size_bytes, lambda body: exchange.respond(200, (), b"%d" % len(body)))

    assert await wire.answer() == (200, b"10000000")


async def test_a_slow_reader_is_noticed_and_waited_for(start, connect, until):
    """`writable` falls when the client does not read and `on_drain` tells when it has."""
    exchanges = []
    drained = asyncio.Event()
    wire = await connect(await start(exchanges.append))
    wire.send(*GET)
    await until(lambda: exchanges)
    exchange = exchanges[0]
    exchange.on_drain = drained.set
    exchange.start(200, [])
    while exchange.writable:
        exchange.write(b"x" * 100_000)
        await asyncio.sleep(0)
    reading = asyncio.get_running_loop().create_task(wire.rest())
    async with asyncio.timeout(5):
        await drained.wait()
    exchange.end()
    exchange.keep_alive = False
    wire.writer.write_eof()
    assert (await reading).endswith(b"0\r\n\r\n")
