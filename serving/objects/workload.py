"""
What a revision's pod becomes on this machine: a function's bundle, a program, or nothing yet.

    image                           command    becomes
    -----                           -------    -------
    func://NAME@sha256:HEX          any        the bundle HEX (with a command: that program, in its folder)
    func://./DIR, func://NAME       any        nothing: the folder has not been made a bundle yet
    what `images.py` knows          any        what it stands for there: one of the above
    anything else                   some       the command; the image is not looked at
    anything else                   none       nothing: there is no such code here

Pure: the values of ConfigMaps are handed in. Where several containers stand, the one with a port serves; the
others are not run here. Its volumes are read in `mounting.py`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from serving.objects import podspec, quantity
from serving.objects.expansion import expand

_PINNED = re.compile(r"func://(?P<name>[^@]*)@sha256:(?P<digest>[0-9a-f]{64})")
_APPLY = ("the folder has no bundle yet: apply the file with `clarion apply -f FILE`, which makes one of it "
          "and pins its digest")
_ELSEWHERE = ("nothing on this machine holds it: point image at the folder of a function (func://./DIR) and "
              "apply it with `clarion apply -f FILE`, or say which folder it stands for in ConfigMap "
              "knative-serving/clarion-images, or give the container a command that serves $PORT")

# Fields of envFrom and of valueFrom, and the kind that they refer to.
_HOLDERS = {"configMapRef": "ConfigMap", "secretRef": "Secret",
            "configMapKeyRef": "ConfigMap", "secretKeyRef": "Secret"}

# (kind, name) -> the data of a ConfigMap or a Secret in the revision's namespace; None if there is none.
Lookup = Callable[[str, str], Mapping[str, str] | None]


class Missing(Exception):
    """Something that the container needs is not there; reason and message are for a condition."""

    def __init__(self, reason: str, message: str) -> None:
        """Name the *reason* in one word, and say in the *message* what to do."""
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True)
class Code:
    """What a worker runs: a bundle's digest, or none with a command."""

    bundle: str | None
    command: list[str] | None


def serving_container(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """The container that takes requests: the one with a port, or the only one."""
    containers: list[Mapping[str, Any]] = spec.get("containers") or [{}]
    return next((container for container in containers if container.get("ports")), containers[0])


def code(container: Mapping[str, Any], image: str) -> Code:
    """What *container*, whose image stands for *image*, runs; Missing (ContainerMissing) if nothing."""
    command = container.get("command") or None
    if pinned := _PINNED.fullmatch(image):
        return Code(pinned["digest"], command)
    if image.startswith(podspec.BUNDLE):
        raise Missing("ContainerMissing", unfetched(image, _APPLY))
    if command:
        return Code(None, command)
    raise Missing("ContainerMissing", unfetched(image, _ELSEWHERE))


def unfetched(image: str, why: str) -> str:
    """Knative's words for an image that cannot be had."""
    return f'Unable to fetch image "{image}": {why}'


def port(container: Mapping[str, Any]) -> int | None:
    """The port that *container* names; None where it takes whatever PORT says."""
    ports: list[Mapping[str, Any]] = container.get("ports") or [{}]
    return ports[0].get("containerPort") or None


def memory_bytes(container: Mapping[str, Any]) -> int | None:
    """`resources.limits.memory`; None where there is no limit: for a container's runtime 0 is none, too."""
    limit = ((container.get("resources") or {}).get("limits") or {}).get("memory")
    return (None if limit is None else quantity.whole_bytes(limit)) or None


def cpu(container: Mapping[str, Any]) -> float | None:
    """`resources.limits.cpu` in cores; None where there is no limit, or one of 0."""
    limit = ((container.get("resources") or {}).get("limits") or {}).get("cpu")
    return (None if limit is None else float(quantity.parse(limit))) or None


def user_and_group(spec: Mapping[str, Any], container: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """`runAsUser` and `runAsGroup`: the container's, else the pod's; None where neither says."""
    both = (spec.get("securityContext") or {}) | (container.get("securityContext") or {})
    return both.get("runAsUser"), both.get("runAsGroup")


def must_not_be_root(spec: Mapping[str, Any], container: Mapping[str, Any]) -> bool:
    """`runAsNonRoot`: the container's, else the pod's."""
    both = (spec.get("securityContext") or {}) | (container.get("securityContext") or {})
    return bool(both.get("runAsNonRoot"))


def references(container: Mapping[str, Any]) -> set[tuple[str, str]]:
    """(kind, name) of every ConfigMap and Secret that the variables of *container* come from."""
    sources = [*(container.get("envFrom") or ()),
               *(variable.get("valueFrom") or {} for variable in container.get("env") or ())]
    return {(kind, source[field].get("name") or "") for source in sources for field, kind in _HOLDERS.items()
            if source.get(field) is not None}


def environment(container: Mapping[str, Any], lookup: Lookup) -> dict[str, str]:
    """Variables of *container*: envFrom first, env over it; Missing if one that has to be is not there."""
    values: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        for field, kind in _HOLDERS.items():
            if (reference := source.get(field)) is not None:
                data = _data(kind, reference, lookup)
                values |= {f"{source.get('prefix') or ''}{key}": value for key, value in data.items()}
    for variable in container.get("env") or ():
        if variable.get("valueFrom"):
            value = _value_from(variable["valueFrom"], lookup)
            if value is not None:
                values[variable["name"]] = value
        else:  # it may refer to what stands above it
            values[variable["name"]] = expand(str(variable.get("value") or ""), values)
    return values


def _data(kind: str, reference: Mapping[str, Any], lookup: Lookup) -> Mapping[str, str]:
    found = lookup(kind, reference.get("name") or "")
    if found is None and not reference.get("optional"):
        raise Missing("CreateContainerConfigError", f'{kind.lower()} "{reference.get("name")}" not found')
    return found or {}


def _value_from(source: Mapping[str, Any], lookup: Lookup) -> str | None:
    for field, kind in _HOLDERS.items():
        if (reference := source.get(field)) is None:
            continue
        data, key = _data(kind, reference, lookup), reference.get("key") or ""
        if key not in data and not reference.get("optional"):
            message = f"couldn't find key {key} in {kind} {reference.get('name')}"
            raise Missing("CreateContainerConfigError", message)
        return data.get(key)
    return None


def modules(text: str) -> list[str]:
    """The module names in annotation `clarion.dev/preload`: separated by commas or blanks."""
    return list(dict.fromkeys(text.replace(",", " ").split()))


