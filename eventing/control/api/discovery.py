"""What there is: /version, /api, /apis in both forms that kubectl knows, and group-versions. Pure."""

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from eventing.control import failure
from eventing.control.api import scale
from eventing.control.kind import Kind, every

_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
_STATUS_VERBS = ["get", "patch", "update"]
_SCALE = {"group": scale.GROUP, "version": scale.VERSION, "kind": scale.KIND}
_READ = frozenset({"get", "list", "watch"})  # all that may be done to what is only shown

# What clients compare themselves with; the API here is Kubernetes' of that version.
VERSION = {"major": "1", "minor": "32", "gitVersion": "v1.32.0", "gitCommit": "", "gitTreeState": "clean",
           "buildDate": "2026-01-01T00:00:00Z", "goVersion": "none", "compiler": "none",
           "platform": "linux/amd64"}


def aggregated_type(accept: str) -> str | None:
    """The content type of an aggregated answer if exactly that version was offered, else None."""
    offers = {frozenset(offer.replace(" ", "").split(";")) for offer in accept.split(",")}
    return _AGGREGATED if frozenset(_AGGREGATED.split(";")) in offers else None


def aggregated(*, is_core: bool) -> dict[str, Any]:
    """An APIGroupDiscoveryList of the core group, or of all others."""
    groups = groupby((kind for kind in every() if (kind.group == "") is is_core), key=lambda kind: kind.group)
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {},
            "items": [_group(group, kinds) for group, kinds in groups]}


def _group(group: str, kinds: Iterable[Kind]) -> dict[str, Any]:
    meta = {"name": group, "creationTimestamp": None} if group else {"creationTimestamp": None}
    versions = {version: list(found) for version, found in groupby(kinds, key=lambda kind: kind.version)}
    return {"metadata": meta, "versions": [
        {"version": version, "freshness": "Current",
         "resources": list(map(_aggregated_resource, versions[version]))}
        for version in sorted(versions, key=_by_stability)]}


def _aggregated_resource(kind: Kind) -> dict[str, Any]:
    response = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    status = {"subresource": "status", "responseKind": response, "verbs": _allowed(kind, _STATUS_VERBS)}
    scaled = {"subresource": "scale", "responseKind": _SCALE, "verbs": _STATUS_VERBS}
    return {"resource": kind.plural, "responseKind": response, "verbs": _allowed(kind, _VERBS),
            "scope": "Namespaced" if kind.namespaced else "Cluster", "singularResource": kind.singular,
            "shortNames": list(kind.short_names), "categories": list(kind.categories),
            "subresources": [status] * kind.has_status + [scaled] * kind.has_scale}


def core_versions() -> dict[str, Any]:
    """The legacy answer of /api."""
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def groups() -> dict[str, Any]:
    """The legacy answer of /apis."""
    names = sorted({kind.group for kind in every() if kind.group})
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_legacy_group(name) for name in names]}


def group(name: str) -> dict[str, Any]:
    """The answer of /apis/G; Failure 404."""
    return {"kind": "APIGroup", "apiVersion": "v1", **_legacy_group(name)}


def _legacy_group(name: str) -> dict[str, Any]:
    served = {kind.version for kind in every() if kind.group == name}
    versions = [{"groupVersion": f"{name}/{version}", "version": version}
                for version in sorted(served, key=_by_stability)]
    if not versions:
        raise failure.unknown_path()
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def _by_stability(version: str) -> tuple[int, int]:
    """v1 before v1beta2 before v1beta1 before v1alpha1, as Kubernetes prefers them."""
    unstable = ("alpha" in version) + ("alpha" in version or "beta" in version)
    return unstable, -int(version.rpartition("a")[2].lstrip("v"))


def resources(group: str, version: str) -> dict[str, Any]:
    """The answer of /api/V and /apis/G/V; Failure 404."""
    kinds = [kind for kind in every() if (kind.group, kind.version) == (group, version)]
    if not kinds:
        raise failure.unknown_path()
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": kinds[0].api_version,
            "resources": [entry for kind in kinds for entry in _legacy_resources(kind)]}


def _legacy_resources(kind: Kind) -> list[dict[str, Any]]:
    names = {"shortNames": list(kind.short_names), "categories": list(kind.categories)}
    entry = {"name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced,
             "kind": kind.kind, "verbs": _allowed(kind, _VERBS),
             **{key: value for key, value in names.items() if value}}
    status = {"name": f"{kind.plural}/status", "singularName": "", "namespaced": kind.namespaced,
              "kind": kind.kind, "verbs": _allowed(kind, _STATUS_VERBS)}
    scaled = {**status, "name": f"{kind.plural}/scale", "verbs": _STATUS_VERBS, **_SCALE}
    return [entry, *([status] * kind.has_status), *([scaled] * kind.has_scale)]


def _allowed(kind: Kind, verbs: list[str]) -> list[str]:
    return [verb for verb in verbs if verb in _READ] if kind.is_read_only else verbs
