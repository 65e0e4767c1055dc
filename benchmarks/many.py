"""Many triggers of which one matches, against one trigger alone: what the others cost, also while idle."""

import time

from benchmarks import instance, resources
from benchmarks.deliver import counting_sink, drive
from benchmarks.measure import Figure, show

_EVENTS = 20_000
_CONNECTIONS = 16
_TRIGGERS = (1_000, 10_000)
_GOAL = 0.9
_STEP = 1_000  # applied at once
_READY_S = 900.0
_SETTLE_S = 5.0
_WATCH_S = 10.0


def run(runs: int) -> None:
    """Measure with one trigger, and again with many beside it."""
    with counting_sink() as port, instance.up() as clarion:
        clarion.apply([resources.broker(), _trigger(0, port)])
        clarion.wait_all_ready("triggers", 1)
        drive(clarion, port, "warm-", _EVENTS // 5, _CONNECTIONS)
        one = Figure(f"1 trigger, {_CONNECTIONS} connections", "/s")
        _measure(one, clarion, port, runs)
        idle = Figure("1 trigger, idle, CPU of one core", "%")
        _watch(idle, clarion, runs)
        figures, made = [one, idle], 1
        for count in _TRIGGERS:
            for start in range(made, count, _STEP):
                clarion.apply([_trigger(number, port) for number in range(start, min(start + _STEP, count))])
            clarion.wait_all_ready("triggers", count, _READY_S)
            made = count
            many = Figure(f"1 of {count:,} triggers matches, {_CONNECTIONS} connections", "/s",
                          floor=one, goal=_GOAL)
            _measure(many, clarion, port, runs)
            resting = Figure(f"{count:,} triggers, idle, CPU of one core", "%", floor=idle)
            _watch(resting, clarion, runs)
            figures += [many, resting]
    show("Many triggers: POST to subscriber, 1 KiB events", figures)


def _measure(figure: Figure, clarion: instance.Instance, port: int, runs: int) -> None:
    for number in range(runs):
        per_s, figure.note = drive(clarion, port, f"{number}-", _EVENTS, _CONNECTIONS)
        figure.samples.append(per_s)


def _watch(figure: Figure, clarion: instance.Instance, runs: int) -> None:
    """CPU of all processes while nothing happens."""
    time.sleep(_SETTLE_S)
    for _ in range(runs):
        before = clarion.cpu_s()
        time.sleep(_WATCH_S)
        figure.samples.append((clarion.cpu_s() - before) / _WATCH_S * 100)


def _trigger(number: int, port: int) -> dict:
    """Make one of them; the one called 0 is the one that matches."""
    wants = f"other.{number}" if number else resources.TYPE
    return resources.trigger(f"trigger-{number}", wants=wants, uri=f"http://127.0.0.1:{port}/")
