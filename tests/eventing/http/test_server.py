"""The server on the wire: raw requests in, raw answers out."""

import asyncio
import contextlib
import socket

import pytest

GET = (b"GET / HTTP/1.1", b"host: x")
TOO_LARGE = b"the head is larger than the limit of 65536 bytes"


def echo(exchange):
    """Answer the body."""
    exchange.collect(1000, lambda body: exchange.respond(200, (), body))


class Receiver:
    """Keeps what a streamed body brings."""

    def __init__(self):
        self.chunks = []
        self.state = "open"

    def data(self, chunk):
        self.chunks.append(chunk)

    def end(self):
        self.state = "ended"

    def aborted(self):
        self.state = "aborted"


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


# -- bodies ------------------------------------------------------------------------------------------------


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


# -- bad clients -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("garbage", [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"NONSENSE\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
    b"POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
    b"POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
    b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nnot hex\r\n",
    b"GET / HTTP/1.1\r\nhost: x\r\nx: a\x00b\r\n\r\n",
])
async def test_what_cannot_be_parsed_is_400_and_the_end(start, connect, garbage):
    """One answer, with a reason, then the connection closes."""
    wire = await connect(await start(echo))
    wire.writer.write(garbage)
    answer = await wire.rest()

    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"cannot parse the request" in answer
    assert answer.count(b"HTTP/1.1 ") == 1


async def test_garbage_after_a_request_does_not_cost_its_answer(start, connect, until):
    """What came before is answered first."""
    seen = []
    wire = await connect(await start(seen.append))
    wire.send(*GET)
    wire.writer.write(b"NONSENSE\r\n\r\n")
    await until(lambda: seen)
    seen[0].respond(200, (), b"ok")

    assert await wire.answer() == (200, b"ok")
    assert (await wire.rest()).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(("request_bytes", "complaint"), [
    (b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 200 + b"\r\n", b"more headers than the limit of 128"),
    (b"GET / HTTP/1.1\r\nx: " + b"y" * 70_000 + b"\r\n\r\n", TOO_LARGE),
    (b"GET / HTTP/1.1\r\nx: " + b"y" * 700_000, TOO_LARGE),
    (b"GET /" + b"y" * 700_000, TOO_LARGE),
])
async def test_a_head_over_the_limit_is_431_naming_the_limit(start, connect, request_bytes, complaint):
    """At bounded memory, and before its end if there is none."""
    wire = await connect(await start(echo))
    wire.writer.write(request_bytes)

    assert await wire.answer() == (431, complaint + b"\n")


async def test_chunks_of_endless_decoration_are_refused(start, connect):
    """Extensions and trailers are no way around the limits."""
    big = b"x" * 1_000_000
    trailers = b"x: y\r\n" * 100_000
    for decoration in (b"1;" + big, b"0\r\nx: " + big, b"0\r\n" + trailers):
        wire = await connect(await start(echo))
        wire.send(b"POST / HTTP/1.1", b"host: x", b"transfer-encoding: chunked", body=decoration)
        assert (await wire.answer())[0] == 431


async def test_trailers_are_not_headers(start, connect):
    """What comes after the body cannot change what the head said."""
    seen = []

    def handle(exchange):
        exchange.collect(100, lambda body: (seen.append(exchange.header(b"ce-id")), exchange.respond(204)))

    wire = await connect(await start(handle))
    wire.send(b"POST / HTTP/1.1", b"host: x", b"transfer-encoding: chunked", body=b"0\r\nce-id: 1\r\n\r\n")
    await wire.head()

    assert seen == [None]


@pytest.mark.parametrize(("limit", "sent", "complaint"), [
    ("head_s", b"GET / HT", b"the head took longer than 0.1 s"),
    ("body_s", b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhel",
     b"the body took longer than 0.1 s"),
])
async def test_a_slow_sender_is_408(start, connect, limit, sent, complaint):
    """Slowloris gets an answer and no more of our time."""
    wire = await connect(await start(echo, **{limit: 0.1}))
    wire.writer.write(sent)

    assert await wire.answer() == (408, complaint + b"\n")
    assert await wire.rest() == b""


