"""KafkaSource into the broker, against durable ingest of the same run; and the memory behind a slow sink."""

import uuid

from benchmarks import ingest, instance, load, resources, sources
from benchmarks.measure import Figure, show
from sources.kafka.member import IN_FLIGHT
from tests.servers import kafka as kafka_server

_RECORDS = 30_000
_PARTITIONS = 4
_GOAL = 0.8
_LONGEST_S = 120.0
_VALUE = b'"' + b"x" * (load.EVENT_BYTES - 2) + b'"'
_WAITING = 100_000  # for a sink that is away
_MEMORY_MIB = 24  # the client's code is 10; four partitions: 1 MiB fetched and 256 records each, in copies
_HELD_S = 5.0  # it would have read everything by then


def run(runs: int) -> None:
    """Measure with `ordering: unordered`, and with `ordered` beside it."""
    floor = Figure(f"durable ingest, {IN_FLIGHT} connections", "/s")
    figures = {ordering: Figure(f"KafkaSource, {ordering}, {_PARTITIONS} partitions", "/s", floor=floor)
               for ordering in ("unordered", "ordered")}
    figures["unordered"].goal = _GOAL
    memory = Figure(f"peak memory more than idle, {_WAITING // 1024} MiB waiting for a sink that is away",
                    "MiB", goal=_MEMORY_MIB, at_most=True)
    with kafka_server.serve() as kafka, instance.up() as clarion:
        clarion.apply([resources.broker()])
        clarion.wait_all_ready("brokers", 1)
        load.closed_loop(clarion.broker_url, "warm-", _RECORDS // 10, IN_FLIGHT)
        for number in range(runs):
            memory.samples.append(_held_mib(clarion, kafka))
            ingest.empty(clarion)
            done = load.closed_loop(clarion.broker_url, f"{number}-", _RECORDS, IN_FLIGHT)
            floor.samples.append(done.per_s)
            for ordering, figure in figures.items():
                ingest.empty(clarion)
                rate, figure.note = _through(clarion, kafka, ordering)
                figure.samples.append(rate)
    show("KafkaSource: 1 KiB records, fsync before an offset is committed",
         [floor, *figures.values(), memory])


def _filled(kafka: kafka_server.Kafka, records: int) -> str:
    """Name of a new topic with so many records."""
    topic = kafka.topic(_PARTITIONS)
    producer = kafka.producer(**{"queue.buffering.max.messages": records})
    headers = {"ce_specversion": "1.0", "ce_type": resources.TYPE, "ce_source": "/bench",
               "content-type": "application/json"}
    for number in range(records):
        producer.produce(topic, _VALUE, headers={**headers, "ce_id": f"{topic}-{number}"},
                         partition=number % _PARTITIONS)
    producer.flush()
    return topic


def _through(clarion: instance.Instance, kafka: kafka_server.Kafka, ordering: str) -> tuple[float, str]:
    """Records a second from a full topic into the broker's stream, and whether each is there."""
    topic = _filled(kafka, _RECORDS)
    name = f"bench-{uuid.uuid4().hex[:8]}"
    clarion.apply([_source(name, topic, kafka.plain, ordering, sources.BROKER)])
    first_ms, last_ms, note = sources.arrived(clarion, _RECORDS, _LONGEST_S)
    clarion.clarion("delete", "kafkasource", name)
    return _RECORDS / ((last_ms - first_ms) / 1000), note


def _held_mib(clarion: instance.Instance, kafka: kafka_server.Kafka) -> float:
    """What the sources role holds when its sink is away: a window and a fetch of each partition."""
    topic = _filled(kafka, _WAITING)
    role = sources.role(clarion)
    before_mib = sources.resident_mib(role)
    clarion.apply([_source("held", topic, kafka.plain, "unordered", sources.AWAY)])
    clarion.wait_all_ready("kafkasources", 1)
    held_mib = sources.peak_mib(role, _HELD_S) - before_mib
    clarion.clarion("delete", "kafkasource", "held")
    return held_mib


def _source(name: str, topic: str, bootstrap: str, ordering: str, sink: dict) -> dict:
    return {"apiVersion": "sources.knative.dev/v1", "kind": "KafkaSource",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"bootstrapServers": [bootstrap], "topics": [topic], "initialOffset": "earliest",
                     "ordering": ordering, "sink": sink}}
