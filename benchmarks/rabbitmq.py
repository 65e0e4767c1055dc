"""RabbitmqSource into the broker, against durable ingest of the same run."""

import time
import uuid

import pika

from benchmarks import ingest, instance, load, resources
from benchmarks.measure import Figure, show
from eventing import keys
from eventing.broker.stream import decode
from tests.servers import rabbitmq as rabbitmq_server

_MESSAGES = 20_000
_PARALLELISM = 128
_GOAL = 0.6
_POLL_S = 0.2  # entries say when they came; looking must not take their time
_VALUE = b'"' + b"x" * (load.EVENT_BYTES - 2) + b'"'
_STREAM = keys.events("default/default", 0)


def run(runs: int) -> None:
    """Measure with a quorum queue, and with a classic one beside it."""
    floor = Figure(f"durable ingest, {_PARALLELISM} connections", "/s")
    figures = {kind: Figure(f"RabbitmqSource, {kind} queue, parallelism {_PARALLELISM}", "/s", floor=floor)
               for kind in ("quorum", "classic")}
    figures["quorum"].goal = _GOAL
    with rabbitmq_server.serve() as server, instance.up() as clarion:
        clarion.apply([resources.broker(), _secret(server.url)])
        clarion.wait_all_ready("brokers", 1)
        load.closed_loop(clarion.broker_url, "warm-", _MESSAGES // 10, _PARALLELISM)
        for number in range(runs):
            ingest.empty(clarion)
            done = load.closed_loop(clarion.broker_url, f"{number}-", _MESSAGES, _PARALLELISM)
            floor.samples.append(done.per_s)
            for kind, figure in figures.items():
                ingest.empty(clarion)
                rate, figure.note = _through(clarion, server.url, kind)
                figure.samples.append(rate)
    show("RabbitmqSource: 1 KiB messages, fsync before an acknowledgement", [floor, *figures.values()])


def _through(clarion: instance.Instance, url: str, kind: str) -> tuple[float, str]:
    """Messages a second from a full queue into the broker's stream, and whether each is there."""
    name = f"bench-{uuid.uuid4().hex[:8]}"
    _fill(url, name, kind)
    clarion.apply([_source(name)])
    with clarion.store() as store:
        while store.xlen(_STREAM) < _MESSAGES:
            time.sleep(_POLL_S)
        entries = store.xrange(_STREAM)
    clarion.clarion("delete", "rabbitmqsource", name)
    began, ended = (int(entry[0].partition(b"-")[0]) for entry in (entries[0], entries[-1]))
    ids = [decode(fields).attributes["id"] for _, fields in entries]
    missing = _MESSAGES - len(set(ids))
    note = f"{missing} lost, {len(ids) - len(set(ids))} repeated" if missing or len(ids) > _MESSAGES else \
        f"each of {_MESSAGES:,} once"
    return _MESSAGES / ((ended - began) / 1000), note


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


def _source(name: str) -> dict:
    return {"apiVersion": "sources.knative.dev/v1alpha1", "kind": "RabbitmqSource",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"rabbitmqClusterReference": {"connectionSecret": {"name": "rabbitmq"}},
                     "rabbitmqResourcesConfig": {"queueName": name, "predeclared": True,
                                                 "parallelism": _PARALLELISM},
                     "sink": {"ref": {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker",
                                      "name": "default"}}}}
