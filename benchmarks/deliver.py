"""Through a trigger: events/s from POST to a cheap HTTP sink against U, latency at 1,000/s against L."""

import contextlib
import sys
from collections.abc import Iterator

from benchmarks import floors, ingest, instance, load, resources, sink
from benchmarks.measure import Figure, quantile, show

_EVENTS = 20_000
_GOALS = {16: 0.28, 64: 0.5}
_FANOUT = 10
_FANOUT_EVENTS = 5_000
_FANOUT_GOAL = 0.3
_OPEN_EVENTS = 10_000
_OPEN_PER_S = 1_000
_LATENCY_GOALS = {0.5: None, 0.99: 3.0}  # the middle one is an fsync and five processes against one
_PATIENCE_S = 60.0


def run(runs: int) -> None:
    """One trigger; latency at a steady rate; ten triggers that all match."""
    figures: list[Figure] = []
    with counting_sink() as port, instance.up() as clarion:
        wanted = resources.trigger("wanted", wants=resources.TYPE, uri=f"http://127.0.0.1:{port}/")
        clarion.apply([resources.broker(), wanted])
        clarion.wait_all_ready("triggers", 1)
        drive(clarion, port, "warm-", _EVENTS // 5, 16)
        one = {connections: Figure(f"through 1 trigger, {connections} connections", "/s", goal=goal)
               for connections, goal in _GOALS.items()}
        for connections, figure in one.items():
            figure.floor = floors.bare()
            for number in range(runs):
                figure.floor.samples.append(floors.requests_per_s(_EVENTS))
                _sample(figure, clarion, port, f"{connections}-{number}-", connections)
            figures += [figure.floor, figure]
        figures += _latency(clarion, port, runs)
        figures += _fanout(clarion, port, runs)
    show("From POST to subscriber: 1 KiB events, on disk in between", figures)


@contextlib.contextmanager
def counting_sink() -> Iterator[int]:
    """Yield the port of a sink in a process of its own."""
    port = floors.free_port()
    with floors.running([sys.executable, "-m", "benchmarks.sink", str(port)], port):
        yield port


def drive(
    clarion: instance.Instance, port: int, prefix: str, events: int, connections: int, *, times: int = 1
) -> tuple[float, str]:
    """Send and wait until the sink has all, *times* each; returns delivered/s and whether that is exact."""
    ingest.empty(clarion)
    sink.forget(port)
    done = load.closed_loop(clarion.broker_url, prefix, events, connections)
    seen = sink.wait_for(port, events, _PATIENCE_S, times)
    exact = sink.exactly(seen, {f"{prefix}{n}" for n in range(1, events + 1)}, times)
    return events * times / (seen["last_s"] - done.began_s), exact


def _fanout(clarion: instance.Instance, port: int, runs: int) -> list[Figure]:
    """Deliveries/s when every event goes to ten triggers; nine join the one that is there."""
    clarion.apply([resources.trigger(f"also-{n}", wants=resources.TYPE, uri=f"http://127.0.0.1:{port}/")
                   for n in range(1, _FANOUT)])
    clarion.wait_all_ready("triggers", _FANOUT)
    figure = Figure(f"deliveries to {_FANOUT} matching triggers, 16 connections", "/s",
                    floor=floors.bare(), goal=_FANOUT_GOAL)
    for number in range(runs):
        figure.floor.samples.append(floors.requests_per_s(_EVENTS))  # type: ignore[union-attr]
        per_s, figure.note = drive(clarion, port, f"all-{number}-", _FANOUT_EVENTS, 16, times=_FANOUT)
        figure.samples.append(per_s)
    return [figure]


def _sample(figure: Figure, clarion: instance.Instance, port: int, prefix: str, connections: int) -> None:
    per_s, figure.note = drive(clarion, port, prefix, _EVENTS, connections)
    figure.samples.append(per_s)


def _latency(clarion: instance.Instance, port: int, runs: int) -> list[Figure]:
    """End to end at a steady rate, against the bare app's latency at the same rate."""
    floor = {share: Figure(f"L, bare uvicorn at {_OPEN_PER_S:,}/s, p{share * 100:g}", "ms")
             for share in _LATENCY_GOALS}
    here = {share: Figure(f"event written -> at the sink, {_OPEN_PER_S:,}/s, p{share * 100:g}", "ms",
                          floor=floor[share], goal=goal, at_most=True)
            for share, goal in _LATENCY_GOALS.items()}
    late = Figure("  the generator's own lateness, p99", "ms")
    for _ in range(runs):
        bare = floors.latency_ms(_OPEN_EVENTS, _OPEN_PER_S)
        ingest.empty(clarion)
        sink.forget(port)
        sent = load.open_loop(clarion.broker_url, _OPEN_EVENTS, _OPEN_PER_S)
        seen = sink.wait_for(port, _OPEN_EVENTS, _PATIENCE_S)
        late.samples.append(quantile(sent.late_ms, 0.99))
        for share, figure in here.items():
            floor[share].samples.append(quantile(bare, share))
            figure.samples.append(quantile(seen["latency_ms"], share))
            figure.note = sink.exactly(seen, {f"open-{n}" for n in range(1, _OPEN_EVENTS + 1)})
    return [*floor.values(), *here.values(), late]


