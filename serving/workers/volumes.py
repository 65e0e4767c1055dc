"""
The files behind a worker's volumes, on this machine's disk, and when they go.

    data_dir/volumes/UID/VOLUME/..HEX/       the files of one version, all its workers' alike
                                ..data       -> ..HEX, changed in one step
                                KEY          -> ..data/KEY
    data_dir/volumes/scratch/NAME/VOLUME/    an emptyDir of one worker; one in memory is mounted over it
    data_dir/volumes/stage/                  always empty: what a worker builds its root upon

UID is that of the Revision or Deployment. The directory is its owner's, whoever may pass through the data
directory: a worker of another user gets what is its own by a mount (mounts.py), and in no other way. Files
are laid out when the first worker needs them, and follow table `volumes` from then on, so that a worker that
runs sees what has changed, all of it at once; one that has mounted a part (`subPath`) keeps what that was.
They go with the object, but not before its last worker. What a role that was killed has left goes before
anything starts.
"""

import asyncio
import contextlib
import hashlib
import os
import secrets
import shutil
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import orjson
import structlog

from serving.objects.mounting import REASON
from serving.workers.backend import StartFailed
from serving.workers.mounts import Plan

_NAME_BYTES = 8
_DIGITS = 16  # of a version's name
_FOLDER_MODE, _SCRATCH_MODE = 0o755, 0o777  # Kubernetes'
_OWNER_MODE = 0o700
# What the disk says to it, and to a name or a mode that is none.
_REFUSED = (OSError, ValueError, OverflowError)

_log = structlog.get_logger(__name__)

Files = Mapping[str, Mapping[str, Any]]  # path -> {"data": base64, "mode": int}


@dataclass(frozen=True)
class Taken:
    """What one worker has got."""

    uid: str
    plan: Plan


class Volumes:
    """Those of one data directory."""

    def __init__(self, data_dir: Path) -> None:
        """Nothing is there before it is needed."""
        self._folder = data_dir / "volumes"
        self._files: dict[str, Mapping[str, Files]] = {}
        self._laid: dict[str, Mapping[str, Files]] = {}  # what is on disk
        self._workers: Counter[str] = Counter()
        self._turn = asyncio.Lock()

    def __repr__(self) -> str:
        """Counts."""
        return (f"<Volumes [{len(self._files)} objects, {len(self._laid)} of them on disk | "
                f"{self._workers.total()} workers]>")

    async def clear(self) -> None:
        """Remove everything; there are no workers."""
        await _done(_remove, self._folder)

    def told(self, uid: str, files: Mapping[str, Files] | None) -> bool:
        """Table `volumes` says *files* of *uid*; whether it is for `follow` to do something about it."""
        if files is None:
            self._files.pop(uid, None)
        else:
            self._files[uid] = files
        return uid in self._laid

    async def follow(self, uid: str) -> str:
        """Bring what is on disk for *uid* up to date; why it could not be, or ""."""
        async with self._turn:
            try:
                if uid in self._laid:
                    await self._bring(uid)
            except _REFUSED as error:
                _log.warning("volumes not updated", uid=uid, error=str(error))
                return str(error)
        return ""

    async def take(self, record: Mapping[str, Any]) -> Taken:
        """
        What a worker of *record* is to mount; `give_back` when it is gone.

        Raises:
            StartFailed: FailedMount, with the subPath that is not there; StoreAway, DiskFailed.
        """
        uid, volumes = record["uid"], record["volumes"]
        asked = {mount["volume"] for mount in volumes["mounts"]} - volumes["scratch"].keys()
        if asked - self._files.get(uid, {}).keys():
            raise StartFailed("StoreAway", "the files of its volumes have not come yet")
        for mount in volumes["mounts"]:
            name, sub_path = mount["volume"], mount["sub_path"]
            if name in asked and not _has(self._files[uid][name], sub_path):
                raise StartFailed(REASON, f'cannot mount {mount["path"]}: volume "{name}" has no key or path '
                                          f'"{sub_path}", which its subPath names')
        self._workers[uid] += 1
        scratch = self._folder / "scratch" / secrets.token_hex(_NAME_BYTES)
        taken = Taken(uid, _plan(volumes, self._folder / uid, scratch, self._folder / "stage"))
        try:
            async with self._turn:
                await _done(self._make, scratch, volumes["scratch"])
                if asked:
                    await self._bring(uid)
        except BaseException as error:
            await self.give_back(taken)
            if isinstance(error, _REFUSED):
                raise StartFailed("DiskFailed", f"its volumes cannot be made: {error}") from error
            raise
        return taken

    async def give_back(self, taken: Taken) -> None:
        """A worker has gone: what was its alone goes, too."""
        self._workers -= Counter((taken.uid,))
        await _done(_remove, Path(taken.plan.scratch))
        await self.follow(taken.uid)

    def _make(self, scratch: Path, names: Mapping[str, Any]) -> None:
        self._folder.mkdir(mode=_OWNER_MODE, parents=True, exist_ok=True)
        (self._folder / "stage").mkdir(exist_ok=True)
        for place in [_below(scratch, name) for name in names]:
            place.mkdir(parents=True)
            place.chmod(_SCRATCH_MODE)

    async def _bring(self, uid: str) -> None:
        files, place = self._files.get(uid), self._folder / uid
        if files is None:
            if not self._workers[uid]:
                await _done(_remove, place)
                del self._laid[uid]
            return
        if files != self._laid.setdefault(uid, {}):
            for name, content in files.items():
                await _done(lay, _below(place, name), content)
            self._laid[uid] = files


