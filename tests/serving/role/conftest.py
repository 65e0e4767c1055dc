"""A whole serving role in this process: real store, zygote, workers, and HTTP over the activator's socket."""

import asyncio
import contextlib
import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from eventing import projection
from eventing.config import Config
from eventing.http.client import Client
from eventing.runtime import Runtime
from serving import role

# One ASGI app that does what its query says; it counts how many requests it has at a time.
from serving.functions import bundle

# One ASGI app that does what its query says; it counts how many requests it has at a time.
APP = """
import asyncio, json, os, signal
inside = most = 0
async def app(scope, receive, send):
    global inside, most
    if scope["type"] != "http":
        return
    inside += 1
    most = max(most, inside)
    chunks = []
    while True:
        message = await receive()
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            break
    query = dict(part.split("=") for part in scope["query_string"].decode().split("&") if part)
    try:
        await asyncio.sleep(float(query.get("sleep", 0)))
        if "die" in query:
            os.kill(os.getpid(), signal.SIGKILL)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        body = json.dumps({"pid": os.getpid(), "most": most, "revision": os.environ["K_REVISION"],
                           "size": len(b"".join(chunks)), "headers": headers}).encode()
        await send({"type": "http.response.start", "status": 200,
                    "headers": [(b"content-length", str(len(body)).encode())]})
        await send({"type": "http.response.body", "body": body})
    finally:
        inside -= 1
"""


class House:
    """A serving role that runs, and what a test asks of it."""

    app = APP  # what a revision runs unless told otherwise

    def __init__(self, store, directory):
        self.store = store
        self.config = Config(data_dir=directory, drain_s=5)
        self.metrics = CollectorRegistry()
        self.runtime = Runtime(config=self.config, store=store, metrics=self.metrics)
        self.client = Client(dial=lambda _host, _port: str(self.config.activator_socket))

    async def revision(self, name, *, code=APP, annotations=None, **fields):
        """Have revision default/NAME, with a route to it at host NAME; returns once the role knows both."""
        folder = self.config.data_dir / "code" / name
        folder.mkdir(parents=True)
        (folder / "func.py").write_text(code)
        packed = bundle.pack(folder)
        await bundle.put(self.store, bundle.digest(packed), packed)
        record = {"uid": f"uid-{name}", "service": name, "configuration": name, "image": f"func://{name}",
                  "bundle": bundle.digest(packed), "entry": None, "command": None, "args": [], "env": {},
                  "preload": [], "container_concurrency": 0, "timeout_s": 30.0,
                  "response_start_timeout_s": None, "idle_timeout_s": None, "memory_bytes": None,
                  "port": None, "readiness": None, "liveness": None,
                  "annotations": {f"autoscaling.knative.dev/{key}": value
                                  for key, value in (annotations or {}).items()},
                  "reachable": True} | fields
        await self.route(name, {name: 100})
        await projection.write(self.store, "revisions", f"default/{name}", record)
        await self.scale(name, lambda record: record["uid"] == f"uid-{name}")

    async def route(self, host, percents):
        """Write a route."""
        targets = [{"revision": f"default/{name}", "percent": percent, "tag": ""}
                   for name, percent in percents.items()]
        await projection.write(self.store, "routes", host, {"service": f"default/{host}", "targets": targets})

    async def answer_at(self, host, percents):
        """Write a route, and wait until its host answers."""
        await self.route(host, percents)

        async def is_known():
            return (await self.ask(host)).status == 200

        await self.until(is_known)

    async def zero_allowed(self, **data):
        """Let revisions begin at zero workers, so that nothing is started to see whether they can."""
        await projection.write(self.store, "configs", "knative-serving/config-autoscaler",
                               {"allow-zero-initial-scale": "true", "initial-scale": "0", **data})

    async def scale(self, name, passes):
        """The record of table `scales` once it *passes*."""
        async def look():
            record = (await projection.read(self.store, "scales")).get(f"default/{name}")
            return record if record is not None and passes(record) else None
        return await self.until(look)

    async def is_forgotten(self, name):
        """Whether table `scales` says nothing of a revision."""
        return f"default/{name}" not in await projection.read(self.store, "scales")

    async def pid(self, name):
        """Process of a worker of revision NAME."""
        return json.loads((await self.ask(name)).body)["pid"]

    async def ask(self, host, query="", *, method="GET", body=b"", headers=(), timeout_s=30):
        """One request."""
        return await self.client.request(method, f"http://{host}/{query}", headers, body,
                                         timeout_s=timeout_s, max_answer_bytes=1 << 24)

    @staticmethod
    async def is_gone(pid):
        """Whether a process has ended."""
        return not os.path.exists(f"/proc/{pid}")  # noqa: ASYNC240, PTH110  no disk is behind it

    @staticmethod
    async def until(condition):
        """Return the first true answer of the coroutine function *condition*."""
        async with asyncio.timeout(20):
            while not (found := await condition()):
                await asyncio.sleep(0.02)
        return found


@pytest.fixture
def open_house(store):
    """Opens roles for as long as an `async with` block runs; all of one test share a data directory."""
    directory = Path(tempfile.mkdtemp(prefix="cl-"))

    @contextlib.asynccontextmanager
    async def opened(*, from_zero=False):
        house = House(store, directory)
        if from_zero:
            await house.zero_allowed()
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(role.run(house.runtime))

            async def is_up():
                return house.runtime.is_ready or running.done()

            await house.until(is_up)
            try:
                yield house
            finally:
                house.runtime.stopping.set()
                await house.client.close()

    yield opened
    shutil.rmtree(directory)


@pytest.fixture
async def house(open_house):
    """A serving role that runs, in which revisions begin at zero."""
    async with open_house(from_zero=True) as house:
        yield house
