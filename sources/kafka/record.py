"""
An event -> the Kafka record that carries it (CloudEvents' Kafka protocol binding 1.0). Pure.

    content mode   value           headers
    binary         the data        ce_NAME for each attribute, content-type for datacontenttype
    structured     the event, JSON content-type: application/cloudevents+json

Its key is the extension `partitionkey`, so that events of one key stay in one order. An event without data is
a record without a value, or with an empty one where it has no key either: aiokafka writes none without both.
"""

from typing import NamedTuple

from eventing import binding
from eventing.event import Event

BINARY, STRUCTURED = MODES = ("binary", "structured")


class Outgoing(NamedTuple):
    """A record to be written."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


def to_record(event: Event, mode: str) -> Outgoing:
    """The record of *event* in a content mode, one of MODES."""
    attributes = event.attributes
    key = attributes["partitionkey"].encode() if attributes.get("partitionkey") else None
    if mode == STRUCTURED:
        return Outgoing(key, binding.to_json(event), [("content-type", binding.STRUCTURED.encode())])
    headers = [("content-type" if name == "datacontenttype" else f"ce_{name}", value.encode())
               for name, value in attributes.items()]
    return Outgoing(key, b"" if key is None and event.data is None else event.data, headers)
