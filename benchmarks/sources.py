"""What the benchmarks of sources share: the process that runs them, and what has come into the broker."""

import os
import time
from pathlib import Path

from benchmarks import instance
from eventing import keys
from eventing.broker.entry import decode

STREAM = keys.events("default/default", 0)
BROKER = {"ref": {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "name": "default"}}
AWAY = {"uri": "http://127.0.0.1:1"}  # a sink that is not there

_POLL_S = 0.2  # entries say when they came; looking must not take their time
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def role(clarion: instance.Instance) -> int:
    """Pid of the sources role."""
    (pid,) = (pid for pid in clarion.processes()
              if "clarion-source" in Path(f"/proc/{pid}/comm").read_text())
    return pid


def resident_mib(pid: int) -> float:
    """Memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def peak_mib(pid: int, seconds: float) -> float:
    """The most memory that a process had at some moment of the next *seconds*."""
    until, peak = time.monotonic() + seconds, 0.0
    while time.monotonic() < until:
        peak = max(peak, resident_mib(pid))
        time.sleep(_POLL_S)
    return peak


def cpu_s(pid: int) -> float:
    """CPU that a process has used."""
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / _TICKS_PER_S


def arrived(clarion: instance.Instance, count: int, timeout_s: float) -> tuple[int, int, str]:
    """
    Wait for *count* events in the stream of default/default.

    Returns:
        When the first and the last one came (Unix ms), and whether each is there once.
    """
    deadline = time.monotonic() + timeout_s
    with clarion.store() as store:
        while store.xlen(STREAM) < count and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        entries = store.xrange(STREAM)
    ids = [decode(fields).attributes["id"] for _, fields in entries]
    lost, repeated = count - len(set(ids)), len(ids) - len(set(ids))
    note = f"[red]{lost} lost, {repeated} repeated[/]" if lost or repeated else f"each of {count:,} once"
    first, last = (int(entry[0].partition(b"-")[0]) for entry in (entries[0], entries[-1]))
    return first, last, note
