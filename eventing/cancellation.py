"""
A task that is cancelled while it waits for the store ends.

On Python 3.11 `asyncio.wait_for`, within which redis-py writes each command, loses a cancellation that comes
as the command has just been written. A loop that only awaits the store would go on for ever.
"""

import asyncio
from typing import Any

import redis.asyncio
from redis.asyncio.connection import AbstractConnection


class _Heeding(AbstractConnection):
    """A connection that raises what `wait_for` lost."""

    async def send_packed_command(self, *arguments: Any, **options: Any) -> None:
        task = asyncio.current_task()
        # A task that cleans up has been cancelled before, and may go on.
        asked = task.cancelling() if task else 0
        await super().send_packed_command(*arguments, **options)
        if task and task.cancelling() > asked:
            await self.disconnect(nowait=True)  # its answer would be taken for that of the next command
            raise asyncio.CancelledError


def heeding(client: "redis.asyncio.Redis") -> "redis.asyncio.Redis":
    """*client*, which has not connected yet, so made that none of its commands loses a cancellation."""
    pool = client.connection_pool
    pool.connection_class = type("Heeding", (_Heeding, pool.connection_class), {})
    return client
