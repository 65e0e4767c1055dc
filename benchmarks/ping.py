"""10,000 PingSources that fire in the same second: when all are on disk, and what they cost in between."""

import http.client
import json
import time

from benchmarks import ingest, instance, resources, sources
from benchmarks.measure import Figure, show

_SOURCES = 10_000
_EVERY_S = 20  # all of them
_GOAL_S = 2.0
_IDLE_PERCENT = 1.0
_QUIET_S = 5.0  # after a tick and before the next nothing is measured
_LATEST_S = 15.0
_PATH = "/apis/sources.knative.dev/v1/namespaces/default/pingsources"


def run(runs: int) -> None:
    """Make them once, and watch as many ticks as there are runs."""
    accepted = Figure(f"{_SOURCES:,} PingSources, tick -> last event on disk", "s", goal=_GOAL_S,
                      at_most=True)
    idle = Figure("between ticks, CPU of the sources role", "%", goal=_IDLE_PERCENT, at_most=True)
    memory = Figure("each, memory of the sources role", "KB")
    with instance.up() as clarion:
        clarion.apply([resources.broker()])
        clarion.wait_all_ready("brokers", 1)
        role = sources.role(clarion)
        before_mib = sources.resident_mib(role)
        _make(clarion)
        clarion.wait_all_ready("pingsources", _SOURCES)
        memory.samples.append((sources.resident_mib(role) - before_mib) * 1024 / _SOURCES)
        _until(_next_tick() + _QUIET_S)  # those that were ready first have fired before
        for _ in range(runs):
            idle.samples.append(_idle_percent(role))
            seconds, accepted.note = _tick(clarion)
            accepted.samples.append(seconds)
    show("PingSource: many at once", [accepted, idle, memory])


def _make(clarion: instance.Instance) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", clarion.state["control_port"])
    for number in range(_SOURCES):
        tick = {"apiVersion": "sources.knative.dev/v1", "kind": "PingSource",
                "metadata": {"name": f"tick-{number}"},
                "spec": {"schedule": f"*/{_EVERY_S} * * * * *", "data": "tick", "sink": sources.BROKER}}
        connection.request("POST", _PATH, json.dumps(tick), {"content-type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 201:
            raise SystemExit(f"PingSource {number}: {text.decode()}")


def _next_tick() -> int:
    return (int(time.time()) // _EVERY_S + 1) * _EVERY_S


def _until(when: float) -> None:
    time.sleep(max(0.0, when - time.time()))


def _idle_percent(role: int) -> float:
    """CPU of a process from now until shortly before the next tick."""
    began, before_s = time.monotonic(), sources.cpu_s(role)
    _until(_next_tick() - _QUIET_S)
    return (sources.cpu_s(role) - before_s) / (time.monotonic() - began) * 100


def _tick(clarion: instance.Instance) -> tuple[float, str]:
    """Seconds from the next tick until its last event was on disk, and whether each is there once."""
    ingest.empty(clarion)
    tick = _next_tick()
    _until(tick + _GOAL_S)
    _, last_ms, note = sources.arrived(clarion, _SOURCES, _LATEST_S)
    return last_ms / 1000 - tick, note
