"""
Cold start: from the POST at the broker to the first line of a function that has no worker, against F.

Each sample has a function of its own, so none can be warm; before each it is asserted that no process serves
it. A sample of F is taken before each, after the same pause. F in a tight loop, with every cache warm, is
about half of that; it is shown, and compared to nothing.

    plain        `handle(event)` that imports the SDK
    preloaded    it imports numpy, which its zygote has already (clarion.dev/preload)
    importing    it imports numpy, and nobody has
    fresh        a program of its own in a new interpreter, which imports uvicorn and the SDK
"""

import http.client
import sys
import time
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from benchmarks import floors, instance, load, resources
from benchmarks.measure import Figure, quantile, show

_FUNCTIONS = 200
_FEWER = 50  # of each of the other ways
_GOALS = {0.5: 3.0, 0.95: None, 0.99: 5.0}
_NUMPY_GOAL = 2.0
_PAUSE_S = 0.2  # between samples: what one start leaves behind does not belong to the next
_PATIENCE_S = 30.0
_INSTALL_S = 300.0
_FOLDER = Path(__file__).with_name("functions")
_COMM_BYTES = 15  # what the kernel keeps of a process's name


@dataclass(frozen=True)
class _Way:
    """How a function may be started."""

    name: str
    folder: str
    preload: str = ""
    command: tuple[str, ...] = ()


_PLAIN = _Way("plain", "mark")
_PRELOADED = _Way("preloaded", "array", "numpy")
_IMPORTING = _Way("importing", "array")
_FRESH = _Way("fresh", "fresh", command=(sys.executable, "serve.py"))


def run(runs: int) -> None:
    """Start every function once, in each of several instances."""
    floor = {share: Figure(f"F, bare fork that answers, p{share * 100:g}", "ms") for share in _GOALS}
    here = {share: Figure(f"POST -> first line of the function, p{share * 100:g}", "ms", floor=floor[share],
                          goal=goal, at_most=True) for share, goal in _GOALS.items()}
    tight = Figure("F in a tight loop, p50", "ms")
    plain = Figure("plain, p50", "ms", floor=floor[0.5])
    others = {
        _PRELOADED: Figure("numpy, preloaded, p50", "ms", floor=plain, goal=_NUMPY_GOAL, at_most=True),
        _IMPORTING: Figure("numpy, not preloaded, p50", "ms", floor=plain),
        _FRESH: Figure("a fresh interpreter, p50", "ms", floor=plain)}
    for _ in range(runs):
        with instance.up() as clarion, floors.forks() as fork_ms:
            bench = _Bench(clarion, fork_ms)
            taken, bare, exact = bench.measure(_PLAIN, _FUNCTIONS)
            plain.samples.append(quantile(taken, 0.5))
            for share, figure in here.items():
                floor[share].samples.append(quantile(bare, share))
                figure.samples.append(quantile(taken, share))
                figure.note = exact
            tight.samples.append(quantile([fork_ms() for _ in range(_FEWER)], 0.5))
            for way, figure in others.items():
                taken, _, figure.note = bench.measure(way, _FEWER)
                figure.samples.append(quantile(taken, 0.5))
    show(f"Cold start: {_FUNCTIONS} functions at zero a run, {_FEWER} for each other way",
         [tight, *floor.values(), *here.values(), *others.values()])


def assert_no_workers(clarion: instance.Instance) -> None:
    """Return once no revision has a worker; ends the benchmark if that never comes."""
    deadline = time.monotonic() + _PATIENCE_S * 4
    while workers := [revision["metadata"]["name"] for revision in clarion.resources("revisions")
                      if revision.get("status", {}).get("actualReplicas")]:
        if time.monotonic() > deadline:
            raise SystemExit(f"not at zero: {workers}")
        time.sleep(0.5)


class _Bench:
    """One instance, in which one way after the other is measured."""

    def __init__(self, clarion: instance.Instance, fork_ms: floors.ForkMs) -> None:
        self._clarion = clarion
        self._fork_ms = fork_ms
        self._marks = clarion.data_dir / "marks"
        self._marks.touch()
        clarion.apply([resources.zero_at_first(), resources.broker()])

    def measure(self, way: _Way, count: int) -> tuple[list[float], list[float], str]:
        """Milliseconds of *count* functions, those of F, and whether each was called once."""
        clarion = self._clarion
        names = [f"{way.name}-{n}" for n in range(count + 1)]
        # None goes to zero again while others are measured.
        clarion.apply([resources.function(name, way.folder, {"MARKS": str(self._marks)},
                                          scale={"window": "10m"}, preload=way.preload,
                                          command=list(way.command)) for name in names], _FOLDER)
        clarion.apply([resources.trigger(name, wants=name, service=name) for name in names])
        clarion.wait_all_ready("services", count + 1, _INSTALL_S)
        clarion.wait_all_ready("triggers", count + 1)
        self._start(names[0], _INSTALL_S)  # its zygote is there, and its environment, if it has its own
        taken, bare = [], []
        for name in names[1:]:
            time.sleep(_PAUSE_S)
            bare.append(self._fork_ms())
            time.sleep(_PAUSE_S)
            taken.append(self._start(name, _PATIENCE_S))
        came = [line.split()[0] for line in self._marks.read_text().splitlines()
                if line.startswith(f"{way.name}-")]
        for kind in ("services", "triggers"):
            clarion.clarion("delete", kind, *names)
        exact = f"each of {count} once" if sorted(came) == sorted(names) else f"[red]{came}[/]"
        return taken, bare, exact

    def _start(self, name: str, patience_s: float) -> float:
        """Send one event to a function at zero and wait for its mark; returns milliseconds."""
        self._assert_at_zero(name)
        began = _post(self._clarion.broker_url, name)
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            for line in self._marks.read_text().splitlines():
                if line.startswith(f"{name} "):
                    return (int(line.split()[1]) - began) / 1e6
            time.sleep(0.002)
        raise SystemExit(f"{name} did not start in {patience_s} s")

    def _assert_at_zero(self, name: str) -> None:
        """No process is a worker of *name*, by the name that workers give themselves."""
        worker = f"{name}-00001"[:_COMM_BYTES]
        for pid in self._clarion.processes():
            if instance.name_of(pid).startswith(worker):
                raise SystemExit(f"{name} has a worker already: process {pid}")


def _post(broker_url: str, name: str) -> int:
    """Send the event that function *name* wants; CLOCK_MONOTONIC in ns when it was begun."""
    url = urllib.parse.urlsplit(broker_url)
    connection = http.client.HTTPConnection(url.hostname or "", url.port)
    connection.connect()
    headers = {"ce-specversion": "1.0", "ce-id": name, "ce-type": name, "ce-source": "/bench",
               "content-type": "application/json"}
    body = '"' + "x" * (load.EVENT_BYTES - 2) + '"'
    began = time.monotonic_ns()
    connection.request("POST", url.path, body, headers)
    status = connection.getresponse().status
    connection.close()
    if status != 202:
        raise SystemExit(f"the broker answered {status}")
    return began
