"""
What a function's func.yaml asks for, as a Service and its Triggers.

    run.envs, volumes                       envs.py, volumes.py
    deploy.annotations, labels, options     to the Service and its revisions
    deploy.healthEndpoints                  probes; in Knative's layout (a package `function`) always
    deploy.subscriptions                    a Trigger each

Pure: the caller's environment is handed in. Source: `pkg/knative/deployer.go` of Knative's func.
"""

from collections.abc import Mapping
from typing import Any

from eventing.errors import UsageError
from serving.functions.envs import environment, source
from serving.functions.funcyaml import Function, section
from serving.functions.volumes import volumes

Resource = dict[str, Any]

LIVENESS, READINESS = "/health/liveness", "/health/readiness"
# What func itself puts on a function's Service; `clarion func list` and kn plugins look for them.
IS_FUNCTION, NAME_LABEL, RUNTIME_LABEL = "boson.dev/function", "function.knative.dev/name", \
    "function.knative.dev/runtime"
_DEPLOYER = ("function.knative.dev/deployer", "knative")

_AUTOSCALING = "autoscaling.knative.dev"
# Annotations with these prefixes belong to a revision; on a Service they are an error, or mean nothing.
_OF_REVISIONS = (f"{_AUTOSCALING}/", "clarion.dev/")
# deploy.options.scale -> annotation, in func's own spelling of the numbers.
_SCALE = {"min": ("min-scale", "{:d}"), "max": ("max-scale", "{:d}"), "metric": ("metric", "{}"),
          "target": ("target", "{:f}"), "utilization": ("target-utilization-percentage", "{:f}")}


def service(function: Function, own: Mapping[str, str]) -> Resource:
    """
    The Service of *function*, its image being the folder itself; *own*: the caller's environment.

    Raises:
        UsageError: a field is not what it should be; names it.
    """
    env, env_from = environment(function, own)
    pod_volumes, mounts = volumes(function)
    resources, concurrency = _resources(function)
    said = {"env": env, "envFrom": env_from, "volumeMounts": mounts, "resources": resources}
    container: Resource = {"image": "func://.", **{field: value for field, value in said.items() if value},
                           **_probes(function)}
    labels, annotations = _labels(function, own), annotations_of(function, own)
    of_service = {key: value for key, value in annotations.items() if not key.startswith(_OF_REVISIONS)}
    spec: Resource = {"containers": [container]} | ({"volumes": pod_volumes} if pod_volumes else {})
    if concurrency is not None:
        spec["containerConcurrency"] = concurrency
    template = {"metadata": {"labels": labels, "annotations": annotations | _scaling(function)}, "spec": spec}
    return {"apiVersion": "serving.knative.dev/v1", "kind": "Service",
            "metadata": {"name": function.name, "labels": labels, "annotations": of_service},
            "spec": {"template": template}}


def triggers(function: Function) -> list[Resource]:
    """
    A Trigger for each of the subscriptions, named as func names them.

    Raises:
        UsageError: a subscription names no source.
    """
    made = []
    for index, item in enumerate(section(function, "subscriptions", list)):
        where = f"{function.place}: deploy.subscriptions[{index}]"
        if not isinstance(item, dict) or not isinstance(item.get("source"), str):
            raise UsageError(f"{where}: source, the name of a Broker, is missing")
        spec: Resource = {"broker": item["source"], "subscriber": {"ref": {
            "apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": function.name}}}
        if item.get("filters"):
            spec["filter"] = {"attributes": {str(key): str(text) for key, text in item["filters"].items()}}
        made.append({"apiVersion": "eventing.knative.dev/v1", "kind": "Trigger",
                     "metadata": {"name": f"{trigger_prefix(function.name)}{index}"}, "spec": spec})
    return made


def trigger_prefix(name: str) -> str:
    """What the names of the Triggers of function *name* begin with; a number follows."""
    return f"{name}-function-trigger-"


def _probes(function: Function) -> Resource:
    named = section(function, "healthEndpoints", dict)
    paths = {"liveness": LIVENESS, "readiness": READINESS} if function.is_instanced else {}
    return {f"{kind}Probe": {"httpGet": {"path": str(path)}} for kind, path in (paths | named).items()
            if kind in {"liveness", "readiness"}}


def _resources(function: Function) -> tuple[Resource, int | None]:
    """`resources` of the container, and containerConcurrency."""
    options = section(function, "options", dict)
    asked = options.get("resources") or {}
    found: Resource = {}
    for side in ("requests", "limits"):
        amounts = {name: str(amount) for name, amount in (asked.get(side) or {}).items()
                   if name in {"cpu", "memory"} and amount is not None}
        if amounts:
            found[side] = amounts
    return found, (asked.get("limits") or {}).get("concurrency")


def _scaling(function: Function) -> dict[str, str]:
    scale = section(function, "options", dict).get("scale") or {}
    made = {}
    for field, (annotation, form) in _SCALE.items():
        if scale.get(field) is None:
            continue
        try:
            made[f"{_AUTOSCALING}/{annotation}"] = form.format(scale[field])
        except ValueError as error:
            raise UsageError(f"{function.place}: deploy.options.scale.{field}: {scale[field]!r} is no "
                             "number that it takes") from error
    return made


def _labels(function: Function, own: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for index, item in enumerate(section(function, "labels", list)):
        where = f"{function.place}: deploy.labels[{index}]"
        if not isinstance(item, dict) or not isinstance(item.get("key"), str):
            raise UsageError(f"{where}: give it a key, and a value (text) if it has one")
        value = source(str(item.get("value") or ""), own, where)
        if not isinstance(value, str):
            raise UsageError(f"{where}: {item['value']}: a label is text or {{{{ env:NAME }}}}")
        found[item["key"]] = value
    return {**found, IS_FUNCTION: "true", NAME_LABEL: function.name, RUNTIME_LABEL: function.runtime}


def annotations_of(function: Function, own: Mapping[str, str]) -> dict[str, str]:
    """`deploy.annotations`, and the one that func adds; UsageError if one cannot be had."""
    given = section(function, "annotations", dict)
    texts = {str(key): source(str(value), own, f"{function.place}: deploy.annotations.{key}")
             for key, value in given.items()}
    return {key: text for key, text in texts.items() if isinstance(text, str)} | dict([_DEPLOYER])
