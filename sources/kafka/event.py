"""
A Kafka record -> the event in it. Pure; knows nothing of consumers or offsets.

    the record has                                     the event
    header content-type: application/cloudevents+json  the value says it all (structured)
    header ce_specversion                              headers ce_* are attributes, the value is data (binary)
    neither, or an event that is not valid             type dev.knative.kafka.event, the value is data

An event in a record is passed on as it is. What is none gets `source` and `subject` from where it stood,
`time` from the record's timestamp, `key` and `partitionkey` from its key, and an extension `kafkaheaderNAME`
from each header but `content-type`. What claims to be an event and is none is passed on likewise, so whoever
reads it can see what came; no record stops a partition. A null value (a tombstone) is an event without data.

Values are data as they are; in keys and headers, which become text, bytes that are not UTF-8 become U+FFFD.
All events carry `knativekafkapartition` and `knativekafkaoffset`. Source: knative.dev/eventing-kafka-broker.

    label kafkasources.sources.knative.dev/key-type    `key`
    string (the default)                               UTF-8
    int                                                4 bytes, big-endian, signed; else as string
    float                                              4 or 8 bytes, IEEE 754, big-endian; else as string
    byte-array                                         base64
"""

import base64
import functools
import re
import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from eventing import binding
from eventing.errors import NotACloudEvent
from eventing.event import Event

EVENT_TYPE = "dev.knative.kafka.event"
KEY_TYPES = ("string", "int", "float", "byte-array")

_PREFIX = "ce_"
_CLOUDEVENTS = "application/cloudevents"
# Headers that nearly every record with an event in it has; it is asked for each of them.
_ATTRIBUTES = {"content-type": "datacontenttype", "ce_specversion": "specversion", "ce_id": "id",
               "ce_type": "type", "ce_source": "source", "ce_time": "time", "ce_subject": "subject"}
_NOT_ALPHANUMERIC = re.compile(r"[^a-z0-9]")
_FLOAT_FORMATS = {4: ">f", 8: ">d"}
_INT_BYTES = 4
_FLOAT_DIGITS = 9  # enough for any single (IEEE 754)


class Record(NamedTuple):
    """What matters of a record, in Kafka's words."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    timestamp_ms: int | None


def to_event(record: Record, source: str, key_type: str = "string") -> Event:
    """
    The event in *record*; it never fails.

    Args:
        record: as it was read.
        source: of the KafkaSource, without the topic.
        key_type: one of KEY_TYPES.
    """
    event = _contained(record)
    if event is None or _claims_more(event.attributes.get("datacontenttype", "")):
        event = _raw(record, source, key_type)
    attributes = {**event.attributes, "knativekafkapartition": str(record.partition),
                  "knativekafkaoffset": str(record.offset)}
    content_type = attributes.get("datacontenttype")
    if content_type and not content_type.isprintable():
        # Line breaks between its parts are allowed in an event, not in the HTTP header that it becomes.
        attributes["datacontenttype"] = " ".join(content_type.split())
    return Event(attributes, event.data)


def _contained(record: Record) -> Event | None:
    """The CloudEvent that the record is, if it is one."""
    attributes: dict[str, str] = {}
    try:
        for header, value in record.headers:
            name = _attribute(header)
            if name and value is not None:
                attributes[name] = value.decode()
        content_type = attributes.get("datacontenttype")
        if content_type and _is_structured(content_type):
            return binding.from_json(record.value or b"")
        if "specversion" not in attributes:
            return None
        if content_type == "":
            del attributes["datacontenttype"]
        return binding.from_attributes(attributes, record.value)
    except (NotACloudEvent, UnicodeError):
        return None


def _attribute(header: str) -> str:
    """Which attribute a header has, "" for none."""
    known = _ATTRIBUTES.get(header)
    if known is not None:
        return known
    name = header.lower()
    if name == "content-type":
        return "datacontenttype"
    return name.removeprefix(_PREFIX) if name.startswith(_PREFIX) and name != "ce_datacontenttype" else ""


def _is_structured(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == binding.STRUCTURED


def _claims_more(content_type: str) -> bool:
    """Whether a sink would look for another event inside the data."""
    return content_type.strip().lower().startswith(_CLOUDEVENTS)


def _raw(record: Record, source: str, key_type: str) -> Event:
    """An event around a record that is none."""
    attributes = {
        "specversion": "1.0", "type": EVENT_TYPE, "source": f"{source}#{record.topic}",
        "id": f"partition:{record.partition}/offset:{record.offset}",
        "subject": f"partition:{record.partition}#{record.offset}",
    }
    if record.timestamp_ms is not None and record.timestamp_ms >= 0:
        attributes["time"] = _rfc3339(record.timestamp_ms)
    if record.key is not None:
        attributes["key"] = attributes["partitionkey"] = key_text(record.key, key_type)
    for header, value in record.headers:
        name = _NOT_ALPHANUMERIC.sub("", header.lower())
        text = (value or b"").decode(errors="replace")
        if header.lower() == "content-type" and _is_media_type(text):
            attributes["datacontenttype"] = text
        elif name and text:
            attributes[f"kafkaheader{name}"] = text
    return Event(attributes, record.value)


def _rfc3339(timestamp_ms: int) -> str:
    try:
        when = datetime.fromtimestamp(timestamp_ms / 1000, UTC)
    except (OverflowError, ValueError, OSError):  # a producer may write any number: the year 10,000 and later
        return "9999-12-31T23:59:59Z"
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def key_text(key: bytes, key_type: str) -> str:
    """A record's key as an extension's value."""
    if key_type == "byte-array":
        return base64.b64encode(key).decode()
    if key_type == "int" and len(key) == _INT_BYTES:
        return str(int.from_bytes(key, "big", signed=True))
    if key_type == "float" and len(key) in _FLOAT_FORMATS:
        return _float_text(key)
    return key.decode(errors="replace")


def _float_text(key: bytes) -> str:
    """The shortest number that is this one: a single 0.1 is 0.1, not 0.10000000149011612."""
    (value,) = struct.unpack(_FLOAT_FORMATS[len(key)], key)
    if len(key) == _INT_BYTES:
        for digits in range(1, _FLOAT_DIGITS):
            text = f"{value:.{digits}g}"
            if struct.pack(">f", float(text)) == key:
                return repr(float(text))
    return repr(value)


@functools.lru_cache(256)  # a topic has one or a few
def _is_media_type(text: str) -> bool:
    """Whether an event may have this data content type: no event claims to be another one inside."""
    if not text or _claims_more(text):
        return False
    attributes = {"specversion": "1.0", "id": "1", "source": "/", "type": "t", "datacontenttype": text}
    try:
        binding.from_attributes(attributes, None)
    except NotACloudEvent:
        return False
    return True
