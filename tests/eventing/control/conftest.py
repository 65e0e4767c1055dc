"""A control plane over a real Valkey, served by a real uvicorn on a free port, with kinds of its own."""

import asyncio
import http.client
import json
import socket
from contextlib import asynccontextmanager, suppress

import pytest
import uvicorn

from eventing.control import kind as kinds
from eventing.control import resource
from eventing.control.api import build
from eventing.control.field import missing_field
from eventing.control.kind import AGE, READY_COLUMNS, Column, Kind


def _default_toy(new, old, defaults):
    new.setdefault("spec", {}).setdefault("colour", defaults.config("default", "toys").get("colour", "red"))
    if "deprecated" in new["spec"]:
        defaults.warnings.append("spec.deprecated is deprecated")


def _validate_toy(new, old, defaults):
    return [] if new["spec"].get("size") != 0 else [missing_field("spec.size")]


async def _reconcile_toy(toy, context):
    status = resource.status(toy)
    resource.set_condition(status, "Ready", "True", now=context.now)
    status["seen"] = resource.spec(toy).get("size")


TOY = Kind(
    group="toys.knative.dev", version="v1", kind="Toy", plural="toys", singular="toy", short_names=("ty",),
    categories=("all",), default=_default_toy, validate=_validate_toy, reconcile=_reconcile_toy,
    columns=(Column("Colour", ".spec.colour"), Column("Size", ".spec.size", "integer", priority=1),
             *READY_COLUMNS, AGE))

# Has a status and no reconciler: nothing but the test writes to it.
BLOCK = Kind(group="toys.knative.dev", version="v1", kind="Block", plural="blocks", singular="block")


# As Kubernetes' own kinds are, of a group without a dot: a Deployment without what runs it.
HERD = Kind(group="farm", version="v1", kind="Herd", plural="herds", singular="herd", has_scale=True)


@pytest.fixture(autouse=True)
def toys():
    """The test's own kinds, registered."""
    kinds.register(TOY)
    kinds.register(BLOCK)
    kinds.register(HERD)
    return TOY


class Api:
    """HTTP to the API, as a client that knows nothing."""

    def __init__(self, port):
        self.port = port

    async def __call__(self, method, path, body=None, **headers):
        """(status, JSON, headers) of one request."""
        return await asyncio.to_thread(self._ask, method, path, body, headers)

    def _ask(self, method, path, body, headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        if body is not None and not isinstance(body, (str, bytes)):
            body = json.dumps(body)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {"content-type": "application/json", **named})
        answer = connection.getresponse()
        raw = answer.read()
        connection.close()
        joined = {name: answer.getheader(name) for name, _ in answer.getheaders()}
        return answer.status, json.loads(raw), joined

    @asynccontextmanager
    async def watch(self, path):
        """An asynchronous function that gives the next line of a watch, or None at its end."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in head, (head, await reader.read(4096))

        async def line():
            async with asyncio.timeout(10):
                size = int(await reader.readline(), 16)
                data = await reader.readexactly(size)
                await reader.readexactly(2)
            return json.loads(data) if data else None

        try:
            yield line
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


@pytest.fixture
async def api(plane):
    """The API of `plane`, served over HTTP."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(build(plane), log_level="warning", timeout_graceful_shutdown=1))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve(sockets=[listener]))
        try:
            yield Api(listener.getsockname()[1])
        finally:
            plane.store.end_watches()
            server.should_exit = True


@pytest.fixture
def eventually():
    """Wait for a condition: its first true answer, within 10 s."""
    async def wait(condition):
        async with asyncio.timeout(10):
            while not (found := condition()):
                await asyncio.sleep(0.01)
        return found
    return wait
