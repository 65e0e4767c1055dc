"""
Turns: how a trigger's `concurrency` holds for all partitions of its broker, where these are more.

Each partition's owner keeps a part of the limit by itself (`Flow.share`), at least 1. Where that would be too
much in all, only so many partitions send at a time: those that have a turn, a lease in the store. So a value
of `concurrency-key` has its limit in all partitions together, too.

    lane has something to send -> ask, every POLL_S -> turn, in the order of asking
    lane with a turn           -> sends; asks every CHECK_S whether others wait
    others wait, QUANTUM_S     -> opens nothing more; what is open ends; the turn is given back
    nothing to send            -> the same; where nobody waits, after IDLE_S

A turn that is not kept ends after LIFE_S, by both clocks: a dispatcher that was killed, or stopped, leaves
nothing behind, and one that wakes sends nothing. Only triggers that need turns pay for them, while they have
something to send.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

import redis.asyncio
import redis.exceptions

from eventing import keys
from eventing.broker import functions
from eventing.broker.flow import Flow
from eventing.broker.lane import Lane
from eventing.broker.lease import LEASE_S

LIFE_S = LEASE_S
POLL_S = 0.02
CHECK_S = 0.1
QUANTUM_S = 0.2
IDLE_S = 1.0
_STORE_AWAY = (redis.exceptions.RedisError, OSError, TimeoutError)


@dataclass(slots=True)
class _Turn:
    """One that is had; times of `time.monotonic()`."""

    since: float
    check_at: float
    busy_at: float
    is_over: bool = False  # others wait: as soon as nothing is open it is given back


class Turns:
    """Turns of one partition's lanes. Methods raise what redis-py raises."""

    def __init__(self, store: redis.asyncio.Redis, name: str, busy: set[Lane]) -> None:
        """*name* is unique for this ownership of this partition; *busy*: all that have something queued."""
        self._store = store
        self._name = name
        self._busy = busy
        self._lanes: set[Lane] = set()  # that need turns
        self._has_lanes = asyncio.Event()
        self._had: dict[Lane, _Turn] = {}

    def __repr__(self) -> str:
        """Turns that are had."""
        return f"<Turns of {self._name} [{len(self._had)} had]>"

    def follow(self, lane: Lane, flow: Flow) -> None:
        """Let *lane* keep *flow*, and have turns if it needs them."""
        lane.follow(flow)
        if flow.turns is None:
            self.forget(lane)
        else:
            self._lanes.add(lane)
            self._has_lanes.set()

    def forget(self, lane: Lane) -> None:
        """*lane* needs no turns any more."""
        self._lanes.discard(lane)

    async def run(self, pump: Callable[[Lane], None]) -> None:
        """Take turns for ever; *pump* a lane that may send."""
        while True:
            await self._has_lanes.wait()
            await asyncio.sleep(POLL_S)
            with contextlib.suppress(*_STORE_AWAY):
                for lane in self._had.keys() | (self._lanes & self._busy):
                    if lane in self._lanes:
                        await self._attend(lane, pump)
                    else:
                        await self._give_back(lane)
            if not self._lanes and not self._had:
                self._has_lanes.clear()

    async def leave(self) -> None:
        """Give back all that are had; nothing is open any more."""
        for lane in tuple(self._had):
            await self._give_back(lane)

    async def _attend(self, lane: Lane, pump: Callable[[Lane], None]) -> None:
        turn, now = self._had.get(lane), time.monotonic()
        if turn is None:
            if lane.queue:
                await self._ask(lane, pump)
            return
        if lane.open_requests or (lane.queue and not turn.is_over):
            turn.busy_at = now
        elif turn.is_over or now - turn.busy_at >= IDLE_S:
            await self._give_back(lane)
            return
        if now >= turn.check_at:
            await self._check(lane, turn, now)

    async def _ask(self, lane: Lane, pump: Callable[[Lane], None]) -> None:
        asked = time.monotonic()
        is_had, _ = await self._call(lane, wanted=1)
        if is_had:
            self._had[lane] = _Turn(asked, asked + CHECK_S, asked)
            lane.turn_until = asked + LIFE_S
            pump(lane)

    async def _check(self, lane: Lane, turn: _Turn, now: float) -> None:
        """Keep the turn, and see whether others wait."""
        turn.check_at = now + CHECK_S
        is_had, others = await self._call(lane, wanted=1)
        if not is_had:  # it had ended, and is another's
            lane.turn_until = 0.0
            del self._had[lane]
            return
        turn.is_over = turn.is_over or bool(others and (now - turn.since >= QUANTUM_S or not lane.queue))
        lane.turn_until = 0.0 if turn.is_over else now + LIFE_S

    async def _give_back(self, lane: Lane) -> None:
        lane.turn_until = 0.0
        self._had.pop(lane, None)
        await self._call(lane, wanted=0)

    async def _call(self, lane: Lane, *, wanted: int) -> tuple[int, int]:
        """Whether the turn is had, and how many others wait."""
        is_had, others = await functions.call(
            self._store, "clarion_turn", [keys.turns(lane.uid)],
            [self._name, lane.flow.turns or 1, int(LIFE_S * 1000), wanted])
        return is_had, others