async def test_an_idle_connection_is_closed_without_a_word(start, connect):
    """After a request, and before one."""
    server = await start(echo, idle_s=0.1)
    silent, polite = await connect(server), await connect(server)
    polite.send(*GET)

    assert await polite.answer() == (200, b"")
    assert [await silent.rest(), await polite.rest()] == [b"", b""]


async def test_a_connection_after_a_long_silence_has_its_full_time(start, connect, until):
    """The server's clock stands still while there is no connection; nobody is idle because of it."""
    server = await start(echo, idle_s=0.4)
    first = await connect(server)
    first.writer.close()
    await until(lambda: server.connections == 0)
    await asyncio.sleep(0.6)
    wire = await connect(server)
    await asyncio.sleep(0.25)  # two ticks
    wire.send(*GET)

    assert await wire.answer() == (200, b"")


async def test_a_client_that_never_reads_is_cut(start, connect, until):
    """An answer that is not taken does not stay in memory for ever."""
    server = await start(lambda exchange: exchange.respond(200, (), b"x" * 30_000_000), write_s=0.2)
    wire = await connect(server)
    wire.send(*GET)
    await until(lambda: server.connections == 1)
    await until(lambda: server.connections == 0)


async def test_too_many_connections_are_refused_with_503(start, connect, until):
    """And when one ends there is room again."""
    server = await start(echo, connections=2)
    first, second = await connect(server), await connect(server)
    for wire in (first, second):
        wire.send(*GET)
        await wire.answer()
    refused = await connect(server)
    assert await refused.answer() == (503, b"too many connections\n")
    first.writer.close()
    refused.writer.close()
    await until(lambda: server.connections == 1)
    third = await connect(server)
    third.send(*GET)
    assert await third.answer() == (200, b"")


async def test_a_client_that_says_it_sends_no_more_is_still_answered(start, connect, until):
    """A half-closed connection: all that was asked is answered, whole or streamed, and then it is closed."""
    left = []
    exchanges = []

    def handle(exchange):
        exchange.on_disconnect = lambda: left.append(exchange)
        exchanges.append(exchange)

    wire = await connect(await start(handle))
    wire.send(*GET, body=b"GET /2 HTTP/1.1\r\nhost: x\r\n\r\n")
    wire.writer.write_eof()
    await until(lambda: exchanges)
    exchanges[0].start(200, [(b"content-length", b"2")])
    exchanges[0].write(b"ok")
    exchanges[0].end()
    await until(lambda: len(exchanges) > 1)
    exchanges[1].respond(200, (), b"two")

    assert await wire.answer() == (200, b"ok")
    assert await wire.answer() == (200, b"two")
    assert await wire.rest() == b""
    assert left == []


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


async def test_a_client_that_sends_no_more_is_sounded(start, connect, until):
    """Where the answer takes a while: one that waits gets a 100 before it, one that is gone is noticed."""
    left = []
    exchanges = []

    def handle(exchange):
        exchange.on_disconnect = lambda: left.append(exchange)
        exchanges.append(exchange)

    server = await start(handle, linger_s=0.2)  # it looks four times as often
    waiting, gone = await connect(server), await connect(server)
    waiting.send(*GET)
    waiting.writer.write_eof()
    await until(lambda: exchanges)
    gone.send(*GET)
    gone.writer.close()
    await until(lambda: left)

    assert left == exchanges[1:]
    assert await waiting.head() == [b"HTTP/1.1 100 Continue"]
    exchanges[0].respond(200, (), b"ok")
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


# -- upgrades ----------------------------------------------------------------------------------------------


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


# -- the end -----------------------------------------------------------------------------------------------


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
