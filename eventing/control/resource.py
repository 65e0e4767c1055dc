"""
A resource: the JSON that somebody sent, and how to read it.

Nothing here knows a kind, a store or the network. Readers never raise on a half-made object and never
hand out None where a mapping is expected, so a reconciler reads `spec(r).get("delivery")` and is done.
Conditions follow the Knative error-signalling specification: a list keyed by `type`, `Ready` computed
from the conditions that it depends on, a reason wherever the status is False.
"""

import copy
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

Resource = dict[str, Any]
Resources = list[Resource]

_NAME_LIMIT = 63  # RFC 1035: a label of a host name

READY = "Ready"
TRUE = "True"
FALSE = "False"
UNKNOWN = "Unknown"


def meta(resource: Mapping[str, Any]) -> dict[str, Any]:
    """`metadata`; empty when absent."""
    return resource.get("metadata") or {}


def name(resource: Mapping[str, Any]) -> str:
    """`metadata.name`; "" when absent."""
    return meta(resource).get("name") or ""


def namespace(resource: Mapping[str, Any]) -> str:
    """`metadata.namespace`; "" when absent or cluster-scoped."""
    return meta(resource).get("namespace") or ""


def uid(resource: Mapping[str, Any]) -> str:
    """`metadata.uid`; "" before the object was stored."""
    return meta(resource).get("uid") or ""


def generation(resource: Mapping[str, Any]) -> int:
    """`metadata.generation`: how often the spec was changed; 0 before the object was stored."""
    return meta(resource).get("generation") or 0


def resource_version(resource: Mapping[str, Any]) -> str:
    """`metadata.resourceVersion`; "" before the object was stored."""
    return meta(resource).get("resourceVersion") or ""


def annotations(resource: Mapping[str, Any]) -> dict[str, str]:
    """`metadata.annotations`; empty when absent."""
    return meta(resource).get("annotations") or {}


def labels(resource: Mapping[str, Any]) -> dict[str, str]:
    """`metadata.labels`; empty when absent."""
    return meta(resource).get("labels") or {}


def finalizers(resource: Mapping[str, Any]) -> list[str]:
    """`metadata.finalizers`; empty when absent."""
    return meta(resource).get("finalizers") or []


def owners(resource: Mapping[str, Any]) -> list[dict[str, Any]]:
    """`metadata.ownerReferences`; empty when absent."""
    return meta(resource).get("ownerReferences") or []


def is_deleted(resource: Mapping[str, Any]) -> bool:
    """Whether deletion was asked for and finalizers are still at work."""
    return bool(meta(resource).get("deletionTimestamp"))


def spec(resource: Mapping[str, Any]) -> dict[str, Any]:
    """`spec`; empty when absent."""
    return resource.get("spec") or {}


def status(resource: Resource) -> dict[str, Any]:
    """`status`, created when absent, so that what is written to it stays in *resource*."""
    found: dict[str, Any] | None = resource.get("status")
    if found is None:
        found = resource["status"] = {}
    return found


def group(api_version: str) -> str:
    """API group of an `apiVersion`; "" for the core group."""
    return api_version.rpartition("/")[0]


def reference(resource: Mapping[str, Any]) -> dict[str, str]:
    """The object as an ObjectReference: apiVersion, kind, namespace, name, uid."""
    found = {"apiVersion": resource.get("apiVersion", ""), "kind": resource.get("kind", ""),
             "namespace": namespace(resource), "name": name(resource), "uid": uid(resource)}
    return {key: value for key, value in found.items() if value}


def controller_reference(owner: Mapping[str, Any]) -> dict[str, Any]:
    """An ownerReference that makes *owner* the controller of a child."""
    return {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": name(owner), "uid": uid(owner),
            "controller": True, "blockOwnerDeletion": True}


def is_controlled_by(child: Mapping[str, Any], owner: Mapping[str, Any]) -> bool:
    """Whether *owner*, by uid, is the controller of *child*."""
    return any(ref.get("controller") and ref.get("uid") == uid(owner) for ref in owners(child))


