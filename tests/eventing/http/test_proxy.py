"""Exchanges that cross two connections: nothing is lost, added, or kept waiting."""

import asyncio
import contextlib

import pytest

from eventing.errors import NoAnswer
from eventing.http.proxy import Proxy
from tests.eventing.http.wire import GET, LOOKS_OFTEN


@pytest.fixture
async def front(stack, start, client, connect):
    """Make a proxy in front of an address; connections to it speak raw bytes."""
    group = await stack.enter_async_context(asyncio.TaskGroup())
    proxy = Proxy(client, group)

    class Front:
        def __init__(self, address):
            self.address = address
            self.forwards = []
            self.log = []

        def handle(self, exchange):
            self.forwards.append(proxy.forward(exchange, self.address, on_answer=self.log.append,
                                               on_end=lambda: self.log.append("end")))

        async def connect(self):
            return await connect(self.server)

    async def front(server_or_port, **limits):
        port = server_or_port if isinstance(server_or_port, int) else server_or_port.port
        made = Front(("127.0.0.1", port))
        made.server = await start(made.handle, **limits)
        return made

    return front


async def test_requests_and_answers_cross_as_they_are(front, start):
    """But for what belongs to one hop, and for where the request came from."""
    seen = []

    def handle(exchange):
        def answer(body):
            seen.append((exchange.method, exchange.target, dict(exchange.headers), body))
            exchange.respond(201, [(b"x", b"y"), (b"keep-alive", b"z")], b"answer")

        exchange.collect(100, answer)

    made = await front(await start(handle))
    wire = await made.connect()
    for _ in range(2):
        wire.send(b"PUT /a?b HTTP/1.1", b"host: h", b"connection: x-mine", b"x-mine: 1", b"te: trailers",
                  b"ce-id: 1", b"x-forwarded-for: 10.0.0.1", b"content-length: 4", body=b"body")
        assert await wire.head() == [b"HTTP/1.1 201 Created", b"x: y", b"content-length: 6"]
        assert await wire.exactly(6) == b"answer"

    assert seen == 2 * [(b"PUT", b"/a?b", {
        b"host": b"h", b"ce-id": b"1", b"content-length": b"4", b"x-forwarded-for": b"10.0.0.1, 127.0.0.1",
        b"x-forwarded-proto": b"http", b"x-forwarded-host": b"h",
        b"forwarded": b'for=10.0.0.1;host="h";proto=http, for=127.0.0.1'}, b"body")]
    assert made.log == [201, "end"] * 2


@pytest.mark.parametrize(("said", "forwarded"), [
    ((), b'for=127.0.0.1;host="h";proto=http'),
    ((b"x-forwarded-for: ::1, 8.8.8.8", b"x-forwarded-proto: https", b"x-forwarded-host: shop.example"),
     b'for="[::1]";host="shop.example";proto=https, for=8.8.8.8, for=127.0.0.1'),
    ((b"x-forwarded-for: 8.8.8.8:80", b'x-forwarded-for: [::1]:80, , a"b c'),
     b'for="8.8.8.8:80";host="h";proto=http, for="[::1]:80", for="ab c", for=127.0.0.1'),
    ((b"x-forwarded-proto: https, http",), b'for=127.0.0.1;host="h";proto=https'),
    ((b'x-forwarded-proto: x;y="z"', b'x-forwarded-host: a"b'), b'for=127.0.0.1;host="ab";proto="x;y=z"'),
    ((b"forwarded: for=9.9.9.9", b"x-forwarded-for: 8.8.8.8", b"x-forwarded-proto: https"),
     b'for=9.9.9.9, for=127.0.0.1;host="h";proto=http'),
])
async def test_forwarded_agrees_with_what_was_said(front, start, said, forwarded):
    """RFC 7239's header is made of X-Forwarded-* where the client sent none; its own gets our element."""
    seen = []

    def handle(exchange):
        seen.extend(value for name, value in exchange.headers if name == b"forwarded")
        exchange.respond(200)

    wire = await (await front(await start(handle))).connect()
    wire.send(b"GET / HTTP/1.1", b"host: h", *said)
    assert (await wire.answer())[0] == 200
    assert seen == [forwarded]


