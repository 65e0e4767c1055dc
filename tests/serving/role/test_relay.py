"""Answers and requests that are passed on as the bytes they came as, and those that must not be."""

import asyncio
import contextlib
import socket
import sys

import pytest

# Answers what its path names, byte for byte; what it was asked is in the body of /asked.
RAW = r"""
import os, socket, threading, time
DATE = b"date: Mon, 01 Jan 2024 00:00:00 GMT\r\n"
LENGTH = b"HTTP/1.1 201 Created\r\n" + DATE + b"X-Own: 1\r\ncontent-length: 2\r\n\r\n"
ANSWERS = {
    b"/length": [LENGTH + b"ok"],
    b"/length-halves": [LENGTH + b"o", b"k"],
    b"/length-surplus": [LENGTH + b"okHTTP/1.1 "],
    b"/chunked": [b"HTTP/1.1 200 OK\r\n" + DATE + b"transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"],
    b"/empty": [b"HTTP/1.1 204 No Content\r\n" + DATE + b"\r\n"],
    b"/hop": [b"HTTP/1.1 200 OK\r\n" + DATE + b"Connection: keep-alive, x-secret\r\nKeep-Alive: timeout=5\r\n"
              b"X-Secret: 1\r\ncontent-length: 2\r\n\r\nok"],
    b"/dateless": [b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"],
    b"/halves": [b"HTTP/1.1 200 OK\r\n" + DATE + b"content-length: 4\r\n\r\nok", b"ok"],
    b"/head-first": [b"HTTP/1.1 200 OK\r\n" + DATE + b"transfer-encoding: chunked\r\n\r\n",
                     b"2\r\nok\r\n0\r\n\r\n"],
    b"/trailers": [b"HTTP/1.1 200 OK\r\n" + DATE + b"Trailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n"
                   b"2\r\nok\r\n0\r\nX-Sum: 7\r\nKeep-Alive: 9\r\n\r\n"],
    b"/interim": [b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\nHTTP/1.1 200 OK\r\n" + DATE
                  + b"content-length: 2\r\n\r\nok"],
}
def serve(connection):
    data = b""
    while True:
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                return
            data += more
        head, _, data = data.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        size = sum(int(line.split(b":")[1]) for line in lines if line.lower().startswith(b"content-length:"))
        while len(data) < size:
            data += connection.recv(65536)
        if b"transfer-encoding" in head:
            while b"\r\n0\r\n" not in data or not data.endswith(b"\r\n\r\n"):
                data += connection.recv(65536)
            size = len(data)
        body, data = data[:size], data[size:]
        path = lines[0].split()[1]
        said = head + b"\r\n\r\n" + body
        asked = b"HTTP/1.1 200 OK\r\n" + DATE + b"content-length: %d\r\n\r\n" % len(said) + said
        for part in ANSWERS.get(path, [asked]):
            connection.sendall(part)
            time.sleep(0.05 if len(ANSWERS.get(path, ())) > 1 else 0)
server = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""
GET = b"GET %b HTTP/1.1\r\nhost: a\r\n%b\r\n"


class Client:
    """Raw bytes to the activator."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    async def ask(self, path, *, lines=b"", end=b"ok"):
        """Send a request; the answer up to *end*."""
        self.writer.write(GET % (path, lines))
        async with asyncio.timeout(10):
            return await self.reader.readuntil(end)


@pytest.fixture
async def warm(house):
    """A connection to the activator, before a revision whose worker runs already."""
    await house.revision("a", code=RAW, command=[sys.executable], args=["func.py"])
    await house.ask("a")
    reader, writer = await asyncio.open_unix_connection(house.config.activator_socket)
    yield Client(reader, writer)
    writer.close()


