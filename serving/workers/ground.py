"""
What a worker stands on: its bundle, unpacked, and the environment that its code asks for.

    folder(record)              data_dir/bundles/<digest>, fetched from the store where it is not there yet
    environment(name, ...)      of environment.py; what its building prints goes to the revision's log

Both are there once for all workers of all revisions that name them. Nothing here knows of processes.
"""

import asyncio
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import redis.asyncio
import redis.exceptions

from eventing.errors import NotFound, Rejected
from serving.functions import bundle
from serving.workers import logs
from serving.workers.backend import Progress, StartFailed
from serving.workers.environment import REASON, Environment, Environments

_PROGRESS_CHARACTERS = 200  # of a line of pip's; some name all versions there ever were


class Ground:
    """Bundles and environments of one data directory."""

    def __init__(self, data_dir: Path, store: redis.asyncio.Redis) -> None:
        """Bundles come from *store*."""
        self._data_dir = data_dir
        self._store = store
        self._unpacking: dict[str, asyncio.Lock] = {}
        self.environments = Environments(data_dir)

    def __repr__(self) -> str:
        """How many bundles are on their way."""
        return f"<Ground [{len(self._unpacking)} unpacking]>"

    async def folder(self, record: Mapping[str, Any]) -> Path:
        """
        Where the bundle of *record* is, or `/` for a command without one.

        Raises:
            StartFailed: it is nowhere, it is none, or there is no room for it.
        """
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

    async def environment(self, name: str, record: Mapping[str, Any], folder: Path,
                           progress: Progress) -> Environment | None:
        """
        The environment of a bundle, which is built if it has to be; None where it needs none.

        Raises:
            StartFailed: it cannot be built.
        """
        identity = record.get("bundle")
        if not identity:
            return None
        if self.environments.knows(identity):
            return await self.environments.of(folder, identity, _unheard)
        namespace, _, revision = name.partition("/")
        output = logs.Output(logs.path(self._data_dir, namespace, revision), f"{revision}-environment")
        try:
            return await self.environments.of(folder, identity, partial(_tell, output, progress))
        finally:
            output.close()
            progress("", "")


def _unheard(_chunk: bytes) -> None:
    """Nothing is printed where nothing is built."""


def _tell(output: logs.Output, progress: Progress, chunk: bytes) -> None:
    """What a build prints goes to the log; its last line says how far it is."""
    output.feed(chunk)
    lines = chunk.decode(errors="replace").split("\n")
    said = [line.strip() for line in lines if line.strip()]
    if said:
        progress(REASON, said[-1][:_PROGRESS_CHARACTERS])
