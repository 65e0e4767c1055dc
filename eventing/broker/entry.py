"""
An entry: an event as it stands in a partition's stream, and which partition that is.

    a    the attributes, a JSON object of strings; headers that travel with the event (passage.py) are in it
         under the empty name, which no attribute has
    d    the data as it came; absent when the event has none

These are the only places that know it. Pure.
"""

import zlib
from collections.abc import Mapping, Sequence

import orjson

from eventing.event import Event

_HEADERS = ""  # in place of an attribute's name


def partition_of(event: Event, partitions: int) -> int:
    """
    Partition of *event* in a broker of *partitions*: CRC-32 of `partitionkey`, else of source and id.

    So one key keeps one order, and an event that is sent again meets its first self.
    """
    if partitions == 1:
        return 0
    attributes = event.attributes
    key = attributes.get("partitionkey") or f"{attributes.get('source', '')}\n{attributes.get('id', '')}"
    return zlib.crc32(key.encode()) % partitions


def encode(event: Event) -> tuple[bytes, bytes | None]:
    """Fields `a` and `d` of the entry."""
    if event.headers:
        attributes = {**event.attributes, _HEADERS: event.headers.decode("latin-1")}
        return orjson.dumps(attributes), event.data
    return orjson.dumps(event.attributes), event.data


def decode(fields: Mapping[bytes, bytes]) -> Event:
    """Make the event of an entry as redis-py reads it."""
    return _event(fields[b"a"], fields.get(b"d"))


def decode_row(fields: Sequence[bytes]) -> Event:
    """Make the event of an entry as the store sends it: names and values in turn, those of `encode` first."""
    return _event(fields[1], fields[3] if len(fields) > 2 else None)  # noqa: PLR2004  `a` and its value


def _event(stored: bytes, data: bytes | None) -> Event:
    attributes = orjson.loads(stored)
    if _HEADERS in attributes:
        return Event(attributes, data, attributes.pop(_HEADERS).encode("latin-1"))
    return Event(attributes, data)
