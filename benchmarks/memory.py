"""
Memory over a long run at a twentieth of U, with retention on: only by name, 10 minutes unless told otherwise.

The broker keeps 32 MiB, and its record of deliveries is bounded too. Looking begins when both are full, which
is after two and a half minutes at 2,000/s; what all processes weigh (PSS) from then on is to stay what it is.
The middle ones of the first and of the last quarter are compared: Valkey's rewrite of its log borrows memory
for a moment, again and again.
"""

import threading
import time

from benchmarks import floors, instance, load, resources, sink
from benchmarks.deliver import counting_sink
from benchmarks.measure import Figure, show

_SHARE_OF_U = 0.05
_FLOOR_EVENTS = 50_000
_WARM_EVENTS = 330_000  # 32 MiB are 25,000; the record is full after 262,144 (scripts/commit.lua)
_LOOK_S = 2.0
_PATIENCE_S = 60.0
_GOAL = 1.05


def run(duration_s: int) -> None:
    """Send for *duration_s*, and weigh all that time."""
    floor = floors.bare()
    floor.samples.append(floors.requests_per_s(_FLOOR_EVENTS))
    per_s = int(_SHARE_OF_U * floor.median)
    with counting_sink() as port, instance.up() as clarion:
        broker = resources.broker()
        broker["metadata"]["annotations"] = {"clarion.dev/retention": "32Mi"}
        clarion.apply([broker, resources.trigger("all", wants=resources.TYPE, uri=f"http://127.0.0.1:{port}/")])
        clarion.wait_all_ready("triggers", 1)
        sink.forget(port)
        events = _WARM_EVENTS + per_s * duration_s
        looks = _weighed_while(clarion, events, per_s)
        seen = sink.wait_for(port, events, _PATIENCE_S)
    quarter = max(1, len(looks) // 4)
    first = Figure(f"PSS of all processes, first quarter of {duration_s} s", "MB", looks[:quarter])
    last = Figure("  last quarter", "MB", looks[-quarter:], floor=first, goal=_GOAL, at_most=True)
    last.note = sink.exactly(seen, {f"open-{number}" for number in range(1, events + 1)})
    whole = Figure("  the highest of all looks", "MB", [max(looks)])
    rate = Figure("sent", "/s", [per_s], floor=floor)
    show("Memory at a steady rate, the broker keeping 32 MiB", [floor, rate, first, last, whole])


def _weighed_while(clarion: instance.Instance, events: int, per_s: int) -> list[float]:
    """Send *events*, and return what was weighed meanwhile but for the beginning, MB."""
    sending = threading.Thread(target=load.open_loop, args=(clarion.broker_url, events, per_s))
    sending.start()
    began = time.monotonic()
    looks: list[float] = []
    while sending.is_alive():
        time.sleep(_LOOK_S)
        if time.monotonic() - began > _WARM_EVENTS / per_s:
            looks.append(clarion.pss_bytes() / 1e6)
    return looks
