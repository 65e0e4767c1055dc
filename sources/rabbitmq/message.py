"""
A message of RabbitMQ -> the event in it. Pure; knows nothing of connections or acknowledgements.

    the message has                                   the event
    content_type application/cloudevents+json         the body says it all (structured)
    header specversion, ce-specversion, ...           headers are attributes, the body is data (binary)
    neither, or an event that is not valid            type dev.knative.rabbitmq.event, the body is data

Names of binary headers may begin with `ce-`, `ce_`, `cloudEvents:`, `cloudEvents_` or nothing (Knative's
own broker on RabbitMQ writes them so). A header that cannot be an attribute (a table, a name with a dash,
`x-...` of RabbitMQ itself, trace context) is left out. A binary event that names no source gets that of
the RabbitmqSource.

What claims to be an event and is none is passed on as the bytes it is: whoever reads it can see what came,
and no message blocks the queue. A message that the server delivers again has the extension
`rabbitmqredelivered`.
"""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from eventing import binding
from eventing.errors import NotACloudEvent
from eventing.event import Event

EVENT_TYPE = "dev.knative.rabbitmq.event"
REDELIVERED = "rabbitmqredelivered"

# Longer ones first: "cloudevents:" is no attribute "cloudevents" of anything.
_PREFIXES = ("cloudevents:", "cloudevents_", "ce-", "ce_")
# Trace context is about the message's way, not about the event (Knative takes it for its span only).
_NOT_ATTRIBUTES = frozenset({"traceparent", "tracestate", "data", "datacontenttype", REDELIVERED})
_VERSIONS = frozenset({"1.0", "0.3"})
_STRUCTURED = "application/cloudevents"

# Headers that nearly every message with an event in it has; it is asked for each of them.
_COMMON = {f"{prefix}{name}": (name, bool(prefix)) for prefix in (*_PREFIXES, "")
           for name in ("specversion", "id", "type", "source", "time", "subject")}


class Message(NamedTuple):
    """What matters of one delivery, in AMQP's words."""

    body: bytes
    headers: Mapping[str, Any]
    content_type: str | None = None
    message_id: str | None = None
    timestamp: datetime | None = None
    is_redelivered: bool = False


def to_event(message: Message, source: str) -> Event:
    """The event in *message*; *source* is the `source` of what names none."""
    event = _structured(message) or _binary(message, source) or _raw(message, source)
    if not message.is_redelivered:
        return event
    return Event({**event.attributes, REDELIVERED: "true"}, event.data)


def _structured(message: Message) -> Event | None:
    media_type = (message.content_type or "").partition(";")[0].strip().lower()
    if media_type != binding.STRUCTURED:
        return None
    try:
        return binding.from_json(message.body)
    except NotACloudEvent:
        return None


def _binary(message: Message, source: str) -> Event | None:
    attributes = _attributes(message.headers)
    if attributes.get("specversion") not in _VERSIONS:
        return None
    attributes.setdefault("source", source)
    content_type = message.content_type or attributes.pop("content-type", None)
    attributes.pop("content-type", None)
    if content_type and not content_type.lower().startswith(_STRUCTURED):
        attributes["datacontenttype"] = content_type
    return _if_valid(attributes, message.body or None)


def _attributes(headers: Mapping[str, Any]) -> dict[str, str]:
    """Attributes in headers; one with a prefix goes before one without."""
    plain: dict[str, str] = {}
    prefixed: dict[str, str] = {}
    for header, value in headers.items():
        name, is_prefixed = _COMMON.get(header) or _name(header)
        if name and (text := _text(value)):
            (prefixed if is_prefixed else plain)[name] = text
    return plain | prefixed if plain else prefixed


def _name(header: str) -> tuple[str, bool]:
    """The attribute that a header has, "" for none; and whether the header says so by a prefix."""
    name = header.lower()
    prefix = next((prefix for prefix in _PREFIXES if name.startswith(prefix)), "")
    name = name.removeprefix(prefix)
    return name if _is_name(name) else "", bool(prefix)


def _is_name(name: str) -> bool:
    return (name.isascii() and name.isalnum() and name not in _NOT_ATTRIBUTES) or name == "content-type"


def _text(value: Any) -> str | None:
    """A header's value as an attribute has it; None for what no attribute can be."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return _rfc3339(value)
    if isinstance(value, bytes | bytearray):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    return str(value) if isinstance(value, int | float | Decimal) else None


def _raw(message: Message, source: str) -> Event:
    """An event around a message that is none, whatever its content type says."""
    id_ = (message.message_id or "").strip() or str(uuid.uuid4())
    attributes = {"specversion": "1.0", "id": id_, "type": EVENT_TYPE, "source": source, "subject": id_}
    if message.timestamp:
        attributes["time"] = _rfc3339(message.timestamp)
    content_type = message.content_type or ""
    if content_type and not content_type.lower().startswith(_STRUCTURED):
        typed = _if_valid({**attributes, "datacontenttype": content_type}, message.body)
        if typed is not None:
            return typed
    return Event(attributes, message.body)


def _if_valid(attributes: Mapping[str, str], data: bytes | None) -> Event | None:
    """The event, if a broker takes it as it is."""
    try:
        return binding.from_attributes(attributes, data)
    except NotACloudEvent:
        return None


def _rfc3339(when: datetime) -> str:
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z")
