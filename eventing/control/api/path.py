"""
What a REST path names: pure.

    /api/V/...  or  /apis/G/V/...   followed by
    PLURAL                                     all of a kind, in all namespaces
    PLURAL/NAME[/SUBRESOURCE]                  one cluster-scoped object
    namespaces/NS/PLURAL                       all of a kind in a namespace
    namespaces/NS/PLURAL/NAME[/SUBRESOURCE]    one object
"""

from dataclasses import dataclass

from eventing.control import failure
from eventing.control.kind import Kind, lookup

# What may follow a namespace's name and is no plural of the core group.
_NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})
_DEEPEST = 2  # NAME/SUBRESOURCE


@dataclass(frozen=True, slots=True)
class Target:
    """A collection (*name* is "") or an object; *namespace* is "" for all namespaces or none."""

    kind: Kind
    namespace: str = ""
    name: str = ""
    subresource: str = ""


def target(group: str, version: str, rest: list[str]) -> Target:
    """What the parts after group and version name; Failure 404 when that is nothing."""
    namespace = ""
    if _is_in_namespace(group, rest):
        namespace, rest = rest[1], rest[2:]
    kind = lookup(group, version, rest[0])
    if kind is None or len(rest) > 1 + _DEEPEST or not all(rest):
        raise failure.unknown_path()
    name, subresource = (*rest[1:], "", "")[:2]
    is_misplaced = bool(namespace) and not kind.namespaced
    is_homeless = bool(name) and kind.namespaced and not namespace
    if is_misplaced or is_homeless or (subresource and not _has(kind, subresource)):
        raise failure.unknown_path()
    return Target(kind, namespace, name, subresource)


def _is_in_namespace(group: str, rest: list[str]) -> bool:
    if rest[0] != "namespaces" or len(rest) <= _DEEPEST:
        return False
    return bool(group) or rest[2] not in _NAMESPACE_SUBRESOURCES


def _has(kind: Kind, subresource: str) -> bool:
    return (subresource == "status" and kind.has_status) or (subresource == "scale" and kind.has_scale)
