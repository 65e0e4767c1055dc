"""Real servers on free loopback ports, on both event loops, and raw bytes to speak to them."""

import asyncio
import contextlib
import functools
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import uvloop

from eventing.http.client import Client
from eventing.http.server import Limits, serve
from tests.eventing.http.wire import PATIENCE_S, Wire


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories(config, item):
    """Every test here runs on both loops: their transports differ in what they allow."""
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest.fixture
async def stack():
    """Ends in reverse order what a test has begun."""
    async with contextlib.AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def start(stack):
    """Make a server for a handler; limits by name."""

    async def start(handler, *, sock=None, path=None, **limits):
        server = await serve(handler, sock=sock, path=path, limits=Limits(**limits))
        stack.push_async_callback(server.close, 0)
        return server

    return start


@pytest.fixture
def connect(stack):
    """Open a connection to a server of ours."""

    async def connect(server):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        stack.callback(writer.close)
        return Wire(reader, writer)

    return connect


@pytest.fixture
def silent():
    """A handler that answers nothing: `exchanges` are those that it got, `left` those whose client went."""
    found = SimpleNamespace(exchanges=[], left=[])

    def handle(exchange):
        exchange.on_disconnect = lambda: found.left.append(exchange)
        found.exchanges.append(exchange)

    found.handle = handle
    return found


@pytest.fixture
def start_raw(stack):
    """Make a server of raw bytes: the script gets a Wire for each connection. Returns its port."""

    async def start_raw(script):
        async def run(reader, writer):
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await script(Wire(reader, writer))
            writer.close()

        server = await asyncio.start_server(run, "127.0.0.1", 0)
        stack.callback(server.close)
        return server.sockets[0].getsockname()[1]

    return start_raw


@pytest.fixture
async def client():
    """A client with the usual limits."""
    client = Client()
    yield client
    await client.close()


@pytest.fixture
def fetch(client):
    """`client.request` with bounds that no test should meet."""
    return functools.partial(client.request, timeout_s=PATIENCE_S, max_answer_bytes=1 << 20)


@pytest.fixture
def short_path():
    """A path for a unix socket, which may have 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="clarion-") as directory:
        yield Path(directory, "s")


@pytest.fixture
def until():
    """Wait for a condition."""

    async def until(condition):
        async with asyncio.timeout(PATIENCE_S):
            while not condition():  # what is waited for happens on the wire
                await asyncio.sleep(0.005)

    return until
