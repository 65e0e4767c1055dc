"""
The pod of a Deployment: what Kubernetes would refuse of it, in its words, as far as that makes sense here.

Pure. Paths begin at the Deployment. That every field has its JSON type was seen to before (shape.py).
Source: Kubernetes' `pkg/apis/core/validation`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from eventing.control.failure import Cause
from eventing.control.lifecycle import LABEL_WRONG
from serving.objects import names, podspec, volumes

_PATH = "spec.template.spec"


def of(pod: Mapping[str, Any]) -> list[Cause]:
    """What is wrong with *pod*, in which defaults are filled in."""
    found = pod.get("volumes") or []
    if not pod.get("containers"):
        return [required(f"{_PATH}.containers")]
    causes = [] if pod["restartPolicy"] == "Always" else [
        unsupported(f"{_PATH}.restartPolicy", pod["restartPolicy"], ("Always",))]
    grace_s = pod["terminationGracePeriodSeconds"]
    if grace_s < 0:
        causes.append(invalid(f"{_PATH}.terminationGracePeriodSeconds", grace_s, podspec.NEGATIVE))
    mountable = {volume.get("name") for volume in found}
    for member in ("initContainers", "containers"):
        for index, container in enumerate(pod.get(member) or ()):
            causes += _container(container, f"{_PATH}.{member}[{index}]", mountable)
    return [*causes, *_volumes(found)]


def _container(container: Mapping[str, Any], path: str, mountable: set[str | None]) -> Iterator[Cause]:
    needed = ("name",) if container.get("command") else ("name", "image")
    yield from (required(f"{path}.{name}") for name in needed if not container.get(name))
    for index, variable in enumerate(container.get("env") or ()):
        if not variable.get("name"):
            yield required(f"{path}.env[{index}].name")
    for name, amount in podspec.negatives(container.get("resources") or {}):
        yield invalid(f"{path}.resources.{name}", amount, podspec.NEGATIVE)
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        if mount.get("name") not in mountable:
            told = f'Not found: "{mount.get("name") or ""}"'
            yield f"{path}.volumeMounts[{index}].name", told, "FieldValueNotFound"


def _volumes(found: Sequence[Mapping[str, Any]]) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, volume in enumerate(found):
        path, name = f"{_PATH}.volumes[{index}]", volume.get("name") or ""
        if not name:
            yield required(f"{path}.name")
        elif not names.is_dns_1123(name):
            yield invalid(f"{path}.name", f'"{name}"', LABEL_WRONG)
        elif name in seen:
            yield f"{path}.name", f'Duplicate value: "{name}"', "FieldValueDuplicate"
        seen.add(name)
        for where, source in volumes.sources(volume):
            needed = ("path",) if where.endswith("downwardAPI") else ("key", "path")
            for at, item in enumerate(source.get("items") or ()):
                yield from (required(f"{path}.{where}.items[{at}].{part}")
                            for part in needed if not item.get(part))
        for where, mode in volumes.wrong_modes(volume):
            yield invalid(f"{path}.{where}", mode, volumes.MODE)


def invalid(path: str, value: object, wrong: str) -> Cause:
    """A value that cannot be."""
    return path, f"Invalid value: {value}: {wrong}", "FieldValueInvalid"


def required(path: str) -> Cause:
    """A value that is missing."""
    return path, "Required value", "FieldValueRequired"


def unsupported(path: str, value: object, known: tuple[str, ...]) -> Cause:
    """A value that is none of those *known*."""
    listed = ", ".join(f'"{each}"' for each in known)
    return path, f'Unsupported value: "{value}": supported values: {listed}', "FieldValueNotSupported"
