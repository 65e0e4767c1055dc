"""RabbitmqSource into the broker, against durable ingest of the same run; the memory behind a slow sink."""

import time
import uuid

import pika

from benchmarks import ingest, instance, load, resources, sources
from benchmarks.measure import Figure, show
from tests.servers import rabbitmq as rabbitmq_server

_MESSAGES = 20_000
_PARALLELISM = 128
_GOAL = 0.6
_POLL_S = 0.2
_LONGEST_S = 120.0
_MEMORY_MIB = 24  # the client's code is 15; a prefetch of messages, in copies
_HELD_S = 5.0  # it would have read everything by then
_VALUE = b'"' + b"x" * (load.EVENT_BYTES - 2) + b'"'


def run(runs: int) -> None:
    """Measure with a quorum queue, and with a classic one beside it."""
    floor = Figure(f"durable ingest, {_PARALLELISM} connections", "/s")
    figures = {kind: Figure(f"RabbitmqSource, {kind} queue, parallelism {_PARALLELISM}", "/s", floor=floor)
               for kind in ("quorum", "classic")}
    figures["quorum"].goal = _GOAL
    memory = Figure(f"peak memory more than idle, {_MESSAGES // 1024} MiB waiting for a sink that is away",
                    "MiB", goal=_MEMORY_MIB, at_most=True)
    with rabbitmq_server.serve() as server, instance.up() as clarion:
        clarion.apply([resources.broker(), _secret(server.url)])
        clarion.wait_all_ready("brokers", 1)
        load.closed_loop(clarion.broker_url, "warm-", _MESSAGES // 10, _PARALLELISM)
        for number in range(runs):
            memory.samples.append(_held_mib(clarion, server.url))
            ingest.empty(clarion)
            done = load.closed_loop(clarion.broker_url, f"{number}-", _MESSAGES, _PARALLELISM)
            floor.samples.append(done.per_s)
            for kind, figure in figures.items():
                ingest.empty(clarion)
                rate, figure.note = _through(clarion, server.url, kind)
                figure.samples.append(rate)
    show("RabbitmqSource: 1 KiB messages, fsync before an acknowledgement",
         [floor, *figures.values(), memory])


def _through(clarion: instance.Instance, url: str, kind: str) -> tuple[float, str]:
    """Messages a second from a full queue into the broker's stream, and whether each is there."""
    name = f"bench-{uuid.uuid4().hex[:8]}"
    _fill(url, name, kind)
    clarion.apply([_source(name, sources.BROKER)])
    first_ms, last_ms, note = sources.arrived(clarion, _MESSAGES, _LONGEST_S)
    clarion.clarion("delete", "rabbitmqsource", name)
    return _MESSAGES / ((last_ms - first_ms) / 1000), note


def _held_mib(clarion: instance.Instance, url: str) -> float:
    """What the sources role holds when its sink is away: as many messages as it has prefetched."""
    name = f"held-{uuid.uuid4().hex[:8]}"
    _fill(url, name, "quorum")
    role = sources.role(clarion)
    before_mib = sources.resident_mib(role)
    clarion.apply([_source(name, sources.AWAY)])
    clarion.wait_all_ready("rabbitmqsources", 1)
    held_mib = sources.peak_mib(role, _HELD_S) - before_mib
    clarion.clarion("delete", "rabbitmqsource", name)
    return held_mib


def _fill(url: str, queue: str, kind: str) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.queue_declare(queue, durable=True, arguments={"x-queue-type": kind})
    for number in range(_MESSAGES):
        headers = {"ce-specversion": "1.0", "ce-type": resources.TYPE, "ce-source": "/bench",
                   "ce-id": f"{queue}-{number}"}
        channel.basic_publish("", queue, _VALUE, pika.BasicProperties(
            headers=headers, content_type="application/json", delivery_mode=2))
    while channel.queue_declare(queue, passive=True).method.message_count < _MESSAGES:
        time.sleep(_POLL_S)
    connection.close()


def _secret(url: str) -> dict:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "rabbitmq", "namespace": "default"},
            "stringData": {"uri": url}}


def _source(name: str, sink: dict) -> dict:
    return {"apiVersion": "sources.knative.dev/v1alpha1", "kind": "RabbitmqSource",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"rabbitmqClusterReference": {"connectionSecret": {"name": "rabbitmq"}},
                     "rabbitmqResourcesConfig": {"queueName": name, "predeclared": True,
                                                 "parallelism": _PARALLELISM},
                     "sink": sink}}
