"""One question of each kind to real servers: HTTP, HTTPS, TCP, and a gRPC server that is not ours."""

import asyncio
import contextlib
import os
import socket
import ssl
import subprocess
import sys

import pytest

from serving.workers import listening
from serving.workers.inside import Inside
from serving.workers.probing import Asker

# grpcio's own server; the health service is written by hand, since its messages are one field each.
GRPC_SERVER = """
import sys, time
from concurrent.futures import ThreadPoolExecutor
import grpc
ANSWERS = {b"": b"\\x08\\x01", b"\\x0a\\x03bad": b"\\x08\\x02", b"\\x0a\\x04none": b""}
def check(request, context):
    agent = dict(context.invocation_metadata())["user-agent"]
    if not agent.startswith("kube-probe/"):
        context.abort(grpc.StatusCode.PERMISSION_DENIED, agent)
    if request == b"\\x0a\\x04slow":
        time.sleep(5)
    if request == b"\\x0a\\x03odd":
        context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
    return ANSWERS[request] if request in ANSWERS else b"\\x08\\x01" * (len(request) > 500)
server = grpc.server(ThreadPoolExecutor(4))
if "health" in sys.argv:
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(
        "grpc.health.v1.Health", {"Check": grpc.unary_unary_rpc_method_handler(check)})])
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
server.wait_for_termination()
"""


@contextlib.asynccontextmanager
async def serving(*answers, tls=None):
    """A server that gives *answers*, one a connection, the last ever after; its address, and the requests."""
    asked, answering = [], set()

    async def answer(reader, writer):
        answering.add(asyncio.current_task())
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
            text = answers[min(len(asked), len(answers)) - 1]
            writer.write(text(server.sockets[0].getsockname()[1]) if callable(text) else text)
            await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname(), asked
        if answering:
            await asyncio.wait(answering)


async def ask(address, probe):
    """Ask as of a worker that serves at *address*."""
    return await asker(address).ask({"timeoutSeconds": 10, **probe})


def asker(address, session=0):
    """Who asks a worker of *session* that serves at *address*; there is no zygote to run a command."""
    inside = Inside(None)
    inside.pid = session
    return Asker(address, inside)


def http(status, *lines):
    """An answer with *status*."""
    return "\r\n".join((f"HTTP/1.1 {status} X", "content-length: 0", *lines, "", "")).encode()


@pytest.mark.parametrize(("status", "why"), [
    (200, ""), (204, ""), (301, ""), (304, ""), (399, ""), (400, "HTTP probe failed with statuscode: 400"),
    (404, "HTTP probe failed with statuscode: 404"), (503, "HTTP probe failed with statuscode: 503")])
async def test_status(status, why):
    """What passes is 200..399."""
    async with serving(http(status)) as (address, _):
        assert await ask(address, {"httpGet": {}}) == why


async def test_what_is_sent():
    """Path, query and headers are the author's; of the defaults he may name another value, or none."""
    async with serving(http(200)) as (address, asked):
        headers = [{"name": "Host", "value": "a.example"}, {"name": "X-A", "value": "1"},
                   {"name": "accept", "value": ""}, {"name": "user-agent", "value": "me"}]
        assert await ask(address, {"httpGet": {"path": "/a?b=c", "httpHeaders": headers}}) == ""
        assert await ask(address, {"httpGet": {"path": "live"}}) == ""
    assert asked[0].splitlines()[:-1] == [
        "GET /a?b=c HTTP/1.1", "Host: a.example", "X-A: 1", "user-agent: me", "Connection: close"]
    assert asked[1].splitlines()[:4] == [
        "GET /live HTTP/1.1", f"Host: 127.0.0.1:{address[1]}", "User-Agent: kube-probe/1.0", "Accept: */*"]


async def test_redirects():
    """To the same place they are followed, ten at most; to another host or port, whoever answered is well."""
    async with serving(http(302, "Location: /there"), http(500)) as (address, asked):
        assert await ask(address, {"httpGet": {}}) == "HTTP probe failed with statuscode: 500"
        assert [each.split()[1] for each in asked] == ["/", "/there"]
    async with serving(http(307, "location: http://elsewhere.example/")) as (address, asked):
        assert await ask(address, {"httpGet": {}}) == ""
        assert len(asked) == 1
    async with serving(http(302, "Location: /again")) as (address, asked):
        assert await ask(address, {"httpGet": {}}) == "stopped after 10 redirects"
        assert len(asked) == 10
    for odd in ("http://[x/", "http://127.0.0.1:99999/"):
        async with serving(http(302, f"Location: {odd}")) as (address, _):
            assert await ask(address, {"httpGet": {}})
    async with serving(http(500)) as (other, asked):
        async with serving(lambda _: http(308, f"Location: http://127.0.0.1:{other[1]}/x")) as (address, _):
            assert await ask(address, {"httpGet": {}}) == ""
        assert not asked