def timestamp(when: float) -> str:
    """Unix time *when* as Kubernetes writes it: RFC 3339, UTC, whole seconds."""
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def unix(text: str) -> float:
    """RFC 3339 *text* as Unix time, in seconds; ValueError when it is not one."""
    return datetime.fromisoformat(text).timestamp()


def condition(status_: Mapping[str, Any], type_: str) -> Mapping[str, Any] | None:
    """The condition of that type, or None."""
    return next((c for c in status_.get("conditions") or () if c.get("type") == type_), None)


def condition_status(status_: Mapping[str, Any], type_: str) -> str:
    """`True`, `False` or `Unknown`; Unknown when there is no such condition."""
    found = condition(status_, type_)
    return found.get("status", UNKNOWN) if found else UNKNOWN


def is_ready(resource: Mapping[str, Any]) -> bool:
    """Whether Ready is True for the generation that is stored now."""
    found = resource.get("status") or {}
    return condition_status(found, READY) == TRUE and found.get("observedGeneration") == generation(resource)


def not_ready(resource: Mapping[str, Any]) -> str:
    """Why an object of a kind with conditions is not Ready, in one line; "" when it is."""
    found = resource.get("status") or {}
    if "conditions" not in found or found.get("observedGeneration", 0) < generation(resource):
        return "not reconciled yet"
    ready = condition(found, READY)
    if ready is None or ready["status"] == TRUE:
        return ""
    reason, message = ready.get("reason") or "not Ready yet", (ready.get("message") or "").strip()
    # Of a traceback the last line says what happened; `describe` shows all of it.
    return f"{reason}: {message.splitlines()[-1].strip()}" if message else reason


def set_condition(status_: dict[str, Any], type_: str, value: str, reason: str = "", message: str = "", *,
                  now: float, severity: str = "") -> None:
    """
    Set one condition of a status; *value* is `True`, `False` or `Unknown`, *now* a Unix time.

    The transition time moves only when something else did, as in Knative; the list stays sorted by type.
    """
    wanted = {"type": type_, "status": value, "severity": severity, "reason": reason, "message": message}
    wanted = {key: text for key, text in wanted.items() if text}
    old = condition(status_, type_)
    if old is not None and {k: v for k, v in old.items() if k != "lastTransitionTime"} == wanted:
        return
    wanted["lastTransitionTime"] = timestamp(now)
    others = [c for c in status_.get("conditions") or () if c.get("type") != type_]
    status_["conditions"] = sorted([*others, wanted], key=lambda c: str(c["type"]))


def remove_condition(status_: dict[str, Any], type_: str) -> None:
    """Drop the condition of that type, if there is one."""
    if condition(status_, type_) is not None:
        status_["conditions"] = [c for c in status_["conditions"] if c.get("type") != type_]


def initialize_conditions(status_: dict[str, Any], types: Iterable[str], *, now: float) -> None:
    """Set each of *types*, and Ready, to Unknown where it is not there yet."""
    for type_ in (*types, READY):
        if condition(status_, type_) is None:
            set_condition(status_, type_, UNKNOWN, now=now)


def compute_ready(status_: dict[str, Any], dependents: Sequence[str], *, now: float) -> None:
    """
    Set Ready from the conditions that it depends on, in this order.

    1. The first that is False: Ready is False with its reason and message.
    2. The first that is Unknown or absent: Ready is Unknown with its reason and message.
    3. Else Ready is True.
    """
    for value in (FALSE, UNKNOWN):
        for type_ in dependents:
            if condition_status(status_, type_) == value:
                found = condition(status_, type_) or {}
                set_condition(status_, READY, value, found.get("reason", ""), found.get("message", ""),
                              now=now)
                return
    set_condition(status_, READY, TRUE, now=now)


def child_name(parent: str, suffix: str) -> str:
    """*parent* and *suffix*; where that is over 63 characters, the parent's end gives way to its digest."""
    if len(parent) + len(suffix) <= _NAME_LIMIT:
        return parent + suffix
    digest = hashlib.md5(parent.encode(), usedforsecurity=False).hexdigest()
    return parent[: _NAME_LIMIT - len(digest) - len(suffix)] + digest + suffix


def clone(resource: Resource) -> Resource:
    """A deep copy, for whoever wants to change what it was only lent."""
    return copy.deepcopy(resource)
