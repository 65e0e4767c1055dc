"""
func.yaml, the file of Knative's own functions: a folder and its file, read.

    name, namespace, runtime, invoke        who, where, in what language, called how by default
    run, deploy                             what becomes of them: envs.py, volumes.py, manifest.py
    build, registry, image, created, ..     nothing: there is no image to build

The flat layout of before version 0.35 (envs, annotations, options, .. at the top) is read as well. A folder
without the file is a function all the same, of the folder's name. What has no meaning on this machine is
listed in `ignored`, never refused: the same folder has to deploy on Knative.

Pure but for `load`. Source: `schema/func_yaml-schema.json` of Knative's func.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from eventing.errors import UsageError

FILE = "func.yaml"
CLAIM = "persistentVolumeClaim"  # of run.volumes
_MEANINGLESS = (("deploy", "serviceAccountName"), ("deploy", "imagePullSecret"), ("domain",),
                ("run", "kafka"))
_TYPES: dict[type, str] = {dict: "a mapping", list: "a list", str: "text", int: "a number"}


@dataclass(frozen=True, kw_only=True)
class Function:
    """What a folder's func.yaml says; *place* names the file in messages."""

    place: str
    name: str
    namespace: str | None
    runtime: str
    invoke: str  # "http" or "cloudevent"
    content: Mapping[str, Any]
    is_instanced: bool  # laid out as `func create -l python` does it

    @property
    def ignored(self) -> list[str]:
        """Fields that are set, and mean nothing here."""
        fields = [".".join(path) for path in _MEANINGLESS if _find(self.content, path)]
        return fields + [f"run.volumes[{index}].{CLAIM}"
                         for index, volume in enumerate(section(self, "volumes", list))
                         if _find(volume, (CLAIM,))]


def load(folder: Path) -> Function:
    """
    The function in *folder*, with or without a func.yaml.

    Raises:
        UsageError: it is no folder, or its func.yaml is not what it should be; names file and field.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: not a folder; clarion func new {folder.name} makes one with a function")
    path = folder / FILE
    try:
        content = yaml.safe_load(path.read_bytes()) if path.is_file() else None
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    # A folder may be called what no Service may.
    name = folder.resolve().name.lower().replace("_", "-")
    is_instanced = (folder / "function").is_dir() and not (folder / "func.py").is_file()
    return read(content, place=str(path), folder=name, is_instanced=is_instanced)


def read(content: Any, *, place: str, folder: str, is_instanced: bool) -> Function:
    """
    The function that *content*, a parsed func.yaml or None, describes.

    Args:
        content: the document.
        place: the file's path, for messages.
        folder: the folder's name, which is the function's where the file names none.
        is_instanced: the code is a package `function`.

    Raises:
        UsageError: a field is not of its type, or asks for what cannot be had here.
    """
    given = {} if content is None else content
    if not isinstance(given, dict):
        raise UsageError(f"{place}: it is a mapping of fields such as name and runtime")
    runtime = get(given, place, ("runtime",), str) or "python"
    if runtime != "python":
        raise UsageError(f"{place}: runtime: {runtime} needs an image, which nothing here builds; give a "
                         "Service a command that serves $PORT instead, as examples/node does")
    asked = get(given, place, ("invoke",), str) or ("http" if given else "cloudevent")
    if asked not in {"http", "cloudevent"}:
        raise UsageError(f"{place}: invoke: {asked}: it is http or cloudevent")
    namespace = (get(given, place, ("deploy", "namespace"), str) or get(given, place, ("namespace",), str))
    return Function(place=place, name=get(given, place, ("name",), str) or folder, namespace=namespace,
                    runtime=runtime, invoke=asked, content=given, is_instanced=is_instanced)


def section(function: Function, name: str, type_: type) -> Any:
    """
    A section under `run` or `deploy`, else the top; empty where there is none.

    Raises:
        UsageError: it is not of *type_*.
    """
    parent = "run" if name in {"envs", "volumes"} else "deploy"
    for path in ((parent, name), (name,)):
        found = get(function.content, function.place, path, type_)
        if found is not None:
            return found
    return type_()


def get(content: Mapping[str, Any], place: str, path: tuple[str, ...], type_: type) -> Any:
    """
    What stands at *path* in *content*; None where nothing does. *place* names the content in messages.

    Raises:
        UsageError: it is not of *type_*.
    """
    found: Any = _find(content, path)
    if found is not None and not isinstance(found, type_):
        raise UsageError(f"{place}: {'.'.join(path)}: it is {_TYPES[type_]}, not {found!r}")
    return found


def _find(content: Any, path: tuple[str, ...]) -> Any:
    found = content
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found
