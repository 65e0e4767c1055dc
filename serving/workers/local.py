"""
The backend on this machine: bundles, environments, zygotes, and the workers that these forked.

    start(name, record)  bundle and environment (ground.py), volumes -> listening sockets, pipes -> fork
    zygote dies          the kernel kills its workers, we kill what they started; all are reported as exited
    close                every zygote loses its socket, kills its workers and ends

The listening sockets are made here and kept by the worker alone: connections that nobody accepted are reset
when it dies. A `command` gets a port that was free a moment ago instead (ports.py): it listens for itself;
it runs in the bundle's folder, or in `/` where there is none, as in a container, unless `workingDir` says
otherwise; that may be relative to there.
"""

import asyncio
import contextlib
import os
import secrets
import signal
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson
import redis.asyncio
import structlog

from eventing.config import Config
from serving.objects.settings import PROGRESS_DEADLINE_S
from serving.workers import listeners, logs, order, ports, usage, users
from serving.workers.backend import Progress, StartFailed, Usage, Worker, silent
from serving.workers.child import Child
from serving.workers.environment import Environment, Environments
from serving.workers.ground import Ground
from serving.workers.process import in_memory
from serving.workers.spawn import Zygote, ZygoteGone
from serving.workers.vigil import Probes
from serving.workers.volumes import Files, Taken, Volumes
from serving.workers.zygotes import Zygotes

# Bundles that are unpacked at once before they are needed: starts that somebody waits for come first.
_AHEAD = 2
_SINK = "K_SINK"  # where a program sends its events, by a SinkBinding or a ContainerSource
# Told to end, a function stops listening at once, unless its loop is stuck. Kubernetes' default grace.
_HEEDING_S = 30.0
_CHECK_S = 1.0  # between two looks at how many processes workers have
_NAME_BYTES = 3  # of randomness in a worker's name, twice as many hex digits

_log = structlog.get_logger(__name__)


