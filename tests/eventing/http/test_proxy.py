"""Exchanges that cross two connections: nothing is lost, added, or kept waiting."""

import asyncio
import contextlib
import socket
from collections import Counter

import pytest

from eventing.http.proxy import Proxy
from tests.eventing.http.wire import GET, LOOKS_OFTEN, PATIENCE_S


@pytest.fixture
async def front(stack, start, client, connect):
    """Make a proxy in front of an address; connections to it speak raw bytes."""
    group = await stack.enter_async_context(asyncio.TaskGroup())
    proxy = Proxy(client, group)

    class Front:
        def __init__(self, address):
            self.address = address

        def handle(self, exchange):
            proxy.forward(exchange, self.address)

        async def connect(self):
            return await connect(self.server)

    async def front(server_or_port, **limits):
        port = server_or_port if isinstance(server_or_port, int) else server_or_port.port
        made = Front(("127.0.0.1", port))
        made.server = await start(made.handle, **limits)
        return made

    return front


class Away:
    """A proxy in front of a unix socket at which nobody listens, until it is told."""

    def __init__(self, proxy, start, connect, path):
        self.begun = []
        self._proxy = proxy
        self._start = start
        self._connect = connect
        self._path = path

    async def connect(self):
        """A client's connection to the proxy."""
        return await self._connect(self._front)

    async def open(self):
        """Begin to forward."""
        self._front = await self._start(self._handle)

    @contextlib.contextmanager
    def listening(self):
        """A server that only listens; its place is free again behind the block."""
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(self._path))
            server.listen()
            server.settimeout(PATIENCE_S)
            yield server

    async def serve(self):
        """Have a server there that answers how long the body was."""
        self._path.unlink(missing_ok=True)
        await self._start(self._answer, path=self._path)

    def _handle(self, exchange):
        self.begun.append(exchange)
        self._proxy.forward(exchange, str(self._path), absent="it starts")

    def _answer(self, exchange):
        exchange.collect(1 << 20, lambda body: exchange.respond(200, (), b"%d" % len(body)))


@pytest.fixture
async def away(stack, start, client, connect, short_path):
    """A proxy whose server is about to start."""
    group = await stack.enter_async_context(asyncio.TaskGroup())
    away = Away(Proxy(client, group), start, connect, short_path)
    await away.open()
    return away


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
        assert body.startswith(b"no answer from upstream: nothing listens at ")



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



@pytest.mark.parametrize(("method", "answers"), [(b"PUT", [204, 204]), (b"POST", [204, 502])])
async def test_a_connection_that_ends_after_the_request_was_read(front, start_raw, method, answers):
    """What is safe to repeat goes out again with its body, on a new connection; a POST may have been done."""
    bodies = []

    async def script(wire):
        for status in (b"HTTP/1.1 204 No Content\r\n\r\n", b""):
            await wire.head()
            bodies.append(await wire.exactly(5))
            wire.writer.write(status)

    made = await front(await start_raw(script))
    wire = await made.connect()
    for status in answers:
        wire.send(method + b" / HTTP/1.1", b"host: x", b"content-length: 5", body=b"hello")
        assert (await wire.answer())[0] == status

    assert bodies == [b"hello"] * (3 if method == b"PUT" else 2)


async def test_a_pooled_connection_that_was_closed_costs_nothing(front, start_raw, until):
    """A POST goes out on a new one, noticed or not, since nobody has read it."""
    ends = []

    async def script(wire):
        await wire.head()
        await wire.exactly(5)
        wire.writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await wire.writer.drain()
        wire.writer.close()
        ends.append(wire)

    made = await front(await start_raw(script))
    wire = await made.connect()
    for number in (1, 2, 3):
        wire.send(b"POST / HTTP/1.1", b"host: x", b"content-length: 5", body=b"hello")
        assert await wire.head() == [b"HTTP/1.1 204 No Content"]
        await until(lambda number=number: len(ends) == number)


@pytest.mark.parametrize(("size_bytes", "is_answered"), [(5, True), (50_000, False)])
async def test_a_post_that_was_not_read(away, size_bytes, is_answered):
    """Where the server dies with all of it unread it goes to the next one; not where a part may have been."""
    wire = await away.connect()
    with away.listening() as dying:
        wire.send(b"POST / HTTP/1.1", b"host: x", b"content-length: %d" % size_bytes, body=b"x" * size_bytes)
        accepted, _ = await asyncio.to_thread(dying.accept)
        await asyncio.to_thread(accepted.recv, 1, socket.MSG_PEEK)
        if not is_answered:
            await asyncio.to_thread(accepted.recv, 10)
        await away.serve()
        accepted.close()

    assert (await wire.answer())[0] == (200 if is_answered else 502)


async def test_a_server_that_is_started_again_is_waited_for(away, until):
    """Whatever the method: nothing was sent."""
    wires = [await away.connect() for _ in range(2)]
    for wire, method in zip(wires, (b"GET", b"POST"), strict=True):
        wire.send(method + b" / HTTP/1.1", b"host: x", b"content-length: 5", body=b"hello")
    await until(lambda: len(away.begun) == len(wires))
    await away.serve()

    assert [await wire.answer() for wire in wires] == [(200, b"5")] * 2


async def test_one_looks_for_all_who_wait(away, client, until, monkeypatch):
    """However many requests a server that is away holds up, no more than one at a time tries to connect."""
    monkeypatch.setattr("eventing.http.proxy._LOOK_S", 0.01)
    tries = Counter()
    open_ = client.open

    async def count(*args, **kwargs):
        tries[args[4]] += 1
        return await open_(*args, **kwargs)

    monkeypatch.setattr(client, "open", count)
    wires = [await away.connect() for _ in range(20)]
    for wire in wires:
        wire.send(*GET)
    wires.pop(0).writer.close()  # whoever looks may leave
    await until(lambda: len(tries) > len(wires) and max(tries.values()) > 9)
    looking = [forward for forward, number in tries.items() if number > 1]
    assert len(looking) <= 2
    await away.serve()

    assert [await wire.answer() for wire in wires] == [(200, b"0")] * len(wires)


async def test_a_server_that_does_not_come_back(away, monkeypatch):
    """After a while the client gets 503, why, and when to come again."""
    monkeypatch.setattr("eventing.http.proxy._AWAY_S", 0.2)
    wire = await away.connect()
    wire.send(*GET)
    assert await wire.head() == [b"HTTP/1.1 503 Service Unavailable", b"retry-after: 1",
                                 b"content-type: text/plain; charset=utf-8", b"content-length: 10"]


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
