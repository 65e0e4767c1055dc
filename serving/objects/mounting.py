"""
What the volumes of a container are on this machine: files whose content is known here, and empty directories.

    configMap, secret, projected    files, with the modes that they ask for; never written to
    emptyDir                        a directory of each worker's own, on disk or in memory
    anything else                   not mounted (unserved.py tells)

Of a Revision or a Deployment two things come out: what a worker is started with, and apart from that the
files, which may change under it, and may be secret.

    its record, `volumes`     null where nothing is mounted, or
                              mounts     [{volume, path, sub_path, read_only}]
                              scratch    {emptyDir: {memory: bool, size_bytes: a number, or null: no limit}}
    table `volumes`, uid      {volume: {path: {data: base64, mode}}}; a Deployment's uid: program.py

Pure. Names and messages are Kubernetes': what is missing, and not optional, is said as its kubelet says it.
Source: Kubernetes' documentation, Volumes and Projected Volumes.
"""

import posixpath
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from serving.objects import downward, quantity, workload
from serving.objects.downward import About
from serving.objects.volumes import sources

REASON = "FailedMount"
_FILES = ("configMap", "secret", "projected")
_KINDS = {"configMap": "ConfigMap", "secret": "Secret"}
_MODE = 0o644

# (kind, name) -> the content of a ConfigMap or a Secret by key; None if there is none.
Lookup = Callable[[str, str], Mapping[str, bytes] | None]
Pod = Mapping[str, Any]


@dataclass(frozen=True)
class Volumes:
    """What is to be mounted for a container, and where."""

    mounts: list[dict[str, Any]] = field(default_factory=list)
    scratch: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)

    @property
    def record(self) -> dict[str, Any] | None:
        """What a worker is started with; the files are not in it."""
        return {"mounts": self.mounts, "scratch": self.scratch} if self.mounts else None


def unserved(pod: Pod) -> Iterator[str]:
    """A sentence for each volume of *pod* of which something is not done here; paths begin at the pod."""
    for index, volume in enumerate(pod.get("volumes") or ()):
        empty = volume.get("emptyDir") or {}
        if not _is_served(volume):
            yield f"volumes[{index}]: only configMap, secret, projected and emptyDir are mounted here"
        elif empty.get("sizeLimit") is not None and empty.get("medium") != "Memory":
            yield f"volumes[{index}].emptyDir.sizeLimit: the disk is not limited here, medium: Memory is"


def _is_served(volume: Mapping[str, Any]) -> bool:
    return any(volume.get(source) is not None for source in (*_FILES, "emptyDir"))


def references(pod: Pod, container: Mapping[str, Any]) -> set[tuple[str, str]]:
    """(kind, name) of every ConfigMap and Secret that the mounted volumes come from."""
    return {(_KINDS[kind], _holder(kind, source)) for volume in _mounted(pod, container).values()
            for kind, source in _sources(volume) if kind in _KINDS}


def of(pod: Pod, container: Mapping[str, Any], about: About, lookup: Lookup) -> Volumes:
    """The volumes of *container* of *pod*; raises workload.Missing (FailedMount) with what is not there."""
    found, volumes = Volumes(), _mounted(pod, container)
    for name, volume in volumes.items():
        empty = volume.get("emptyDir")
        if empty is not None:
            found.scratch[name] = _scratch(empty, container)
            continue
        found.files[name] = {}
        try:
            for kind, source in _sources(volume):
                found.files[name] |= _projected(kind, source, _default_mode(volume), about, lookup)
        except LookupError as error:
            message = f'MountVolume.SetUp failed for volume "{name}" : {error.args[0]}'
            raise workload.Missing(REASON, message) from error
    for mount in container.get("volumeMounts") or ():
        if mount["name"] in volumes:
            found.mounts.append(_mount(mount, is_file=mount["name"] in found.files))
    return found