async def test_https(tmp_path):
    """Nobody looks at the certificate; a server without TLS is no answer."""
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    await asyncio.to_thread(subprocess.run, [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-days", "1", "-subj", "/CN=nobody", "-keyout", key, "-out", certificate],
        check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    async with serving(http(200), http(503), tls=tls) as (address, _):
        assert await ask(address, {"httpGet": {"scheme": "HTTPS"}}) == ""
        why = await ask(address, {"httpGet": {"scheme": "HTTPS"}})
        assert why == "HTTP probe failed with statuscode: 503"
    async with serving(http(200)) as (address, _):
        assert await ask(address, {"httpGet": {"scheme": "HTTPS"}, "timeoutSeconds": 0.5})


@pytest.mark.parametrize(("answer", "why"), [
    (b"HTTP/1.1 100 Continue\r\n\r\n" + http(200), ""),
    (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000, ""),
    (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", ""),
    (b"SSH-2.0-x\r\n\r\n", "the answer is no HTTP/1.1"),
    (b"HTTP/1.1 ??? X\r\n\r\n", "the answer is no HTTP/1.1"),
    (b"HTTP/1.1 200 OK\r\ncontent-length: -\r\n\r\n", "the answer is no HTTP/1.1"),
    (b"x" * 200_000, "the answer is no HTTP/1.1"),
    (b"", "the answer is no HTTP/1.1"),
])
async def test_odd_answers(answer, why):
    """What is no answer fails the probe, and nothing else."""
    async with serving(answer) as (address, _):
        assert await ask(address, {"httpGet": {}}) == why


async def test_nobody_and_no_answer():
    """A closed port, and one that never answers, are named; a connection from a port to itself is nobody."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        host, port = deaf.getsockname()
        for probe in ({"httpGet": {}}, {"tcpSocket": {}}, {"grpc": {}}, {}):
            assert "refused" in await ask((host, port), probe)
        deaf.listen()
        for probe in ({"httpGet": {}}, {"grpc": {}}):
            why = await ask((host, port), {**probe, "timeoutSeconds": 0.05})
            assert why == f"no answer from {host}:{port} within 0.05 s"
        assert await ask((host, port), {"tcpSocket": {}}) == ""
        assert await ask((host, port), {"tcpSocket": {"port": 99999}})
        assert await ask((host, port), {"grpc": {"port": 1 << 40}})
        assert await ask((host, port), {"httpGet": {"host": "a..b"}})


async def test_another_port_has_to_be_the_workers():
    """What listens there is asked only if it is of the worker's own session."""
    async with serving(http(200)) as (address, _), serving(http(500)) as (other, _):
        probe = {"httpGet": {"port": other[1]}, "timeoutSeconds": 10}
        session = os.getsid(0)
        why = await asker(address, session).ask(probe)
        assert why == "HTTP probe failed with statuscode: 500"
        why = await asker(address, 1 << 22).ask(probe)
        assert why == f"{other[0]}:{other[1]}: on port {other[1]} another process listens, not this worker"
    with pytest.raises(OSError, match=f"nobody listens on port {other[1]}"):
        listening.demand(session, other[1])


@pytest.fixture(scope="module")
def grpc_server():
    """`grpc_server("health")`: the address of one that runs, with that service or without."""
    running = []

    def start(*services):
        process = subprocess.Popen([sys.executable, "-c", GRPC_SERVER, *services], stdout=subprocess.PIPE)
        running.append(process)
        return "127.0.0.1", int(process.stdout.readline())

    yield start
    for process in running:
        process.kill()
        process.wait()
        process.stdout.close()


async def test_grpc(grpc_server):
    """A real gRPC server is asked for its health, whole or of one service; what it says is said."""
    address = await asyncio.to_thread(grpc_server, "health")
    for service, why in (
            (None, ""), ("", ""), ("x" * 600, ""),
            ("bad", 'service unhealthy (responded with "NOT_SERVING")'),
            ("none", 'service unhealthy (responded with "UNKNOWN")'),
            ("odd", "health rpc probe failed: grpc-status 5: no such service")):
        probe = {"grpc": {"service": service}}
        assert await ask(address, probe) == why
    assert "Cannot send" in await ask(address, {"grpc": {"service": "x" * 70_000}})
    why = await ask(address, {"grpc": {"service": "slow"}, "timeoutSeconds": 0.2})
    assert why == f"no answer from 127.0.0.1:{address[1]} within 0.2 s"
    bare = await asyncio.to_thread(grpc_server)
    assert await ask(bare, {"grpc": {}}) == (
        "this server does not implement the grpc health protocol (grpc.health.v1.Health)")


async def test_grpc_of_what_is_none():
    """A server of HTTP/1.1 is told to be one."""
    async with serving(http(200)) as (address, _):
        assert await ask(address, {"grpc": {}}) == "the answer is no HTTP/2"
    async with serving(b"") as (address, _):
        assert await ask(address, {"grpc": {}}) == "the connection was closed without an answer"
