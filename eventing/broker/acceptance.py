"""
An event, or a batch of them, between its head and its answer: checked, stamped, offered to the stream.

    body -> plain (body.py) -> events (binding.py) -> stamp (arrival.py) -> stream.offer ... -> 202, or why

What can be wrong with it is told in ingress.py, the answers in order. A `traceparent` that came as a header
travels on as the event's own, unless the event has one (CloudEvents' distributed tracing extension). A few
headers more travel with an event to its subscribers: passage.py.
"""

import re
import time
from typing import TYPE_CHECKING

from eventing import binding
from eventing.broker import body as bodies
from eventing.broker import passage
from eventing.broker.arrival import arrival_time, stamp
from eventing.broker.entry import partition_of
from eventing.broker.group import BATCH_LIMIT_EVENTS
from eventing.errors import Rejected, TooLarge, Unavailable
from eventing.event import Event
from eventing.http.exchange import Exchange
from eventing.http.wire import Header

if TYPE_CHECKING:
    from eventing.broker.ingress import Ingress

ALLOW = (b"allow", b"POST, OPTIONS")
TEXT = ((b"content-type", b"text/plain; charset=utf-8"),)
LINE = (ALLOW, *TEXT)
# An embedded store is back in less than that, and whole seconds are all that the header can say.
RETRY_AFTER = (*LINE, (b"retry-after", b"1"))
_ACCEPTED = (ALLOW,)
_SEND_PLAIN = (*LINE, (b"accept-encoding", bodies.ACCEPTED))
_BATCH = binding.BATCH.encode()
# W3C Trace Context, section 3.2: version, trace-id, parent-id, flags.
_TRACE_PARENT = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class Acceptance:
    """
    One event, or batch, between its head and its answer.

    An exchange holds on to whoever takes its body: so the exchange is let go here once it is answered, and a
    request leaves no cycle for the garbage collector.
    """

    __slots__ = ("_began_s", "_broker", "_events", "_exchange", "_ingress", "_target")

    def __init__(self, ingress: "Ingress", exchange: Exchange, target: bytes) -> None:
        """*target* is the broker's, as the ingress knows it."""
        self._began_s = time.perf_counter()
        self._ingress = ingress
        self._exchange = exchange
        self._target = target
        self._broker = ""
        self._events = 1

    def take(self, body: bytes) -> None:
        """The body is here: check, stamp, and have it stored."""
        headers = self._exchange.named
        try:
            encoding = headers.get(b"content-encoding")
            if encoding is not None:
                body = bodies.plain(body, encoding, self._ingress.body_limit_bytes)
            if headers.get(b"content-type", b"").lstrip()[:len(_BATCH)].lower() == _BATCH:
                self._take_batch(headers, body)
            else:
                self._take_one(headers, body)
        except bodies.UnknownEncoding as error:
            self._refuse(error, _SEND_PLAIN)
        except Rejected as error:
            self._refuse(error, LINE)

    def _take_one(self, headers: dict[bytes, bytes], body: bytes) -> None:
        ingress = self._ingress
        event = binding.from_http(self._exchange.headers, body)
        self._broker, settings = ingress.find(self._target)
        event = stamp(event if b"traceparent" not in headers else _traced(event, headers), time.time())
        passed = passage.lines(headers, self._exchange.headers)
        if passed:
            event = event._replace(headers=passed)
        ingress.stream.offer(self._broker, partition_of(event, settings.partitions), event, self._stored,
                             settings.dedup_window_ms)
        if ingress.types.is_on:
            ingress.types.note("Broker", self._broker, event.attributes)

    def _take_batch(self, headers: dict[bytes, bytes], body: bytes) -> None:
        events = binding.from_batch(body)
        if len(events) > BATCH_LIMIT_EVENTS:
            raise TooLarge(f"a batch of {len(events)} events is over the limit of {BATCH_LIMIT_EVENTS}")
        self._events = len(events)
        self._broker, settings = self._ingress.find(self._target)
        now, passed = time.time(), passage.lines(headers, self._exchange.headers)
        arrived = arrival_time(now)
        is_traced = b"traceparent" in headers
        placed: list[tuple[int, Event]] = []
        for index, event in enumerate(events):
            try:
                stamped = stamp(_traced(event, headers) if is_traced else event, now, arrived)
            except Rejected as error:
                raise type(error)(f"event {index}: {error}") from error
            if passed:
                stamped = stamped._replace(headers=passed)
            placed.append((partition_of(stamped, settings.partitions), stamped))
        if not placed:
            self._stored(None)  # it is valid, and there is nothing to store
            return
        self._ingress.stream.offer_all(self._broker, placed, self._stored, settings.dedup_window_ms)
        if self._ingress.types.is_on:
            for event in events:
                self._ingress.types.note("Broker", self._broker, event.attributes)

    def _stored(self, error: Unavailable | None) -> None:
        if error is not None:
            self._refuse(error, RETRY_AFTER)
            return
        self._exchange.respond(202, _ACCEPTED)
        del self._exchange
        self._ingress.traffic.accepted(self._broker, self._events, time.perf_counter() - self._began_s)

    def _refuse(self, error: Rejected, headers: tuple[Header, ...]) -> None:
        self._ingress.traffic.rejected(type(error).__name__)
        self._exchange.respond(error.status, headers, f"{error}\n".encode())
        del self._exchange


def _traced(event: Event, headers: dict[bytes, bytes]) -> Event:
    """*event* with the trace that the request belongs to, unless it has one of its own."""
    parent = headers.get(b"traceparent")
    if parent is None or "traceparent" in event.attributes or _TRACE_PARENT.fullmatch(parent) is None:
        return event
    attributes = {**event.attributes, "traceparent": parent.decode()}
    state = headers.get(b"tracestate", b"")
    if state and state.isascii():
        attributes["tracestate"] = state.decode()
    return Event(attributes, event.data)
