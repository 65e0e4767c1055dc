"""
Succession: when an ordered trigger may begin in a partition that was added.

Partitions grow to a multiple, so what a new one gets would have gone to exactly one of those that there were
before, at each of the times that some were added. Until that one has delivered to the trigger what came up to
then, the trigger's lane in the new one is barred: its events wait, in memory and in the backlog.

    1 -> 2 at A -> 4 at B      lane of partition 3: waits for 0, up to A, and for 1, up to B

A while is added, since an ingress that has not heard of the new partitions yet goes on appending to the old
ones. What has been settled once stays so; a new owner looks again, which takes it a call. Triggers that are
not ordered, and partitions that were there from the start, never wait.
"""

import asyncio
import contextlib
from collections.abc import Callable

import redis.asyncio
import redis.exceptions
import structlog

from eventing import keys
from eventing.broker import functions
from eventing.broker.lane import Lane

LATE_MS = 2000  # an ingress hears of new partitions within milliseconds, unless its store is away
_LOOK_S = 0.25
_STORE_AWAY = (redis.exceptions.RedisError, OSError, TimeoutError)

log = structlog.get_logger(__name__)

Growths = tuple[tuple[int, int], ...]


def predecessors(partition: int, growths: Growths) -> frozenset[tuple[int, int]]:
    """
    Which partitions had the keys of *partition* before, each with the Unix ms up to which.

    Args:
        partition: its number.
        growths: how many there were, until which Unix ms.
    """
    return frozenset((partition % before, when_ms) for before, when_ms in growths if before <= partition)


class Succession:
    """Lanes of one partition that wait for others'. Methods raise what redis-py raises."""

    def __init__(self, store: redis.asyncio.Redis, broker: str, partition: int) -> None:
        """Of *partition* of *broker*."""
        self._store = store
        self._broker = broker
        self._partition = partition
        self._left: dict[Lane, set[tuple[int, int]]] = {}  # what each lane that is barred waits for
        self._begun: set[str] = set()  # uids of triggers that waited
        self._told: set[Lane] = set()  # of those that wait, the ones that have been told of
        self._has_lanes = asyncio.Event()

    def __repr__(self) -> str:
        """Count of lanes."""
        return f"<Succession of {self._broker}/{self._partition} [{len(self._left)} lanes wait]>"

    def follow(self, lane: Lane, growths: Growths) -> None:
        """Bar *lane* if it is ordered and others had its keys; let it go on if it is ordered no more."""
        if not growths or lane.uid in self._begun or (lane in self._left and lane.flow.is_ordered):
            return
        before = predecessors(self._partition, growths) if lane.flow.is_ordered else frozenset()
        lane.is_barred = bool(before)
        if before:
            self._left[lane] = set(before)
            self._has_lanes.set()
        else:
            self._left.pop(lane, None)

    async def run(self, pump: Callable[[Lane], None]) -> None:
        """Let lanes begin, for ever; *pump* one that may."""
        while True:
            await self._has_lanes.wait()
            with contextlib.suppress(*_STORE_AWAY):
                await self._look(pump)
            if not self._left:
                self._has_lanes.clear()
            else:
                await asyncio.sleep(_LOOK_S)

    async def _look(self, pump: Callable[[Lane], None]) -> None:
        for number, when_ms in sorted({each for left in self._left.values() for each in left}):
            lanes = {lane.uid: lane for lane, left in self._left.items() if (number, when_ms) in left}
            settled = await functions.call(
                self._store, "clarion_settled", [keys.partition_tag(self._broker, number)],
                [when_ms + LATE_MS, *lanes])
            for uid in settled:
                self._left.get(lanes[uid.decode()], set()).discard((number, when_ms))
        for lane in [lane for lane, left in self._left.items() if lane.is_gone or not left]:
            if not self._left.pop(lane):
                self._begun.add(lane.uid)
                lane.is_barred = False
                pump(lane)
        for lane in self._left.keys() - self._told:
            log.info("ordered trigger waits: partitions were added, and events from before are left",
                     trigger=lane.name, partition=f"{self._broker}/{self._partition}")
        self._told = set(self._left)
