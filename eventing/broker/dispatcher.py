"""
The dispatcher: owns its share of all partitions, and keeps each of them supplied with triggers.

    projections brokers, triggers --> partitions that are mine --> lanes
    registry of living dispatchers ------^                         |
    projection lanes: "that generation is matched here"  <---------+

A trigger is Ready only when every partition's owner has said so in `lanes`; from then on it misses nothing. A
new owner reads the table of triggers itself before its first entry: what a follower knows may be older
than what an earlier owner promised.

Deleting a trigger removes its backlog, retries and dead letters; deleting a broker removes its partitions.
At the end: nothing new is read, what is open may finish, the last commit, leases released, and gone.
"""

import asyncio
import contextlib
import gc
import os
import secrets
import socket
import time
from collections.abc import Iterable

import redis.exceptions
import structlog

from eventing import projection
from eventing.broker import gateway, wellbeing
from eventing.broker.acknowledgements import Acknowledgements
from eventing.broker.entry import partition_of
from eventing.broker.eventtypes import EventTypes
from eventing.broker.failures import Failure
from eventing.broker.group import OnStored
from eventing.broker.lane import Budget, Lane
from eventing.broker.lane_metrics import LaneMetrics
from eventing.broker.lease import HEARTBEAT_S, Fenced, Lease, living, owners
from eventing.broker.partition import Partition
from eventing.broker.sender import Sender
from eventing.broker.settings import Settings, settings_of
from eventing.broker.stream import Stream
from eventing.errors import NotFound
from eventing.event import Event
from eventing.projection import Follower, Record
from eventing.runtime import Runtime, end

HAND_OVER_S = 1.0  # what is open longer is parked anyway, and its next owner sends it again
_ACQUIRE_S = 0.25  # how often an heir asks for a lease that has not ended
# Events wait by the thousand and leave no cycles: collections found nothing, took 3 % of the time, and 30 ms
# each where there are 10,000 lanes to look at.
_GARBAGE_OBJECTS = 20_000
_AWAY_S = 0.2  # the store restarts in about 50 ms
_STALLED_S = 5.0  # the reader hears from the store every second, even when there is nothing
_STORE_AWAY = (redis.exceptions.RedisError, OSError, TimeoutError)

log = structlog.get_logger(__name__)

Place = tuple[str, int]  # broker, partition


