"""Records written by clients that are not ours: confluent-kafka, kcat, the CloudEvents SDK's binding."""

import asyncio
import contextlib

from cloudevents.core.bindings import kafka as sdk
from cloudevents.core.v1.event import CloudEvent

from tests.servers import kcat, provision

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


async def test_kcat(stage):
    """What kcat writes, by header or as JSON, is an event; a line that is neither is data."""
    topic = stage.kafka.topic()
    with provision.needed("kcat", lambda: contextlib.nullcontext(kcat.find())):
        for text, options in (
                ("key;plain\n", ["-K", ";"]),
                ('{"n":1}\n', ["-H", "ce_specversion=1.0", "-H", "ce_id=b", "-H", "ce_type=t",
                               "-H", "ce_source=/kcat", "-H", "content-type=application/json"]),
                ('{"specversion":"1.0","id":"s","type":"t","source":"/kcat","data":{"n":2}}\n',
                 ["-H", "content-type=application/cloudevents+json"])):
            await asyncio.to_thread(kcat.produce, stage.kafka.plain, topic, text, *options)

    await stage.source(topic, ordering="ordered")
    await stage.sink.until(lambda sink: len(sink.events) >= 3)

    raw, *events = stage.sink.events
    assert (raw.attributes["type"], raw.attributes["key"], raw.data) == (RAW, "key", b"plain")
    assert [(event.attributes["id"], event.attributes["source"], event.data) for event in events] == [
        ("b", "/kcat", b'{"n":1}'), ("s", "/kcat", b'{"n":2}')]


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
