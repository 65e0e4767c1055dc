"""
What workers have used of this machine: processor and memory, of each and of all that it has started.

    who belongs to a worker    its cgroup; where it has none, its process group
    what they have used        /proc/PID/stat, summed; of children that have ended, too

Files are read and nothing else: whoever has a loop to keep free calls it in a thread. The fields of the file
are those of proc_pid_stat(5).
"""

import contextlib
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from serving.workers import pids
from serving.workers.backend import Usage

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
# Fields of the file after the command's name, which may hold anything but ends with the last parenthesis.
_GROUP, _TIMES, _RESIDENT = 2, slice(11, 15), 21


@dataclass(frozen=True)
class _Process:
    group: int
    cpu_s: float
    memory_bytes: int


def read(workers: Mapping[str, tuple[int, int]]) -> dict[str, Usage]:
    """What each of *workers*, name -> pid of its zygote and its own, has used; who has ended is left out."""
    members = {name: pids.members(*both) for name, both in workers.items()}
    groups = _groups() if None in members.values() else {}
    found = {}
    for name, (_, pid) in workers.items():
        own = members[name]
        processes = groups.get(pid, []) if own is None else list(_processes(own))
        if processes:
            found[name] = Usage(time.monotonic(), sum(each.cpu_s for each in processes),
                                sum(each.memory_bytes for each in processes))
    return found


def _groups() -> dict[int, list[_Process]]:
    """All processes of this machine, by their group."""
    groups = defaultdict(list)
    for each in _processes(int(place.name) for place in Path("/proc").glob("[0-9]*")):
        groups[each.group].append(each)
    return groups


def _processes(numbers: Iterable[int]) -> Iterable[_Process]:
    for pid in numbers:
        with contextlib.suppress(OSError, IndexError):  # it has ended meanwhile
            fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
            yield _Process(int(fields[_GROUP]), sum(map(int, fields[_TIMES])) * _TICK_S,
                           int(fields[_RESIDENT]) * _PAGE_BYTES)
