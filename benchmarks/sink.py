"""
A subscriber that only counts: on the data plane's own server, in a process of its own (about 10 us an event).

    POST /    one event: 202; its id is remembered, and its latency if it says when it was written
    GET /     {"ids": {id: times}, "latency_ms": [..], "first_s", "last_s"}: CLOCK_MONOTONIC
    DELETE /  forget everything
"""

import asyncio
import json
import sys
import time
import urllib.request
from collections import Counter

import uvloop

from benchmarks.load import SENT
from eventing.http import server
from eventing.http.exchange import Exchange

_SENT = f"ce-{SENT}".encode()


class Sink:
    """Counts events by id."""

    def __init__(self) -> None:
        """Nothing has come."""
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self.ids: Counter[bytes] = Counter()
        self.latency_ms: list[float] = []
        self.first_s = self.last_s = 0.0

    def handle(self, exchange: Exchange) -> None:
        """Take one request."""
        if exchange.method == b"POST":
            exchange.collect(1 << 24, lambda _body: self._count(exchange))
        elif exchange.method == b"DELETE":
            self.forget()
            exchange.respond(204)
        else:
            ids = {name.decode(): times for name, times in self.ids.items()}
            exchange.respond(200, (), json.dumps({**vars(self), "ids": ids}).encode())

    def _count(self, exchange: Exchange) -> None:
        self.last_s = time.monotonic()
        self.first_s = self.first_s or self.last_s
        self.ids[exchange.header(b"ce-id") or b""] += 1
        sent = exchange.header(_SENT)
        if sent is not None:
            self.latency_ms.append(self.last_s * 1000 - int(sent) / 1e6)
        exchange.respond(202)


def report(port: int) -> dict:
    """Ask the sink on *port* for what it has seen."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as answer:
        seen: dict = json.load(answer)
        return seen


def forget(port: int) -> None:
    """Let the sink on *port* begin anew."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/", method="DELETE")
    urllib.request.urlopen(request, timeout=30).close()


def wait_for(port: int, events: int, timeout_s: float) -> dict:
    """Return the report once *events* different ones have come, or after *timeout_s*."""
    deadline = time.monotonic() + timeout_s
    while len((seen := report(port))["ids"]) < events and time.monotonic() < deadline:
        time.sleep(0.2)
    return seen


def exactly(seen: dict, wanted: set[str]) -> str:
    """One word for the table: every wanted id once and no other, or what is wrong."""
    ids = seen["ids"]
    lost = wanted - ids.keys()
    twice = sum(times - 1 for times in ids.values())
    strange = ids.keys() - wanted
    if lost or twice or strange:
        return f"[red]{len(lost)} lost, {twice} repeated, {len(strange)} strange[/]"
    return f"each of {len(wanted):,} once"


async def _serve(port: int) -> None:
    await server.serve(Sink().handle, port=port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
