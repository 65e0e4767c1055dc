"""
Cold start: from the POST at the broker to the first line of a function that has no worker, against F.

Each sample has a function of its own, so none can be warm; before the first event it is asserted that no
revision has a worker. A sample of F is taken before each, after the same pause. F in a tight loop, with every
cache warm, is about half of that; it is shown, and compared to nothing.
"""

import http.client
import time
import urllib.parse
from pathlib import Path

from benchmarks import floors, instance, load, resources
from benchmarks.measure import Figure, quantile, show

_FUNCTIONS = 40
_GOALS = {0.5: 3.0, 0.95: 5.0}
_PAUSE_S = 0.2  # between samples: what one start leaves behind does not belong to the next
_PATIENCE_S = 30.0
_FOLDER = Path(__file__).with_name("functions")


def run(runs: int) -> None:
    """Start every function once, in each of several instances."""
    floor = {share: Figure(f"F, bare fork that answers, p{share * 100:g}", "ms") for share in _GOALS}
    here = {share: Figure(f"POST -> first line of the function, p{share * 100:g}", "ms", floor=floor[share],
                          goal=goal, at_most=True) for share, goal in _GOALS.items()}
    tight = Figure("F in a tight loop, p50", "ms")
    for _ in range(runs):
        taken, bare, exact = _once()
        with floors.forks() as fork_ms:
            tight.samples.append(quantile([fork_ms() for _ in range(_FUNCTIONS)], 0.5))
        for share, figure in here.items():
            floor[share].samples.append(quantile(bare, share))
            figure.samples.append(quantile(taken, share))
            figure.note = exact
    show(f"Cold start: {_FUNCTIONS} functions at zero a run", [tight, *floor.values(), *here.values()])


def _once() -> tuple[list[float], list[float], str]:
    with instance.up() as clarion, floors.forks() as fork_ms:
        marks = clarion.data_dir / "marks"
        marks.touch()
        names = [f"cold-{n}" for n in range(_FUNCTIONS)]
        clarion.apply([resources.zero_at_first(), resources.broker()])
        clarion.apply([resources.function(name, "mark", {"MARKS": str(marks)}) for name in names], _FOLDER)
        clarion.apply([resources.trigger(name, wants=name, service=name) for name in names])
        clarion.wait_all_ready("services", _FUNCTIONS)
        clarion.wait_all_ready("triggers", _FUNCTIONS)
        assert_no_workers(clarion)
        taken, bare = [], []
        for name in names:
            time.sleep(_PAUSE_S)
            bare.append(fork_ms())
            time.sleep(_PAUSE_S)
            taken.append(_start(clarion, marks, name))
        came = [line.split()[0] for line in marks.read_text().splitlines()]
    exact = f"each of {_FUNCTIONS} once" if sorted(came) == sorted(names) else f"[red]{came}[/]"
    return taken, bare, exact


def assert_no_workers(clarion: instance.Instance) -> None:
    """Return once no revision has a worker; ends the benchmark if that never comes."""
    deadline = time.monotonic() + _PATIENCE_S * 4
    while workers := [revision["metadata"]["name"] for revision in clarion.resources("revisions")
                      if revision.get("status", {}).get("actualReplicas")]:
        if time.monotonic() > deadline:
            raise SystemExit(f"not at zero: {workers}")
        time.sleep(0.5)


def _start(clarion: instance.Instance, marks: Path, name: str) -> float:
    """Send one event and wait for the function's mark; returns milliseconds."""
    url = urllib.parse.urlsplit(clarion.broker_url)
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
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        for line in marks.read_text().splitlines():
            if line.startswith(f"{name} "):
                return (int(line.split()[1]) - began) / 1e6
        time.sleep(0.002)
    raise SystemExit(f"{name} did not start in {_PATIENCE_S} s")
