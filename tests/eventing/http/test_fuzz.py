"""Whatever bytes a client sends, it gets an answer or an end, and the server lives."""

import asyncio
import contextlib
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventing.http.server import Limits, serve

SEEDS = [
    b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
    b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello",
    b"POST /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx: y\r\n\r\n",
    b"POST /a HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\nok",
    b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n\x81\x00",
    b"POST / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\ncontent-length: 2\r\n\r\nok",
    b"CONNECT a:1 HTTP/1.1\r\nhost: x\r\n\r\nraw",
    b"HEAD / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
]

mutations = st.one_of(
    st.just(lambda raw, at: raw),
    st.binary(max_size=8).map(lambda junk: lambda raw, at: raw[:at] + junk + raw[at:]),
    st.integers(1, 20).map(lambda size: lambda raw, at: raw[:at] + raw[at + size:]),
    st.integers(0, 255).map(lambda byte: lambda raw, at: raw[:at] + bytes((byte,)) + raw[at + 1:]),
)


@st.composite
def conversations(draw):
    """Some requests in a row, most of them spoilt somewhere, or plain noise; in two pieces."""
    raw = b""
    for _ in range(draw(st.integers(1, 4))):
        seed = draw(st.sampled_from(SEEDS) | st.binary(max_size=50))
        raw += draw(mutations)(seed, draw(st.integers(0, len(seed))))
    cut = draw(st.integers(0, len(raw)))
    return raw[:cut], raw[cut:]


def handle(exchange):
    """Answers at once, later, streamed, or before the body, by the target's length."""
    loop = asyncio.get_running_loop()
    way = len(exchange.target) % 4
    if way == 0:
        exchange.respond(404)
    elif way == 1:
        exchange.collect(100, lambda body: exchange.respond(200, (), body))
    elif way == 2:
        exchange.collect(100, lambda body: loop.call_soon(exchange.respond, 200, (), body))
    else:
        exchange.start(200, [])
        exchange.collect(100, lambda body: (exchange.write(body), exchange.end()))


async def talk(port, pieces, *, ends):
    """Send *pieces*, read until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            if ends:
                writer.write_eof()
            answer = await reader.read()
    writer.close()
    return answer


@pytest.fixture(scope="module")
def served():
    """A loop and a port for all examples."""
    with asyncio.Runner() as runner:
        limits = Limits(head_s=0.04, body_s=0.04, idle_s=0.04, linger_s=0.04)
        server = runner.run(serve(handle, limits=limits))
        yield runner, server
        runner.run(server.close(1))
        assert server.connections == 0


def check(served, pieces, *, ends):
    """Every answer is the client's doing or its wish, and the next client is served."""
    runner, server = served
    with contextlib.suppress(ConnectionError):
        answer = runner.run(talk(server.port, pieces, ends=ends))
        statuses = re.findall(rb"HTTP/1\.1 (\d\d\d) ", answer)
        assert not [status for status in statuses if status >= b"500" and status != b"505"]
    assert runner.run(talk(server.port, [SEEDS[0]], ends=True)).startswith(b"HTTP/1.1 200 ")


@given(conversations())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_noise_and_an_end(served, pieces):
    """The client sends and closes its side."""
    check(served, pieces, ends=True)


@given(conversations())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_noise_and_silence(served, pieces):
    """The client sends and waits: the server ends every connection by itself."""
    check(served, pieces, ends=False)
