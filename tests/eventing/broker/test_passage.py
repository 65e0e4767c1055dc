"""Headers that travel with an event: which, that they are kept, and where they come out."""

import pytest

from eventing import binding
from eventing.broker import message, passage
from eventing.broker.entry import decode, encode
from eventing.event import Event

ATTRIBUTES = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}


@pytest.mark.parametrize(("name", "travels"), [
    (b"x-request-id", True), (b"retry-after", True), (b"baggage", True), (b"knative-broker-ttl", True),
    (b"x-b3-traceid", True), (b"x-request-id-2", False), (b"x-forwarded-for", False), (b"b3", False),
    (b"authorization", False), (b"cookie", False), (b"ce-id", False), (b"kn-namespace", False),
    (b"prefer", False), (b"content-type", False), (b"referer", False)])
def test_which(name, travels):
    """Knative's list, and nothing else: no credentials, no attributes."""
    assert passage.lines([b"host", name], [(b"host", b"h"), (name, b"v")]) == \
        (name + b": v\r\n" if travels else b"")


def test_repeated_ones_are_kept():
    """Each line of a header that came twice."""
    headers = [(b"knative-a", b"1"), (b"x", b"y"), (b"knative-a", b"2")]

    assert passage.lines(dict(headers), headers) == b"knative-a: 1\r\nknative-a: 2\r\n"


@pytest.mark.parametrize("headers", [b"", b"x-request-id: 7\r\n", b"knative-a: \xff\xfe\r\n"])
def test_are_stored(headers):
    """What is read of the stream is what was appended, whatever the bytes; attributes stay attributes."""
    attributes, data = encode(Event(ATTRIBUTES, b"{}", headers))

    assert decode({b"a": attributes, b"d": data}) == Event(ATTRIBUTES, b"{}", headers)


def test_come_out_beside_a_structured_event():
    """The lines stand among the headers, and not in the JSON."""
    head, body = message.structured(Event(ATTRIBUTES, None, b"x-request-id: 7\r\n"))

    assert head == b"content-type: application/cloudevents+json\r\nx-request-id: 7\r\n"
    assert binding.from_json(body).attributes == ATTRIBUTES
