"""The program of a ContainerSource: kept running through crashes, edits and deaths; gone with its source."""

import contextlib
import json
import os
import signal
from pathlib import Path

import pytest

from tests.listener import listening

PROGRAM = """
import json, os, resource, signal, sys, threading, time, urllib.request

def say(what):
    facts = {"what": what, "pid": os.getpid(), "overrides": os.environ["K_CE_OVERRIDES"],
             "port": os.environ.get("PORT"), "folder": sorted(os.listdir()),
             "data_bytes": resource.getrlimit(resource.RLIMIT_DATA)[0], "pod": os.environ["POD"]}
    headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-type": "t", "ce-source": "/s"}
    request = urllib.request.Request(os.environ["K_SINK"], json.dumps(facts).encode(), headers)
    urllib.request.urlopen(request, timeout=10).close()

def leave(*_):
    say("leaves")
    sys.exit(0)

signal.signal(signal.SIGTERM, leave)
if sys.argv[1:] == ["fails"]:
    print("no such luck", flush=True)
    sys.exit(3)
say("runs")
while True:
    time.sleep(60)
"""
SOURCE = """
apiVersion: sources.knative.dev/v1
kind: ContainerSource
metadata: {{name: {name}}}
spec:
  template:
    spec:
      containers:
        - name: program
          image: func://./program
          command: [python3, program.py]
          args: {arguments}
          env: [{{name: POD, valueFrom: {{fieldRef: {{fieldPath: metadata.name}}}}}}]
          resources: {{limits: {{memory: 512Mi}}}}
  ceOverrides: {{extensions: {{room: a}}}}
  sink: {{uri: "{sink}"}}
"""


class Sink:
    """Keeps what programs say, by path."""

    def __init__(self):
        self.said = {}
        self.url = ""

    def take(self, request):
        """One saying."""
        self.said.setdefault(request.path, []).append(json.loads(request.body))
        return 202

    def pids(self, path, what="runs"):
        """Processes that said so, in that order."""
        return [facts["pid"] for facts in self.said.get(path, ()) if facts["what"] == what]


@pytest.fixture(scope="module")
def sink():
    """What all programs of this file talk to."""
    made = Sink()
    with listening(made.take) as server:
        made.url = server.url
        yield made


@pytest.fixture
def apply(instance, sink, tmp_path):
    """`apply(name, path=...)`: a ContainerSource of that name that sends to that path of the sink."""
    (tmp_path / "program").mkdir()
    (tmp_path / "program" / "program.py").write_text(PROGRAM)

    def run(name, path=None, arguments="[]"):
        text = SOURCE.format(name=name, sink=sink.url + (path or f"/{name}"), arguments=arguments)
        (tmp_path / "source.yaml").write_text(text)
        instance.clarion("apply", "-f", tmp_path / "source.yaml")

    return run


def running(tmp_path_part):
    """Pids of all processes that were started with that text among their arguments, zombies aside."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if tmp_path_part in (process / "cmdline").read_bytes().split(b"\0"):
                found.add(int(process.name))
    return found


def condition(instance, name, type_):
    """(status, reason, message) of a condition of a ContainerSource."""
    status = json.loads(instance.clarion("get", "containersource", name, "-o", "json")).get("status") or {}
    found = next((each for each in status.get("conditions", ()) if each["type"] == type_), {})
    return found.get("status"), found.get("reason", ""), found.get("message", "")


def test_kept_running(instance, sink, apply, until):
    """It is told its sink, has its folder, limit and name, and is started again when it is killed."""
    apply("kept", arguments="[one]")
    [first] = until(lambda: sink.pids("/kept"), what="the program's first word")

    facts = sink.said["/kept"][0]
    assert facts["overrides"] == '{"extensions":{"room":"a"}}'
    assert (facts["port"], facts["folder"], facts["data_bytes"]) == (None, ["program.py"], 512 << 20)
    assert facts["pod"].startswith("kept-deployment-")
    until(lambda: condition(instance, "kept", "Ready")[0] == "True", what="Ready")

    os.kill(first, signal.SIGKILL)
    until(lambda: len(sink.pids("/kept")) == 2, what="the second process")

    assert sink.said["/kept"][1]["pod"] == facts["pod"]
    assert "it has ended: SIGKILL" in instance.clarion("logs", "kept")
    until(lambda: condition(instance, "kept", "Ready")[0] == "True", what="Ready again")
    assert running(b"one") == {sink.pids("/kept")[1]}


def test_crash_loop(instance, apply, until):
    """One that ends again and again says with which status, and what it said; its log has both."""
    apply("fails", arguments="[fails]")

    until(lambda: "back-off 2s restarting failed container program: exit 3: no such luck"
          in condition(instance, "fails", "Ready")[2], what="a longer back-off with the reason")
    log = instance.clarion("logs", "fails")
    assert log.count("no such luck") >= 2
    assert "it has ended: exit 3" in log
    instance.clarion("delete", "containersource", "fails")


def test_serving_role_killed(instance, sink, apply, until):
    """The program dies with the role that runs it, and is started by the next: never two, and no orphan."""
    apply("role", arguments="[two]")
    [first] = until(lambda: sink.pids("/role"), what="the first process")
    parents = Path(f"/proc/{first}/stat").read_text().rpartition(")")[2].split()
    zygote = int(parents[1])
    role = int(Path(f"/proc/{zygote}/stat").read_text().rpartition(")")[2].split()[1])

    os.kill(role, signal.SIGKILL)
    until(lambda: len(sink.pids("/role")) == 2, what="the process that the next role starts")

    assert running(b"two") == {sink.pids("/role")[1]}
    instance.wait_ready()


def test_sink_edited(sink, apply, until):
    """Another sink: a new process with it, and the old one is told to end."""
    apply("edited", "/old", arguments="[three]")
    [first] = until(lambda: sink.pids("/old"), what="the first process")

    apply("edited", "/new", arguments="[three]")
    [second] = until(lambda: sink.pids("/new"), what="the process with the new sink")
    until(lambda: sink.pids("/old", "leaves") == [first], what="the old one's last word")

    until(lambda: running(b"three") == {second}, what="the end of the old one")


def test_deleted(instance, sink, apply, until):
    """A source that is deleted has its program end by itself, once, without another start."""
    apply("gone", arguments="[four]")
    [first] = until(lambda: sink.pids("/gone"), what="the process")

    instance.clarion("delete", "containersource", "gone")

    until(lambda: sink.pids("/gone", "leaves") == [first], what="its last word")
    until(lambda: not running(b"four"), what="its end")
    until(lambda: "gone" not in instance.clarion("get", "deployments,sinkbindings"), what="the end of all")
    assert sink.pids("/gone") == [first]


def test_end_of_all(instances, sink, tmp_path, until):
    """Ctrl-C ends the program too, in good order."""
    (tmp_path / "program").mkdir()
    (tmp_path / "program" / "program.py").write_text(PROGRAM)
    text = SOURCE.format(name="last", sink=f"{sink.url}/last", arguments="[five]")
    (tmp_path / "source.yaml").write_text(text)
    instance = instances("-f", str(tmp_path / "source.yaml"))
    instance.start()
    [first] = until(lambda: sink.pids("/last"), what="the process")

    assert instance.stop() == 0

    assert sink.pids("/last", "leaves") == [first]
    assert not running(b"five")
