"""
A function's folder, served while it is being written: `clarion func run`.

    look at the files -> its environment -> fork a worker -> a file has changed -> fork anew
                                            it failed, it ended: say so, and wait for a change;
                                            a request that comes meanwhile gets 503 and the reason

It is served as a revision would be, by the same worker from the same zygote, on a socket that is never
closed: a request that comes while a worker is being replaced waits for the next. The worker before it
finishes what it has. Nothing is durable here, and no autoscaler looks.

What is watched is what a bundle would hold, by time and size, a few times a second: that works on every file
system and needs no library.
"""

import asyncio
import contextlib
import hashlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from eventing.http.server import serve
from serving.functions import bundle
from serving.workers import dependencies
from serving.workers.backend import StartFailed
from serving.workers.environment import Environment, Environments
from serving.workers.process import Spec, environment, in_memory
from serving.workers.spawn import Zygote, ZygoteGone

_POLL_S = 0.2
# A worker that is being replaced, or ended by Ctrl-C, may finish what it has; func's own grace.
_GRACE_S = 5.0
_REPORT_LIMIT_S = 1.0  # what a process has reported is here when it has ended, or a moment later
_REFUSAL_GRACE_S = 1.0  # for what asks while nothing runs, and is answered at once
_REPORT_BYTES = 64 * 1024
_THREADS = 40  # as a revision without containerConcurrency

