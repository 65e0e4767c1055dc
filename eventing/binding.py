"""
HTTP messages and JSON to events, and back (CloudEvents 1.0 and 0.3: HTTP binding, JSON format). Pure.

    mode         Content-Type                            attributes       data
    ----         ------------                            ----------       ----
    binary       the event's datacontenttype             ce-* headers     the body
    structured   application/cloudevents+json            JSON members     member data or data_base64
    batch        application/cloudevents-batch+json      a JSON array of the above; not for one event

What is not valid is refused with NotACloudEvent, whose message begins with the attribute's name. Valid is
what Knative's ingress takes for valid; 0.3 stays 0.3. Where the two leave a choice:

- An attribute that is given twice is refused: no two readers would agree on the event.
- `ce-datacontenttype` is ignored, as the binding has Content-Type for it.
- JSON data keeps its meaning, not its white space, on the way through structured mode; numbers beyond
  64-bit integers and doubles are rounded there.
- `"data": null` is data where data is JSON: the value null (JSON format, section 3.1.1), as Knative's SDK
  reads it. In place of text or base64, or beside `data_base64`, it says nothing.
- JSON data of more than 254 levels, lists and objects in one another, is taken in binary mode only.
- `datacontentencoding` (0.3) says how data was written into JSON and nothing about the event, so an event
  never carries it: it is read, and written again where it is needed.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from eventing.attributes import extension_name, is_json_type, validate
from eventing.errors import NotACloudEvent
from eventing.event import Event

Header = tuple[bytes, bytes]

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"

# CloudEvents 1.0, section "Type System": Integer is a signed 32-bit number.
_INTEGERS = range(-(2**31), 2**31)
# Lists and objects in one another that orjson writes.
_LEVELS_MOST = 254

_NAMES = {
    b"content-type": "datacontenttype",
    **{b"ce-" + name.encode(): name for name in ("id", "source", "type", "specversion", "subject", "time",
                                                 "dataschema", "schemaurl", "datacontentencoding")},
}
_HEADERS = {name: header for header, name in _NAMES.items()}
_STRINGS = frozenset(_HEADERS)  # attributes that are strings in JSON, whatever they look like
_STRING = {str}
_ABSENT = object()

# What makes a header's value more than it looks. Bytes look for a number seven times as fast as for bytes.
_PERCENT, _QUOTE = b'%"'
# HTTP binding, section 3.1.3.2: what is percent-encoded in a header's value.
_UNSAFE = re.compile(r"[^!#$&-~]")
_ESCAPED = re.compile(rb"%([0-9A-Fa-f]{2})")


# -- HTTP ---------------------------------------------------------------------------------------------------


def from_http(headers: Iterable[Header], body: bytes) -> Event:
    """The event in a message, in binary or structured mode; names of *headers* are in lower case."""
    attributes: dict[str, str] = {}
    given = 0
    for header, value in headers:
        name = _NAMES.get(header)
        if name is None:
            if not header.startswith(b"ce-") or header == b"ce-datacontenttype":
                continue
            name = extension_name(header[3:].decode("latin-1"))
        given += 1
        try:
            is_escaped = _PERCENT in value or _QUOTE in value
            attributes[name] = _unescape(name, value) if is_escaped else value.decode()
        except UnicodeDecodeError as error:
            raise NotACloudEvent(f"{name}: is not UTF-8; percent-encode it as such") from error
    media_type = attributes.get("datacontenttype")
    if media_type is not None and media_type.lstrip()[:23].lower() == "application/cloudevents":
        return _from_structured(media_type, body)
    if given != len(attributes):
        raise NotACloudEvent(f"{_repeated(headers)}: is given more than once; send one value")
    validate(attributes)
    return Event(attributes, body or None)


def to_http(event: Event, structured: bool = False) -> tuple[list[Header], bytes]:
    """Headers (without Content-Length) and body of a message that carries *event*."""
    if structured:
        return [(b"content-type", STRUCTURED.encode())], to_json(event)
    headers = []
    for name, value in event.attributes.items():
        header = _HEADERS.get(name) or b"ce-" + name.encode()
        if name == "datacontenttype" or is_plain(value):
            headers.append((header, value.encode()))
        else:
            headers.append((header, _UNSAFE.sub(_percent_encoded, value).encode()))
    return headers, event.data or b""


def is_plain(text: str) -> bool:
    """Whether *text* is written into a header as it is (HTTP binding, section 3.1.3.2)."""
    # The same as looking for _UNSAFE, in a fifth of the time.
    return (text.isascii() and text.isprintable()
            and " " not in text and '"' not in text and "%" not in text)


def _from_structured(media_type: str, body: bytes) -> Event:
    essence = media_type.partition(";")[0].strip().lower()
    if essence == STRUCTURED:
        return from_json(body)
    if essence == BATCH:
        raise NotACloudEvent("content-type: a batch is not taken here; send one event a request")
    raise NotACloudEvent(f"content-type: {essence} is not a format that is read here; send {STRUCTURED}")


def _unescape(name: str, value: bytes) -> str:
    """HTTP binding, section 3.1.3.2: quotes first (older senders used them), one round of percents then."""
    if name == "datacontenttype":
        return value.decode()
    if len(value) > 1 and value.startswith(b'"') and value.endswith(b'"'):
        value = re.sub(rb"\\(.)", rb"\1", value[1:-1])
    return _ESCAPED.sub(lambda match: bytes((int(match[1], 16),)), value).decode()


def _percent_encoded(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode(errors="replace"))


def _repeated(headers: Iterable[Header]) -> str:
    seen = set()
    for header, _ in headers:
        if header in seen and (header in _NAMES or header.startswith(b"ce-")):
            return header.removeprefix(b"ce-").decode("latin-1")
        seen.add(header)
    return "an attribute"


# -- other protocols ----------------------------------------------------------------------------------------


def from_attributes(attributes: Mapping[str, str], data: bytes | None) -> Event:
    """The event whose *attributes*, lower-case, another protocol carried as text; checked as any other."""
    checked = {name if name in _STRINGS else extension_name(name): value
               for name, value in attributes.items()}
    validate(checked)
    return Event(checked, data)


# -- JSON ---------------------------------------------------------------------------------------------------


def from_json(body: bytes) -> Event:
    """The event in a JSON object (JSON format, section 3)."""
    return _from_members(_parsed(body))


def from_batch(body: bytes) -> list[Event]:
    """The events in a JSON array (JSON format, section 4); the message about one begins with its index."""
    items = _parsed(body)
    if not isinstance(items, list):
        raise NotACloudEvent("body: a batch is a JSON array of events")
    events = []
    for index, item in enumerate(items):
        try:
            events.append(_from_members(item))
        except NotACloudEvent as error:
            raise NotACloudEvent(f"event {index}: {error}") from error
    return events


def to_json(event: Event) -> bytes:
    """*event* as a JSON object; extensions become strings, data what its type allows: JSON, text, base64."""
    members: dict[str, Any] = dict(event.attributes)
    data = event.data
    if data is not None:
        value = _json_value(data, event.attributes.get("datacontenttype"))
        if value is not None:
            members["data"] = value
        elif event.attributes.get("specversion") == "0.3":
            members.update(datacontentencoding="base64", data=base64.b64encode(data).decode())
        else:
            members["data_base64"] = base64.b64encode(data).decode()
    return orjson.dumps(members)


def to_batch(events: Sequence[Event]) -> bytes:
    """*events* as a JSON array."""
    return b"[%b]" % b",".join([to_json(event) for event in events])


def is_json(media_type: str | None) -> bool:
    """True for a media type whose data is JSON; an event that names none has JSON data in JSON."""
    return media_type is None or is_json_type(media_type)


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise NotACloudEvent(f"body: is not JSON: {error}") from error


def _from_members(members: Any) -> Event:
    if not isinstance(members, dict):
        raise NotACloudEvent("body: an event is a JSON object")
    data = members.pop("data", _ABSENT)
    encoded = members.pop("data_base64", None)
    # Most events have strings only, and no extensions: what the parser made is what they are.
    is_plain = _STRINGS.issuperset(members) and set(map(type, members.values())) == _STRING
    attributes: dict[str, str] = members if is_plain else _from_typed(members)
    encoding = attributes.get("datacontentencoding", "")
    validate(attributes)
    if data is _ABSENT and encoded is None:
        return Event(attributes)
    if encoded is not None and data is not None and data is not _ABSENT:
        raise NotACloudEvent("data: is given twice, as data and as data_base64; send one")
    if encoded is None and encoding and attributes["specversion"] == "0.3":
        return Event(attributes, None if data is None else _decoded(data))
    if encoded is not None:
        return Event(attributes, _decoded(encoded))
    if (data is None or type(data) is str) and not is_json(attributes.get("datacontenttype")):
        return Event(attributes, None if data is None else data.encode())
    try:
        return Event(attributes, orjson.dumps(data))
    except TypeError as error:  # it reads 1,024 levels, and writes fewer
        raise NotACloudEvent(f"data: is nested more than {_LEVELS_MOST} levels deep") from error


def _from_typed(members: Mapping[str, Any]) -> dict[str, str]:
    attributes: dict[str, str] = {}
    for member, value in members.items():
        if value is None:
            continue
        name = member if member in _STRINGS else extension_name(member.lower())
        if name in attributes:
            raise NotACloudEvent(f"{name}: is given more than once; send one value")
        attributes[name] = value if type(value) is str else _canonical(name, value)
    return attributes


def _canonical(name: str, value: Any) -> str:
    """A typed extension as the string that it is in a header (CloudEvents 1.0, "Type System")."""
    if name in _STRINGS:
        raise NotACloudEvent(f"{name}: must be a string")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and value in _INTEGERS:
        return str(value)
    raise NotACloudEvent(f"{name}: must be a string, a boolean, or a whole number of 32 bits")


def _json_value(data: bytes, media_type: str | None) -> Any:
    """What stands for *data* in JSON, or None if only base64 can."""
    try:
        if is_json(media_type):
            orjson.loads(data)
            return orjson.Fragment(data)
        return data.decode()
    except ValueError:
        return None


def _decoded(encoded: Any) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except (TypeError, binascii.Error, ValueError) as error:
        raise NotACloudEvent("data_base64: is not base64 text") from error
