"""A request and its answer on the wire: raw bytes in, raw bytes out."""

import asyncio
import contextlib

import pytest

from tests.eventing.http.wire import GET, echo


async def test_a_request_in_one_read_is_answered_in_one_piece(start, connect):
    """The common case: a head, a body of known length, a small answer; and the connection stays."""
    wire = await connect(await start(echo))
    for _ in range(2):
        wire.send(b"POST /a?b HTTP/1.1", b"host: x", b"content-length: 5", body=b"hello")

        assert await wire.head() == [b"HTTP/1.1 200 OK", b"content-length: 5"]
        assert await wire.exactly(5) == b"hello"


async def test_the_exchange_shows_the_request(start, connect):
    """Method, target, lower-case names, values without white space at their end, and the client's address."""
    seen = []

    def handle(exchange):
        seen.append((exchange.method, exchange.target, exchange.headers, exchange.peer))
        exchange.respond(204)

    wire = await connect(await start(handle))
    wire.send(b"PUT /a/b?c=d HTTP/1.1", b"Host: x", b"CE-Id:  1 \t")

    assert await wire.head() == [b"HTTP/1.1 204 No Content"]
    assert seen == [(b"PUT", b"/a/b?c=d", [(b"host", b"x"), (b"ce-id", b"1")], "127.0.0.1")]


