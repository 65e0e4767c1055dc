"""
Which JSON type each field of a Service has, down to the probes: what a CRD's schema says on Knative.

Whoever writes `command: python app.py` means a list, and is told so here, in the words of Go's decoder,
before anything reads the field. Pure; what the values may be is judged afterwards (template, podspec,
traffic).

Shapes are those of `eventing/control/schema.py`; members that a shape does not have are judged there. Of
pods all of Kubernetes' fields are known (`eventing/control/pod.py`), also those that Knative refuses: it is
podspec.py that says so, and by name. null is always absent.
"""

from typing import Any

from eventing.control.pod import INT_OR_TEXT, POD, QUANTITY
from eventing.control.schema import ANY, METADATA, Strict
from serving.objects import quantity

REVISION_SPEC: dict[str, Any] = {
    "containerConcurrency": int, "timeoutSeconds": int, "responseStartTimeoutSeconds": int,
    "idleTimeoutSeconds": int, **POD,
}
TRAFFIC: list[Any] = [{"percent": int, "revisionName": str, "configurationName": str, "tag": str, "url": str,
                       "latestRevision": bool}]
CONFIGURATION_SPEC: dict[str, Any] = {"template": {"metadata": Strict(METADATA), "spec": REVISION_SPEC}}
SERVICE_SPEC: dict[str, Any] = {**CONFIGURATION_SPEC, "traffic": TRAFFIC}

DOMAIN_SPEC: dict[str, Any] = {
    "ref": {"apiVersion": str, "kind": str, "name": str, "namespace": str}, "tls": {"secretName": str},
}

_GO = {str: "string", int: "int64", bool: "bool", INT_OR_TEXT: "intstr.IntOrString",
       QUANTITY: "resource.Quantity"}


def check(value: Any, shape: Any, path: str) -> None:
    """Raise ValueError, which names the *path*, if *value* is not of that *shape*."""
    if isinstance(shape, Strict):
        shape = shape.shape
    if value is None or shape is ANY:
        return
    if isinstance(shape, list):
        _expect(isinstance(value, list), value, path, "[]string" if shape == [str] else "list")
        for index, element in enumerate(value):
            check(element, shape[0], f"{path}[{index}]")
    elif isinstance(shape, dict):
        _expect(isinstance(value, dict), value, path, "map[string]string" if "*" in shape else "object")
        for name, member in value.items():
            found = shape.get("*", shape.get(name))
            if found is not None:
                check(member, found, f"{path}.{name}")
    else:
        # In JSON true is no number, although it is one in Python.
        is_right = isinstance(value, shape) and (shape is bool or not isinstance(value, bool))
        _expect(is_right, value, path, _GO[shape])
        if shape is QUANTITY:
            _check_quantity(value, path)


def _check_quantity(value: Any, path: str) -> None:
    try:
        quantity.parse(value)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _expect(is_right: bool, value: Any, path: str, go_type: str) -> None:
    if not is_right:
        kind = _json_type(value)
        raise ValueError(f"cannot unmarshal {kind} into Go struct field {path} of type {go_type}")


def _json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    names = {int: "number", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")
