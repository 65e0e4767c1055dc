"""
A subscriber that only counts, in a process of its own, with as little HTTP as that takes: about 10 us an
event, most of it the kernel's. (On the data plane's own server it was 25 us, a seventh of what all spent.)

    POST /    one event: 202; its id is remembered, and its latency if it says when it was written
    GET /     {"count", "ids": {id: times}, "latency_ms": [..], "first_s", "last_s"}: CLOCK_MONOTONIC
    GET /count    how many have come: what is asked while they do
    DELETE /  forget everything
"""

import asyncio
import json
import sys
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass, field

import uvloop

from benchmarks.load import SENT

_SENT = f"\r\nce-{SENT}: ".encode()
_ID = b"\r\nce-id: "
_LENGTH = b"\r\ncontent-length: "
_ACCEPTED = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"


@dataclass
class Seen:
    """What has come."""

    count: int = 0
    ids: Counter[str] = field(default_factory=Counter)
    latency_ms: list[float] = field(default_factory=list)
    first_s: float = 0.0
    last_s: float = 0.0


class Sink(asyncio.Protocol):
    """One connection; it reads what our sender writes, and what urllib does."""

    seen = Seen()  # of all connections

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin."""
        self._transport = transport
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        """Take the whole requests in what has come."""
        rest = self._rest + data if self._rest else data
        while (end := rest.find(b"\r\n\r\n")) >= 0:
            head = rest[:end + 2]
            size = end + 4 + int(_value(head, _LENGTH) or 0)
            if len(rest) < size:
                break
            rest = rest[size:]
            self._answer(head)
        self._rest = rest

    def _answer(self, head: bytes) -> None:
        body = b""
        if head.startswith(b"POST"):
            self._count(head)
            self._transport.write(_ACCEPTED)
            return
        if head.startswith(b"GET /count"):
            body = b"%d" % Sink.seen.count
        elif head.startswith(b"GET"):
            body = json.dumps(vars(Sink.seen)).encode()
        else:
            Sink.seen = Seen()
        self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

    @staticmethod
    def _count(head: bytes) -> None:
        seen = Sink.seen
        seen.last_s = time.monotonic()
        seen.first_s = seen.first_s or seen.last_s
        seen.count += 1
        seen.ids[_value(head, _ID).decode()] += 1
        sent = _value(head, _SENT)
        if sent:
            seen.latency_ms.append(seen.last_s * 1000 - int(sent) / 1e6)


def _value(head: bytes, name: bytes) -> bytes:
    """Value of a header; b"" if it is not there."""
    at = head.find(name)
    return b"" if at < 0 else head[at + len(name):head.index(b"\r\n", at + len(name))]


def report(port: int) -> dict:
    """Ask the sink on *port* for what it has seen."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as answer:
        seen: dict = json.load(answer)
        return seen


def forget(port: int) -> None:
    """Let the sink on *port* begin anew."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/", method="DELETE")
    urllib.request.urlopen(request, timeout=30).close()


def wait_for(port: int, events: int, timeout_s: float, times: int = 1) -> dict:
    """Return the report once *events* different ones have come *times* each, or after *timeout_s*."""
    deadline = time.monotonic() + timeout_s
    while _count(port) < events * times and time.monotonic() < deadline:
        time.sleep(0.05)
    return report(port)


def _count(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/count", timeout=30) as answer:
        return int(answer.read())


def exactly(seen: dict, wanted: set[str], times: int = 1) -> str:
    """One word for the table: every wanted id so many times and no other, or what is wrong."""
    ids = seen["ids"]
    lost = {name for name in wanted if ids.get(name, 0) < times}
    twice = sum(max(0, seen_times - times) for seen_times in ids.values())
    strange = ids.keys() - wanted
    if lost or twice or strange:
        return f"[red]{len(lost)} lost, {twice} repeated, {len(strange)} strange[/]"
    return f"each of {len(wanted):,} {'once' if times == 1 else f'{times} times'}"


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", port, reuse_address=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
