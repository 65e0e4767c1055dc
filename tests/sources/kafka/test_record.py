"""An event as a Kafka record: what is written, and that a KafkaSource reads the same event from it."""

import pytest

from eventing.event import Event
from sources.kafka.event import Record, to_event
from sources.kafka.record import MODES, to_record

EVENT = Event({"specversion": "1.0", "id": "1", "type": "t", "source": "/s", "datacontenttype": "text/plain",
               "partitionkey": "p", "colour": "rot & gr\u00fcn"}, b"\xff\x00 bytes")


def test_binary():
    """Attributes are headers, the data is the value, `partitionkey` is the key."""
    assert to_record(EVENT, "binary") == (b"p", b"\xff\x00 bytes", [
        ("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_type", b"t"), ("ce_source", b"/s"),
        ("content-type", b"text/plain"), ("ce_partitionkey", b"p"),
        ("ce_colour", "rot & gr\u00fcn".encode())])


def test_structured():
    """The value is the event in JSON, and the header says so; without `partitionkey` there is no key."""
    event = Event({"specversion": "1.0", "id": "1", "type": "t", "source": "/s"}, b'{"a": 1}')

    assert to_record(event, "structured") == (
        None, b'{"specversion":"1.0","id":"1","type":"t","source":"/s","data":{"a": 1}}',
        [("content-type", b"application/cloudevents+json")])


def test_nothing_in_it():
    """Without data there is no value; without a key it is an empty one."""
    event = Event({"specversion": "1.0", "id": "1", "type": "t", "source": "/s"}, None)

    assert to_record(event, "binary").value == b""
    assert to_record(Event({**event.attributes, "partitionkey": "p"}, None), "binary").value is None


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("data", [b"\xff\x00 bytes", None])
def test_there_and_back(mode, data):
    """A KafkaSource reads the event that was written, and adds where it stood."""
    key, value, headers = to_record(Event(EVENT.attributes, data), mode)

    read = to_event(Record("t", 3, 7, key, value, headers, 0), "/source")

    assert read.data == data
    assert read.attributes == {**EVENT.attributes, "knativekafkapartition": "3", "knativekafkaoffset": "7"}