Snapshot = dict[Path, tuple[int, int]]


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to serve, and how."""

    folder: Path
    name: str
    env: Mapping[str, str]
    entry: str | None
    preload: tuple[str, ...]


def snapshot(folder: Path) -> Snapshot:
    """Time and size of every file that counts; nothing of what is gone while one looks."""
    found = {}
    with contextlib.suppress(OSError):
        for path in bundle.files(folder):
            with contextlib.suppress(OSError):
                about = path.stat()
                found[path] = about.st_mtime_ns, about.st_size
    return found


@dataclass(eq=False)
class _Worker:
    """One process; both futures resolve, `ready` with what it reported."""

    name: str
    zygote: Zygote
    ready: asyncio.Future[dict[str, Any]]
    exited: asyncio.Future[int]


class Live:
    """One folder on one listening socket."""

    def __init__(self, order: Order, listener: socket.socket, environments: Environments,
                 say: Callable[[str], None]) -> None:
        """*say* gets what the author should know, a line at a time."""
        self._order = order
        self._listener = listener
        self._environments = environments
        self._say = say
        self._workers: dict[str, _Worker] = {}
        self._zygotes: dict[str, Zygote] = {}
        self._count = 0

    async def run(self, on_ready: Callable[[], None]) -> None:
        """Serve until cancelled; *on_ready* is called when a worker accepts for the first time."""
        async with asyncio.TaskGroup() as tasks:
            try:
                await self._serve(tasks, on_ready)
            finally:
                for worker in list(self._workers.values()):
                    await self._stop(worker)
                for zygote in self._zygotes.values():
                    zygote.close()

    async def _serve(self, tasks: asyncio.TaskGroup, on_ready: Callable[[], None]) -> None:
        before: _Worker | None = None
        is_announced = False
        while True:
            began, seen = time.monotonic(), await asyncio.to_thread(snapshot, self._order.folder)
            worker, trouble = await self._start(tasks)
            if before is not None:
                tasks.create_task(self._stop(before))
            before = worker
            changed = tasks.create_task(self._until_changed(seen))
            if worker is not None and not (trouble := await self._trouble_of(worker, changed)):
                if is_announced:
                    self._say(f"changed: running anew after {(time.monotonic() - began) * 1000:.0f} ms")
                else:
                    on_ready()
                is_announced = True
                await asyncio.wait((worker.exited, changed), return_when=asyncio.FIRST_COMPLETED)
                if not changed.done():
                    trouble = f"it ended with status {worker.exited.result()}"
                    self._say(f"{trouble}; waiting for a change")
            if not changed.done():
                await self._refuse(trouble, changed)

    async def _refuse(self, trouble: str, changed: asyncio.Task[None]) -> None:
        """Answer 503 with the reason until something has changed."""
        text = f"{self._order.name} does not run: {trouble}"
        server = await serve(lambda exchange: exchange.text(503, text),
                             sock=socket.socket(fileno=os.dup(self._listener.fileno())))
        try:
            await asyncio.wait((changed,))
        finally:
            await server.close(_REFUSAL_GRACE_S)

    async def _start(self, tasks: asyncio.TaskGroup) -> tuple[_Worker | None, str]:
        """A fresh worker; none, and why, when its environment cannot be built, which is said."""
        order = self._order
        try:
            own = await self._environments.of(order.folder, _identity(order.folder), self._tell)
        except StartFailed as failure:
            self._say(str(failure))
            return None, str(failure)
        zygote = self._zygote(own, tasks)
        loop, self._count = asyncio.get_running_loop(), self._count + 1
        worker = _Worker(f"{order.name}-{self._count}", zygote, loop.create_future(), loop.create_future())
        self._workers[worker.name] = worker
        report, theirs = os.pipe2(os.O_CLOEXEC)
        loop.add_reader(report, _hear, report, worker.ready)
        spec = in_memory(orjson.dumps(self._spec(worker.name, own)))
        descriptors = [spec, os.dup(sys.stdout.fileno()), theirs, os.dup(self._listener.fileno())]
        with contextlib.suppress(ZygoteGone):
            zygote.fork(worker.name, descriptors)
        return worker, ""

    def _spec(self, name: str, own: Environment | None) -> Spec:
        order, inherited = self._order, dict(os.environ)
        if own is not None:
            inherited["PATH"] = os.pathsep.join((own.path, inherited.get("PATH", os.defpath)))
        env = environment(order.env, port=self._listener.getsockname()[1], service=order.name,
                          configuration=order.name, revision=order.name, own=inherited)
        return Spec(worker=name, source=f"/{order.name}", folder=str(order.folder), env=env,
                    entry=order.entry, threads=_THREADS)

    def _zygote(self, own: Environment | None, tasks: asyncio.TaskGroup) -> Zygote:
        python = own.python if own else sys.executable
        zygote = self._zygotes.get(python)
        if zygote is None or zygote.is_gone:
            zygote = self._zygotes[python] = Zygote(self._order.preload, self._report, python=python)
            tasks.create_task(self._own(zygote))
        return zygote

    async def _own(self, zygote: Zygote) -> None:
        await zygote.run()
        for worker in [worker for worker in self._workers.values() if worker.zygote is zygote]:
            self._report({"exited": worker.name, "status": -signal.SIGKILL})

    def _report(self, report: dict[str, Any]) -> None:
        name = report.get("exited") or report.get("refused")
        worker = self._workers.pop(str(name), None) if name else None
        if worker is not None:
            worker.exited.set_result(int(report.get("status", 1)))

    async def _trouble_of(self, worker: _Worker, changed: asyncio.Task[None]) -> str:
        """Why it does not start; empty: it does. What is imported may hang until the files change anew."""
        outcomes = worker.ready, worker.exited, changed
        await asyncio.wait(outcomes, return_when=asyncio.FIRST_COMPLETED)
        if worker.exited.done():
            await asyncio.wait((worker.ready,), timeout=_REPORT_LIMIT_S)
        reported = worker.ready.result() if worker.ready.done() else {}
        if "ready" in reported:
            return ""
        if not changed.done():
            self._say("it does not start; waiting for a change")  # why stands above: it printed that itself
        return str(reported.get("failed", {}).get("message") or "it does not start")

    async def _until_changed(self, seen: Snapshot) -> None:
        now = seen
        while now == seen:
            await asyncio.sleep(_POLL_S)
            now = await asyncio.to_thread(snapshot, self._order.folder)
        _forget_bytecode([path for path in now if now[path] != seen.get(path)])

    async def _stop(self, worker: _Worker) -> None:
        if not worker.exited.done():
            worker.zygote.signal(worker.name, signal.SIGTERM, group=False)
            await asyncio.wait((worker.exited,), timeout=_GRACE_S)
            worker.zygote.signal(worker.name, signal.SIGKILL, group=True)

    def _tell(self, chunk: bytes) -> None:
        for line in chunk.decode(errors="replace").splitlines():
            if line.strip():
                self._say(line)


def _hear(report: int, ready: asyncio.Future[dict[str, Any]]) -> None:
    """The only thing that a worker reports; its silent end is an empty report."""
    data = os.read(report, _REPORT_BYTES)
    asyncio.get_running_loop().remove_reader(report)
    os.close(report)
    if not ready.done():
        ready.set_result(orjson.loads(data) if data else {})


def _identity(folder: Path) -> str:
    """What tells one state of the folder's dependencies from another."""
    told = hashlib.sha256(str(folder).encode())
    for name in (dependencies.REQUIREMENTS, dependencies.PROJECT):
        with contextlib.suppress(OSError):
            told.update((folder / name).read_bytes())
    return told.hexdigest()


def _forget_bytecode(changed: list[Path]) -> None:
    """Python goes by whole seconds and sizes: of two changes within a second it would miss the second."""
    for path in changed:
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
            compiled.unlink(missing_ok=True)
