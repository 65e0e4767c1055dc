"""The client against servers that behave, and servers that do not."""

import asyncio
import socket

import pytest

from eventing.errors import NoAnswer
from eventing.http.client import Client, ClientLimits
from tests.eventing.http.wire import LOOKS_OFTEN

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def endlessly(head, chunk):
    """Script: answer *head*, then *chunk* for as long as anybody takes it."""

    async def script(wire):
        await wire.head()
        wire.writer.write(head)
        while True:
            wire.writer.write(chunk)
            await wire.writer.drain()

    return script


def once(answer):
    """Script: one request, *answer*, and the end of the connection."""

    async def script(wire):
        await wire.head()
        wire.writer.write(answer)
        await wire.writer.drain()

    return script


async def test_a_request_is_sent_as_it_was_given(start, client):
    """Method, target, Host, headers, Content-Length and body; and the whole answer comes back."""
    seen = []

    def handle(exchange):
        def answer(body):
            seen.append((exchange.method, exchange.target, exchange.headers, body))
            exchange.respond(200, [(b"x", b"y")], b"answer")

        exchange.collect(100, answer)

    server = await start(handle)
    url = f"http://localhost:{server.port}/a b/\u00e9?q=1 2#f"
    answer = await client.request("PUT", url, [(b"ce-id", b"1")], b"body", timeout_s=5, max_answer_bytes=100)

    host = b"localhost:%d" % server.port
    assert seen == [(b"PUT", b"/a%20b/%C3%A9?q=1%202",
                     [(b"host", host), (b"ce-id", b"1"), (b"content-length", b"4")], b"body")]
    assert (answer.status, answer.header(b"x"), answer.body) == (200, b"y", b"answer")


async def test_connections_are_kept_and_used_again(start, client, fetch):
    """Ten requests one after the other need one connection."""
    peers = set()

    def handle(exchange):
        peers.add(id(exchange._connection))  # the connection is what is counted
        exchange.respond(204)

    server = await start(handle)
    for _ in range(10):
        await fetch("GET", f"http://127.0.0.1:{server.port}/", [])

    assert len(peers) == 1
    assert repr(client) == "<Client [1 addresses | 0 busy | 1 idle]>"


async def test_no_more_connections_than_the_limit(start, stack):
    """A hundred requests at once through two connections are all answered."""
    server = await start(lambda exchange: exchange.respond(204))
    client = Client(limits=ClientLimits(connections=2))
    stack.push_async_callback(client.close)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(client.request("GET", f"http://localhost:{server.port}/", [], timeout_s=5,
                                                  max_answer_bytes=0)) for _ in range(100)]

    assert {task.result().status for task in tasks} == {204}
    assert server.connections <= 2


async def test_waiting_for_a_connection_counts_towards_the_timeout(start, stack, until):
    """And whoever gives up leaves the pool as it was."""
    exchanges = []
    server = await start(exchanges.append)
    client = Client(limits=ClientLimits(connections=1))
    stack.push_async_callback(client.close)
    url = f"http://localhost:{server.port}/"
    async with asyncio.TaskGroup() as group:
        first = group.create_task(client.request("GET", url, [], timeout_s=5, max_answer_bytes=9))
        await until(lambda: exchanges)
        with pytest.raises(NoAnswer, match=r"^no connection in time$"):
            await client.request("GET", url, [], timeout_s=0.05, max_answer_bytes=9)
        exchanges[0].respond(204)
    server.handler = lambda exchange: exchange.respond(205)

    assert first.result().status == 204
    assert (await client.request("GET", url, [], timeout_s=5, max_answer_bytes=9)).status == 205


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_pooled_connection_that_was_closed_costs_nothing(start_raw, fetch, method):
    """The request goes out again on a new connection, also if the old one dies in the very moment of use."""
    connections = []

    async def script(wire):
        connections.append(wire)
        await wire.head()
        wire.writer.write(OK)
        await wire.reader.read(1)  # the first byte of the second request: now close without an answer
        wire.writer.transport.abort()

    port = await start_raw(script)
    for _ in range(3):
        assert (await fetch(method, f"http://localhost:{port}/", [])).body == b"ok"

    assert len(connections) == 3


async def test_a_fresh_connection_that_is_closed_is_no_answer(start_raw, fetch):
    """Only a pooled one is tried again; nothing is sent for ever."""
    seen = []

    async def script(wire):
        seen.append(await wire.head())

    port = await start_raw(script)
    with pytest.raises(NoAnswer, match=r"^the connection was closed") as caught:
        await fetch("GET", f"http://localhost:{port}/", [])

    assert caught.value.reason == "closed"
    assert len(seen) == 1


async def test_half_an_answer_is_not_sent_for_again(start_raw, fetch):
    """A pooled connection that breaks after the first byte of an answer is a failure."""
    seen = []

    async def script(wire):
        seen.append(await wire.head())
        wire.writer.write(OK)
        seen.append(await wire.head())
        wire.writer.write(OK[:20])
        await wire.writer.drain()

    port = await start_raw(script)
    await fetch("GET", f"http://localhost:{port}/", [])
    with pytest.raises(NoAnswer, match=r"^the connection was closed"):
        await fetch("GET", f"http://localhost:{port}/", [])

    assert len(seen) == 2