async def test_an_answers_headers_for_one_hop_stay_there(front, start_raw):
    """Connection, what it names, and its relatives."""

    async def script(wire):
        await wire.head()
        wire.writer.write(b"HTTP/1.1 200 OK\r\nconnection: x-hop, close\r\nx-hop: 1\r\nkeep-alive: 5\r\n"
                          b"x: y\r\ncontent-length: 0\r\ndate: then\r\n\r\n")

    wire = await (await front(await start_raw(script))).connect()
    for _ in range(2):
        wire.send(*GET)
        raw = await wire.exactly(len(b"HTTP/1.1 200 OK\r\nx: y\r\ncontent-length: 0\r\ndate: then\r\n\r\n"))
        assert raw == b"HTTP/1.1 200 OK\r\nx: y\r\ncontent-length: 0\r\ndate: then\r\n\r\n"


async def test_bodies_of_unknown_length_cross_in_chunks(front, start):
    """Both ways."""

    def handle(exchange):
        def answer(body):
            exchange.start(200, [])
            exchange.write(body)
            exchange.end()

        assert exchange.is_chunked
        exchange.collect(100, answer)

    wire = await (await front(await start(handle))).connect()
    wire.send(b"POST / HTTP/1.1", b"host: x", b"transfer-encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n")
    assert await wire.head() == [b"HTTP/1.1 200 OK", b"transfer-encoding: chunked"]
    assert await wire.exactly(15) == b"5\r\nhello\r\n0\r\n\r\n"


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304)])
async def test_answers_without_a_body_cross(front, start, method, status):
    """And the connection goes on."""
    wire = await (await front(await start(lambda exchange: exchange.respond(status, (), b"body")))).connect()
    for _ in range(2):
        wire.send(method + b" / HTTP/1.1", b"host: x")
        assert (await wire.head())[0].startswith(b"HTTP/1.1 %d " % status)


@pytest.mark.parametrize("size_bytes", [1000, 200_000])
async def test_expect_is_answered_here(front, start, size_bytes):
    """The body crosses after our 100."""
    wire = await (await front(await start(lambda exchange: exchange.collect(
        size_bytes, lambda body: exchange.respond(200, (), b"%d" % len(body)))))).connect()
    wire.send(b"POST / HTTP/1.1", b"host: x", b"content-length: %d" % size_bytes, b"expect: 100-continue")
    assert await wire.head() == [b"HTTP/1.1 100 Continue"]
    wire.writer.write(b"x" * size_bytes)

    assert await wire.answer() == (200, b"%d" % size_bytes)


async def test_nobody_there_is_502(front):
    """With the reason; and the client's connection stays."""
    made = await front(1)
    wire = await made.connect()
    for _ in range(2):
        wire.send(*GET)
        status, body = await wire.answer()
        assert status == 502
        assert body.startswith(b"no answer from upstream: refused: ")

    assert made.log == ["end"] * 2


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent"])
async def test_no_answer_is_502(front, start_raw, answer):
    """Whether closed, unreadable or half a head."""

    async def script(wire):
        await wire.head()
        wire.writer.write(answer)

    wire = await (await front(await start_raw(script))).connect()
    wire.send(*GET)

    assert (await wire.answer())[0] == 502


async def test_half_an_answer_is_cut(front, start_raw):
    """The client sees that it is not whole."""

    async def script(wire):
        await wire.head()
        wire.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")

    made = await front(await start_raw(script))
    wire = await made.connect()
    wire.send(*GET)
    with contextlib.suppress(ConnectionError):
        assert not (await wire.rest()).endswith(b"\r\n\r\n0123456789")

    assert made.log == [200, "end"]


async def test_giving_up_from_outside(front, start, until):
    """Whoever forwards may end it: the client gets 504, the server a closed connection."""
    left = []

    def handle(exchange):
        exchange.on_disconnect = lambda: left.append(exchange)

    made = await front(await start(handle))
    wire = await made.connect()
    wire.send(*GET)
    await until(lambda: made.forwards)
    made.forwards[0].fail(NoAnswer("timeout", "too slow"))

    assert await wire.answer() == (504, b"no answer from upstream: timeout: too slow\n")
    made.forwards[0].fail(NoAnswer("timeout", "again"))
    assert made.log == ["end"]


