"""What is killed, restarted or away loses nothing: every record arrives, and few arrive more than once."""

import collections
import contextlib
import http.server
import itertools
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from sources.kafka.lane import WINDOW

PARTITIONS = 3
KAFKA_SOURCE = """
apiVersion: sources.knative.dev/v1
kind: KafkaSource
metadata: {name: NAME}
spec:
  bootstrapServers: [BROKER]
  topics: [TOPIC]
  initialOffset: earliest
  ordering: ORDERING
  sink: {uri: "SINK"}
"""


class Server(http.server.ThreadingHTTPServer):
    """One thread a connection; all that are in flight may come at once."""

    daemon_threads = True
    request_queue_size = 512


class Sink:
    """A sink that counts what it accepts; it can be away, or answer 503, for a while."""

    def __init__(self):
        self.seen = collections.Counter()
        self.status = 202
        self._server = None
        self._port = 0
        self.up()

    def up(self):
        """Listen, on the same port as before."""
        sink = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                status = sink.status if sink._server is not None else 503
                if status == 202:
                    sink.seen[body] += 1
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *arguments):
                """Say nothing."""

        self._server = Server(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def down(self):
        """Accept no connection; those that are open hear 503."""
        server, self._server = self._server, None
        server.shutdown()
        server.server_close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._port}"


class Producer(threading.Thread):
    """Writes numbered records until told to stop; `written` are those that the broker has."""

    def __init__(self, kafka, topic):
        super().__init__(daemon=True)
        self.topic = topic
        self.written = set()
        self.stopping = threading.Event()
        self._producer = kafka.producer(**{"enable.idempotence": True})

    def run(self):
        for number in itertools.count():
            if self.stopping.wait(0.002):
                break
            self._producer.produce(self.topic, str(number), partition=number % PARTITIONS,
                                   on_delivery=self._delivered)
            self._producer.poll(0)
        self._producer.flush(60)

    def _delivered(self, error, message):
        if error is None:
            self.written.add(message.value().decode())


@pytest.fixture
def sink():
    """A sink in threads."""
    made = Sink()
    yield made
    made.down()


@pytest.fixture
def flow(request, instance, kafka, sink, until):
    """Records flow from a topic to the sink; yields the producer."""
    topic = kafka.topic(PARTITIONS)
    producer = Producer(kafka, topic)
    text = KAFKA_SOURCE
    for word, value in (("NAME", topic), ("BROKER", kafka.plain), ("TOPIC", topic), ("SINK", sink.url),
                        ("ORDERING", request.param)):
        text = text.replace(word, value)
    instance.clarion("apply", "-f", "-", stdin=text)
    producer.start()
    until(lambda: len(sink.seen) > 50, what="flow")
    yield producer
    producer.stopping.set()
    producer.join()
    instance.clarion("delete", "kafkasource", topic)


def flows_on(producer, sink, until):
    """Events of records that are written from now on arrive."""
    count = len(producer.written)
    until(lambda: len(producer.written) > count, what="record written")
    newest = max(producer.written, key=int)
    until(lambda: newest in sink.seen, what="event of a record written since")


def assert_all_arrived(producer, sink, until, *, crashes):
    """Every record has arrived; no more came twice than may be under way in a crash."""
    producer.stopping.set()
    producer.join()
    until(lambda: producer.written <= sink.seen.keys(), what="event of every record")
    assert producer.written
    assert sum(sink.seen.values()) - len(sink.seen) <= crashes * PARTITIONS * WINDOW


def sources_process(instance):
    """Pid of the sources role."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            head, _, tail = (entry / "stat").read_text().rpartition(")")
            is_child = int(tail.split()[1]) == instance.process.pid
            if is_child and head.partition("(")[2].startswith("clarion-source"):
                return int(entry.name)
    return None


ordered = pytest.mark.parametrize("flow", ["ordered"], indirect=True)
unordered = pytest.mark.parametrize("flow", ["unordered"], indirect=True)


@unordered
def test_source_killed(flow, instance, sink, until):
    """SIGKILL of the role that reads."""
    os.kill(until(lambda: sources_process(instance), what="sources role"), signal.SIGKILL)

    flows_on(flow, sink, until)
    assert_all_arrived(flow, sink, until, crashes=1)


@unordered
def test_broker_killed(flow, kafka, sink, until):
    """Kafka is killed and comes back."""
    kafka.stop(signal.SIGKILL)
    kafka.start()

    flows_on(flow, sink, until)
    assert_all_arrived(flow, sink, until, crashes=1)


@unordered
def test_sink_away(flow, sink, until):
    """Nobody listens at the sink's address for a while."""
    sink.down()
    deadline = time.monotonic() + 2
    until(lambda: time.monotonic() > deadline, what="end of the outage")
    sink.up()

    flows_on(flow, sink, until)
    assert_all_arrived(flow, sink, until, crashes=0)


@ordered
def test_sink_overloaded(flow, sink, until):
    """The sink answers 503 for a while."""
    sink.status = 503
    deadline = time.monotonic() + 2
    until(lambda: time.monotonic() > deadline, what="end of the overload")
    sink.status = 202

    flows_on(flow, sink, until)
    assert_all_arrived(flow, sink, until, crashes=0)
