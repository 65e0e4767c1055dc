"""uvicorn with the head of an answer and its body in one write, on a real socket."""

import asyncio
import contextlib

import pytest
import uvicorn

from serving.workers.cork import Protocol

SHORT_S = 0.1  # after which a connection may be idle, where a test says so
GET = b"GET %b HTTP/1.1\r\nhost: x\r\n\r\n"


async def app(scope, receive, send):
    """Answer as the path says."""
    path = scope["path"]
    size = 300_000 if path == "/large" else 2
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if path == "/long":
        await asyncio.sleep(5 * SHORT_S)
    if path == "/slow":
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await (await receive_all(receive))()
    await send({"type": "http.response.body", "body": b"x" * size})


async def receive_all(receive):
    """Read the body; what to wait for after it: that the client leaves."""
    while (await receive())["more_body"]:
        pass
    return receive


@pytest.fixture
async def connect(request):
    """Connections to the app; the parameter is after how many seconds they are idle."""
    config = uvicorn.Config(app, port=0, loop="none", http=Protocol, lifespan="off", log_level="warning",
                            timeout_keep_alive=getattr(request, "param", 600))
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext
    async with asyncio.TaskGroup() as group, contextlib.AsyncExitStack() as stack:
        group.create_task(server.serve())
        async with asyncio.timeout(10):
            while not server.started:
                await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]

        async def connect():
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
            stack.callback(writer.close)
            return reader, writer

        yield connect
        await stack.aclose()
        server.should_exit = True


async def test_head_and_body_come_together(connect):
    """A small answer is one packet, however often the connection is used, and requests may come ahead."""
    reader, writer = await connect()
    for _ in range(3):
        writer.write(GET % b"/")
        async with asyncio.timeout(10):
            assert (await reader.read(1 << 16)).endswith(b"\r\n\r\n2\r\nxx\r\n0\r\n\r\n")
    writer.write(GET % b"/" * 5)
    async with asyncio.timeout(10):
        for _ in range(5):
            assert (await reader.readuntil(b"0\r\n\r\n")).endswith(b"2\r\nxx\r\n0\r\n\r\n")


async def test_stream_leaves_at_once(connect):
    """What an app has sent is not held back until it sends more."""
    reader, writer = await connect()
    writer.write(GET % b"/slow")
    async with asyncio.timeout(10):
        assert (await reader.readuntil(b"first\r\n")).startswith(b"HTTP/1.1 200 OK")


async def test_large_and_last_answers_are_whole(connect):
    """A body that is larger than a packet, and the answer before the connection closes, arrive whole."""
    reader, writer = await connect()
    writer.write(GET % b"/large")
    async with asyncio.timeout(10):
        answer = await reader.readuntil(b"\r\n0\r\n\r\n")
    assert answer.count(b"x") == 300_000
    writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    async with asyncio.timeout(10):
        assert (await reader.read()).endswith(b"xx\r\n0\r\n\r\n")


@pytest.mark.parametrize("connect", [SHORT_S], indirect=True)
async def test_idle_connections_are_closed_and_busy_ones_are_not(connect):
    """One that nobody uses ends, used before or not; one whose answer takes longer gets its answer first."""
    fresh, _ = await connect()
    reader, writer = await connect()
    writer.write(GET % b"/long")
    async with asyncio.timeout(10):
        assert await fresh.read() == b""
        assert (await reader.read()).endswith(b"2\r\nxx\r\n0\r\n\r\n")