async def _done(call: Callable[..., None], *arguments: Any) -> None:
    """Have a thread make *call*, and return after it, cancelled or not: two are never at one place."""
    calling = asyncio.get_running_loop().run_in_executor(None, call, *arguments)
    try:
        await asyncio.shield(calling)
    except asyncio.CancelledError:
        await asyncio.wait([calling])
        raise


def _below(folder: Path, volume: str) -> Path:
    """The directory of a *volume* in *folder*; ValueError if its name leads elsewhere."""
    if volume in {"", ".", ".."} or "/" in volume:
        raise ValueError(f'volume "{volume}": its name is a path')
    return folder / volume


def _has(files: Files, sub_path: str) -> bool:
    """Whether there is a file or a directory at *sub_path*; "" is all of them."""
    return not sub_path or any(path == sub_path or path.startswith(f"{sub_path}/") for path in files)


def _plan(volumes: Mapping[str, Any], folder: Path, scratch: Path, stage: Path) -> Plan:
    """Where the worker finds what its record's `volumes` names."""
    empty = volumes["scratch"]
    binds = [(str((scratch if mount["volume"] in empty else folder) / mount["volume"] / mount["sub_path"]),
              mount["path"], mount["read_only"]) for mount in volumes["mounts"]]
    memory = {str(scratch / name): about["size_bytes"] for name, about in empty.items() if about["memory"]}
    return Plan(stage=str(stage), scratch=str(scratch), memory=memory, binds=binds)


def lay(folder: Path, files: Files) -> None:
    """
    Have *files*, and no others, in *folder*: whoever looks sees all of one version.

    Raises:
        OSError: the disk says no.
        ValueError, OverflowError: a name or a mode is none, or one file is where another has its directory.
    """
    for path in files:
        for above in map(str, PurePath(path).parents):
            if above in files:
                raise ValueError(f'volume "{folder.name}": "{above}" is a file, '
                                 f'and "{path}" would be below it')
    digest = hashlib.sha256(orjson.dumps(files, option=orjson.OPT_SORT_KEYS)).hexdigest()
    version, current = folder / f"..{digest[:_DIGITS]}", folder / "..data"
    if not current.is_symlink() or str(current.readlink()) != version.name:
        _folder(folder)
        _write(version, files)
        fresh = folder / "..data_tmp"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(version.name)
        fresh.replace(current)
    tops = {path.partition("/")[0] for path in files}
    for name in tops:
        if not os.path.lexists(folder / name):
            (folder / name).symlink_to(f"..data/{name}")
    for left in folder.iterdir():
        if left.name not in {current.name, version.name, *tops}:
            _remove(left)


def _write(version: Path, files: Files) -> None:
    _remove(version)
    _folder(version)
    for path, file in files.items():
        place = version / path
        for above in reversed(place.relative_to(version).parents[:-1]):
            _folder(version / above)
        place.write_bytes(b64decode(file["data"]))
        place.chmod(file["mode"])


def _folder(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(_FOLDER_MODE)


def _remove(path: Path) -> None:
    """Remove *path* and all below it, also what a worker of ours has made inaccessible to itself."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    if os.geteuid() != 0:  # root needs no mode
        for folder, names, _ in os.walk(path):
            for below in (Path(folder, name) for name in names):
                with contextlib.suppress(OSError):  # who was left behind by a worker may be at it, too
                    if not below.is_symlink():
                        below.chmod(_OWNER_MODE)
    shutil.rmtree(path, ignore_errors=True)
