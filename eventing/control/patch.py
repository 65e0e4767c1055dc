"""
Patches: three media types, each a pure function from a document and a patch to a new document.

| media type | what it is |
|---|---|
| application/merge-patch+json | RFC 7386: null removes, objects merge, all else replaces |
| application/json-patch+json | RFC 6902: a list of operations, all or none |
| application/strategic-merge-patch+json | for Kubernetes' own kinds: a merge patch; some lists merge by key |

Nothing given in is changed. What cannot be applied raises PatchFailed with RFC 6902's terms.
"""

import copy
from collections.abc import Callable
from typing import Any

from eventing.errors import Rejected

MERGE = "application/merge-patch+json"
JSON = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"

# Lists that a strategic patch merges by the value of a key, or (None) as sets: those of ObjectMeta, of pods
# and of conditions. Every other list is replaced.
_MERGED_LISTS: dict[str, str | None] = {
    "ownerReferences": "uid", "finalizers": None, "conditions": "type",
    "containers": "name", "initContainers": "name", "env": "name", "ports": "containerPort",
    "volumeMounts": "mountPath", "volumes": "name", "imagePullSecrets": "name", "hostAliases": "ip",
}

_COPIED_CHARACTERS = 3 << 20  # by one patch, as in Kubernetes: copies of copies double an object each time


class PatchFailed(Rejected):
    """A patch that cannot be applied; the message names the operation and the path."""

    status = 422


