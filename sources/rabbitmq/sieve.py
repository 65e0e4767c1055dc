"""
Between the socket and aiormq: takes the deliveries out of what RabbitMQ sends, and passes the rest on.

A delivery is three frames (AMQP 0-9-1, section 4.2.6: method, content header, content body). aiormq reads
each into objects, through two queues, and makes a task of each message: nearly all of a message's cost. Here
the bytes of one read are taken apart at once, and all messages in them handed over together. Everything else,
the handshake, answers, heartbeats, the end, is aiormq's as before: to it a sieve is a StreamReader.

aiormq takes a server for lost that has sent nothing for a while. What it does not see counts: for each second
with deliveries it gets a heartbeat.
"""

import asyncio
import struct
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
from pamqp import header

from sources.rabbitmq.message import Message

_READ_BYTES = 256 * 1024
_HEAD = struct.Struct(">BHI")  # type, channel, size of the payload
_METHOD, _HEADER, _BODY = 1, 2, 3
_END = 0xCE
_DELIVER = b"\x00\x3c\x00\x3c"  # basic.deliver
_HEARTBEAT = b"\x08\x00\x00\x00\x00\x00\x00\xce"
_NO_FRAME = ord("A")  # a server that does not speak this version answers "AMQP" and its own
# Flags of the properties that matter, and of those that stand before them (section 4.2.6.1).
_CONTENT_TYPE, _ENCODING, _HEADERS, _MORE = 1 << 15, 1 << 14, 1 << 13, 1
_SIMPLE = _CONTENT_TYPE | _HEADERS | 1 << 12  # and the delivery mode behind them, which is of no interest
_TEXT = ord("S")


class Delivery(NamedTuple):
    """A message, and the tag by which it is acknowledged."""

    tag: int
    message: Message


OnDeliveries = Callable[[Sequence[Delivery]], None]


class Sieve:
    """What aiormq reads from instead of a StreamReader."""

    def __init__(self, reader: asyncio.StreamReader, on_deliveries: OnDeliveries) -> None:
        """Hand the deliveries in *reader* to *on_deliveries*."""
        self._reader = reader
        self._on_deliveries = on_deliveries
        self._rest = b""  # the beginning of a frame
        self._passed = bytearray()  # aiormq's
        self._is_amqp: bool | None = None  # unknown before the first byte
        self._found: list[Delivery] = []
        self._open: _Open | None = None
        self._beat_s = 0.0

    def at_eof(self) -> bool:
        """Whether aiormq has read all that will ever come."""
        return not self._passed and self._reader.at_eof()

    async def read(self) -> bytes:
        """All that is here."""
        passed, self._passed = self._passed, bytearray()
        return bytes(passed)

    async def readexactly(self, count: int) -> bytes:
        """The next *count* bytes that are aiormq's; raises IncompleteReadError."""
        while len(self._passed) < count:
            data = await self._reader.read(_READ_BYTES)
            if not data:
                raise asyncio.IncompleteReadError(bytes(self._passed), count)
            self._feed(data)
        taken = bytes(self._passed[:count])
        del self._passed[:count]
        return taken

    def _feed(self, data: bytes) -> None:
        if self._is_amqp is None:
            self._is_amqp = data[0] != _NO_FRAME
        if not self._is_amqp:
            self._passed += data
            return
        self._rest = self._take_apart(self._rest + data)
        if self._found:
            found, self._found = self._found, []
            self._on_deliveries(found)
            if time.monotonic() > self._beat_s + 1:
                self._beat_s = time.monotonic()
                self._passed += _HEARTBEAT

    def _take_apart(self, raw: bytes) -> bytes:
        """Take the whole frames in *raw*; what is left of it."""
        at, end = 0, len(raw)
        while end - at >= _HEAD.size:
            kind, _, size = _HEAD.unpack_from(raw, at)
            start, after = at + _HEAD.size, at + _HEAD.size + size + 1
            if after > end:
                break
            if raw[after - 1] != _END:
                raise ConnectionError("a frame does not end where it should")
            if not self._is_ours(kind, raw, start, after - 1):
                self._passed += raw[at:after]
            at = after
        return raw[at:]

    def _is_ours(self, kind: int, raw: bytes, start: int, end: int) -> bool:
        """Take one frame's payload, if it is part of a delivery."""
        if kind == _METHOD and raw.startswith(_DELIVER, start):
            tag_at = start + 5 + raw[start + 4]  # behind the consumer tag
            self._open = _Open(int.from_bytes(raw[tag_at:tag_at + 8], "big"), bool(raw[tag_at + 8] & 1))
            return True
        opened = self._open
        if opened is None or kind not in {_HEADER, _BODY}:
            return False
        if kind == _HEADER:
            opened.left_bytes = int.from_bytes(raw[start + 4:start + 12], "big")
            opened.properties = raw[start:end]
        else:
            opened.parts.append(raw[start:end])
            opened.left_bytes -= end - start
        if opened.left_bytes <= 0:
            self._found.append(opened.delivery())
            self._open = None
        return True


class _Open:
    """A delivery of which a part has come."""

    __slots__ = ("_is_redelivered", "_tag", "left_bytes", "parts", "properties")

    def __init__(self, tag: int, is_redelivered: bool) -> None:
        self._tag = tag
        self._is_redelivered = is_redelivered
        self.left_bytes = 0
        self.properties = b""
        self.parts: list[bytes] = []

    def delivery(self) -> Delivery:
        """The whole of it."""
        body = self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)
        return Delivery(self._tag, message(body, self.properties, is_redelivered=self._is_redelivered))


def message(body: bytes, properties: bytes, *, is_redelivered: bool) -> Message:
    """The message of a content header's payload and a body."""
    flags = int.from_bytes(properties[12:14], "big")
    headers: dict[str, Any] | None = {}
    if not flags & ~_SIMPLE:
        at, content_type = 14, None
        if flags & _CONTENT_TYPE:
            at, content_type = _short(properties, at)
        if flags & _HEADERS:
            headers = _texts(properties, at)
        if headers is not None:
            return Message(body, headers, content_type, None, None, is_redelivered)
    found = header.ContentHeader()
    found.unmarshal(properties)
    known = found.properties
    return Message(body, known.headers or {}, known.content_type, known.message_id, known.timestamp,
                   is_redelivered)


def _short(data: bytes, at: int) -> tuple[int, str]:
    end = at + 1 + data[at]
    return end, data[at + 1:end].decode()


def _texts(data: bytes, at: int) -> dict[str, Any] | None:
    """A table (section 4.2.5.5) of texts only, as most are; None for another."""
    found: dict[str, Any] = {}
    at, end = at + 4, at + 4 + int.from_bytes(data[at:at + 4], "big")
    while at < end:
        at, name = _short(data, at)
        if data[at] != _TEXT:
            return None
        start, at = at + 5, at + 5 + int.from_bytes(data[at + 1:at + 5], "big")
        text = data[start:at]
        try:
            found[name] = text.decode()
        except UnicodeDecodeError:
            found[name] = text
    return found


class Sieved(TransportFactory):
    """Makes aiormq's connections, with a sieve in front of each."""

    def __init__(self, *, is_tls: bool, on_deliveries: OnDeliveries) -> None:
        """Connect as aiormq would."""
        self._factory = TLSTransportFactory() if is_tls else TCPTransportFactory()
        self._on_deliveries = on_deliveries

    async def create(self, *arguments: Any, **options: Any) -> Any:
        """A reader and a writer."""
        reader, writer = await self._factory.create(*arguments, **options)
        return Sieve(reader, self._on_deliveries), writer
