"""Doing nothing: how long `clarion up` takes, and what it costs while idle. Functions at zero: zero.py."""

import time

from benchmarks import instance
from benchmarks.measure import Figure, show

_SETTLE_S = 3.0
_WATCH_S = 10.0


def run(runs: int) -> None:
    """Start, watch, weigh."""
    ready = Figure("clarion up -> ready", "s", goal=3, at_most=True)
    cpu = Figure("idle, CPU of one core", "%", goal=1, at_most=True)
    memory = Figure("idle, memory of all processes (PSS)", "MB", goal=120, at_most=True)
    for _ in range(runs):
        with instance.up() as clarion:
            ready.samples.append(clarion.ready_s)
            time.sleep(_SETTLE_S)
            before = clarion.cpu_s()
            time.sleep(_WATCH_S)
            cpu.samples.append((clarion.cpu_s() - before) / _WATCH_S * 100)
            memory.samples.append(clarion.pss_bytes() / 1e6)
    show("Doing nothing", [ready, cpu, memory])