def merge(document: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def strategic(document: Any, patch: Any) -> Any:
    """A strategic merge patch with `$patch: replace|delete` and `$deleteFromPrimitiveList/...`."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    if patch.get("$patch") == "replace":
        return copy.deepcopy({key: value for key, value in patch.items() if key != "$patch"})
    merged = dict(document) if isinstance(document, dict) else {}
    if "$retainKeys" in patch:  # of a union (a strategy, a volume): what the new one is not goes
        retained = _list("$retainKeys", patch["$retainKeys"])
        merged = {key: value for key, value in merged.items() if key in retained}
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            field = key.partition("/")[2]
            deleted = _list(key, value)
            merged[field] = [item for item in _list(field, merged.get(field)) if item not in deleted]
        elif key.startswith("$"):
            continue  # $setElementOrder says nothing that the lists above need
        elif value is None or (isinstance(value, dict) and value.get("$patch") == "delete"):
            merged.pop(key, None)
        elif isinstance(value, list) and key in _MERGED_LISTS:
            merged[key] = _merge_list(key, _list(key, merged.get(key)), value)
        else:
            merged[key] = strategic(merged.get(key), value)
    return merged


def _list(field: str, value: Any) -> list[Any]:
    if value is not None and not isinstance(value, list):
        raise PatchFailed(f"{field}: is no list: {value!r}")
    return value or []


def _merge_list(field: str, old: list[Any], patch: list[Any]) -> list[Any]:
    key = _MERGED_LISTS[field]
    if key is None:
        return [*old, *(item for item in patch if item not in old)]
    if any(isinstance(item, dict) and item.get("$patch") == "replace" for item in patch):
        return [copy.deepcopy(item) for item in patch if not (isinstance(item, dict) and "$patch" in item)]
    for there in old:
        if not isinstance(there, dict):
            raise PatchFailed(f"{field}: holds what is no object: {there!r}")
    merged = list(old)
    for item in patch:
        if not isinstance(item, dict) or key not in item:
            raise PatchFailed(f"map: {item!r} does not contain declared merge key: {key}")
        at = next((i for i, there in enumerate(merged) if there.get(key) == item[key]), None)
        if item.get("$patch") == "delete":
            merged = [there for there in merged if there.get(key) != item[key]]
        elif at is None:
            merged.append(strategic({}, item))
        else:
            merged[at] = strategic(merged[at], item)
    return merged


def json_patch(document: Any, operations: Any) -> Any:
    """RFC 6902: *operations* in order; the first that fails fails the whole."""
    if not isinstance(operations, list):
        raise PatchFailed("a JSON patch is a list of operations")
    document = copy.deepcopy(document)
    copied = 0
    for operation in operations:
        op = operation.get("op") if isinstance(operation, dict) else None
        if not isinstance(op, str) or op not in _OPERATIONS:
            raise PatchFailed(f"unknown operation: {operation!r}")
        if op == "copy":
            copied += len(repr(_get(document, _path(operation, "from"))))
            if copied > _COPIED_CHARACTERS:
                raise PatchFailed(f"operation copy: all copies together are over the limit of "
                                  f"{_COPIED_CHARACTERS} characters")
        document = _OPERATIONS[op](document, operation)
    return document


def _add(document: Any, operation: dict[str, Any]) -> Any:
    return _put(document, _path(operation, "path"), _value(operation), replaces=False)


def _remove(document: Any, operation: dict[str, Any]) -> Any:
    return _cut(document, _path(operation, "path"))[0]


def _replace(document: Any, operation: dict[str, Any]) -> Any:
    path = _path(operation, "path")
    _get(document, path)
    return _put(document, path, _value(operation), replaces=True)


def _move(document: Any, operation: dict[str, Any]) -> Any:
    source, path = _path(operation, "from"), _path(operation, "path")
    if path[:len(source)] == source and path != source:
        raise PatchFailed(f"cannot move {_pointer(source)} into itself")
    document, value = _cut(document, source)
    return _put(document, path, value, replaces=False)


def _copy(document: Any, operation: dict[str, Any]) -> Any:
    value = copy.deepcopy(_get(document, _path(operation, "from")))
    return _put(document, _path(operation, "path"), value, replaces=False)


def _test(document: Any, operation: dict[str, Any]) -> Any:
    path = _path(operation, "path")
    if not _is_equal(_get(document, path), _value(operation)):
        raise PatchFailed(f"testing value {_pointer(path)} failed")
    return document


_OPERATIONS: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "add": _add, "remove": _remove, "replace": _replace, "move": _move, "copy": _copy, "test": _test,
}


def _path(operation: dict[str, Any], member: str) -> list[str]:
    """A JSON pointer (RFC 6901) as its parts."""
    pointer = operation.get(member)
    if not isinstance(pointer, str) or (pointer and not pointer.startswith("/")):
        raise PatchFailed(f'operation {operation["op"]}: "{member}" is no JSON pointer: {pointer!r}')
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def _pointer(path: list[str]) -> str:
    return "/" + "/".join(path)


def _value(operation: dict[str, Any]) -> Any:
    if "value" not in operation:
        raise PatchFailed(f'operation {operation["op"]}: "value" is missing')
    return copy.deepcopy(operation["value"])


def _get(document: Any, path: list[str]) -> Any:
    for part in path:
        if isinstance(document, dict) and part in document:
            document = document[part]
        elif isinstance(document, list):
            document = document[_index(document, part, path, len(document) - 1)]
        else:
            raise PatchFailed(f"there is nothing at {_pointer(path)}")
    return document


def _put(document: Any, path: list[str], value: Any, *, replaces: bool) -> Any:
    if not path:
        return value
    parent, last = _get(document, path[:-1]), path[-1]
    if isinstance(parent, dict):
        parent[last] = value
    elif isinstance(parent, list) and replaces:
        parent[_index(parent, last, path, len(parent) - 1)] = value
    elif isinstance(parent, list):
        parent.insert(len(parent) if last == "-" else _index(parent, last, path, len(parent)), value)
    else:
        raise PatchFailed(f"there is no object or list to put {_pointer(path)} into")
    return document


def _cut(document: Any, path: list[str]) -> tuple[Any, Any]:
    value = _get(document, path)
    if not path:
        return None, value
    parent = _get(document, path[:-1])
    if isinstance(parent, dict):
        del parent[path[-1]]
    else:
        del parent[_index(parent, path[-1], path, len(parent) - 1)]
    return document, value


def _index(document: list[Any], part: str, path: list[str], largest: int) -> int:
    # RFC 6901: digits without leading zeros; Python's int() would take "-1", "+1", " 1" and "1_0".
    if not (part.isascii() and part.isdigit()) or (len(part) > 1 and part[0] == "0"):
        raise PatchFailed(f"no index of a list: {_pointer(path)}")
    index = int(part)
    if index > largest:
        raise PatchFailed(f"index out of range: {_pointer(path)} (the list has {len(document)})")
    return index


def _is_equal(one: Any, other: Any) -> bool:
    """JSON equality: Python holds True and 1 for equal."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_equal(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_equal, one, other))
    return bool(one == other)
