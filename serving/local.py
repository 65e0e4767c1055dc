"""
The backend on this machine: zygotes, one for each set of preloaded modules, and the workers they forked.

    start(name, record)  bundle on disk? else fetch and unpack -> listening socket, pipes -> fork
    zygote dies          the kernel kills its workers, we kill what they started; all are reported as
                         exited; the default zygote is replaced at once, the others when they are asked for
    close                every zygote loses its socket, kills its workers and ends

The listening socket is made here and kept by the worker alone: connections that nobody accepted are reset
when it dies. A `command` gets a port that was free a moment ago instead, because it listens for itself;
it runs in the bundle's folder, or in `/` where there is none, as in a container.
"""

import asyncio
import contextlib
import os
import secrets
import signal
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import redis.asyncio
import redis.exceptions
import structlog

from eventing.config import Config
from eventing.errors import NotFound, Rejected
from eventing.http.client import Client
from serving import bundle, logs, probing
from serving.backend import StartFailed, Worker
from serving.child import Child
from serving.process import Spec, environment
from serving.spawn import Zygote, ZygoteGone

# Held requests arrive all at once; the kernel caps it at net.core.somaxconn.
_BACKLOG = 4096
# Zygotes beside the default one: each is 20 to 30 MB and more with what it preloads.
_PRELOADED_LIMIT = 8
# Threads for plain functions where containerConcurrency sets no limit: Starlette's number.
_THREADS = 40
# A zygote that dies again and again (a broken installation) is not replaced faster than this.
_REPLACE_S = 1.0
_NAME_BYTES = 3  # of randomness in a worker's name, twice as many hex digits

_log = structlog.get_logger(__name__)


