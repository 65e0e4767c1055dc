"""CPU an event: what the ingress, the dispatcher and Valkey burn for one, against bare uvicorn's request."""

from pathlib import Path

from benchmarks import floors, instance, resources
from benchmarks.deliver import counting_sink, drive
from benchmarks.measure import Figure, show

_EVENTS = 50_000
_GOAL = 10.0
_CONNECTIONS = (16, 64)
# As the kernel knows them: 15 characters.
_ROLES = {"ingress": "clarion-ingress", "dispatcher": "clarion-dispatc", "Valkey": "valkey-server"}


def run(runs: int) -> None:
    """Send events through one trigger, and look at the processes' clocks before and after."""
    figures: list[Figure] = []
    with counting_sink() as port, instance.up() as clarion:
        clarion.apply([resources.broker(), resources.trigger(
            "wanted", wants=resources.TYPE, uri=f"http://127.0.0.1:{port}/")])
        clarion.wait_all_ready("triggers", 1)
        drive(clarion, port, "warm-", _EVENTS // 10, _CONNECTIONS[0])
        for connections in _CONNECTIONS:
            floor = Figure(f"U's CPU a request, {connections} connections", "us")
            total = Figure(f"CPU an event through 1 trigger, {connections} connections", "us",
                           floor=floor, goal=_GOAL, at_most=True)
            parts = {role: Figure(f"  of it {role}", "us") for role in _ROLES}
            for number in range(runs):
                floor.samples.append(floors.cpu_us(_EVENTS, connections))
                before = _used_s(clarion)
                _, total.note = drive(clarion, port, f"{connections}-{number}-", _EVENTS, connections)
                after = _used_s(clarion)
                for role, part in parts.items():
                    part.samples.append((after[role] - before[role]) / _EVENTS * 1e6)
                total.samples.append(sum(part.samples[-1] for part in parts.values()))
            figures += [floor, total, *parts.values()]
    show("CPU, user and system, of 1 KiB events on disk in between", figures)


def _used_s(clarion: instance.Instance) -> dict[str, float]:
    """CPU that each role's process has used."""
    pids = {Path(f"/proc/{pid}/comm").read_text().strip(): pid for pid in clarion.processes()}
    return {role: floors.cpu_s(pids[name]) for role, name in _ROLES.items()}