@pytest.mark.parametrize(("answer", "body"), [
    (b"HTTP/1.1 200 OK\r\n\r\nto the end", b"to the end"),
    (b"HTTP/1.0 200 OK\r\n\r\n", b""),
    (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\nx: y\r\n\r\n", b"ok"),
    (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nx: y\r\n\r\n" + OK, b"ok"),
    (b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", b"ok"),
    (b"HTTP/1.1 302 Found\r\nlocation: http://example.com/\r\ncontent-length: 0\r\n\r\n", b""),
    (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    (OK + OK, b"ok"),
    (OK + b"garbage", b"ok"),
])
async def test_answers_of_every_framing(start_raw, fetch, answer, body):
    """Length, chunks, end of connection; interim ones are skipped, what was not asked for is dropped."""
    port = await start_raw(once(answer))
    for _ in range(2):
        assert (await fetch("GET", f"http://localhost:{port}/", [])).body == body


async def test_an_answer_to_head_has_no_body(start_raw, fetch):
    """Whatever length it announces; and the connection is used again."""
    connections = []

    async def script(wire):
        connections.append(wire)
        while True:
            await wire.head()
            wire.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")

    port = await start_raw(script)
    for _ in range(2):
        assert (await fetch("HEAD", f"http://localhost:{port}/", [])).body == b""

    assert len(connections) == 1


@pytest.mark.parametrize(("answer", "reason"), [
    (b"SSH-2.0-OpenSSH_9.6\r\n", "garbage"),
    (b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", "garbage"),
    (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n", "garbage"),
    (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "garbage"),
    (b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n", "garbage"),
    (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel", "closed"),
    (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", "closed"),
    (b"HTTP/1.1 200 OK\r\ncontent-len", "closed"),
    (b"HTTP/1.1 200 OK\r\ncontent-length: 1048577\r\n\r\n" + b"x" * 1048577, "too-large"),
    (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 700_000 + b"\r\n\r\n", "too-large"),
])
async def test_a_bad_answer_has_a_reason(start_raw, fetch, answer, reason):
    """What no one can use is a NoAnswer that says which kind."""
    port = await start_raw(once(answer))
    with pytest.raises(NoAnswer) as caught:
        await fetch("GET", f"http://localhost:{port}/", [])

    assert caught.value.reason == reason


@pytest.mark.parametrize(("head", "chunk"), [
    (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536),
    (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 65536 + b"\r\n"),
    (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;", b"x" * 65536),
    (b"HTTP/1.1 200 OK\r\nx: ", b"x" * 65536),
    (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
])
async def test_an_endless_answer_ends(start_raw, fetch, head, chunk):
    """At bounded memory, whatever it is that does not end."""
    port = await start_raw(endlessly(head, chunk))
    with pytest.raises(NoAnswer, match=r" is larger than \d+ bytes$"):
        await fetch("GET", f"http://localhost:{port}/", [])


async def test_a_timeout_closes_the_connection(start, client, until, silent):
    """A late answer can never be taken for another request's."""
    server = await start(silent.handle, **LOOKS_OFTEN)
    with pytest.raises(NoAnswer, match=r"^no answer in time$"):
        await client.request("GET", f"http://localhost:{server.port}/", [], timeout_s=0.05,
                             max_answer_bytes=9)
    assert repr(client).startswith("<Client [1 addresses | 0 busy | 0 idle")
    await until(lambda: silent.left)


async def test_a_cancelled_request_closes_the_connection(start, client, until, silent):
    """As a timeout does."""
    server = await start(silent.handle, **LOOKS_OFTEN)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(client.request("GET", f"http://localhost:{server.port}/", [], timeout_s=5,
                                                max_answer_bytes=9))
        await until(lambda: silent.exchanges)
        task.cancel()
    await until(lambda: silent.left)

    assert task.cancelled()


@pytest.mark.parametrize(("url", "reason"), [
    ("http://127.0.0.1:1/", "refused"),
    ("https://localhost/", "bad-url"),
    ("localhost:80", "bad-url"),
    ("http://", "bad-url"),
    ("http://a:b@c/", "bad-url"),
    ("http://localhost:99999/", "bad-url"),
    ("http://a b/", "bad-url"),
    ("http://a\r\nx: y/", "bad-url"),
])
async def test_what_cannot_be_reached_has_a_reason(fetch, url, reason):
    """Every way of failing is a NoAnswer."""
    with pytest.raises(NoAnswer) as caught:
        await fetch("GET", url, [])

    assert caught.value.reason == reason


async def test_a_header_with_a_line_break_is_not_sent(fetch):
    """Whoever made it hears of it."""
    with pytest.raises(ValueError, match="line break"):
        await fetch("GET", "http://localhost:1/", [(b"x", b"a\r\nb: c")])


async def test_names_under_localhost_are_this_machine(start, fetch):
    """Without DNS, which knows nothing of our Services."""
    server = await start(lambda exchange: exchange.respond(200, (), exchange.header(b"host")))
    answer = await fetch("GET", f"http://price.default.localhost:{server.port}/", [])

    assert answer.body == b"price.default.localhost:%d" % server.port


async def test_dial_leads_elsewhere(start, stack, short_path):
    """To a unix socket, for hosts that it knows."""
    await start(lambda exchange: exchange.respond(200, (), exchange.header(b"host")), path=short_path)
    client = Client(dial=lambda host, port: str(short_path) if host == "a.b" and port == 80 else None)
    stack.push_async_callback(client.close)

    assert (await client.request("GET", "http://a.b/", [], timeout_s=5, max_answer_bytes=99)).body == b"a.b"
    with pytest.raises(NoAnswer, match=r"^nothing listens at 127\.0\.0\.1:1$"):
        await client.request("GET", "http://localhost:1/", [], timeout_s=5, max_answer_bytes=99)


async def test_idle_connections_are_closed_and_addresses_forgotten(start, stack, until):
    """Before servers close them, which is the better order."""
    server = await start(lambda exchange: exchange.respond(204))
    client = Client(limits=ClientLimits(idle_s=0.1))
    stack.push_async_callback(client.close)
    await client.request("GET", f"http://localhost:{server.port}/", [], timeout_s=5, max_answer_bytes=99)
    await until(lambda: repr(client) == "<Client [0 addresses | 0 busy | 0 idle]>")
    await until(lambda: server.connections == 0)


async def test_a_receiver_that_paused_at_the_end_keeps_nobody_waiting(start, client, fetch):
    """The connection reads again for the next request, which gets it."""
    server = await start(lambda exchange: exchange.respond(200, (), b"ok"))
    paused = _Paused(asyncio.get_running_loop().create_future())
    paused.upstream = await client.connect(("127.0.0.1", server.port))
    paused.upstream.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", paused)
    await paused.future

    assert (await fetch("GET", f"http://127.0.0.1:{server.port}/", [])).body == b"ok"
    assert server.connections == 1


async def test_an_upload_that_is_answered_early_and_read_no_more(start_raw, client, until):
    """The connection is cut, whatever of the request is unsent, and counts no more."""
    unread = asyncio.Event()

    async def script(wire):
        await wire.head()
        wire.writer.write(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n")
        await unread.wait()

    answered = _Answered(asyncio.get_running_loop().create_future())
    address = ("127.0.0.1", await start_raw(script))
    upstream = await client.open(address, "POST", b"/", [(b"host", b"x")], answered, has_body=True)
    upstream.write(b"x" * 30_000_000)
    assert await answered.future == 413
    await until(lambda: " 0 busy | 0 idle]" in repr(client))
    unread.set()


async def test_closing_the_client_fails_what_is_under_way(start, until):
    """Nobody waits for ever."""
    exchanges = []
    server = await start(exchanges.append)
    client = Client()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(_reason(client, server.port))
        await until(lambda: exchanges)
        await client.close()

    assert task.result() == "closed"


async def _reason(client, port):
    try:
        await client.request("GET", f"http://localhost:{port}/", [], timeout_s=5, max_answer_bytes=99)
    except NoAnswer as error:
        return error.reason


async def test_an_end_that_nobody_has_noticed_yet(client):
    """An idle connection says that its server has closed it before the loop has heard of it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(client.request("GET", f"http://127.0.0.1:{address[1]}/", [], timeout_s=5,
                                             max_answer_bytes=10))
            accepted, _ = await asyncio.to_thread(server.accept)
            accepted.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        with accepted:
            upstream = client.idle(address)
            before = upstream.has_news
            accepted.recv(65536)
        assert (before, upstream.has_news) == (False, True)
        upstream.abort()


@pytest.mark.parametrize(("reads", "was_reset"), [(False, True), (True, False)])
async def test_the_end_of_a_unix_socket_says_whether_the_request_was_read(client, reads, was_reset):
    """What is sent to one that has ended is reset, noticed or not; one that has read it ends in order."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("")
        server.listen()
        upstream = await client.connect(server.getsockname().decode())
        accepted, _ = await asyncio.to_thread(server.accept)
        with accepted:
            if not reads:
                accepted.close()
            ended = _Ended(asyncio.get_running_loop().create_future())
            upstream.send(b"POST / HTTP/1.1\r\nhost: x\r\n\r\n", ended)
            if reads:
                await asyncio.to_thread(accepted.recv, 65536)
        await ended.future
        assert upstream.was_reset is was_reset


class _Answered:
    """Receives an answer: its status."""

    def __init__(self, future):
        self.future = future
        self.status = 0

    def head(self, status, headers):
        """It comes."""
        self.status = status

    def data(self, chunk):
        """Its body."""

    def end(self):
        """All of it."""
        self.future.set_result(self.status)


class _Paused(_Answered):
    """Takes no more, though all has come."""

    def data(self, chunk):
        """More of it than can be passed on."""
        self.upstream.pause()


class _Ended:
    """Receives no answer."""

    def __init__(self, future):
        self.future = future

    def failed(self, error):
        """As it should."""
        self.future.set_result(error.reason)
