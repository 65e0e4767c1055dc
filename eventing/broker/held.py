"""
Events that are held until they are due: the owner of their partition moves them to the end of its stream.

Where they are held they survive restarts, and hold up nobody: neither the floor nor retention knows of them.
From the move on an event is like one that has just arrived. It is never moved before it is due by the store's
clock, and up to a second after, when it was accepted less than a second before.

This module knows neither triggers nor what made an event wait (arrival.py).
"""

import asyncio
import time

import redis.asyncio
import redis.exceptions

from eventing import keys
from eventing.broker import functions

_LOOK_S = 1.0  # an event that arrives meanwhile and is due sooner is that late
_MOVE_EVENTS = 200  # moving that many takes the store about 2 ms; of the largest, 200 MiB
_AWAY_S = 0.2  # the store restarts in about 50 ms
_STORE_AWAY = (redis.exceptions.RedisError, OSError, TimeoutError)


async def release(store: redis.asyncio.Redis, broker: str, partition: int) -> None:
    """Move what is due, for ever; a store that is away is asked again."""
    while True:
        try:
            moved, next_due = await functions.call(
                store, "clarion_release_held", [keys.partition_tag(broker, partition)], [_MOVE_EVENTS])
        except _STORE_AWAY:
            await asyncio.sleep(_AWAY_S)
            continue
        if moved < _MOVE_EVENTS:
            wait_s = float(next_due) / 1000 - time.time() if next_due else _LOOK_S
            # The store's milliseconds end before ours: a little later it is due for both.
            await asyncio.sleep(min(_LOOK_S, max(0.001, wait_s + 0.001)))
