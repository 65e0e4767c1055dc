"""
Which fields an object may have: what a CRD's structural schema says on Kubernetes. Pure.

    shape                  a value of it
    str, int, (int, str)   a leaf of that JSON type, or of one of these
    ANY                    anything; nothing in it is looked at
    [shape]                a list
    {"name": shape}        an object with these members, and no others
    {"*": shape}           a map
    Strict(shape)          the same, and Knative's decoder refuses what is unknown anywhere inside

A field that a shape does not know is left out when an object is stored, as Kubernetes does it, and never
changes what the object means; `admission.py` tells whoever sent it. `Strict` is where a CRD preserves unknown
fields (x-kubernetes-preserve-unknown-fields), so that they reach Knative's webhook, which takes none. Only
names are judged here: what a value may be is the validators' affair.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Shape = Any  # as drawn above; a recursive type would say less than the table

ANY = object


@dataclass(frozen=True, slots=True)
class Strict:
    """A shape whose unknown fields are refused instead of left out."""

    shape: Shape


@dataclass(frozen=True, slots=True)
class Unknown:
    """A field that the shape does not know: *path* as in `spec.filters[0].exakt`."""

    path: str
    name: str
    is_refused: bool  # it stands in a Strict part


# Python's own stack ends at a thousand calls, and whoever reads an object later may take several a level.
_DEEPEST = 64

METADATA: Mapping[str, Shape] = {
    "name": str, "generateName": str, "namespace": str, "uid": str, "resourceVersion": str, "generation": int,
    "labels": {"*": str}, "annotations": {"*": str}, "ownerReferences": ANY, "finalizers": [str],
    "creationTimestamp": str, "deletionTimestamp": str, "deletionGracePeriodSeconds": int,
    "managedFields": ANY, "selfLink": str,
}

# Of knative.dev/pkg/apis/duck/v1, in specs of every kind.
REFERENCE = {"apiVersion": str, "kind": str, "name": str, "namespace": str, "group": str, "address": str}
DESTINATION = {"ref": REFERENCE, "uri": str, "CACerts": str, "audience": str}
DELIVERY = Strict({
    "deadLetterSink": DESTINATION, "retry": int, "backoffPolicy": str, "backoffDelay": str, "timeout": str,
    "retryAfterMax": str, "format": str,
})


def unknown(value: Any, shape: Shape, path: str = "", *, is_refused: bool = False,
            depth: int = 0) -> Iterator[Unknown]:
    """
    What is in *value*, which stands at *path*, and not in *shape*; in the order of *value*.

    Raises:
        ValueError: *value* is nested deeper than anything that makes sense.
    """
    depth += 1
    if depth > _DEEPEST:
        raise ValueError(f"{path[:_DEEPEST]}... is nested more than {_DEEPEST} levels deep")
    if isinstance(shape, Strict):
        yield from unknown(value, shape.shape, path, is_refused=True, depth=depth)
    elif isinstance(shape, list) and isinstance(value, list):
        for index, element in enumerate(value):
            yield from unknown(element, shape[0], f"{path}[{index}]", is_refused=is_refused, depth=depth)
    elif isinstance(shape, Mapping) and isinstance(value, Mapping):
        for name, member in value.items():
            where = f"{path}.{name}" if path else name
            inner = shape.get("*", shape.get(name))
            if inner is None:
                yield Unknown(where, name, is_refused)
            else:
                yield from unknown(member, inner, where, is_refused=is_refused, depth=depth)


def mistyped(value: Any, shape: Shape, path: str = "") -> Iterator[tuple[str, str, str]]:
    """Path, JSON type and wanted type of each part of *value* that is not of *shape*; null is absent."""
    if isinstance(shape, Strict):
        shape = shape.shape
    if value is None or shape is ANY or shape is None:
        return
    wanted = list if isinstance(shape, list) else dict if isinstance(shape, Mapping) else shape
    # In JSON true is no number, although it is one in Python; and an integer is a number.
    allowed = (int, float) if wanted is float else wanted
    if not isinstance(value, allowed) or (isinstance(value, bool) and wanted is not bool):
        first = wanted[0] if isinstance(wanted, tuple) else wanted
        yield path, _JSON_TYPES.get(type(value), "null"), _JSON_TYPES[first]
    elif isinstance(shape, list) and isinstance(value, list):
        for index, element in enumerate(value):
            yield from mistyped(element, shape[0], f"{path}[{index}]")
    elif isinstance(shape, Mapping) and isinstance(value, Mapping):
        for name, member in value.items():
            yield from mistyped(member, shape.get("*", shape.get(name)), f"{path}.{name}" if path else name)


def known(value: Any, shape: Shape) -> Any:
    """*value* without what *shape* does not know: a copy, or *value* itself if there is nothing such."""
    if isinstance(shape, Strict):
        return known(value, shape.shape)
    if isinstance(shape, list) and isinstance(value, list):
        elements = [known(element, shape[0]) for element in value]
        is_same = all(old is new for old, new in zip(value, elements, strict=True))
        return value if is_same else elements
    if isinstance(shape, Mapping) and isinstance(value, dict):
        members = {name: known(member, inner) for name, member in value.items()
                   if (inner := shape.get("*", shape.get(name))) is not None}
        is_same = len(members) == len(value) and all(members[name] is value[name] for name in value)
        return value if is_same else members
    return value


_TYPES: Mapping[type, Mapping[str, Any]] = {
    str: {"type": "string"}, bool: {"type": "boolean"}, int: {"type": "integer"}, float: {"type": "number"},
    dict: {"type": "object"},
}
_JSON_TYPES: Mapping[type, str] = {str: "string", bool: "boolean", int: "integer", float: "number",
                                   dict: "object", list: "array"}
_OPEN = {"x-kubernetes-preserve-unknown-fields": True}


def openapi(shape: Shape, within: tuple[int, ...] = ()) -> dict[str, Any]:
    """*shape* as OpenAPI v3; one that contains itself (a filter in a filter) is drawn once."""
    if isinstance(shape, Strict):
        return {**openapi(shape.shape, within), **_OPEN}
    if id(shape) in within:
        return {"type": "object", **_OPEN}
    within = (*within, id(shape))
    if isinstance(shape, list):
        return {"type": "array", "items": openapi(shape[0], within)}
    if isinstance(shape, Mapping):
        if "*" in shape:
            return {"type": "object", "additionalProperties": openapi(shape["*"], within)}
        return {"type": "object",
                "properties": {name: openapi(inner, within) for name, inner in shape.items()}}
    if isinstance(shape, tuple):
        return {"x-kubernetes-int-or-string": True}
    return dict(_TYPES.get(shape, _OPEN))
