"""Who sends what nobody can read, too much, too slowly or too often."""

import asyncio

import pytest

from tests.eventing.http.wire import GET, echo

TOO_LARGE = b"the head is larger than the limit of 65536 bytes"


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


@pytest.mark.parametrize("line", [b"GET / HTTP/1.1", b"GET http://c.example/ HTTP/1.1", b"GET / HTTP/1.0"])
async def test_two_hosts_are_400(start, connect, line):
    """RFC 9112, section 3.2: whoever checked one of them must not be taken in by the other."""
    wire = await connect(await start(echo))
    wire.send(line, b"host: a.example", b"accept: */*", b"Host: b.example")

    assert await wire.answer() == (400, b"more than one Host header\n")
    assert await wire.rest() == b""


@pytest.mark.parametrize("codings", [
    (b"transfer-encoding: gzip, chunked",), (b"transfer-encoding: gzip", b"Transfer-Encoding: chunked"),
])
async def test_a_coding_beside_chunked_is_501(start, connect, codings):
    """RFC 9112, section 6.1: what it hides is not taken for the body."""
    wire = await connect(await start(echo))
    wire.send(b"POST / HTTP/1.1", b"host: x", *codings, body=b"4\r\nbody\r\n0\r\n\r\n")

    assert await wire.answer() == (501, b"transfer-encoding: nothing but chunked is read here\n")
    assert await wire.rest() == b""


async def test_chunked_in_any_case_and_headers_that_may_repeat(start, connect):
    """They are no reason to refuse a request."""
    wire = await connect(await start(echo))
    for coding in (b"chunked", b"Chunked", b" CHUNKED "):
        wire.send(b"POST / HTTP/1.1", b"host: x", b"accept: a", b"accept: b", b"transfer-encoding:" + coding,
                  body=b"4\r\nbody\r\n0\r\n\r\n")
        assert await wire.answer() == (200, b"body")


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
