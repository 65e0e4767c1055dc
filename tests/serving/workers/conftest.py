"""A real backend with its zygote, and functions to run on it."""

import asyncio
import contextlib
from pathlib import Path
from textwrap import dedent

import pytest

from eventing.config import Config
from eventing.http.client import Client
from serving.functions import bundle
from serving.workers import logs
from serving.workers.local import LocalBackend

EVENT = (
    (b"ce-specversion", b"1.0"),
    (b"ce-id", b"1"),
    (b"ce-source", b"/shop"),
    (b"ce-type", b"order.placed"),
    (b"content-type", b"application/json"),
)


class Stage:
    """A backend, and what a test does to it."""

    def __init__(self, backend: LocalBackend, data_dir: Path, folder: Path, store) -> None:
        self.backend = backend
        self.data_dir = data_dir
        self._folder = folder
        self._store = store
        self._names = {}  # of unix sockets, by worker
        self._client = Client(dial=lambda host, _port: self._names.get(host))

    @property
    def zygote(self):
        """The default one."""
        return self.backend._zygotes.default

    async def record(self, code="", *, files=None, **fields):
        """The record of a revision whose func.py is *code*, or whose bundle has *files*; it is stored."""
        folder = self._folder / f"f{len(list(self._folder.iterdir()))}"
        for name, text in (files or {"func.py": code}).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(dedent(text))
        return await self.pack(folder, **fields)

    async def pack(self, folder, **fields):
        """The record of a revision whose bundle is *folder*."""
        data = bundle.pack(folder)
        await bundle.put(self._store, bundle.digest(data), data)
        return {
            "uid": "1",
            "service": "hello",
            "configuration": "hello",
            "bundle": bundle.digest(data),
            "env": {},
            **fields,
        }

    async def start(self, code="", **fields):
        """A worker of it that is ready."""
        worker = await self.backend.start("default/hello-00001", await self.record(code, **fields))
        await self.within(worker.ready)
        return worker

    async def ask(self, worker, data=b'{"qty":2}', *, method="POST", path="/", headers=EVENT, by_name=False):
        """Send *worker* a request, by default an event, to its port; *by_name*: as the activator does."""
        host, port = worker.address
        if by_name:
            host = worker.id
            self._names[host] = worker.socket_name
        return await self._client.request(
            method, f"http://{host}:{port}{path}", headers, data, timeout_s=10, max_answer_bytes=1 << 20
        )

    async def within(self, awaitable, limit_s=10):
        """The result of *awaitable*, which must come soon."""
        async with asyncio.timeout(limit_s):
            return await awaitable

    def log(self):
        """What the revision's workers have printed so far."""
        lines = logs.read(logs.path(self.data_dir, "default", "hello-00001"), 1000)
        return [line.split(b" ", 2)[2].decode() for line in lines]

    async def until(self, condition):
        """Wait until *condition*, a function, is true."""
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.005)

    async def spare(self):
        """Wait until the default zygote has a spare that waits."""
        await self.until(lambda: "| spare " in repr(self.zygote))

    async def printed(self, text):
        """Wait until *text* is a line of the log."""
        await self.until(lambda: text in self.log())

    async def lines(self, count):
        """Wait until the log has *count* lines; returns them."""
        await self.until(lambda: len(self.log()) >= count)
        return self.log()

    async def close(self):
        await self._client.close()


@pytest.fixture
def stage_in(store):
    """Opens a running backend in a directory, for as long as an `async with` block runs."""

    @contextlib.asynccontextmanager
    async def opened(directory):
        (directory / "folders").mkdir()
        backend = LocalBackend(Config(data_dir=directory / "data"), store)
        running = asyncio.get_running_loop().create_task(backend.run())
        stage = Stage(backend, directory / "data", directory / "folders", store)
        yield stage
        await stage.close()
        await backend.close()
        await running
        assert repr(backend) == "<LocalBackend [0 zygotes | 0 workers]>"

    return opened


@pytest.fixture
async def stage(stage_in, tmp_path):
    """A running backend, closed at the end, when nothing of it may be left."""
    async with stage_in(tmp_path) as stage:
        yield stage