def _mounted(pod: Pod, container: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    asked = {mount.get("name") for mount in container.get("volumeMounts") or ()}
    return {volume["name"]: volume for volume in pod.get("volumes") or ()
            if volume.get("name") in asked and _is_served(volume)}


def _sources(volume: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Kind and description of everything that gives files to *volume*."""
    for path, source in sources(volume):
        kind = path.rpartition(".")[2]
        if kind != "projected":  # what it consists of comes by itself
            yield kind, source


def _holder(kind: str, source: Mapping[str, Any]) -> str:
    """A volume of a Secret says `secretName`, a projection of one `name`."""
    return str(source.get("name") or (source.get("secretName") if kind == "secret" else "") or "")


def _default_mode(volume: Mapping[str, Any]) -> int:
    modes = ((volume.get(source) or {}).get("defaultMode") for source in _FILES)
    return next((mode for mode in modes if mode is not None), _MODE)


def _projected(kind: str, source: Mapping[str, Any], default_mode: int, about: About,
               lookup: Lookup) -> dict[str, dict[str, Any]]:
    """Files of one source by path; LookupError with what it lacks."""
    if kind == "downwardAPI":
        return {_inner(item["path"]): _file(_told(item, about), item, default_mode)
                for item in source.get("items") or ()}
    if kind not in _KINDS:
        raise LookupError(f"{kind}: there are none here, take it out")
    name = _holder(kind, source)
    held = lookup(_KINDS[kind], name)
    if held is None and not source.get("optional"):
        raise LookupError(f'{kind.lower()} "{name}" not found')
    held = held or {}
    if not source.get("items"):
        return {_inner(key): _file(data, {}, default_mode) for key, data in held.items()}
    missing = [item["key"] for item in source["items"] if item["key"] not in held]
    if missing and not source.get("optional"):
        what = "config" if kind == "configMap" else "secret"
        raise LookupError(f"{kind.lower()} references non-existent {what} key: {missing[0]}")
    return {_inner(item["path"]): _file(held[item["key"]], item, default_mode)
            for item in source["items"] if item["key"] in held}


def _told(item: Mapping[str, Any], about: About) -> bytes:
    path = str((item.get("fieldRef") or {}).get("fieldPath") or "resourceFieldRef")
    text = downward.lines(path, about)
    if text is None:
        raise LookupError(f"downwardAPI: {path} is not known here: take it out, or put it into a ConfigMap")
    return text.encode()


def _file(data: bytes, item: Mapping[str, Any], default_mode: int) -> dict[str, Any]:
    mode = item.get("mode")
    return {"data": b64encode(data).decode(), "mode": default_mode if mode is None else mode}


def _inner(path: str) -> str:
    """*path*, which stays in its volume; LookupError if it would not."""
    if path.startswith(("/", "..")) or ".." in path.split("/"):
        raise LookupError(f"path {path}: must be relative, and must not contain '..'")
    if "\0" in path:
        raise LookupError("a path must not contain NUL")
    return posixpath.normpath(path)


def _scratch(empty: Mapping[str, Any], container: Mapping[str, Any]) -> dict[str, Any]:
    """In memory it is as big as it says, and else as the container's memory: as where that counts both."""
    limit = empty.get("sizeLimit")
    is_memory = empty.get("medium") == "Memory"
    size_bytes = quantity.whole_bytes(limit) if limit is not None else workload.memory_bytes(container)
    return {"memory": is_memory, "size_bytes": size_bytes or None if is_memory else None}


def _mount(mount: Mapping[str, Any], *, is_file: bool) -> dict[str, Any]:
    path, sub_path = posixpath.normpath(mount.get("mountPath") or ""), mount.get("subPath") or ""
    if not path.startswith("/") or path.strip("/") == "":
        raise workload.Missing(REASON, f"mountPath {path}: must be absolute, and below the root")
    try:
        sub_path = _inner(sub_path) if sub_path else ""
    except LookupError as error:
        raise workload.Missing(REASON, f"volume {mount['name']}: subPath: {error.args[0]}") from error
    return {"volume": mount["name"], "path": path, "sub_path": sub_path,
            "read_only": is_file or bool(mount.get("readOnly"))}
