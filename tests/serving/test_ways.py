"""Every way into a Service, for Server-Sent Events and WebSocket; and a killed role."""

import base64
import concurrent.futures
import contextlib
import hashlib
import http.client
import json
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(120)

OBJECTS = """
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: flow}
spec:
  template: {spec: {containers: [{image: "func://./flow", env: [{name: LEFT, value: "%(left)s"}]}]}}
  traffic: [{latestRevision: true, percent: 100, tag: live}]
---
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: talk}
spec:
  template:
    spec:
      containers:
        - {image: "func://./talk", command: ["%(python)s", serve.py], env: [{name: LEFT, value: "%(left)s"}]}
  traffic: [{latestRevision: true, percent: 100, tag: live}]
---
apiVersion: serving.knative.dev/v1beta1
kind: DomainMapping
metadata: {name: flow.example.com}
spec: {ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: flow}}
---
apiVersion: serving.knative.dev/v1beta1
kind: DomainMapping
metadata: {name: talk.example.com}
spec: {ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: talk}}
"""

# Tells one event of who asked, and no more until that one leaves.
FLOW = """
import os
from pathlib import Path

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    who = scope["query_string"].decode()
    kind = b"text/event-stream" if who else b"text/plain"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    await send({"type": "http.response.body", "body": f"data: {who}\\n\\n".encode(), "more_body": bool(who)})
    if who and (await receive())["type"] == "http.disconnect":
        Path(os.environ["LEFT"], who).touch()
"""

# RFC 6455: echoes frames of text that are short.
TALK = """
import asyncio, base64, hashlib, os
from pathlib import Path

async def serve(reader, writer):
    head = (await reader.readuntil(b"\\r\\n\\r\\n")).decode().split("\\r\\n")
    who = head[0].split()[1].partition("?")[2]
    key = next(line.split(": ")[1] for line in head if line.lower().startswith("sec-websocket-key"))
    digest = hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    writer.write(b"HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n"
                 b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\\r\\n\\r\\n")
    try:
        while True:
            first, size = await reader.readexactly(2)
            mask = await reader.readexactly(4)
            data = await reader.readexactly(size & 127)
            text = bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))
            writer.write(bytes((first, len(text))) + text)
    except (asyncio.IncompleteReadError, ConnectionError):
        Path(os.environ["LEFT"], who).touch()
    writer.close()

async def main():
    async with await asyncio.start_server(serve, "127.0.0.1", int(os.environ["PORT"])) as server:
        await server.serve_forever()

asyncio.run(main())
"""

WAYS = [pytest.param("{}.default.localhost", False, id="data port"),
        pytest.param("{}.default.svc.cluster.local", True, id="unix socket"),
        pytest.param("{}.example.com", False, id="DomainMapping"),
        pytest.param("live-{}.default.localhost", False, id="tag")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the functions are, and where they note who has left."""
    folder = tmp_path_factory.mktemp("ways")
    for name, file, code in (("flow", "func.py", FLOW), ("talk", "serve.py", TALK)):
        (folder / name).mkdir()
        (folder / name / file).write_text(code)
    (folder / "left").mkdir()
    (folder / "all.yaml").write_text(OBJECTS % {"left": folder / "left", "python": sys.executable})
    return folder


@pytest.fixture(scope="module")
def options(folder):
    """Both Services, from the beginning."""
    return ("-f", str(folder / "all.yaml"))


@pytest.fixture(scope="module")
def world(instance, until):
    """The instance, once its hosts lead somewhere."""

    def ready(kind):
        objects = json.loads(instance.clarion("get", kind, "-o", "json"))["items"]
        return len(objects) == 2 and all(
            any(each["type"] == "Ready" and each["status"] == "True" for each in one["status"]["conditions"])
            for one in objects)

    until(lambda: ready("services") and ready("domainmappings"), what="Services and DomainMappings")
    return instance


@pytest.fixture
def connect(world):
    """Opens connections to the data port, or to the activator's unix socket."""
    with contextlib.ExitStack() as stack:
        def connect(by_name):
            if by_name:
                made = stack.enter_context(socket.socket(socket.AF_UNIX))
                made.settimeout(30)
                made.connect(str(world.data_dir / "run" / "activator.sock"))
            else:
                made = socket.create_connection(("127.0.0.1", world.state["port"]), timeout=30)
            return stack.enter_context(made)

        yield connect


def exactly(stream, size):
    """So many bytes."""
    data = stream.read(size)
    assert len(data) == size
    return data


@pytest.mark.parametrize(("host", "by_name"), WAYS)
def test_server_sent_events(connect, folder, until, host, by_name):
    """An event arrives while the answer goes on, and the function learns that its client has left."""
    who = f"events-{host[:4].strip('{}.')}-{by_name}"
    asked = connect(by_name)
    asked.sendall(f"GET /?{who} HTTP/1.1\r\nHost: {host.format('flow')}\r\n\r\n".encode())
    answer = http.client.HTTPResponse(asked)
    answer.begin()

    assert (answer.status, answer.getheader("content-type")) == (200, "text/event-stream")
    assert answer.readline() == f"data: {who}\n".encode()
    answer.close()
    asked.close()
    until((folder / "left" / who).exists, what="sign that the client has left")


@pytest.mark.parametrize(("host", "by_name"), WAYS)
def test_websocket(connect, folder, until, host, by_name):
    """Frames cross both ways after the handshake, and the program learns that its client has left."""
    who = f"talk-{host[:4].strip('{}.')}-{by_name}"
    key = base64.b64encode(os.urandom(16))
    asked = connect(by_name)
    asked.sendall(b"\r\n".join((
        b"GET /?%b HTTP/1.1" % who.encode(), b"Host: %b" % host.format("talk").encode(),
        b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: %b" % key, b"", b"")))
    with asked.makefile("rb") as stream:
        assert stream.readline() == b"HTTP/1.1 101 Switching Protocols\r\n"
        headers = http.client.parse_headers(stream)
        digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        assert headers["sec-websocket-accept"] == base64.b64encode(digest).decode()
        for text in (b"one", b"another"):
            asked.sendall(bytes((0x81, 0x80 | len(text), 0, 0, 0, 0)) + text)
            assert exactly(stream, 2 + len(text)) == bytes((0x81, len(text))) + text
    asked.close()
    until((folder / "left" / who).exists, what="sign that the client has left")


def test_requests_wait_for_a_role_that_was_killed(world, until):
    """Whoever asks for a Service while the serving role is started again is answered by the new one."""
    pid = next(int(child) for child in
               Path(f"/proc/{world.process.pid}/task/{world.process.pid}/children").read_text().split()
               if Path(f"/proc/{child}/comm").read_text().strip() == "clarion-serving")
    os.kill(pid, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{pid}").exists(), what="end of the role")

    def ask(number):
        asked = http.client.HTTPConnection("127.0.0.1", world.state["port"], timeout=30)
        with contextlib.closing(asked):
            asked.request("POST" if number % 2 else "GET", "/", body=b"x" * 1000 if number % 2 else None,
                          headers={"Host": "flow.default.localhost"})
            answer = asked.getresponse()
            return answer.status, answer.read()

    with concurrent.futures.ThreadPoolExecutor(40) as threads:
        assert set(threads.map(ask, range(40))) == {(200, b"data: \n\n")}
