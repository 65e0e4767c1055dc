"""
Server-side apply: who applied which fields (`metadata.managedFields`), and what the next apply does. Pure.

    a field that is applied       is set, and belongs to whoever applied it: to several, if they agree
    one that another applied      and would change is a conflict; or, by force, is his no more
    one that is applied no more   goes, unless another applied it too

What was not applied (but put, patched, applied by the client, a default) belongs to nobody, and is
overwritten. A list is one field, whole, as in Knative's CRDs; an object is none, but for an empty one. Fields
are written as Kubernetes' FieldsV1 has them: `{"f:spec": {"f:broker": {}}}`.

Source: Kubernetes' documentation, Server-Side Apply.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from typing import Any

from eventing.control import failure, patch, resource
from eventing.control.failure import Failure
from eventing.control.kind import Kind
from eventing.control.resource import Resource

Path = tuple[str, ...]  # names of members, from the object down to the field
Entry = dict[str, Any]  # one of managedFields

_APPLY = "Apply"
_MARK = "f:"  # of a member's name in FieldsV1; what else may stand there is a part of a list
# Said by the path, or by the server.
_NOBODYS = ("name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "selfLink")


def apply(kind: Kind, live: Resource, config: Resource, manager: str, *, force: bool, now: float) -> Resource:
    """
    *live* with what *config*, of *kind*, says; applied by *manager* at *now* (Unix time).

    *live* may be changed, and is empty where there is no object yet. Raises Failure: 409 with all fields that
    belong to others and would change, unless *force*; 400 where *config* says who manages what.
    """
    if resource.meta(config).get("managedFields"):
        raise failure.bad_request("metadata.managedFields must be nil: leave it out of what is applied")
    mine = set(_leaves(_owned(kind, config)))
    entries: list[Entry] = list(resource.meta(live).get("managedFields") or ())
    theirs = [entry for entry in entries if entry.get("operation") == _APPLY and not _is_of(entry, manager)]
    conflicts = [(entry, path) for path in sorted(mine) if _would_change(live, config, path)
                 for entry in theirs if any(_meet(path, other, live) for other in _paths(entry))]
    if conflicts and not force:
        raise _conflict(kind, config, conflicts)
    entries = [_without(entry, [path for owner, path in conflicts if owner is entry], live)
               for entry in entries]
    before = next((entry for entry in entries if _is_of(entry, manager)), {})
    owned = mine.union(*(_paths(entry) for entry in entries if entry is not before))
    for path in _paths(before):
        _remove(live, path, owned)
    entry = {"manager": manager, "operation": _APPLY, "apiVersion": kind.api_version,
             "time": resource.timestamp(now), "fieldsType": "FieldsV1", "fieldsV1": _fields(mine)}
    if {**entry, "time": None} == {**before, "time": None}:
        entry = before
    kept = [entry if old is before else old for old in entries if old is before or old.get("fieldsV1")]
    new: Resource = patch.merge(live, config)
    new["metadata"]["managedFields"] = kept if before else [*kept, entry]
    return new


def _is_of(entry: Entry, manager: str) -> bool:
    return (entry.get("manager"), entry.get("operation")) == (manager, _APPLY)


def _owned(kind: Kind, config: Resource) -> Resource:
    """The part of *config* whose fields belong to whoever applies it."""
    parts = {name: value for name, value in config.items() if name not in ("apiVersion", "kind", "metadata")}
    if kind.has_status:
        parts.pop("status", None)
    meta = {name: value for name, value in resource.meta(config).items() if name not in _NOBODYS}
    return {**parts, "metadata": meta} if meta else parts


def _leaves(value: Mapping[str, Any], at: Path = ()) -> Iterator[Path]:
    for name, member in value.items():
        if isinstance(member, dict) and member:
            yield from _leaves(member, (*at, name))
        else:
            yield (*at, name)


def _paths(entry: Entry) -> list[Path]:
    """The fields of one of managedFields; those that somebody else wrote may name parts of lists."""
    return list(_read(entry.get("fieldsV1") or {}, ()))


def _read(fields: Any, at: Path) -> Iterator[Path]:
    members = [name for name in fields if name.startswith(_MARK)] if isinstance(fields, dict) else []
    for name in members:
        yield from _read(fields[name], (*at, name.removeprefix(_MARK)))
    if not members and at:
        yield at


def _fields(paths: Iterable[Path]) -> dict[str, Any]:
    """*paths* as FieldsV1."""
    found: dict[str, Any] = {}
    for path in sorted(paths):
        inner = found
        for name in path:
            inner = inner.setdefault(f"{_MARK}{name}", {})
    return found


def _without(entry: Entry, lost: list[Path], live: Resource) -> Entry:
    """*entry* without the fields that *lost* are, or change."""
    if not lost:
        return entry
    return {**entry, "fieldsV1": _fields(path for path in _paths(entry)
                                         if not any(_meet(each, path, live) for each in lost))}


def _would_change(live: Resource, config: Resource, path: Path) -> bool:
    now, wanted = _at(live, path), _at(config, path)
    return bool(now != wanted and not (wanted == {} and isinstance(now, dict)))


def _meet(path: Path, other: Path, live: Resource) -> bool:
    """Whether setting *path* changes *other*: the same, or around it, or within what is no object."""
    is_within = path[:len(other)] == other
    return other[:len(path)] == path or (is_within and not isinstance(_at(live, other), dict))


def _at(value: Any, path: Path) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _remove(live: Resource, path: Path, owned: set[Path]) -> None:
    """Take a field out, and what is empty then, unless it, or a part of it, is *owned*."""
    home = _at(live, path[:-1])
    if not isinstance(home, dict) or any(each[:len(path)] == path for each in owned):
        return
    home.pop(path[-1], None)
    if not home and len(path) > 1:
        _remove(live, path[:-1], owned)


def _conflict(kind: Kind, config: Resource, conflicts: list[tuple[Entry, Path]]) -> Failure:
    """409 in Kubernetes' words, which kubectl follows by what to do."""
    said = [(f'"{entry.get("manager")}"', f".{'.'.join(path)}") for entry, path in conflicts]
    if len(said) == 1:
        told = f"1 conflict: conflict with {said[0][0]}: {said[0][1]}"
    else:
        told = f"{len(said)} conflicts: " + "\n".join(
            "\n- ".join([f"conflicts with {manager}:", *(path for _, path in found)])
            for manager, found in groupby(sorted(said), key=itemgetter(0)))
    causes = [{"reason": "FieldManagerConflict", "message": f"conflict with {manager}", "field": path}
              for manager, path in said]
    details = {"name": resource.name(config), "group": kind.group, "kind": kind.plural, "causes": causes}
    return Failure(409, "Conflict", f"Apply failed with {told}", details)
