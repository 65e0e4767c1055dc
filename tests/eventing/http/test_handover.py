"""Connections that go from one server to another while their clients notice nothing."""

import asyncio
import contextlib
import tempfile
from pathlib import Path

import pytest

from eventing.http.handover import Giver, Taker
from eventing.http.server import Limits, Server

ASK = (b"POST /back HTTP/1.1", b"host: x", b"content-length: 3")


class House:
    """A front that gives what asks for /back.., and a back that gives back what does not."""

    def __init__(self, group, path):
        self.group = group
        self.path = path
        self.kept = Server(lambda exchange: self.answer(exchange, b"kept"), Limits())
        self.back = Server(self.handle_back, Limits())
        self.giver = Giver(path, lambda sock, data: group.create_task(self.kept.adopt(sock, data)))
        self.giving = group.create_task(self.giver.run())
        self.taker = None

    def open(self):
        """Have a back."""
        self.taker = Taker(self.path, lambda sock, data: self.group.create_task(self.back.adopt(sock, data)))

    def handle_front(self, exchange):
        """What the front does."""
        if not (exchange.target.startswith(b"/back") and exchange.hand_over(self.giver.give)):
            self.answer(exchange, b"front")

    def handle_back(self, exchange):
        """What the back does."""
        if exchange.target.startswith(b"/back") or not exchange.hand_over(self.taker.give):
            self.answer(exchange, b"back")

    @staticmethod
    def answer(exchange, who):
        """Say who it was, to whom, and what has come."""
        if exchange.has_body:
            exchange.collect(1 << 20, lambda body: exchange.respond(200, (), who + b" got " + body))
        else:
            exchange.respond(200, (), who)


@pytest.fixture
async def house(start):
    """A house whose back is open; `house.front` is where clients connect."""
    with tempfile.TemporaryDirectory(prefix="ch-") as directory:
        async with asyncio.TaskGroup() as group:
            house = House(group, Path(directory) / "s")
            house.open()
            house.front = await start(house.handle_front)
            async with asyncio.timeout(5):
                while "open" not in repr(house.giver):
                    await asyncio.sleep(0.01)
            yield house
            house.giving.cancel()
            house.taker.close()
            await house.back.close(1)
            await house.kept.close(1)


async def test_connection_is_given_with_its_request(house, connect):
    """The request that was read is answered by the other server, and so are those that follow."""
    wire = await connect(house.front)
    for body in (b"one", b"two"):
        wire.send(*ASK, body=body)
        assert await wire.answer() == (200, b"back got " + body)
    assert house.back.connections == 1
    async with asyncio.timeout(5):
        while house.front.connections:
            await asyncio.sleep(0.01)


async def test_body_that_comes_later(house, connect):
    """The head alone is enough to give a connection; its body is read by who has it then."""
    wire = await connect(house.front)
    wire.send(*ASK)
    async with asyncio.timeout(5):
        while not house.back.connections:
            await asyncio.sleep(0.01)
    wire.writer.write(b"abc")
    assert await wire.answer() == (200, b"back got abc")


async def test_requests_sent_ahead(house, connect):
    """Requests that came in one read all go along, and are answered in their order."""
    wire = await connect(house.front)
    ahead = b"GET /back/2 HTTP/1.1\r\nhost: x\r\n\r\n"
    wire.send(*ASK, body=b"abc" + ahead + ahead)
    assert [await wire.answer() for _ in range(3)] == [(200, b"back got abc"), (200, b"back"), (200, b"back")]


async def test_request_behind_another_one_stays(house, connect):
    """A request that did not begin a read is answered where it was read."""
    wire = await connect(house.front)
    wire.send(b"GET /front HTTP/1.1", b"host: x", body=b"GET /back HTTP/1.1\r\nhost: x\r\n\r\n")
    assert [await wire.answer() for _ in range(2)] == [(200, b"front"), (200, b"front")]


async def test_last_request_of_a_connection(house, connect):
    """A client that wants the connection closed gets its whole answer from the other server first."""
    wire = await connect(house.front)
    wire.send(b"POST /back HTTP/1.1", b"host: x", b"connection: close", b"content-length: 3", body=b"abc")
    assert await wire.answer() == (200, b"back got abc")
    assert await wire.rest() == b""


async def test_connection_comes_back(house, connect):
    """What the other server does not serve comes back with its connection, which then stays."""
    wire = await connect(house.front)
    for target, who in ((b"/back", b"back"), (b"/other", b"kept"), (b"/back", b"kept")):
        wire.send(b"GET " + target + b" HTTP/1.1", b"host: x")
        assert await wire.answer() == (200, who)


async def test_nobody_takes(house, connect):
    """While there is no other side the front answers; when there is one again it is given to."""
    house.taker.close()

    async def ask():
        wire = await connect(house.front)
        wire.send(b"GET /back HTTP/1.1", b"host: x")
        return await wire.answer()

    async with asyncio.timeout(5):
        while await ask() != (200, b"front"):
            await asyncio.sleep(0.01)
    house.open()
    async with asyncio.timeout(5):
        while await ask() != (200, b"back"):
            await asyncio.sleep(0.01)


async def test_client_that_left_meanwhile(house, connect):
    """A connection whose client has left already harms neither side."""
    for _ in range(20):
        wire = await connect(house.front)
        wire.send(*ASK)
        wire.writer.transport.abort()
    wire = await connect(house.front)
    wire.send(*ASK, body=b"abc")
    assert await wire.answer() == (200, b"back got abc")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(5):
            while house.back.connections > 1:
                await asyncio.sleep(0.01)
    assert house.back.connections == 1


async def test_client_that_sends_no_more(house, connect):
    """One that sends its FIN right behind its request is answered, wherever its connection goes."""
    for _ in range(5):
        wire = await connect(house.front)
        wire.send(*ASK, body=b"abc")
        wire.writer.write_eof()
        assert await wire.answer() == (200, b"back got abc")
        assert await wire.rest() == b""