class LocalBackend:
    """Implements serving.backend.Backend with processes of this machine."""

    def __init__(self, config: Config, store: redis.asyncio.Redis) -> None:
        """Nothing is started before `run`."""
        self._data_dir = config.data_dir.absolute()
        self._store = store
        self._children: dict[str, Child] = {}
        self._zygotes: dict[tuple[str, ...], Zygote] = {}
        self._unpacking: dict[str, asyncio.Lock] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._client: Client | None = None
        self._closing = asyncio.Event()
        self._running = asyncio.Event()
        self._ended = asyncio.Event()

    def __repr__(self) -> str:
        """Counts."""
        return f"<LocalBackend [{len(self._zygotes)} zygotes | {len(self._children)} workers]>"

    async def run(self) -> None:
        """Own zygotes and workers until cancelled or closed."""
        self._client = Client()
        try:
            async with asyncio.TaskGroup() as self._tasks:
                self._zygote(())
                self._running.set()
                await self._closing.wait()
                for zygote in self._zygotes.values():
                    zygote.close()
        finally:
            self._closing.set()
            await self._client.close()
            self._ended.set()

    async def close(self) -> None:
        """End everything; returns when it is gone."""
        self._closing.set()
        if self._running.is_set():
            await self._ended.wait()

    async def warm(self) -> None:
        """Returns when the default zygote has done its imports: from now on a start costs a fork."""
        await self._running.wait()
        await self._zygote(()).warm.wait()

    async def start(self, name: str, record: Mapping[str, Any]) -> Worker:
        """See Backend.start. Raises OSError when this process may not have more descriptors."""
        folder = await self._folder(record)
        await self._running.wait()
        if self._closing.is_set():
            raise StartFailed("Stopped", "this backend is closing")
        zygote = self._zygote(tuple(sorted(record.get("preload") or ())))
        is_command = bool(record.get("command"))
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            if not is_command:
                listener.listen(_BACKLOG)
            child = self._child(name, record, zygote, listener.getsockname())
            spec = _spec(name, record, child.worker, folder)
            try:
                descriptors = [_file(orjson.dumps(spec)), *child.descriptors]
            except OSError as error:
                child.abandon(str(error))
                raise
            if not is_command:
                descriptors.append(listener.detach())
        self._children[child.worker.id] = child
        with contextlib.suppress(ZygoteGone):  # `_own` notices, and this child is one of those it reports
            zygote.fork(child.worker.id, descriptors)
        _log.debug("worker asked for", revision=name, worker=child.worker.id)
        return child.worker

    async def stop(self, worker: Worker, grace_s: float) -> None:
        """See Backend.stop."""
        child = self._children.get(worker.id)
        if child is None:
            return
        child.is_stopping = True
        if grace_s > 0:
            child.signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await asyncio.shield(worker.exited)
        if not worker.exited.done():
            child.note(f"it did not end within {grace_s:g} s and is killed")
            child.signal(signal.SIGKILL, group=True)
            await asyncio.shield(worker.exited)

    def _child(self, name: str, record: Mapping[str, Any], zygote: Zygote, address: tuple[str, int]) -> Child:
        assert self._tasks is not None
        assert self._client is not None
        namespace, _, revision = name.partition("/")
        loop = asyncio.get_running_loop()
        readiness = record.get("readiness")
        worker = Worker(id=f"{revision}-{secrets.token_hex(_NAME_BYTES)}", revision=name, uid=record["uid"],
                        address=address, ready=loop.create_future(), exited=loop.create_future(),
                        takes_early=not record.get("command") and not probing.needs_asking(readiness))
        output = logs.Output(logs.path(self._data_dir, namespace, revision), worker.id)
        return Child(worker, output, zygote=zygote, readiness=readiness, liveness=record.get("liveness"),
                     client=self._client, tasks=self._tasks)

    async def _folder(self, record: Mapping[str, Any]) -> Path:
        """Where the bundle of *record* is, or `/` for a command without one."""
        name = record.get("bundle")
        if not name:
            if record.get("command"):
                return Path("/")
            raise StartFailed("BundleMissing", f"image {record.get('image')!r} stands for no bundle here")
        place = self._data_dir / "bundles" / str(name)
        if not place.is_dir():
            async with self._unpacking.setdefault(name, asyncio.Lock()):
                await self._fetch(name, place)
            self._unpacking.pop(name, None)
        return place

    async def _fetch(self, name: str, place: Path) -> None:
        try:
            data = await bundle.get(self._store, name)
            await asyncio.to_thread(bundle.unpack, data, place)
        except NotFound as error:
            raise StartFailed("BundleMissing", str(error)) from error
        except Rejected as error:
            raise StartFailed("BundleInvalid", str(error)) from error
        except redis.exceptions.RedisError as error:
            raise StartFailed("StoreAway", f"the bundle could not be fetched: {error}") from error
        except OSError as error:
            raise StartFailed("DiskFailed", f"the bundle could not be unpacked: {error}") from error

    def _zygote(self, modules: tuple[str, ...]) -> Zygote:
        """The zygote that has *modules*, or a new one."""
        zygote = self._zygotes.get(modules)
        if zygote is None or zygote.is_gone:
            assert self._tasks is not None
            if len(self._zygotes) > _PRELOADED_LIMIT:
                self._retire_one()
            zygote = self._zygotes[modules] = Zygote(modules, self._report)
            self._tasks.create_task(self._own(zygote))
        return zygote

    def _retire_one(self) -> None:
        """End the oldest zygote with preloads that has no workers."""
        busy = {child.zygote for child in self._children.values()}
        for modules, zygote in self._zygotes.items():
            if modules and zygote not in busy:
                zygote.close()
                return
        raise StartFailed("TooManyPreloads", f"over {_PRELOADED_LIMIT} sets of preloaded modules are in use; "
                                             "let revisions share theirs (annotation clarion.dev/preload)")

    async def _own(self, zygote: Zygote) -> None:
        began = asyncio.get_running_loop().time()
        try:
            await zygote.run()
        finally:
            self._lose(zygote)
        if self._closing.is_set():
            return
        _log.warning("zygote ended", pid=zygote.pid, modules=zygote.modules)
        if not zygote.modules:
            lived_s = asyncio.get_running_loop().time() - began
            try:
                async with asyncio.timeout(max(0.0, _REPLACE_S - lived_s)):
                    await self._closing.wait()
            except TimeoutError:
                self._zygote(())

    def _lose(self, zygote: Zygote) -> None:
        """Report the workers of a *zygote* that is gone, and end what they may have left."""
        if self._zygotes.get(zygote.modules) is zygote:
            del self._zygotes[zygote.modules]
        for child in [child for child in self._children.values() if child.zygote is zygote]:
            if child.pid:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(child.pid, signal.SIGKILL)
            del self._children[child.worker.id]
            child.refused("ZygoteGone", "the zygote of this worker was killed; it is started again")

    def _report(self, report: dict[str, Any]) -> None:
        name = report.get("forked") or report.get("refused") or report.get("exited")
        child = self._children.get(str(name))
        if child is None:
            return
        if "forked" in report:
            child.pid = report["pid"]
            return
        del self._children[child.worker.id]
        if "refused" in report:
            child.refused("ForkFailed", report["message"])
        else:
            child.exited(report["status"])
            _log.debug("worker ended", worker=child.worker.id, status=report["status"])


def _spec(name: str, record: Mapping[str, Any], worker: Worker, folder: Path) -> Spec:
    namespace, _, revision = name.partition("/")
    service = record.get("service") or ""
    env = environment(record.get("env") or {}, port=worker.address[1], service=service,
                      configuration=record.get("configuration") or "", revision=revision, own=os.environ)
    command: Sequence[str] | None = record.get("command")
    return Spec(worker=worker.id, folder=str(folder), env=env, entry=record.get("entry"),
                source=f"/apis/v1/namespaces/{namespace}/services/{service or revision}",
                command=[*command, *(record.get("args") or ())] if command else None,
                memory_bytes=record.get("memory_bytes"),
                threads=record.get("container_concurrency") or _THREADS)


def _file(data: bytes) -> int:
    """Descriptor of a file in memory that holds *data*, at its beginning."""
    descriptor = os.memfd_create("spec", os.MFD_CLOEXEC)
    os.write(descriptor, data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
