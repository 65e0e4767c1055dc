"""
What a core/v1 Event is made of: pure, and free of the store (`kubectl describe` prints them).

An event here is Kubernetes' word for a note about an object; it has nothing to do with CloudEvents. One note
is one object, named by what it says, so that the same note again only raises its count.
"""

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

from eventing.control.resource import Resource, timestamp, unix

# Kubernetes keeps them for an hour (kube-apiserver --event-ttl).
KEPT_S = 3600.0

# The same note within this time is not even counted: a failing object must not write without end.
_QUIET_S = 10.0

_NAME_CHARACTERS = 220  # of the object's name; with a dot and the hash that stays below 253


class Note(NamedTuple):
    """What is said: *type* is Normal or Warning."""

    type: str
    reason: str
    message: str


def name_of(about: Mapping[str, str], note: Note) -> str:
    """Name of the Event object that says this about that object."""
    said = "\0".join((about.get("uid", ""), about.get("kind", ""), *note))
    return f'{about.get("name", "")[:_NAME_CHARACTERS]}.{hashlib.sha256(said.encode()).hexdigest()[:16]}'


def first(about: Mapping[str, str], note: Note, name: str, now: float) -> Resource:
    """A new Event."""
    when = timestamp(now)
    return {"apiVersion": "v1", "kind": "Event", "metadata": {"name": name}, "involvedObject": dict(about),
            "type": note.type, "reason": note.reason, "message": note.message, "count": 1,
            "firstTimestamp": when, "lastTimestamp": when, "eventTime": None,
            "source": {"component": "clarion"}, "reportingComponent": "clarion", "reportingInstance": ""}


def repeated(event: Resource, now: float) -> Resource:
    """The same Event once more."""
    return {**event, "count": event.get("count", 1) + 1, "lastTimestamp": timestamp(now)}


def is_worth_counting(event: Resource, now: float) -> bool:
    """Whether the last time is long enough ago."""
    return now - last_seen(event) >= _QUIET_S


def last_seen(event: Resource) -> float:
    """When it was said last, Unix time; 0 where somebody else's Event does not tell."""
    when = event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp")
    try:
        return unix(when) if when else 0.0
    except (TypeError, ValueError):
        return 0.0
