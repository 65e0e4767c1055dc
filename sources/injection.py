"""
What a SinkBinding puts into the containers of a program, and which programs it means. Pure.

    K_SINK           the sink's URL
    K_CE_OVERRIDES   {"extensions": {..}}, which the program is to put into its events; empty if there is none
    K_CA_CERTS       certificates (PEM) of the sink, where the SinkBinding names some

They stand last in `env`, in place of whatever had these names. A program is an object with a pod's template
(`spec.template.spec`); the label `bindings.knative.dev/exclude: "true"` keeps it, or all of its namespace,
from being bound.

Source: Knative's pkg/apis/sources/v1/sinkbinding_lifecycle.go.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from eventing.control import resource, selector
from eventing.control.kind import Kind, of
from eventing.control.resource import Resource

_NAMES = ("K_SINK", "K_CA_CERTS", "K_CE_OVERRIDES")
_EXCLUDE = "bindings.knative.dev/exclude"


def variables(spec: Mapping[str, Any], sink: str) -> dict[str, str]:
    """What containers get from a SinkBinding's *spec*, whose sink is at the URL *sink*."""
    values = {"K_SINK": sink}
    if certificates := (spec.get("sink") or {}).get("CACerts"):
        values["K_CA_CERTS"] = certificates
    overrides = spec.get("ceOverrides")
    values["K_CE_OVERRIDES"] = "" if overrides is None else json.dumps(
        overrides, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    return values


def put(program: Resource, values: Mapping[str, str]) -> None:
    """Have exactly *values* of these names in every container of *program*, in place; none: take them out."""
    for container in _containers(program):
        found = container.get("env") or []
        if not isinstance(found, list):
            continue  # it is refused by who validates it
        kept = [each for each in found if not (isinstance(each, dict) and each.get("name") in _NAMES)]
        env = [*kept, *({"name": name, "value": value} for name, value in values.items())]
        if env:
            container["env"] = env
        elif found:
            del container["env"]


def present(program: Resource) -> dict[str, str]:
    """What `put` has put into *program*; nothing where no container has a K_SINK."""
    for container in _containers(program):
        found = container.get("env") or []
        values = {each["name"]: each.get("value", "") for each in (found if isinstance(found, list) else ())
                  if isinstance(each, dict) and each.get("name") in _NAMES}
        if "K_SINK" in values:
            return values
    return {}


def is_program(found: Resource) -> bool:
    """Whether *found* has containers that can be bound."""
    return any(True for _ in _containers(found))


def _containers(program: Resource) -> Iterator[dict[str, Any]]:
    pod: Any = program
    for part in ("spec", "template", "spec"):
        pod = pod.get(part) if isinstance(pod, dict) else None
    for part in ("initContainers", "containers"):
        found = pod.get(part) if isinstance(pod, dict) else None
        yield from (each for each in found or () if isinstance(each, dict)) if isinstance(found, list) else ()


def means(binding: Resource, kind: Kind, program: Resource) -> bool:
    """Whether *binding*, of the same namespace, binds *program* of that *kind*."""
    subject = resource.spec(binding).get("subject") or {}
    if of(subject.get("apiVersion") or "", subject.get("kind") or "") is not kind:
        return False
    if is_excluded(program):
        return False
    if subject.get("name"):
        return bool(subject["name"] == resource.name(program))
    return selector.labels(selector.text(subject.get("selector") or {}))(resource.labels(program))


def is_excluded(found: Resource) -> bool:
    """Whether a program, or a namespace, does not want to be bound."""
    return resource.labels(found).get(_EXCLUDE) == "true"
