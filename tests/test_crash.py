"""What is killed loses nothing: every event that got 202 reaches every matching trigger."""

import contextlib
import itertools
import os
import signal
import threading
from pathlib import Path

import pytest

from tests.listener import listening
from tests.objects import BROKER

FUNCTION = """
import urllib.request

def handle(event):
    urllib.request.urlopen("SINK/function", event.get_id().encode(), timeout=10).close()
"""

OBJECTS = BROKER + """---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: plain}
spec:
  broker: default
  filter: {attributes: {type: counted}}
  subscriber: {uri: "SINK/plain"}
  delivery: {retry: 30, backoffPolicy: linear, backoffDelay: PT0.2S, timeout: PT5S}
---
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: counter}
spec:
  template:
    metadata: {annotations: {autoscaling.knative.dev/window: 6s}}
    spec: {containers: [{image: "func://./counter"}]}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: counter}
spec:
  broker: default
  filter: {attributes: {type: counted}}
  subscriber: {ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: counter}}
  delivery: {retry: 30, backoffPolicy: linear, backoffDelay: PT0.2S, timeout: PT5S}
"""


class Sink:
    """A subscriber that remembers every id by the path it came to."""

    def __init__(self):
        self.seen = {"/plain": set(), "/function": set()}
        self.url = ""

    def take(self, request):
        """The function says the id in the body."""
        self.seen[request.path].add(request.headers.get("ce-id") or request.body.decode())
        return 202


class Producer(threading.Thread):
    """Publishes numbered events until told to stop; `accepted` are those that got 202."""

    def __init__(self, instance):
        super().__init__(daemon=True)
        self.instance = instance
        self.accepted = set()
        self.stopping = threading.Event()
        self.moved = threading.Condition()

    def run(self):
        for number in itertools.count():
            if self.stopping.is_set():
                return
            id_ = f"e{number}"
            status = None
            with contextlib.suppress(OSError, ValueError, KeyError):  # refused, cut, or no ports known yet
                status = self.instance.publish(id_, "counted", {"n": number})
            with self.moved:
                if status == 202:
                    self.accepted.add(id_)
                    self.moved.notify_all()

    def progress(self, count):
        """Return once *count* more events were accepted."""
        with self.moved:
            goal = len(self.accepted) + count
            assert self.moved.wait_for(lambda: len(self.accepted) >= goal, timeout=60)


@pytest.fixture
def sink():
    """A subscriber in a thread."""
    made = Sink()
    with listening(made.take) as server:
        made.url = server.url
        yield made


def children(pid):
    """Names by pid of all processes below *pid*, as `ps` shows them."""
    parents, names = {}, {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            head, _, tail = (process / "stat").read_text().rpartition(")")
            parents[int(process.name)] = int(tail.split()[1])
            names[int(process.name)] = head.partition("(")[2]

    def is_below(entry):
        while entry in parents and entry != pid:
            entry = parents[entry]
        return entry == pid

    return {entry: names[entry] for entry in parents if entry != pid and is_below(entry)}


def kill(instance, name):
    """SIGKILL one process of the instance by the start of its name; True if there was one."""
    for pid, known in children(instance.process.pid).items():
        if known.startswith(name):
            os.kill(pid, signal.SIGKILL)
            return True
    return False


@pytest.mark.timeout(240)
def test_nothing_accepted_is_lost(instances, sink, tmp_path, until):
    """Each role, a worker, Valkey, the supervisor, then all at once are killed while events flow."""
    (tmp_path / "counter").mkdir()
    (tmp_path / "counter" / "func.py").write_text(FUNCTION.replace("SINK", sink.url))
    (tmp_path / "objects.yaml").write_text(OBJECTS.replace("SINK", sink.url))
    instance = instances("-f", str(tmp_path / "objects.yaml"))
    instance.start()
    producer = Producer(instance)
    producer.start()
    try:
        producer.progress(20)
        for victim in ("clarion-ingress", "clarion-dispat", "clarion-serving", "counter-00001",
                       "clarion-control", "clarion-sources", "valkey-server"):
            until(lambda victim=victim: kill(instance, victim), what=f"process called {victim}")
            producer.progress(20)
            instance.wait_ready()

        instance.process.kill()
        instance.process.wait()
        instance.start()
        producer.progress(20)

        for pid in [*children(instance.process.pid), instance.process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        instance.process.wait()
        instance.start()
        producer.progress(20)
    finally:
        producer.stopping.set()
        producer.join()

    for path in ("/plain", "/function"):
        until(lambda path=path: producer.accepted <= sink.seen[path],
              what=f"delivery of every event to {path}", timeout_s=60)
