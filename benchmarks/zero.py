"""A thousand functions at zero: no worker, what each takes in memory and where, and what they cost in CPU."""

import time
from collections import Counter
from pathlib import Path

from benchmarks import cold, instance, resources
from benchmarks.measure import Figure, show

_FUNCTIONS = 1_000
_SETTLE_S = 20.0  # what applying so many leaves to do is done by then
_WATCH_S = 20.0
_FOLDER = Path(__file__).with_name("functions")
_WORKERS = ("zero-",)  # what workers of these functions are called
_READY_S = 900.0


def run(runs: int) -> None:
    """Apply one function, weigh; apply a thousand, weigh again, and watch."""
    each = Figure(f"each of {_FUNCTIONS:,} functions at zero", "KB", goal=50, at_most=True)
    parts: dict[str, Figure] = {}
    workers = Figure("worker processes", "", goal=0, at_most=True)
    cpu = Figure("CPU of the serving role, autoscaler included", "% of a core", goal=1, at_most=True)
    for _ in range(runs):
        with instance.up() as clarion:
            clarion.apply([resources.zero_at_first()])
            before = _weigh(clarion, 1)
            after = _weigh(clarion, _FUNCTIONS + 1)
            for name in after:
                grown = (after[name] - before[name]) / _FUNCTIONS / 1e3
                parts.setdefault(name, Figure(f"  of it {name}", "KB")).samples.append(grown)
            each.samples.append((after.total() - before.total()) / _FUNCTIONS / 1e3)
            began_s = _cpu_s(clarion, "clarion-serving")
            time.sleep(_WATCH_S)
            cpu.samples.append((_cpu_s(clarion, "clarion-serving") - began_s) / _WATCH_S * 100)
            workers.samples.append(sum(name.startswith(_WORKERS) for name in _names(clarion).values()))
    parts = {name: part for name, part in parts.items() if part.median > 1}
    show(f"{_FUNCTIONS:,} functions at zero", [workers, each, *parts.values(), cpu])


def _weigh(clarion: instance.Instance, count: int) -> Counter[str]:
    """Memory by name of process, once there are *count* functions and they rest."""
    names = [f"zero-{n}" for n in range(count)]
    clarion.apply([resources.function(name, "mark", {"MARKS": "/dev/null"}) for name in names], _FOLDER)
    clarion.wait_all_ready("services", count, _READY_S)
    cold.assert_no_workers(clarion)
    time.sleep(_SETTLE_S)
    weights: Counter[str] = Counter()
    for pid, name in _names(clarion).items():
        weights[name] += instance.pss_of(pid)
    return weights


def _names(clarion: instance.Instance) -> dict[int, str]:
    """What its processes call themselves."""
    return {pid: instance.name_of(pid) for pid in clarion.processes()}


def _cpu_s(clarion: instance.Instance, name: str) -> float:
    """CPU that the process called *name* has used, in all its threads."""
    total_ns = 0
    for pid, known in _names(clarion).items():
        if known == name:
            total_ns += sum(int(thread.read_text().split()[0])
                            for thread in Path(f"/proc/{pid}/task").glob("*/schedstat"))
    return total_ns / 1e9
