"""KafkaSource into a broker of ours: events travel in batches, and each is stored once, in its order."""

import contextlib

import pytest
import redis

from eventing import keys
from eventing.broker.entry import decode
from tests.objects import BROKER

OBJECTS = BROKER + """---
apiVersion: sources.knative.dev/v1beta1
kind: KafkaSource
metadata: {name: TOPIC}
spec:
  bootstrapServers: [KAFKA]
  topics: [TOPIC]
  initialOffset: earliest
  ordering: ORDERING
  ceOverrides: {extensions: {site: north}}
  sink:
    ref: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: default}
"""


@pytest.fixture
def stored(instance):
    """`stored(topic)`: the events of one topic in the broker's stream, in its order."""
    socket = str(instance.data_dir / "run" / "valkey.sock")
    with contextlib.closing(redis.Redis(unix_socket_path=socket)) as store:

        def read(topic):
            events = [decode(fields) for _, fields in store.xrange(keys.events("default/default", 0))]
            return [event for event in events if event.attributes["source"] == f"/{topic}"]

        yield read


@pytest.mark.parametrize("ordering", ["ordered", "unordered"])
def test_batches(instance, kafka, stored, until, ordering):
    """A batch with an event that the broker refuses loses only that one; the bytes of the others are kept."""
    topic = kafka.topic()
    producer = kafka.producer()
    for number in range(500):
        headers = {"ce_specversion": "1.0", "ce_type": "t", "ce_source": f"/{topic}", "ce_id": str(number),
                   "content-type": "application/json"}
        if number == 123:
            headers["ce_knativebrokerttl"] = "0"  # used up
        producer.produce(topic, '{ "n": 1.0 }', headers=headers)
    producer.flush(30)
    text = OBJECTS.replace("TOPIC", topic).replace("KAFKA", kafka.plain).replace("ORDERING", ordering)

    instance.clarion("apply", "-f", "-", stdin=text)

    until(lambda: len(stored(topic)) >= 499, what="events in the stream")
    events = stored(topic)
    ids = [int(event.attributes["id"]) for event in events]
    assert sorted(ids) == [number for number in range(500) if number != 123]
    assert ordering == "unordered" or ids == sorted(ids)
    assert {event.data for event in events} == {b'{ "n": 1.0 }'}
    assert {event.attributes["site"] for event in events} == {"north"}
    assert f'result="skipped",source="KafkaSource/default/{topic}"}} 1.0' in instance.get("/metrics")[1]