class Dispatcher:
    """One dispatcher process."""

    def __init__(self, runtime: Runtime) -> None:
        """Named after host and process, with a random part: a restarted one is another."""
        self.name = f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}"
        self._runtime = runtime
        self._store = runtime.store
        self._budget = Budget()
        self._sender = Sender(runtime.config)
        self._stream = Stream(runtime.store)
        self._types = EventTypes(runtime.store)
        self._follower = Follower(runtime.store, {"brokers": self._on_broker, "triggers": self._on_trigger,
                                                  "configs": self._types.on_config})
        self._brokers: dict[str, Settings] = {}  # by ns/name
        self._triggers: dict[str, dict[str, Record]] = {}  # by broker, then ns/trigger
        self._broker_of: dict[str, str] = {}  # by ns/trigger
        self._reads: list[set[str]] = []  # names reported while the table is being read
        self._erased: set[str] = set()  # brokers that were deleted while we lived
        self._partitions: dict[Place, Partition] = {}  # that are owned
        self._owning: dict[Place, asyncio.Task[None]] = {}
        self._wanted: set[Place] = set()
        self._unowned: dict[Place, tuple[float, str]] = {}  # since when (monotonic), and why
        self._acks = Acknowledgements(runtime.store)
        self._changed = asyncio.Event()

    def __repr__(self) -> str:
        """Counts."""
        return f"<Dispatcher [{len(self._partitions)} of {len(self._wanted)} partitions | {self._budget!r}]>"

    @property
    def partitions(self) -> Iterable[Partition]:
        """Partitions that are owned now."""
        return self._partitions.values()

    async def run(self) -> None:
        """Dispatch until `runtime.stopping`."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            services = [tasks.create_task(service) for service in (
                self._stream.run(), self._follower.run(), self._types.run(), self._acks.run(),
                self._watch())]
            if (gateway_url := self._runtime.config.gateway_url) is not None:
                services.append(tasks.create_task(gateway.check(self._sender.client, gateway_url)))
            await self._follower.loaded.wait()
            await self._stream.connected.wait()
            sharing = tasks.create_task(self._share())
            self._runtime.ready()
            await self._runtime.stopping.wait()
            # 1. No new partitions; heirs may be chosen.
            await end([sharing])
            with contextlib.suppress(*_STORE_AWAY):
                await living(self._store, self.name, 0)
            # 2. Each partition drains, commits, and lets go.
            self._wanted.clear()
            for partition in self._partitions.values():
                partition.leave(self._runtime.config.drain_s * 0.8)
            if self._owning:
                await asyncio.wait(self._owning.values())
            # 3. Replies have been stored, acknowledgements do not matter any more.
            await end(services)
        await self._sender.close()

    # --- projections ------------------------------------------------------------------------------

    def _on_broker(self, name: str, record: Record | None) -> None:
        if record is None:
            self._brokers.pop(name, None)
            self._erased.add(name)
        else:
            self._brokers[name] = settings_of(record)
            self._erased.discard(name)
            for partition in self._of(name):
                has_grown = partition.settings.partitions != self._brokers[name].partitions
                partition.settings = self._brokers[name]
                if has_grown:  # each takes another share of a trigger's limits
                    for trigger, wanted in self._triggers.get(name, {}).items():
                        partition.adopt(trigger, wanted)
        self._changed.set()

    def _on_trigger(self, name: str, record: Record | None) -> None:
        for told in self._reads:
            told.add(name)
        broker = self._broker_of.pop(name, None)
        if broker is not None and (record is None or record["broker"] != broker):
            self._triggers[broker].pop(name, None)
            for partition in self._of(broker):
                partition.drop(name)
                self._acks.say(f"{name}/{partition.number}", None)
        if record is None:
            return
        self._broker_of[name] = record["broker"]
        self._triggers.setdefault(record["broker"], {})[name] = record
        for partition in self._of(record["broker"]):
            self._adopt(partition, name, record)

    def _of(self, broker: str) -> list[Partition]:
        return [partition for partition in self._partitions.values() if partition.broker == broker]

    def _adopt(self, partition: Partition, name: str, record: Record) -> None:
        if partition.adopt(name, record):
            self._acks.say(f"{name}/{partition.number}",
                           {"uid": record["uid"], "generation": record["generation"]})

    def _given_up(self, number: int, lane: Lane, failure: Failure) -> None:
        """Tell the control plane that an event became a dead letter; it makes an Event of it."""
        self._acks.say(f"{lane.name}/{number}", {
            "uid": lane.uid, "generation": lane.generation,
            "given_up": {"when": failure.when, "attempts": failure.attempt, "reason": failure.reason}})

    # --- ownership --------------------------------------------------------------------------------

    async def _share(self) -> None:
        """Say that we live, and own what the living leave to us; for ever."""
        while True:
            with contextlib.suppress(*_STORE_AWAY):
                names = await living(self._store, self.name)
                self._wanted = {
                    (broker, number) for broker, settings in self._brokers.items()
                    for number, owner in enumerate(owners(broker, settings.partitions, names))
                    if owner == self.name}
                self._settle_ownership()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_S):
                    await self._changed.wait()
            self._changed.clear()

    def _settle_ownership(self) -> None:
        for place in self._wanted - self._owning.keys():
            self._owning[place] = self._tasks.create_task(self._own(place))
        for place, partition in self._partitions.items():
            if place not in self._wanted:
                partition.leave(0.0 if place[0] in self._erased else HAND_OVER_S)

    async def _own(self, place: Place) -> None:
        """Own one partition for as long as it is ours to own."""
        try:
            while place in self._wanted:
                self._unowned.setdefault(place, (time.monotonic(), "the store does not answer"))
                lease = Lease(self._store, *place, self.name)
                try:
                    left_s = await lease.acquire()
                    if lease.grant is None:
                        self._wait_for(place, "another dispatcher keeps its lease")
                        await asyncio.sleep(min(left_s + 0.01, _ACQUIRE_S))
                        continue
                    await self._serve(place, lease)
                except _STORE_AWAY as error:
                    self._wait_for(place, str(error))
                    await asyncio.sleep(_AWAY_S)
        finally:
            del self._owning[place]
            self._unowned.pop(place, None)

    def _wait_for(self, place: Place, why: str) -> None:
        since, _ = self._unowned.get(place, (time.monotonic(), ""))
        self._unowned[place] = since, why  # wellbeing.py tells it

    async def _serve(self, place: Place, lease: Lease) -> None:
        broker, number = place
        partition = Partition(
            store=self._store, broker=broker, number=number, lease=lease, sender=self._sender,
            store_reply=lambda trigger, event, on_stored: self._reply(broker, trigger, event, on_stored),
            budget=self._budget, on_given_up=lambda lane, failure: self._given_up(number, lane, failure))
        fresh = await self._read_triggers()
        # From here to the end of the loop nothing is awaited: what the follower tells comes before or after.
        self._partitions[place] = partition
        self._unowned.pop(place, None)
        partition.settings = self._brokers.get(broker, Settings())
        for name, record in fresh.items():
            if record["broker"] == broker:
                self._adopt(partition, name, record)
        log.info("partition owned", partition=f"{broker}/{number}", lanes=len(partition.lanes))
        try:
            if place not in self._wanted:
                partition.leave(0.0)
            await partition.run()
            if broker in self._erased:
                with contextlib.suppress(Fenced):
                    await partition.erase()
        finally:
            del self._partitions[place]
            log.info("partition left", partition=f"{broker}/{number}")

    async def _read_triggers(self) -> dict[str, Record]:
        """Read the table of triggers; of one that the follower reports meanwhile, what it reports."""
        told: set[str] = set()
        self._reads.append(told)
        try:
            records = await projection.read(self._store, "triggers")
        finally:
            self._reads = [each for each in self._reads if each is not told]  # not one that is equal
        for name in told:
            records.pop(name, None)
            if name in self._broker_of:
                records[name] = self._triggers[self._broker_of[name]][name]
        return records

    def _reply(self, broker: str, trigger: str, event: Event, on_stored: OnStored) -> None:
        """Append a reply, by the subscriber of *trigger*, to the broker that it answers an event of."""
        settings = self._brokers.get(broker)
        if settings is None:
            raise NotFound(f"there is no broker {broker} any more")
        self._stream.offer(
            broker, partition_of(event, settings.partitions), event, on_stored, settings.dedup_window_ms)
        if self._types.is_on:
            self._types.note("Broker", broker, event.attributes)
            self._types.note("Trigger", trigger, event.attributes)

    # --- health -----------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Complain while nothing is read although there may be something; for ever."""
        while True:
            await asyncio.sleep(1.0)
            readings = [partition.reading for partition in self._partitions.values()]
            self._runtime.complaint = wellbeing.complaint(
                readings, self._unowned, time.monotonic(), _STALLED_S)


async def run(runtime: Runtime) -> None:
    """Dispatch until `runtime.stopping`; then drain."""
    gc.set_threshold(_GARBAGE_OBJECTS)
    dispatcher = Dispatcher(runtime)
    runtime.metrics.register(LaneMetrics(lambda: dispatcher.partitions))
    await dispatcher.run()
