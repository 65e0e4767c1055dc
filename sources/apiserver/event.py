"""
The events of an ApiServerSource: what Knative makes of a change of an object. Pure.

    type        dev.knative.apiserver.resource.add|update|delete; mode Reference: dev.knative.apiserver.ref.*
    source      URL of the API server
    subject     /apis/<apiVersion>/namespaces/<namespace>/<plural>/<name>
    kind apiversion name namespace       extensions, for filters; no namespace for objects that have none
    data        the object, or a reference to it

The plural is what the server calls its resource, where Knative guesses it from the kind. An event's id is
made from the object's uid, its resourceVersion and the change, so one that is sent twice can be recognised;
Knative takes a random one.
"""

import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from eventing.control.resource import Resource, meta, name, namespace, owners, resource_version, uid
from eventing.event import Event

ADD, UPDATE, DELETE = "add", "update", "delete"
RESOURCE, REFERENCE = "Resource", "Reference"
_PREFIXES = {RESOURCE: "dev.knative.apiserver.resource", REFERENCE: "dev.knative.apiserver.ref"}

# Ids of events are UUIDs in a namespace of their own.
_IDS = uuid.uuid5(uuid.NAMESPACE_URL, "https://clarion.dev/apiserversource")


class Change(NamedTuple):
    """What happened (`ADD`, `UPDATE`, `DELETE`) to which object."""

    what: str
    found: Resource


def types(mode: str) -> list[str]:
    """Types of the events of a source in that mode."""
    return [f"{_PREFIXES[mode]}.{what}" for what in (ADD, UPDATE, DELETE)]


def to_event(change: Change, *, mode: str, source: str, plural: str) -> Event:
    """The event of one change."""
    found = change.found
    where, called = namespace(found), name(found)
    attributes = {
        "specversion": "1.0", "type": f"{_PREFIXES[mode]}.{change.what}", "source": source,
        "id": str(uuid.uuid5(_IDS, f"{uid(found)} {resource_version(found)} {change.what}")),
        "subject": f"/apis/{found['apiVersion']}/namespaces/{where}/{plural}/{called}",
        "datacontenttype": "application/json",
        "kind": found["kind"], "apiversion": found["apiVersion"], "name": called,
    }
    if where:
        attributes["namespace"] = where
    data = found if mode == RESOURCE else _reference(found)
    return Event(attributes, orjson.dumps(data))


def _reference(found: Resource) -> dict[str, str]:
    """A core/v1 ObjectReference."""
    said = {"kind": found["kind"], "namespace": namespace(found), "name": name(found),
            "apiVersion": found["apiVersion"]}
    return {key: value for key, value in said.items() if value}


def outline(found: Resource) -> Resource:
    """As little of an object as says which it is, in which version, and who controls it."""
    controllers = [owner for owner in owners(found) if owner.get("controller")]
    kept = {key: meta(found)[key] for key in ("name", "namespace", "uid", "resourceVersion")
            if meta(found).get(key)}
    if controllers:
        kept["ownerReferences"] = controllers
    return {"apiVersion": found["apiVersion"], "kind": found["kind"], "metadata": kept}


def is_owned_by(found: Resource, owner: Mapping[str, Any] | None) -> bool:
    """Whether the object's controller is of the kind *owner* (`apiVersion`, `kind`); None wants none."""
    if owner is None:
        return True
    wanted = [owner.get("apiVersion"), owner.get("kind")]
    return any([each.get("apiVersion"), each.get("kind")] == wanted
               for each in owners(found) if each.get("controller"))
