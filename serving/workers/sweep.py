"""
What no revision needs any longer, and when it goes: bundles, environments, logs.

    data_dir/bundles/<digest>            named by no revision for KEPT_S
    data_dir/environments/<digest>       needed by no bundle of a revision for KEPT_S
    data_dir/logs/<namespace>/<rev>.log  of no revision for KEPT_S
    clarion:bundle:<digest>              named by no revision and no image name (images.py), and not touched
                                         for STORED_S: it is uploaded before a revision names it

A revision that was deleted may have workers that finish what they have, and whoever deleted it may want to
see its log: that is what the time is for. It is counted by the role that runs; a restart begins anew. What
goes can be made again, from the store or by applying the folder once more.
"""

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import redis.asyncio
import redis.exceptions
import structlog

from eventing import keys, projection
from serving.objects import images, settings
from serving.workers import environment
from serving.workers.backend import StartFailed
from serving.workers.environment import Environment
from serving.workers.local import LocalBackend

SWEEP_S = 600.0
KEPT_S = 3600.0
STORED_S = 24 * 3600.0

_log = structlog.get_logger(__name__)

Record = Mapping[str, Any]


class Sweeper:
    """Of one data directory and one store."""

    def __init__(self, data_dir: Path, store: redis.asyncio.Redis, backend: LocalBackend,
                 running: Callable[[], Iterable[tuple[str, Record]]]) -> None:
        """*running* gives name (`namespace/name`) and record of each Revision and Deployment that exists."""
        self._data_dir = data_dir.absolute()
        self._store = store
        self._backend = backend
        self._running = running
        self._since: dict[Path, float] = {}  # when it was first seen to be needed by nobody

    async def run(self) -> None:
        """Sweep every SWEEP_S, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                await self.sweep(loop.time())
            except (redis.exceptions.RedisError, OSError) as error:
                _log.warning("sweep failed", error=str(error))

    async def sweep(self, now: float) -> None:
        """
        Look once, at *now* (monotonic seconds), and remove what has been needed by nobody for long enough.

        Raises:
            OSError: the disk says no. RedisError: the store does.
        """
        running = list(self._running())
        bundles = {str(record["bundle"]) for _, record in running if record.get("bundle")}
        going = await asyncio.to_thread(self._overdue, bundles, {name for name, _ in running}, now)
        for path in going:
            await asyncio.to_thread(_remove, path)
            self._since.pop(path, None)
            if path.parent.name == environment.FOLDER:
                self._backend.retire(Environment(path))
        self._backend.environments.forget(path.name for path in going)
        unstored = await self._forget_stored(bundles | await self._mapped())
        if going or unstored:
            _log.info("swept", files=len(going), bundles=unstored)

    def _overdue(self, bundles: set[str], names: set[str], now: float) -> list[Path]:
        needed = self._needed(bundles, names)
        found = {path for path in self._present() if path not in needed}
        self._since = {path: self._since.get(path, now) for path in found}
        return [path for path, since in self._since.items() if now - since >= KEPT_S]

    def _needed(self, bundles: set[str], names: set[str]) -> set[Path]:
        logs = self._data_dir / "logs"
        needed = {logs / f"{name}.log" for name in names}
        for name in bundles:
            folder = self._data_dir / "bundles" / name
            needed.add(folder)
            with contextlib.suppress(StartFailed, OSError):
                place = self._backend.environments.place(folder, name)
                needed |= {place, place.with_suffix(".lock")} if place else set()
        return needed

    def _present(self) -> Iterable[Path]:
        for folder in ("bundles", environment.FOLDER):
            yield from _children(self._data_dir / folder)
        for namespace in _children(self._data_dir / "logs"):
            # The older parts of a log go with its newest: `x.log.1` is none of its own.
            yield from (path for path in _children(namespace) if path.suffix == ".log")

    async def _mapped(self) -> set[str]:
        """Bundles that an image name stands for: a revision may come that asks for one."""
        configs = await projection.read(self._store, "configs")
        data = configs.get(f"{settings.NAMESPACE}/{images.CONFIG}") or {}
        return {target.rpartition(":")[2] for _, _, target in images.lines(data)}

    async def _forget_stored(self, bundles: set[str]) -> int:
        count, prefix = 0, keys.bundle("")
        async for key in self._store.scan_iter(match=f"{prefix}*"):
            if key.decode().removeprefix(prefix) in bundles:
                continue
            try:
                idle_s = await self._store.object("idletime", key)
            except redis.exceptions.ResponseError:  # a server that evicts by use counts no times
                return count
            if idle_s is not None and idle_s >= STORED_S:
                count += await self._store.unlink(key)
        return count


def _children(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
        return
    for part in [path, *path.parent.glob(f"{path.name}.[0-9]")]:
        part.unlink(missing_ok=True)
