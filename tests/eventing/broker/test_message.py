"""Events as messages: the short way writes what the long one does."""

import orjson
import pytest

from eventing import binding
from eventing.broker import message
from eventing.event import Event

BASE = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def lines(block):
    """Header lines as a set of pairs."""
    return {tuple(line.split(b": ", 1)) for line in block.splitlines()}


@pytest.mark.parametrize("more", [
    {},
    {"datacontenttype": "application/json; charset=utf-8"},
    {"subject": "two words"},
    {"subject": "50%"},
    {"subject": "Grüße"},
    {"subject": "a\r\nx: y"},
    {"subject": 'say "x"'},
], ids=["plain", "type", "space", "percent", "not ASCII", "line break", "quotes"])
def test_binary(more):
    """Header lines are those of the HTTP binding, and no value breaks out of its line."""
    event = Event(BASE | more)

    block = message.binary(event.attributes)

    assert lines(block) == set(binding.to_http(event)[0])
    assert binding.from_http(lines(block), b"") == event


def test_the_hops_do_not_show():
    """A subscriber never sees the broker's own attribute, in no mode."""
    attributes = BASE | {"knativebrokerttl": "250"}
    _, structured = message.structured(Event(attributes))
    _, batch = message.batch([Event(attributes)])

    assert lines(message.binary(attributes)) == lines(message.binary(BASE))
    assert orjson.loads(structured) == BASE
    assert orjson.loads(batch) == [BASE]


def test_trace_context():
    """Trace context travels as an attribute and as a header."""
    block = message.binary(BASE | {"traceparent": TRACE})

    assert {(b"traceparent", TRACE.encode()), (b"ce-traceparent", TRACE.encode())} <= lines(block)


def test_structured_and_batch():
    """JSON data stays JSON."""
    event = Event(BASE | {"datacontenttype": "application/json"}, b'{"n": 1}')

    head, body = message.structured(event)
    assert head == b"content-type: application/cloudevents+json\r\n"
    assert orjson.loads(body)["data"] == {"n": 1}
    head, body = message.batch([event, event])
    assert head == b"content-type: application/cloudevents-batch+json\r\n"
    assert [item["data"] for item in orjson.loads(body)] == [{"n": 1}] * 2