class LocalBackend:
    """Implements serving.workers.backend.Backend with processes of this machine."""

    def __init__(self, config: Config, store: redis.asyncio.Redis) -> None:
        """Nothing is started before `run`."""
        self._data_dir = config.data_dir.absolute()
        self._outer_url = config.outer_url
        self._children: dict[str, Child] = {}
        self._zygotes = Zygotes(self._report, self._lose, self._busy)
        self._ground = Ground(self._data_dir, store)
        self._volumes = Volumes(self._data_dir)
        self._ahead = asyncio.Semaphore(_AHEAD)
        self._tasks: asyncio.TaskGroup | None = None
        self._closing = asyncio.Event()
        self._running = asyncio.Event()
        self._ended = asyncio.Event()

    def __repr__(self) -> str:
        """Counts."""
        return f"<LocalBackend [{len(self._zygotes)} zygotes | {len(self._children)} workers]>"

    async def run(self) -> None:
        """Own zygotes and workers until cancelled or closed."""
        await self._volumes.clear()
        try:
            async with asyncio.TaskGroup() as self._tasks:
                self._zygotes.open(self._tasks)
                self._running.set()
                while not self._closing.is_set():
                    await self._rest()
                    for child in self._children.values():
                        child.check()
                self._zygotes.close()
        finally:
            self._closing.set()
            await self._volumes.clear()
            self._ended.set()

    async def _rest(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CHECK_S):
                await self._closing.wait()

    async def close(self) -> None:
        """End everything; returns when it is gone."""
        self._closing.set()
        if self._running.is_set():
            await self._ended.wait()

    @property
    def environments(self) -> Environments:
        """Those of its data directory."""
        return self._ground.environments

    def retire(self, gone: Environment) -> None:
        """Let go of what runs in an environment that is no more."""
        self._zygotes.retire(gone.python)

    async def warm(self) -> None:
        """Returns when the default zygote has done its imports: from now on a start costs a fork."""
        await self._running.wait()
        await self._zygotes.default.warm.wait()

    async def prepare(self, name: str, record: Mapping[str, Any]) -> None:
        """See Backend.prepare: its bundle is unpacked, its environment built, and its zygote warm."""
        with contextlib.suppress(Exception):
            async with self._ahead:
                folder = await self._ground.folder(record)
            own = await self._ground.environment(name, record, folder, silent)
            await self._running.wait()
            if self._zygotes.has_room and not self._closing.is_set():
                self._zygotes.of(*order.zygote(record, own))

    async def start(self, name: str, record: Mapping[str, Any], progress: Progress = silent) -> Worker:
        """See Backend.start."""
        try:
            return await self._start(name, record, progress)
        except Exception as error:
            failure = _failure(error)
            if failure.reason != "Stopped":
                self._note(name, str(failure))
            raise failure from error

    def _note(self, name: str, text: str) -> None:
        """Add a line of our own to the log of a revision that has no worker to add it."""
        namespace, _, revision = name.partition("/")
        logs.Output(logs.path(self._data_dir, namespace, revision), revision).note(text)

    async def _start(self, name: str, record: Mapping[str, Any], progress: Progress) -> Worker:
        if record.get("lacks"):
            raise StartFailed(*record["lacks"])
        folder = await self._ground.folder(record)
        own = await self._ground.environment(name, record, folder, progress)
        await self._running.wait()
        taken = await self._volumes.take(record) if record.get("volumes") else None
        try:
            child = self._fork(name, record, folder, own, taken)
        except Exception:
            if taken is not None:
                await self._volumes.give_back(taken)
            raise
        if taken is not None:
            child.worker.exited.add_done_callback(lambda _: self._give_back(taken))
        _log.debug("worker asked for", revision=name, worker=child.worker.id)
        return child.worker

    def _fork(self, name: str, record: Mapping[str, Any], folder: Path, own: Environment | None,
              taken: Taken | None) -> Child:
        """Have the process; all that it needs is there."""
        if self._closing.is_set():
            raise StartFailed("Stopped", "this backend is closing")
        user, group = users.of(record, order.source(name, record), self._living)
        for place in (folder, *([own.place] if own else ())):
            users.let_in(user, place, self._data_dir)
        zygote = self._zygotes.of(*order.zygote(record, own))
        is_command = bool(record.get("command"))
        sockets = [ports.bound()] if is_command else listeners.opened()
        with contextlib.ExitStack() as ours:
            for each in sockets:
                ours.enter_context(each)
            child = self._child(name, record, zygote, *(each.getsockname() for each in sockets))
            try:
                said = {**self._with_sink(record), "user": user, "group": group}
                spec = order.spec(name, said, child.worker, folder, own, plan=taken.plan if taken else None)
                child.inside.spec = spec
                descriptors = [in_memory(orjson.dumps(spec)), *child.descriptors]
            except Exception as error:
                child.abandon(str(error))
                raise
            if not is_command:
                descriptors += [each.detach() for each in sockets]
        self._children[child.worker.id] = child
        child.worker.times.asked = time.monotonic()
        with contextlib.suppress(ZygoteGone):  # `_own` notices, and this child is one of those it reports
            zygote.fork(child.worker.id, descriptors)
        return child

    def _living(self) -> dict[int | None, str]:
        """The users of workers, and whose workers they are."""
        specs = (child.inside.spec for child in self._children.values())
        return {spec.user: spec.source for spec in specs if spec is not None}

    def volumes(self, uid: str, files: Mapping[str, Files] | None) -> None:
        """Table `volumes` has changed: *files* of the Revision or Deployment *uid*, or none any more."""
        if self._volumes.told(uid, files) and not self._closing.is_set():
            assert self._tasks is not None
            self._tasks.create_task(self._follow(uid))

    async def _follow(self, uid: str) -> None:
        why = await self._volumes.follow(uid)
        for child in self._children.values() if why else ():
            if child.worker.uid == uid:
                child.note(f"its volumes have changed, and it keeps the files that it has: {why}")

    def _give_back(self, taken: Taken) -> None:
        if not self._closing.is_set():  # then all of it goes
            assert self._tasks is not None
            self._tasks.create_task(self._volumes.give_back(taken))

    async def stop(self, worker: Worker, grace_s: float) -> None:
        """See Backend.stop."""
        child = self._children.get(worker.id)
        if child is None:
            return
        child.stopping()
        why = f"it did not end within {grace_s:g} s and" if grace_s else "it"
        if grace_s > 0:
            child.signal(signal.SIGTERM)
            heeding_s = min(grace_s, _HEEDING_S)
            await asyncio.wait([worker.exited], timeout=heeding_s)
            if not worker.exited.done() and heeding_s < grace_s:
                if await child.still_listens():
                    why = f"it took no notice of SIGTERM for {heeding_s:g} s, so its event loop is stuck, and"
                else:
                    await asyncio.wait([worker.exited], timeout=grace_s - heeding_s)
        if not worker.exited.done():
            child.note(f"{why} is killed")
            child.signal(signal.SIGKILL, group=True)
            await asyncio.shield(worker.exited)

    async def usage(self, workers: Iterable[Worker]) -> Mapping[str, Usage]:
        """See Backend.usage."""
        children = [self._children[worker.id] for worker in workers if worker.id in self._children]
        pids = {child.worker.id: (child.zygote.pid, child.pid) for child in children if child.pid}
        return await asyncio.to_thread(usage.read, pids)

    def _with_sink(self, record: Mapping[str, Any]) -> Mapping[str, Any]:
        """*record*, its K_SINK an address that a program can reach: our inner names are in no DNS."""
        env = record.get("env") or {}
        if _SINK not in env:
            return record
        return {**record, "env": {**env, _SINK: self._outer_url(env[_SINK])}}

    def note(self, name: str, worker: Worker | None, line: str) -> None:
        """See Backend.note."""
        child = None if worker is None else self._children.get(worker.id)
        if child is not None:
            child.note(line)
        else:
            self._note(name, line)

    def _child(self, name: str, record: Mapping[str, Any], zygote: Zygote, address: tuple[str, int],
               socket_name: bytes = b"") -> Child:
        assert self._tasks is not None
        namespace, _, revision = name.partition("/")
        loop = asyncio.get_running_loop()
        probes = Probes(startup=record.get("startup"), readiness=record.get("readiness"),
                        liveness=record.get("liveness"))
        id_ = record.get("worker") or f"{revision}-{secrets.token_hex(_NAME_BYTES)}"
        worker = Worker(id=id_, revision=name, uid=record["uid"], address=address,
                        socket_name=socket_name.decode(),
                        ready=loop.create_future(), exited=loop.create_future(),
                        takes_early=not record.get("command") and probes.are_content_with_a_socket)
        output = logs.Output(logs.path(self._data_dir, namespace, revision), worker.id)
        return Child(worker, output, zygote=zygote, probes=probes, tasks=self._tasks,
                     start_limit_s=record.get("progress_deadline_s") or PROGRESS_DEADLINE_S,
                     listens=record.get("listens", True))

    def _busy(self) -> set[Zygote]:
        """Zygotes that have workers."""
        return {child.zygote for child in self._children.values()}

    def _lose(self, zygote: Zygote) -> None:
        """Report the workers of a *zygote* that is gone, and end what they may have left."""
        for child in [child for child in self._children.values() if child.zygote is zygote]:
            if child.pid:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(child.pid, signal.SIGKILL)
            del self._children[child.worker.id]
            child.refused("ZygoteGone", "the zygote of this worker was killed; it is started again")

    def _report(self, report: dict[str, Any]) -> None:
        name = str(report.get("forked") or report.get("refused") or report.get("exited"))
        child = self._children.get(name.partition("/")[0])
        if child is None:
            return
        if name != child.worker.id:
            child.inside.reported(name, report)
            return
        if "forked" in report:
            child.pid = child.inside.pid = report["pid"]
            child.worker.times.forked = time.monotonic()
            return
        del self._children[child.worker.id]
        if "refused" in report:
            child.refused("ForkFailed", report["message"])
        else:
            child.exited(report["status"])
            _log.debug("worker ended", worker=child.worker.id, status=report["status"])


def _failure(error: Exception) -> StartFailed:
    """What *error* says of the start that it ended: a record may hold anything, and only itself suffers."""
    if isinstance(error, StartFailed):
        return error
    if isinstance(error, OSError):  # this process may not have more descriptors
        return StartFailed("StartFailed", str(error))
    _log.error("a start failed", exc_info=error)
    return StartFailed("StartFailed", f"{type(error).__name__}: {error}")