@pytest.mark.parametrize("request_lines", [GET, (b"POST / HTTP/1.1", b"host: x", b"content-length: 5")])
async def test_a_client_that_leaves_takes_its_request_along(front, start, until, request_lines):
    """The server learns at once that nobody waits."""
    exchanges = []
    left = []

    def handle(exchange):
        exchange.on_disconnect = lambda: left.append(exchange)
        exchanges.append(exchange)
        exchange.collect(100, lambda _: None)

    made = await front(await start(handle, **LOOKS_OFTEN), **LOOKS_OFTEN)
    wire = await made.connect()
    wire.send(*request_lines)
    await until(lambda: exchanges)
    wire.writer.close()
    await until(lambda: left)

    assert made.log == ["end"]


async def test_a_pooled_connection_that_was_closed_costs_nothing(front, start_raw):
    """The request goes out again with its body, on a new connection."""
    bodies = []

    async def script(wire):
        await wire.head()
        bodies.append(await wire.exactly(5))
        wire.writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await wire.reader.read(1)
        wire.writer.transport.abort()

    made = await front(await start_raw(script))
    wire = await made.connect()
    for _ in range(3):
        wire.send(b"POST / HTTP/1.1", b"host: x", b"content-length: 5", body=b"hello")
        assert await wire.head() == [b"HTTP/1.1 204 No Content"]

    assert bodies == [b"hello"] * 3
    assert made.log == [204, "end"] * 3


async def test_an_upgrade_passes_raw_bytes_both_ways(front, start, until):
    """As WebSockets need it; each side may end first."""
    receivers = []

    class Echo:
        def __init__(self, exchange):
            self.exchange = exchange

        def data(self, chunk):
            self.exchange.write(chunk.upper())

        def end(self):
            self.exchange.write(b"bye")
            self.exchange.end()

        def aborted(self):
            pass

    def handle(exchange):
        assert exchange.wants_upgrade
        receivers.append(Echo(exchange))
        exchange.upgrade([(b"connection", b"upgrade"), (b"upgrade", b"shout")], receivers[-1])

    made = await front(await start(handle))
    wire = await made.connect()
    wire.send(*GET, b"connection: upgrade", b"upgrade: shout", body=b"early")
    assert await wire.head() == [
        b"HTTP/1.1 101 Switching Protocols", b"connection: upgrade", b"upgrade: shout"]
    assert await wire.exactly(5) == b"EARLY"
    wire.writer.write(b"more")
    assert await wire.exactly(4) == b"MORE"
    wire.writer.write_eof()

    assert await wire.rest() == b"bye"
    await until(lambda: made.log == [101, "end"])


async def test_a_refused_upgrade_is_a_plain_answer(front, start):
    """And the connection goes on."""
    wire = await (await front(await start(lambda exchange: exchange.respond(403)))).connect()
    for _ in range(2):
        wire.send(*GET, b"connection: upgrade", b"upgrade: shout")
        assert await wire.answer() == (403, b"")


async def test_a_slow_client_slows_the_server(front, start, until):
    """30 MB do not pile up between them."""
    size_bytes = 30_000_000
    exchanges = []
    wire = await (await front(await start(exchanges.append))).connect()
    wire.send(*GET)
    await until(lambda: exchanges)
    exchange = exchanges[0]
    exchange.start(200, [(b"content-length", b"%d" % size_bytes)])
    exchange.write(b"x" * size_bytes)
    exchange.end()
    await asyncio.sleep(0.05)
    assert not exchange.writable

    assert (await wire.answer()) == (200, b"x" * size_bytes)


async def test_a_slow_server_slows_the_client(front, start, until):
    """An upload does not pile up either."""
    size_bytes = 30_000_000
    exchanges = []

    def handle(exchange):
        exchanges.append(exchange)

    made = await front(await start(handle))
    wire = await made.connect()
    wire.send(b"POST / HTTP/1.1", b"host: x", b"content-length: %d" % size_bytes)
    wire.writer.write(b"x" * size_bytes)
    await until(lambda: exchanges)
    await asyncio.sleep(0.05)
    assert wire.writer.transport.get_write_buffer_size() > 0
    exchange = exchanges[0]
    exchange.collect(size_bytes, lambda body: exchange.respond(200, (), b"%d" % len(body)))

    assert await wire.answer() == (200, b"%d" % size_bytes)