async def test_whole_answers_pass_as_they_are(warm):
    """Status, names, date and framing of an answer that came whole are the worker's own."""
    assert await warm.ask(b"/length") == (b"HTTP/1.1 201 Created\r\ndate: Mon, 01 Jan 2024 00:00:00 GMT\r\n"
                                          b"X-Own: 1\r\ncontent-length: 2\r\n\r\nok")
    assert await warm.ask(b"/chunked", end=b"0\r\n\r\n") == (
        b"HTTP/1.1 200 OK\r\ndate: Mon, 01 Jan 2024 00:00:00 GMT\r\n"
        b"transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
    assert (await warm.ask(b"/empty", end=b"\r\n\r\n")).startswith(b"HTTP/1.1 204 No Content\r\n")


async def test_what_is_for_one_hop_stays_there(warm):
    """Connection and what it names do not pass; a date is added where there is none."""
    answer = (await warm.ask(b"/hop")).lower()
    assert b"x-secret" not in answer
    assert b"keep-alive" not in answer
    assert b"date: " in await warm.ask(b"/dateless")


async def test_what_comes_beside_an_answer(warm, house):
    """Early hints pass before an answer and trailers behind it; not to a client of HTTP/1.0."""
    for _ in range(2):
        hinted = await warm.ask(b"/interim")
        assert hinted.startswith(b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\nHTTP/1.1 200 OK\r\n")
        trailed = await warm.ask(b"/trailers", end=b"x-sum: 7\r\n\r\n")
        assert b"\r\ntrailer: x-sum\r\n" in trailed.lower()
        assert trailed.endswith(b"\r\n2\r\nok\r\n0\r\nx-sum: 7\r\n\r\n")
    for path in (b"/interim", b"/trailers"):
        reader, writer = await asyncio.open_unix_connection(house.config.activator_socket)
        writer.write(b"GET %b HTTP/1.0\r\nhost: a\r\n\r\n" % path)
        async with asyncio.timeout(10):
            answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.endswith(b"\r\n\r\nok")


async def test_trailers_of_a_request(warm):
    """What stands behind a request's body reaches the worker there, but for what belongs into a head."""
    warm.writer.write(b"POST /chunks HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
                      b"2\r\nab\r\n0\r\nX-Sum: 7\r\nKeep-Alive: 9\r\n\r\n")
    async with asyncio.timeout(10):
        answer = await warm.reader.readuntil(b"x-sum: 7\r\n\r\n")
    assert answer.endswith(b"\r\n\r\n2\r\nab\r\n0\r\nx-sum: 7\r\n\r\n")


async def test_answers_that_come_in_parts(warm):
    """What does not come whole is passed on part by part, and the connection goes on."""
    assert (await warm.ask(b"/halves", end=b"okok")).startswith(b"HTTP/1.1 200 OK")
    assert b"transfer-encoding: chunked" in await warm.ask(b"/head-first", end=b"0\r\n\r\n")
    assert (await warm.ask(b"/length")).startswith(b"HTTP/1.1 201 Created")


async def test_answers_that_begin_alike(warm, house):
    """A head that has crossed before says nothing of how the rest comes, nor of who may have it as it is."""
    for path in (b"/length", b"/length-halves", b"/length", b"/length-surplus", b"/length"):
        answer = await warm.ask(path, end=b"\r\n\r\nok")
        assert answer.startswith(b"HTTP/1.1 201 Created\r\n")
        assert b"content-length: 2\r\n" in answer
    reader, writer = await asyncio.open_unix_connection(house.config.activator_socket)
    writer.write(GET % (b"/length", b"connection: close\r\n"))
    async with asyncio.timeout(10):
        assert b"connection: close\r\n" in await reader.read()
    writer.close()


async def test_clients_that_need_another_answer(warm, house):
    """One of HTTP/1.0 gets no chunks, one that wants the connection closed is told so, HEAD has no body."""
    head = b"HEAD /length HTTP/1.1\r\nhost: a\r\n\r\n" + GET % (b"/length", b"")
    warm.writer.write(head)
    async with asyncio.timeout(10):
        both = await warm.reader.readuntil(b"ok")
    assert both.count(b"201 Created") == 2
    old, closing = b"GET /chunked HTTP/1.0\r\nhost: a\r\n\r\n", GET % (b"/chunked", b"connection: close\r\n")
    for request in (old, closing):
        reader, writer = await asyncio.open_unix_connection(house.config.activator_socket)
        writer.write(request)
        async with asyncio.timeout(10):
            answer = await reader.read()
        writer.close()
        assert b"connection: close" in answer
        assert b"ok" in answer
        assert (b"chunked" in answer) == (b"HTTP/1.1\r\n" in request)


async def test_requests_pass_as_they_are(warm):
    """A worker gets the client's own bytes, our lines behind them; what is for us is not among them."""
    seen = await warm.ask(b"/asked?q=1", lines=b"X-Mixed:  Case \r\n", end=b"activator\r\n\r\n")
    assert b"GET /asked?q=1 HTTP/1.1\r\nhost: a\r\nX-Mixed:  Case \r\nk-proxy-request: activator" in seen
    seen = await warm.ask(b"/asked", lines=b"K-Proxy-Request: me\r\nTE: x\r\n", end=b"activator\r\n\r\n")
    assert b"me\r\n" not in seen
    assert b"te: x" not in seen.lower()


@pytest.mark.parametrize("line", [b"Connection: keep-alive\r\n", b"connection:Keep-Alive \r\n"])
@pytest.mark.parametrize("around", [(b"", b"X-Mixed:  Case \r\n"), (b"X-Mixed:  Case \r\n", b"")])
async def test_keep_alive_is_no_reason_to_write_a_request_anew(warm, line, around):
    """Where Connection says what goes without saying, only its own line stays behind."""
    for _ in range(2):
        seen = await warm.ask(b"/asked", lines=line.join(around), end=b"activator\r\n\r\n")
        asked = seen.partition(b"\r\n\r\n")[2]
        assert asked == (b"GET /asked HTTP/1.1\r\nhost: a\r\nX-Mixed:  Case \r\n"
                         b"k-proxy-request: activator\r\n\r\n")


async def test_requests_in_pieces_and_ahead(warm):
    """Several requests in one read, and one in several reads, each reach the worker once and whole."""
    post = b"POST /asked HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\n%b"
    warm.writer.write(post % b"one." + post % b"two.")
    for end in (b"one.", b"two."):
        async with asyncio.timeout(10):
            assert b"content-length: 4" in await warm.reader.readuntil(end)
    for piece in (post[:20], post[20:-2], b"thre", b"GET /length HTTP/1.1\r\n", b"host: a\r\n\r\n"):
        warm.writer.write(piece)
        await asyncio.sleep(0.02)  # so that it is a read of its own; nothing depends on it
    async with asyncio.timeout(10):
        await warm.reader.readuntil(b"\r\n\r\nthre")
        await warm.reader.readuntil(b"\r\n\r\nok")


async def test_two_hosts_are_refused(warm):
    """Nobody is let in by one Host header and served by another."""
    assert (await warm.ask(b"/length", lines=b"host: b\r\n", end=b"\r\n")).startswith(b"HTTP/1.1 400")


async def test_folded_header_is_no_way_in(warm):
    """A header continued on the next line never reaches a worker as a line of its own."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        folded = b"x-a: b\r\n k-proxy-request: me\r\n"
        seen = await warm.ask(b"/asked", lines=folded, end=b"activator\r\n\r\n")
        assert b"\r\nk-proxy-request: me" not in seen
        assert b"\r\n k-proxy-request: me" not in seen


@contextlib.asynccontextmanager
async def given(house, asked):
    """A client's ends of a connection that the ingress gave away, having read of it what was *asked*."""
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    channel.connect(str(house.config.handover_socket))
    with channel, socket.create_server(("127.0.0.1", 0)) as listener:
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        accepted, _ = listener.accept()
        with accepted:
            socket.send_fds(channel, [asked], [accepted.fileno()])
        yield reader, writer, channel
        writer.close()


async def test_data_port_connections_say_where_they_come_from(house, warm):
    """A connection that the ingress gave away: its client's address is told; only hosts there are answer."""
    await house.answer_at("b.default.localhost", {"a": 100})
    asked = b"GET /asked HTTP/1.1\r\nhost: b.default.localhost\r\n\r\n"
    async with given(house, asked) as (reader, writer, _):
        async with asyncio.timeout(10):
            seen = await reader.readuntil(b"x-forwarded-host: b.default.localhost\r\n\r\n")
        assert b"x-forwarded-for: 127.0.0.1\r\n" in seen
        assert b'forwarded: for=127.0.0.1;host="b.default.localhost";proto=http\r\n' in seen
        writer.write(b"GET /asked HTTP/1.1\r\nhost: none.default.localhost\r\n\r\n")
        async with asyncio.timeout(10):
            assert b"404" in await reader.readline()


async def test_scheme_and_host_of_a_proxy_before_us(house, warm):
    """X-Forwarded-Proto and -Host alone reach the worker, each once, and Forwarded says the same."""
    await house.answer_at("b.default.localhost", {"a": 100})
    asked = (b"GET /asked HTTP/1.1\r\nhost: b.default.localhost\r\nx-forwarded-proto: https\r\n"
             b"x-forwarded-host: shop.example\r\n\r\n")
    async with given(house, asked) as (reader, writer, _):
        writer.write_eof()
        async with asyncio.timeout(10):
            seen = await reader.read()
    assert b'\r\nforwarded: for=127.0.0.1;host="shop.example";proto=https\r\n' in seen
    assert seen.count(b"x-forwarded-proto: ") == seen.count(b"x-forwarded-host: ") == 1


async def test_data_port_connections_that_send_no_more(house, warm):
    """A client that half-closes right behind its request is answered, warm or while it waits for a worker."""
    await house.revision("slow")
    for host, query in (("a", b"asked"), ("slow", b"?sleep=1.2")):
        await house.answer_at(f"{host}.default.localhost", {host: 100})
        asked = b"GET /%b HTTP/1.1\r\nhost: %b.default.localhost\r\n\r\n" % (query, host.encode())
        async with given(house, asked) as (reader, writer, _):
            writer.write_eof()
            async with asyncio.timeout(10):
                answer = await reader.read()
            assert b"HTTP/1.1 200 OK\r\n" in answer


async def test_what_is_for_others_behind_a_request(house, warm):
    """What came in one read behind a request for a Service goes back to the ingress, whole and in order."""
    await house.answer_at("b.default.localhost", {"a": 100})
    asked = b"GET /asked HTTP/1.1\r\nhost: b.default.localhost\r\n\r\n"
    event = b"POST /default/default HTTP/1.1\r\nHost: localhost\r\nCe-Id: 1\r\ncontent-length: 2\r\n\r\n{}"
    chunked = (b"POST / HTTP/1.1\r\nhost: b2\r\ntransfer-encoding: chunked\r\n\r\n"
               b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")
    async with given(house, asked + event + chunked + asked) as (reader, _, channel):
        async with asyncio.timeout(10):
            await reader.readuntil(b"x-forwarded-host: b.default.localhost\r\n\r\n")
        data, (descriptor,), *_ = await asyncio.to_thread(socket.recv_fds, channel, 65536, 1)
        assert data.lower() == event.lower() + (
            b"post / http/1.1\r\nhost: b2\r\ncontent-length: 3\r\n\r\nabc") + asked.lower()
        with socket.socket(fileno=descriptor) as connection:
            connection.sendall(b"it is the client's")
        async with asyncio.timeout(10):
            assert await reader.read() == b"it is the client's"


async def test_half_a_request_for_others(house, warm):
    """One that is for the ingress, and of which a part is still to come, is to be sent again elsewhere."""
    await house.answer_at("b.default.localhost", {"a": 100})
    event = b"POST /default/default HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{"
    asked = b"GET /asked HTTP/1.1\r\nhost: b.default.localhost\r\n\r\n"
    async with given(house, asked + event) as (reader, *_), asyncio.timeout(10):
        refused = (await reader.read()).partition(b"HTTP/1.1 503 ")[2]
    assert b"\r\nretry-after: 1\r\n" in refused
    assert b"\r\nconnection: close\r\n" in refused
