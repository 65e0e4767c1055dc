"""
Which JSON type each field of a Service has, down to the probes: what a CRD's schema says on Knative.

Whoever writes `command: python app.py` means a list, and is told so here, in the words of Go's decoder,
before anything reads the field. Pure; what the values may be is judged afterwards (template, podspec,
traffic).

A shape is a type (a leaf), `[shape]` (a list), `{"name": shape}` (an object; other members are not looked at)
or `{"*": shape}` (a map). null is always absent.
"""

from typing import Any

from serving import quantity

_INT_OR_TEXT = (int, str)  # ports go by number or name
_QUANTITY = (str, int, float)

_REFERENCE = {"name": str, "optional": bool, "key": str}
_PROBE = {
    "httpGet": {"path": str, "host": str, "scheme": str, "port": _INT_OR_TEXT,
                "httpHeaders": [{"name": str, "value": str}]},
    "tcpSocket": {"host": str, "port": _INT_OR_TEXT}, "exec": {"command": [str]},
    "grpc": {"port": int, "service": str},
    "initialDelaySeconds": int, "timeoutSeconds": int, "periodSeconds": int, "successThreshold": int,
    "failureThreshold": int,
}
_CONTAINER = {
    "name": str, "image": str, "command": [str], "args": [str], "workingDir": str, "imagePullPolicy": str,
    "terminationMessagePolicy": str,
    "env": [{"name": str, "value": str,
             "valueFrom": {"configMapKeyRef": _REFERENCE, "secretKeyRef": _REFERENCE}}],
    "envFrom": [{"prefix": str, "configMapRef": _REFERENCE, "secretRef": _REFERENCE}],
    "ports": [{"name": str, "containerPort": int, "protocol": str}],
    "readinessProbe": _PROBE, "livenessProbe": _PROBE, "startupProbe": _PROBE,
    "resources": {"limits": {"*": _QUANTITY}, "requests": {"*": _QUANTITY}},
    "securityContext": {"runAsUser": int, "runAsGroup": int, "capabilities": {"add": [str], "drop": [str]}},
    "volumeMounts": [{"name": str, "mountPath": str, "subPath": str, "readOnly": bool}],
}
_ITEMS = [{"key": str, "path": str}]
_VOLUME = {
    "name": str, "secret": {"items": _ITEMS}, "configMap": {"items": _ITEMS},
    "projected": {"sources": [{"secret": {"name": str, "items": _ITEMS},
                               "configMap": {"name": str, "items": _ITEMS},
                               "serviceAccountToken": {"path": str}}]},
    "emptyDir": {"medium": str, "sizeLimit": _QUANTITY}, "persistentVolumeClaim": {"claimName": str},
}
REVISION_SPEC: dict[str, Any] = {
    "containerConcurrency": int, "timeoutSeconds": int, "responseStartTimeoutSeconds": int,
    "idleTimeoutSeconds": int,
    "containers": [_CONTAINER], "initContainers": [_CONTAINER], "volumes": [_VOLUME], "securityContext": {},
    "serviceAccountName": str,
}
TRAFFIC: list[Any] = [{"percent": int, "revisionName": str, "configurationName": str, "tag": str, "url": str,
                       "latestRevision": bool}]
SERVICE_SPEC: dict[str, Any] = {
    "template": {"metadata": {"name": str, "labels": {"*": str}, "annotations": {"*": str}},
                 "spec": REVISION_SPEC},
    "traffic": TRAFFIC,
}

_GO = {str: "string", int: "int64", bool: "bool", _INT_OR_TEXT: "intstr.IntOrString",
       _QUANTITY: "resource.Quantity"}


def check(value: Any, shape: Any, path: str) -> None:
    """Raise ValueError, which names the *path*, if *value* is not of that *shape*."""
    if value is None:
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
        if shape is _QUANTITY:
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
