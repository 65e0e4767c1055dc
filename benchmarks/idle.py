"""Doing nothing: how long `clarion up` takes, what it costs while idle, and what a function at zero adds."""

import time
from pathlib import Path

from benchmarks import cold, instance, resources
from benchmarks.measure import Figure, show

_SETTLE_S = 3.0
_WATCH_S = 10.0
_FUNCTIONS = 50
_FOLDER = Path(__file__).with_name("functions")


def run(runs: int) -> None:
    """Start, watch, add functions at zero, weigh again."""
    ready = Figure("clarion up -> ready", "s", goal=3, at_most=True)
    cpu = Figure("idle, CPU of one core", "%", goal=1, at_most=True)
    memory = Figure("idle, memory of all processes (PSS)", "MB", goal=120, at_most=True)
    each = Figure(f"each of {_FUNCTIONS} functions at zero", "KB", goal=100, at_most=True)
    for _ in range(runs):
        with instance.up() as clarion:
            ready.samples.append(clarion.ready_s)
            time.sleep(_SETTLE_S)
            before = clarion.cpu_s()
            time.sleep(_WATCH_S)
            cpu.samples.append((clarion.cpu_s() - before) / _WATCH_S * 100)
            memory.samples.append(clarion.pss_bytes() / 1e6)
            each.samples.append(_function_bytes(clarion) / 1e3)
    show("Doing nothing", [ready, cpu, memory, each])


def _function_bytes(clarion: instance.Instance) -> float:
    """Memory that one more function adds; the first one is not counted: it may start a zygote."""
    clarion.apply([resources.zero_at_first()])
    weights: list[float] = []
    for count in (1, _FUNCTIONS + 1):
        names = [f"zero-{n}" for n in range(count)]
        clarion.apply([resources.function(name, "mark", {"MARKS": "/dev/null"}) for name in names], _FOLDER)
        clarion.wait_all_ready("services", count)
        cold.assert_no_workers(clarion)
        time.sleep(_SETTLE_S)
        weights.append(clarion.pss_bytes())
    return (weights[1] - weights[0]) / _FUNCTIONS
