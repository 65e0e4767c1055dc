"""Records written by clients that are not ours: confluent-kafka, and the CloudEvents SDK's Kafka binding."""

from cloudevents.core.bindings import kafka as sdk
from cloudevents.core.v1.event import CloudEvent

STRUCTURED = {"content-type": "application/cloudevents+json; charset=utf-8"}
RAW = "dev.knative.kafka.event"


async def test_what_is_no_event(stage):
    """A record that is no CloudEvent, or only claims to be, is an event around its bytes, and its headers."""
    topic = stage.kafka.topic()
    stage.produce(topic, None, key="gone", headers={"Trace-Id": "7", "content-type": "application/json"})
    stage.produce(topic, b"\xff\x00", headers=STRUCTURED)
    stage.produce(topic, "no source", headers={"ce_specversion": "1.0", "ce_id": "x", "ce_type": "t"})

    await stage.source(topic, ordering="ordered")
    await stage.sink.until(lambda sink: len(sink.events) >= 3)

    tombstone, *poison = stage.sink.events
    assert tombstone.data is None
    assert tombstone.attributes.pop("time").endswith("Z")
    assert tombstone.attributes == {
        "specversion": "1.0", "type": RAW, "datacontenttype": "application/json",
        "source": f"/apis/v1/namespaces/default/kafkasources/k#{topic}", "subject": "partition:0#0",
        "id": "partition:0/offset:0", "key": "gone", "partitionkey": "gone", "kafkaheadertraceid": "7",
        "knativekafkapartition": "0", "knativekafkaoffset": "0"}
    assert [(event.attributes["type"], event.data) for event in poison] == [
        (RAW, b"\xff\x00"), (RAW, b"no source")]


async def test_events_of_the_sdk(stage):
    """What the CloudEvents SDK writes, in binary and in structured mode, is the event that it was."""
    topic = stage.kafka.topic()
    attributes = {"type": "t", "source": "/s", "datacontenttype": "application/json", "partitionkey": "p",
                  "colour": "red 100%"}
    for mode, written in (("binary", sdk.to_binary_event), ("structured", sdk.to_structured_event)):
        message = written(CloudEvent({**attributes, "id": mode}, {"a": 1}))
        stage.produce(topic, message.value, key=message.key, headers=dict(message.headers))

    await stage.source(topic, ordering="ordered")
    await stage.sink.until(lambda sink: len(sink.events) >= 2)

    for event, mode in zip(stage.sink.events, ("binary", "structured"), strict=True):
        assert {**attributes, "id": mode, "specversion": "1.0"}.items() <= event.attributes.items()
        assert event.data.replace(b" ", b"") == b'{"a":1}'
    assert stage.sink.events[1].attributes["knativekafkaoffset"] == "1"
