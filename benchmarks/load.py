"""
The two generators. Neither is to be what is measured, so each is a process of its own.

    closed_loop   wrk with events.lua: as fast as N connections allow. About 5 us of CPU a request
    open_loop     our own client protocol, so many events a second whatever becomes of them

The open loop sends on a 1 ms grid; latency counts from the moment an event is written, and how late that was
is reported beside it.
"""

import asyncio
import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from eventing.http.client import Client, ClientLimits, NoAnswer

EVENT_BYTES = 1024
SENT = "sentns"  # extension: CLOCK_MONOTONIC in ns when the event was written, for a sink on this machine
_LUA = Path(__file__).with_name("events.lua")
_LONGEST_S = 120
_TIMEOUT_S = 10.0
_BODY = b'"' + b"x" * (EVENT_BYTES - 2) + b'"'


@dataclass
class Closed:
    """What wrk did."""

    events: int
    began_s: float  # CLOCK_MONOTONIC
    seconds: float
    cpu_us: float  # what wrk itself used, an event

    @property
    def per_s(self) -> float:
        """Events answered a second."""
        return self.events / self.seconds


@dataclass
class Open:
    """What the open loop saw."""

    latency_ms: list[float] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)
    refused: int = 0


def closed_loop(
    url: str, prefix: str, events: int, connections: int, *, batch: int = 1, host: str | None = None
) -> Closed:
    """
    Send *events* whose ids are *prefix* and a number from 1, and wait for every answer.

    *batch* events go in a request, if more than one; *events* is a multiple of it. *host* is what the Host
    header says, where that is not the URL's.
    """
    named = [] if host is None else ["-H", f"Host: {host}"]
    command = ["wrk", *named, "-t1", f"-c{connections}", f"-d{_LONGEST_S}", "--timeout", str(_LONGEST_S),
               "-s", str(_LUA), url, "--", prefix, str(events), str(EVENT_BYTES), str(connections),
               str(batch)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    last = done.stdout.strip().splitlines()[-1:] or [""]
    if not last[0].startswith("{"):
        raise SystemExit(f"wrk did not finish in {_LONGEST_S} s:\n{done.stdout}{done.stderr}")
    return Closed(**json.loads(last[0]), cpu_us=cpu_s / events * 1e6)


def open_loop(url: str, events: int, per_s: int) -> Open:
    """Send *events* at *per_s*; ids are `open-` and a number from 1."""
    command = [sys.executable, "-m", "benchmarks.load", url, str(events), str(per_s)]
    return Open(**json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))


async def _send(client: Client, url: str, number: int, due: float, seen: Open) -> None:
    written = time.monotonic()
    headers = [(b"content-type", b"application/json"), (b"ce-specversion", b"1.0"), (b"ce-type", b"bench"),
               (b"ce-source", b"/bench"), (b"ce-id", b"open-%d" % number),
               (f"ce-{SENT}".encode(), b"%d" % int(written * 1e9))]
    try:
        answer = await client.request("POST", url, headers, _BODY,
                                      timeout_s=_TIMEOUT_S, max_answer_bytes=10_000)
    except NoAnswer:
        seen.refused += 1
        return
    seen.late_ms.append((written - due) * 1000)
    if answer.status == 202:
        seen.latency_ms.append((time.monotonic() - written) * 1000)
    else:
        seen.refused += 1


async def _open_loop(url: str, events: int, per_s: int) -> Open:
    client = Client(limits=ClientLimits(), dial=None)
    seen = Open()
    began = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        sent = 0
        while sent < events:
            now = time.monotonic()
            while sent < events and began + sent / per_s <= now:
                sent += 1
                tasks.create_task(_send(client, url, sent, began + (sent - 1) / per_s, seen))
            await asyncio.sleep(max(0.0, began + sent / per_s - time.monotonic()))
    await client.close()
    return seen


if __name__ == "__main__":
    import uvloop
    seen = uvloop.run(_open_loop(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
    # Not print: where Python is told not to buffer, a pipe may take a part of so much, and the rest is lost.
    with open(1, "w", encoding="utf-8", closefd=False) as out:
        json.dump(vars(seen), out)
