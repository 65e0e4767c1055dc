"""Messages to events, as properties of AMQP and headers of many publishers have them."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventing import binding
from sources.rabbitmq.message import EVENT_TYPE, Message, to_event

SOURCE = "/apis/v1/namespaces/default/rabbitmqsources/orders#orders"
WHEN = datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)


def test_no_event():
    """A message that is no event becomes one of Knative's type, its properties the attributes."""
    event = to_event(Message(b"hi", {"x-death": []}, "text/plain", "m-1", WHEN), SOURCE)

    assert event[:2] == ({"specversion": "1.0", "id": "m-1", "type": EVENT_TYPE, "source": SOURCE,
                      "subject": "m-1", "time": "2026-01-31T23:59:59Z",
                      "datacontenttype": "text/plain"}, b"hi")


def test_no_id():
    """A message without an id gets one that no other has."""
    one, other = (to_event(Message(b"", {}), SOURCE).attributes for _ in range(2))

    assert one["id"] == one["subject"] != other["id"]


@pytest.mark.parametrize("prefix", ["", "ce-", "CE-", "ce_", "cloudEvents:", "cloudEvents_"])
def test_binary(prefix):
    """Headers are attributes, with any prefix that publishers use; typed ones as CloudEvents writes them."""
    headers = {f"{prefix}{name}": value for name, value in {
        "specversion": "1.0", "id": "7", "type": "order.placed", "source": "/shop", "time": WHEN, "count": 3,
        "isgift": True, "region": b"eu"}.items()}

    event = to_event(Message(b"{}", headers, "application/json"), SOURCE)

    assert event[:2] == ({"specversion": "1.0", "id": "7", "type": "order.placed", "source": "/shop",
                      "time": "2026-01-31T23:59:59Z", "count": "3", "isgift": "true", "region": "eu",
                      "datacontenttype": "application/json"}, b"{}")


def test_what_is_no_attribute():
    """Headers that cannot be attributes are left out; a prefixed one goes before one without."""
    headers = {"specversion": "1.0", "id": "7", "ce-id": "8", "type": "t", "content-type": "text/plain",
               "x-delivery-count": 1, "traceparent": "00-1-2-3", "my-header": "a", "table": {"a": 1},
               "none": None, "bytes": b"\xff", "data": "no", "rabbitmqredelivered": "forged"}

    event = to_event(Message(b"", headers), SOURCE)

    assert event[:2] == ({"specversion": "1.0", "id": "8", "type": "t", "source": SOURCE,
                      "datacontenttype": "text/plain"}, None)


def test_structured():
    """A structured event is in the body; headers do not count."""
    body = b'{"specversion": "1.0", "id": "7", "type": "t", "source": "/s", "data": {"a": 1}}'

    event = to_event(Message(body, {"id": "other"}, "application/cloudevents+json; charset=utf-8"), SOURCE)

    assert event[:2] == ({"specversion": "1.0", "id": "7", "type": "t", "source": "/s"}, b'{"a":1}')


@pytest.mark.parametrize("message", [
    Message(b"{", {}, "application/cloudevents+json"),
    Message(b"[]", {}, "application/cloudevents-batch+json"),
    Message(b"x", {"ce-specversion": "1.0"}),  # neither id nor type
    Message(b"x", {"ce-specversion": "9.9", "ce-id": "1", "ce-type": "t"}),
    Message(b"x", {"ce-specversion": "1.0", "ce-id": "1", "ce-type": "t", "ce-time": "yesterday"}),
    Message(b"x", {}, "no media type"),
    Message(b"x", {}, None, "  "),
])
def test_not_valid(message):
    """What claims to be an event and is none is passed on as bytes, in an event that a broker takes."""
    event = to_event(message, SOURCE)

    assert (event.attributes["type"], event.data) == (EVENT_TYPE, message.body)
    assert binding.from_http(*binding.to_http(event)) == event


def test_redelivered():
    """A message that is delivered again says so, as an extension."""
    events = [to_event(message, SOURCE) for message in (
        Message(b"", {}, is_redelivered=True),
        Message(b"", {"ce-specversion": "1.0", "ce-id": "1", "ce-type": "t"}, is_redelivered=True))]

    assert [event.attributes["rabbitmqredelivered"] for event in events] == ["true", "true"]


_VALUES = st.one_of(st.text(), st.binary(), st.integers(), st.floats(), st.booleans(), st.none(),
                    st.datetimes(timezones=st.just(UTC)), st.dictionaries(st.text(), st.text()))
_KNOWN = ("specversion", "ce-id", "id", "ce-type", "source", "time", "ce-time", "subject", "content-type",
          "dataschema", "datacontentencoding")
_NAMES = st.one_of(st.sampled_from(_KNOWN), st.text())


@given(body=st.binary(), headers=st.dictionaries(_NAMES, _VALUES),
       version=st.sampled_from(["1.0", "0.3", "2"]),
       content_type=st.one_of(st.none(), st.text(), st.just("application/cloudevents+json")),
       message_id=st.one_of(st.none(), st.text()))
def test_whatever_comes(body, headers, version, content_type, message_id):
    """Every message becomes an event that a broker takes: nothing blocks a queue for good."""
    message = Message(body, {**headers, "specversion": version}, content_type, message_id)

    event = to_event(message, SOURCE)

    assert binding.from_http(*binding.to_http(event)).attributes == event.attributes
