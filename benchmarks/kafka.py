"""KafkaSource into the broker, against durable ingest of the same run; and the memory behind a slow sink."""

import time
import uuid

from benchmarks import ingest, instance, load, resources
from benchmarks.measure import Figure, show
from eventing import keys
from eventing.broker.stream import decode
from sources.kafka.member import IN_FLIGHT
from tests.servers import kafka as kafka_server

_RECORDS = 30_000
_PARTITIONS = 4
_GOAL = 0.8
_POLL_S = 0.2  # entries say when they came; looking must not take their time
_VALUE = b'"' + b"x" * (load.EVENT_BYTES - 2) + b'"'
_STREAM = keys.events("default/default", 0)


def run(runs: int) -> None:
    """Measure with `ordering: unordered`, and with `ordered` beside it."""
    floor = Figure(f"durable ingest, {IN_FLIGHT} connections", "/s")
    figures = {ordering: Figure(f"KafkaSource, {ordering}, {_PARTITIONS} partitions", "/s", floor=floor)
               for ordering in ("unordered", "ordered")}
    figures["unordered"].goal = _GOAL
    with kafka_server.serve() as kafka, instance.up() as clarion:
        clarion.apply([resources.broker()])
        clarion.wait_all_ready("brokers", 1)
        load.closed_loop(clarion.broker_url, "warm-", _RECORDS // 10, IN_FLIGHT)
        for number in range(runs):
            ingest.empty(clarion)
            done = load.closed_loop(clarion.broker_url, f"{number}-", _RECORDS, IN_FLIGHT)
            floor.samples.append(done.per_s)
            for ordering, figure in figures.items():
                ingest.empty(clarion)
                rate, figure.note = _through(clarion, kafka, ordering)
                figure.samples.append(rate)
    show("KafkaSource: 1 KiB records, fsync before an offset is committed", [floor, *figures.values()])


def _through(clarion: instance.Instance, kafka: kafka_server.Kafka, ordering: str) -> tuple[float, str]:
    """Records a second from a full topic into the broker's stream, and whether each is there."""
    topic = kafka.topic(_PARTITIONS)
    producer = kafka.producer(**{"queue.buffering.max.messages": _RECORDS})
    headers = {"ce_specversion": "1.0", "ce_type": resources.TYPE, "ce_source": "/bench",
               "content-type": "application/json"}
    for number in range(_RECORDS):
        producer.produce(topic, _VALUE, headers={**headers, "ce_id": f"{topic}-{number}"},
                         partition=number % _PARTITIONS)
    producer.flush()
    name = f"bench-{uuid.uuid4().hex[:8]}"
    clarion.apply([_source(name, topic, kafka.plain, ordering)])
    with clarion.store() as store:
        while store.xlen(_STREAM) < _RECORDS:
            time.sleep(_POLL_S)
        entries = store.xrange(_STREAM)
    clarion.clarion("delete", "kafkasource", name)
    began, ended = (int(entry[0].partition(b"-")[0]) for entry in (entries[0], entries[-1]))
    ids = [decode(fields).attributes["id"] for _, fields in entries]
    missing = _RECORDS - len(set(ids))
    note = f"{missing} lost, {len(ids) - len(set(ids))} repeated" if missing or len(ids) > _RECORDS else \
        f"each of {_RECORDS:,} once"
    return _RECORDS / ((ended - began) / 1000), note


def _source(name: str, topic: str, bootstrap: str, ordering: str) -> dict:
    return {"apiVersion": "sources.knative.dev/v1", "kind": "KafkaSource",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"bootstrapServers": [bootstrap], "topics": [topic], "initialOffset": "earliest",
                     "ordering": ordering,
                     "sink": {"ref": {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker",
                                      "name": "default"}}}}
