"""
What every role process is given: its settings, the store, its metrics, and the word to stop.

A role is one coroutine, `async def run(runtime: Runtime) -> None`. It calls `runtime.ready()` once it
serves; when `runtime.stopping` is set it takes nothing new, finishes what is in flight within
`config.drain_s` and returns. It is cancelled if it does not. What a role raises ends its process, and
the supervisor starts another.
"""

import asyncio
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import redis.asyncio
from prometheus_client import CollectorRegistry

from eventing.config import Config

# Long enough for a task to end, short enough that nobody notices one that has to be told twice.
_END_S = 0.1


async def end(tasks: Iterable[asyncio.Task[None]]) -> None:
    """
    Cancel *tasks* until they have ended.

    Once is not enough on Python 3.11 for what waits in a library, as RabbitMQ's: `asyncio.wait_for` forgets a
    cancellation that comes when what it waits for has just been done (CPython issue 86296, mended in 3.12).
    Of the store's commands none does (cancellation.py).
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_END_S)


@dataclass(kw_only=True)
class Runtime:
    """The surroundings of one role process."""

    config: Config
    store: redis.asyncio.Redis
    metrics: CollectorRegistry
    index: int = 0  # which of several processes of this role
    # Listening sockets that the supervisor holds, so that a restart refuses no connection: "data", "control".
    sockets: Mapping[str, socket.socket] = field(default_factory=dict)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    is_ready: bool = False
    # One line for /readyz when the role is not well although it runs; empty when it is.
    complaint: str = ""

    def ready(self) -> None:
        """Say that this role serves now."""
        self.is_ready = True
