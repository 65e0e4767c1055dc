"""sources/kafka/event.py: any record is an event that a broker takes."""

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventing import binding
from sources.kafka.event import KEY_TYPES, Record, key_text, to_event

HEADERS = st.lists(st.tuples(
    st.sampled_from(["ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time", "content-type", "ce_a-b"])
    | st.text(max_size=8),
    st.sampled_from([b"1.0", b"application/cloudevents+json", b"text/plain;\n a=b", b"/s"])
    | st.none() | st.binary(max_size=8)), max_size=8)


@pytest.mark.parametrize(("key", "key_type", "expected"), [
    (b"caf\xc3\xa9", "string", "café"),
    (b"\xff", "string", "\ufffd"),
    (struct.pack(">i", -5), "int", "-5"),
    (b"12345", "int", "12345"),
    (struct.pack(">f", 0.1), "float", "0.1"),
    (struct.pack(">d", 1e-7), "float", "1e-07"),
    (b"abc", "float", "abc"),
    (b"\x00\xff", "byte-array", "AP8="),
])
def test_key(key, key_type, expected):
    """A key is what its label says it is, else text."""
    assert key_text(key, key_type) == expected


@given(st.binary(max_size=12), st.sampled_from(KEY_TYPES))
def test_any_key(key, key_type):
    """Any bytes are a key of any type."""
    assert isinstance(key_text(key, key_type), str)


@given(key=st.none() | st.binary(max_size=8), value=st.none() | st.binary(max_size=40), headers=HEADERS,
       timestamp_ms=st.none() | st.integers(-(2**63), 2**63 - 1))
def test_any_record(key, value, headers, timestamp_ms):
    """Whatever a record is, its event is one that the ingress takes, with the record's bytes."""
    record = Record("t", 0, 7, key, value, headers, timestamp_ms)

    event = to_event(record, "/source")

    sent, body = binding.to_http(event)
    assert all(b"\n" not in header and b"\r" not in header for _, header in sent)
    taken = binding.from_http(sent, body)
    assert taken.attributes["knativekafkaoffset"] == "7"
    assert taken.data == (value or None)


@pytest.mark.parametrize("content_type", ["text/plain;\n a=b", " text/plain ; a=b", "text/plain", "a\r\nb:"])
@pytest.mark.parametrize("is_structured", [True, False])
def test_content_type_of_several_lines(content_type, is_structured):
    """A content type with a line break in it, which CloudEvents permits, becomes one that HTTP permits."""
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "datacontenttype": content_type}
    headers = [("content-type", b"application/cloudevents+json")] if is_structured else [
        ("content-type", content_type.encode())]
    record = Record("t", 0, 7, None, json.dumps(event).encode(), headers, 0)

    sent, body = binding.to_http(to_event(record, "/source"))

    assert all(b"\n" not in header and b"\r" not in header for _, header in sent)
    binding.from_http(sent, body)


@pytest.mark.parametrize("is_structured", [True, False])
def test_event_in_an_event(is_structured):
    """An event whose data claims to be an event again is passed on as bytes: a sink would unpack it twice."""
    inner = "application/cloudevents+json"
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "datacontenttype": inner,
             "data": {}}
    value = json.dumps(event).encode()
    headers = [("content-type", inner.encode())] if is_structured else [
        ("content-type", b"application/cloudevents+avro"),
        *((f"ce_{name}", text.encode()) for name, text in event.items() if name != "data")]

    made = to_event(Record("t", 0, 7, None, value, headers, 0), "/source")

    assert (made.attributes["type"], made.data) == ("dev.knative.kafka.event", value)
