"""
Memory over a long run at a twentieth of U, with retention on: only by name, 10 minutes unless told otherwise.

The broker keeps 32 MiB, and its record of deliveries is bounded too. Looking begins when both are full, which
is after some three minutes at 1,800/s; what all processes weigh (PSS) from then on is to stay what it is.
The middle ones of the first and of the last quarter are compared: Valkey's rewrite of its log borrows memory
for a moment, again and again. A line every half minute says how it goes.
"""

import threading
import time

from benchmarks import floors, instance, load, resources, sink
from benchmarks.deliver import counting_sink
from benchmarks.measure import Figure, console, show
from eventing import keys

_SHARE_OF_U = 0.05
_FLOOR_EVENTS = 50_000
_RECORDS = 8_192  # entries in which the record of deliveries is full (scripts/commit.lua)
_LOOK_S = 2.0
_TELL_S = 30.0
_PATIENCE_S = 60.0
_GOAL = 1.05


def run(duration_s: int) -> None:
    """Send for *duration_s*, and weigh from when what is bounded is full."""
    floor = floors.bare()
    floor.samples.append(floors.requests_per_s(_FLOOR_EVENTS))
    per_s = int(_SHARE_OF_U * floor.median)
    events = per_s * duration_s
    with counting_sink() as port, instance.up() as clarion:
        broker = resources.broker()
        broker["metadata"]["annotations"] = {"clarion.dev/retention": "32Mi"}
        clarion.apply([broker, resources.trigger("all", wants=resources.TYPE, uri=f"http://127.0.0.1:{port}/")])
        clarion.wait_all_ready("triggers", 1)
        sink.forget(port)
        looks = _weighed_while(clarion, events, per_s)
        seen = sink.wait_for(port, events, _PATIENCE_S)
    if not looks:
        raise SystemExit(f"nothing was full after {duration_s} s at {per_s}/s: name a longer --duration")
    quarter = max(1, len(looks) // 4)
    span_s = len(looks) * _LOOK_S
    first = Figure(f"PSS of all processes, first quarter of {span_s:.0f} s", "MB", looks[:quarter])
    last = Figure("  last quarter", "MB", looks[-quarter:], floor=first, goal=_GOAL, at_most=True)
    last.note = sink.exactly(seen, {f"open-{number}" for number in range(1, events + 1)})
    whole = Figure("  the highest of all looks", "MB", [max(looks)])
    rate = Figure("sent", "/s", [per_s], floor=floor)
    show("Memory at a steady rate, the broker keeping 32 MiB", [floor, rate, first, last, whole])


def _weighed_while(clarion: instance.Instance, events: int, per_s: int) -> list[float]:
    """Send *events*, and return what was weighed meanwhile but for the beginning, MB."""
    sending = threading.Thread(target=load.open_loop, args=(clarion.broker_url, events, per_s))
    sending.start()
    began = told = time.monotonic()
    looks: list[float] = []
    while sending.is_alive():
        sending.join(_LOOK_S)
        full = looks or _is_full(clarion)
        weighed = clarion.pss_bytes() / 1e6
        if full:
            looks.append(weighed)
        if time.monotonic() - told >= _TELL_S:
            told = time.monotonic()
            console.print(f"{told - began:4.0f} s: {weighed:.0f} MB{'' if full else ', filling'}")
    return looks


def _is_full(clarion: instance.Instance) -> bool:
    """Whether the record of deliveries has all that it may have, and the broker has had to remove events."""
    with clarion.store() as store:
        stream = store.xinfo_stream(keys.events("default/default", 0))
        has_removed = stream["entries-added"] > stream["length"]
        return has_removed and store.xlen(keys.records("default/default", 0)) >= _RECORDS