async def test_a_request_may_come_byte_by_byte(start, connect):
    """Where reads end does not matter."""
    wire = await connect(await start(echo))
    request = (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
               b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    for index in range(len(request)):
        wire.writer.write(request[index:index + 1])
        await wire.writer.drain()
        await asyncio.sleep(0)

    assert await wire.answer() == (200, b"abcde")


async def test_requests_sent_ahead_are_answered_in_order(start, connect):
    """A thousand requests in one write, answered later and at once in turns, come back in order."""
    loop = asyncio.get_running_loop()

    def handle(exchange):
        late = exchange.target.endswith(b"0")
        then = (lambda body: loop.call_soon(exchange.respond, 200, (), body)) if late else (
            lambda body: exchange.respond(200, (), body))
        exchange.collect(1000, then)

    wire = await connect(await start(handle))
    for index in range(1000):
        wire.send(b"POST /%d HTTP/1.1" % index, b"host: x", b"content-length: 4", body=b"%04d" % index)

    assert [await wire.answer() for _ in range(1000)] == [(200, b"%04d" % index) for index in range(1000)]


async def test_the_next_request_waits_for_the_answer_before(start, connect, until):
    """One exchange at a time: the handler does not see the second before it has answered the first."""
    seen = []
    wire = await connect(await start(seen.append))
    wire.send(*GET)
    wire.send(*GET)
    await until(lambda: seen)
    await asyncio.sleep(0)

    assert len(seen) == 1
    seen[0].respond(204)
    await until(lambda: len(seen) == 2)
    seen[1].respond(204)
    assert [await wire.head(), await wire.head()] == [[b"HTTP/1.1 204 No Content"]] * 2


@pytest.mark.parametrize(("request_lines", "expected"), [
    ((b"GET / HTTP/1.0",), [b"content-length: 2", b"connection: close"]),
    ((b"GET / HTTP/1.0", b"connection: keep-alive"), [b"content-length: 2", b"connection: keep-alive"]),
    ((*GET, b"connection: close"), [b"content-length: 2", b"connection: close"]),
    ((*GET, b"connection: keep-alive"), [b"content-length: 2"]),
])
async def test_the_connection_is_kept_as_the_client_asks(start, connect, request_lines, expected):
    """HTTP/1.0 closes unless told otherwise, HTTP/1.1 the other way round; the answer says which."""
    wire = await connect(await start(lambda exchange: exchange.respond(200, (), b"ok")))
    wire.send(*request_lines)

    assert await wire.head() == [b"HTTP/1.1 200 OK", *expected]
    assert await wire.exactly(2) == b"ok"
    if b"connection: close" in expected:
        assert await wire.rest() == b""


@pytest.mark.parametrize(("request_line", "status", "expected"), [
    (b"HEAD / HTTP/1.1", 200, [b"HTTP/1.1 200 OK", b"content-length: 4"]),
    (b"GET / HTTP/1.1", 204, [b"HTTP/1.1 204 No Content"]),
    (b"GET / HTTP/1.1", 304, [b"HTTP/1.1 304 Not Modified"]),
])
@pytest.mark.parametrize("streamed", [False, True])
async def test_answers_without_a_body(start, connect, *, request_line, status, expected, streamed):
    """HEAD, 204 and 304 have none, whatever the handler gives, so the next answer is found."""

    def handle(exchange):
        if streamed:
            exchange.start(status, [(b"content-length", b"4")] if status == 200 else [])
            exchange.write(b"body")
            exchange.end()
        else:
            exchange.respond(status, (), b"body")

    wire = await connect(await start(handle))
    wire.send(request_line, b"host: x")
    wire.send(request_line, b"host: x")

    assert [await wire.head(), await wire.head()] == [expected, expected]


async def test_a_streamed_answer_is_chunked_or_as_long_as_it_says(start, connect):
    """Without Content-Length in chunks; HTTP/1.0 gets bytes until the end."""

    def handle(exchange):
        exchange.start(200, [(b"content-length", b"6")] if exchange.target == b"/long" else [])
        exchange.write(b"abc")
        exchange.write(b"def")
        exchange.end()

    server = await start(handle)
    wire = await connect(server)
    wire.send(*GET)
    assert await wire.head() == [b"HTTP/1.1 200 OK", b"transfer-encoding: chunked"]
    assert await wire.exactly(21) == b"3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"
    wire.send(b"GET /long HTTP/1.1", b"host: x")
    assert await wire.answer() == (200, b"abcdef")
    wire.send(b"GET / HTTP/1.0")
    assert await wire.head() == [b"HTTP/1.1 200 OK", b"connection: close"]
    assert await wire.rest() == b"abcdef"


@pytest.mark.parametrize("written", [b"abc", b"abcdefghi"])
async def test_an_answer_of_the_wrong_length_is_cut(start, connect, written):
    """Nobody takes too little for a whole answer, or too much for the next one."""

    def handle(exchange):
        exchange.start(200, [(b"content-length", b"6")])
        exchange.write(written)
        exchange.end()

    wire = await connect(await start(handle))
    wire.send(*GET)

    with contextlib.suppress(ConnectionError):
        assert len((await wire.rest()).partition(b"\r\n\r\n")[2]) < 6


@pytest.mark.parametrize("headers", [
    [(b"x", b"a\r\nset-cookie: b")], [(b"x", b"a\nb")], [(b"x\r\ny", b"a")], [(b"x", b"\0")], [(b"", b"a")],
    [(b"x", b"a\r")],
])
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_line_break_in_a_header_never_leaves(start, connect, headers, streamed):
    """An answer that would smuggle a header becomes 500."""

    def handle(exchange):
        if streamed:
            exchange.start(200, headers)
            exchange.end()
        else:
            exchange.respond(200, headers)

    wire = await connect(await start(handle))
    wire.send(*GET)

    assert await wire.answer() == (500, b"internal error\n")


@pytest.mark.parametrize("streamed", [False, True])
async def test_framing_is_the_connections_business(start, connect, streamed):
    """Headers that a handler copied from another message do not contradict what is sent."""
    copied = [(b"transfer-encoding", b"chunked"), (b"connection", b"close"), (b"content-length", b"2")]

    def handle(exchange):
        if streamed:
            exchange.start(200, copied)
            exchange.write(b"ok")
            exchange.end()
        else:
            exchange.respond(200, copied, b"ok")

    wire = await connect(await start(handle))
    for _ in range(2):
        wire.send(*GET)
        assert await wire.head() == [b"HTTP/1.1 200 OK", b"content-length: 2"]
        assert await wire.exactly(2) == b"ok"


@pytest.mark.parametrize("late", [False, True])
async def test_a_handler_that_raises_gives_500(start, connect, late):
    """And the server goes on."""

    def boom(*_):
        raise RuntimeError("boom")

    server = await start(lambda exchange: exchange.collect(100, boom) if late else boom())
    for _ in range(2):
        wire = await connect(server)
        wire.send(*GET)
        assert await wire.answer() == (500, b"internal error\n")


async def test_a_second_answer_is_ignored(start, connect):
    """A handler need not remember that it has answered."""

    def handle(exchange):
        exchange.respond(200, (), b"one")
        exchange.respond(200, (), b"two")
        exchange.start(200, [])
        exchange.write(b"three")
        exchange.end()

    wire = await connect(await start(handle))
    wire.send(*GET)
    wire.send(*GET)

    assert [await wire.answer(), await wire.answer()] == [(200, b"one"), (200, b"one")]
