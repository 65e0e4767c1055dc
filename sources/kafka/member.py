"""
One member of the consumer group: reads its partitions side by side, and commits what is settled.

A partition has a reader (reader.py), which reads as far as its lane (lane.py) has room:

    ordered      a record waits until the sink has accepted those before it; a broker of ours, which keeps
                 the order of a batch, gets several in one request
    unordered    up to IN_FLIGHT events of the member at once; to a broker of ours those that were read
                 together go together

When partitions are taken away (a rebalance, an edit, the end), reading stops, what is in flight gets a
moment to be accepted, and what is settled is committed. Nothing is committed that is not settled, so whoever
reads the partition next repeats a few records and misses none.

An event that the sink refuses for good is given up in the open (`emit.give_up`) and the partition goes on.
So it does behind a record that cannot be read (a checksum that does not fit).
"""

import asyncio
import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from eventing.event import Event
from sources.kafka.event import Record, to_event
from sources.kafka.lane import Lane
from sources.kafka.reader import Deliveries, Reader
from sources.source import Emit, Refused

# What keeps a local broker's group commit full (benchmarks/kafka.py); each is a connection to the sink.
IN_FLIGHT = 128

# Requests of many events at once: the broker reads some while it writes others to disk.
_BATCHES = 4

# How long a settled record waits for others to be committed with it, unless many wait.
_COMMIT_EVERY_S = 0.1
_COMMIT_S = 5.0
_CLOSE_S = 5.0
# A killed member's partitions are free after this: the least that a Kafka broker allows by default.
_SESSION_MS = 6000
# Members live as long as they send heartbeats; a sink that is away for an hour is no reason to rejoin.
_POLL_INTERVAL_MS = 2**31 - 1
# aiokafka asks a broker for one thing at a time: the wait for new records delays those of other partitions.
_FETCH_WAIT_MS = 250
log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What all members of one source share."""

    connection: Mapping[str, Any]  # arguments of a client of aiokafka
    topics: list[str]
    group: str
    is_ordered: bool
    source: str  # `source` of events made here, without the topic
    key_type: str


class Member:
    """A consumer, its lanes and their tasks."""

    def __init__(self, settings: Settings, emit: Emit) -> None:
        """Nothing is connected yet."""
        self.started = asyncio.Event()
        self._settings = settings
        self._emit = emit
        self._consumer = AIOKafkaConsumer(
            group_id=settings.group, enable_auto_commit=False, auto_offset_reset="earliest",
            isolation_level="read_committed", session_timeout_ms=_SESSION_MS,
            heartbeat_interval_ms=_SESSION_MS // 3, max_poll_interval_ms=_POLL_INTERVAL_MS,
            fetch_max_wait_ms=_FETCH_WAIT_MS, **settings.connection)
        self._readers: dict[TopicPartition, Reader] = {}
        self._batches = asyncio.Semaphore(_BATCHES)
        self._in_flight = asyncio.Semaphore(IN_FLIGHT)
        self._deliveries = Deliveries(
            deliver=self._deliver, deliver_in_order=self._deliver_in_order, pass_by=self._pass_by,
            is_ordered=settings.is_ordered)
        self._dirty = asyncio.Event()
        self._urgent = asyncio.Event()
        self._tasks = asyncio.TaskGroup()
        self._is_closing = False

    def __repr__(self) -> str:
        """Its readers."""
        return f"<Member {list(self._readers.values())!r}>"

    async def run(self) -> None:
        """Read until cancelled; raises what aiokafka raises when the group or the cluster is lost."""
        async with self._tasks as tasks:
            try:
                self._consumer.subscribe(self._settings.topics, listener=_Listener(self))
                await self._consumer.start()
                self.started.set()
                tasks.create_task(self._commit_settled())
                await asyncio.Event().wait()
            finally:
                await self._close()

    async def _close(self) -> None:
        """Stop reading, commit what is settled, leave the group."""
        self._is_closing = True
        with contextlib.suppress(TimeoutError, KafkaError):
            async with asyncio.timeout(_CLOSE_S):
                await self.release(list(self._readers))
        with contextlib.suppress(TimeoutError, KafkaError):
            async with asyncio.timeout(_CLOSE_S):
                await self._consumer.stop()

    def take_up(self, partitions: Collection[TopicPartition]) -> None:
        """Read *partitions* from now on."""
        if self._is_closing:
            return
        for each in partitions:
            self._readers[each] = Reader(self._consumer, each, self._deliveries, self._tasks)

    async def release(self, partitions: Collection[TopicPartition]) -> None:
        """Read *partitions* no more: let what is in flight end, for a moment, and commit what is settled."""
        readers = [self._readers[each] for each in partitions if each in self._readers]
        await asyncio.gather(*(reader.stop() for reader in readers))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_COMMIT_S):
                await self._commit()
        for each in partitions:
            self._readers.pop(each, None)

    async def _deliver(self, lane: Lane, records: Sequence[ConsumerRecord]) -> None:
        """Take records to their end, whatever that is: together as far as the sink takes them, then each."""
        waiting = [(record.offset, self._event_of(record)) for record in records]
        async with self._batches:
            while await self._deliver_some(lane, waiting):
                pass
        if waiting:
            async with asyncio.TaskGroup() as tasks:
                for offset, event in waiting:
                    tasks.create_task(self._deliver_one(lane, offset, event))

    async def _deliver_one(self, lane: Lane, offset: int, event: Event) -> None:
        async with self._in_flight:
            await self._deliver_event(lane, offset, event)

    async def _deliver_in_order(self, lane: Lane, records: Sequence[ConsumerRecord]) -> None:
        """Take records to their end, none before those in front of it."""
        waiting = [(record.offset, self._event_of(record)) for record in records]
        while waiting:
            if not await self._deliver_some(lane, waiting):
                await self._deliver_event(lane, *waiting.pop(0))

    async def _deliver_some(self, lane: Lane, waiting: list[tuple[int, Event]]) -> int:
        """Send the first of *waiting* together and take out what was accepted; how many that was."""
        if len(waiting) < 2:  # noqa: PLR2004  one needs no batch
            return 0
        accepted = await self._emit.in_order([event for _, event in waiting])
        for offset, _ in waiting[:accepted]:
            self._settle(lane, offset)
        del waiting[:accepted]
        return accepted

    async def _deliver_event(self, lane: Lane, offset: int, event: Event) -> None:
        try:
            await self._emit(event)
        except Refused as refused:
            await self._emit.give_up(event, refused)
        self._settle(lane, offset)

    async def _pass_by(self, lane: Lane, partition: TopicPartition, offset: int, error: Exception) -> None:
        """Say that nobody can read the record at *offset*, to the dead letter sink if there is one."""
        event = self._event(Record(topic=partition.topic, partition=partition.partition, offset=offset,
                                   key=None, value=None, headers=(), timestamp_ms=None))
        await self._emit.give_up(event, Refused(f"the record cannot be read: {error}"))
        self._settle(lane, offset)

    def _event_of(self, record: ConsumerRecord) -> Event:
        return self._event(Record(
            topic=record.topic, partition=record.partition, offset=record.offset, key=record.key,
            value=record.value, headers=record.headers, timestamp_ms=record.timestamp))

    def _event(self, record: Record) -> Event:
        return to_event(record, self._settings.source, self._settings.key_type)

    def _settle(self, lane: Lane, offset: int) -> None:
        lane.settle(offset)
        self._dirty.set()
        if lane.is_urgent:
            self._urgent.set()

    async def _commit_settled(self) -> None:
        while True:
            await self._dirty.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_COMMIT_EVERY_S):
                    await self._urgent.wait()
            self._dirty.clear()
            self._urgent.clear()
            await self._commit()

    async def _commit(self) -> None:
        """Commit the floors of all lanes; those that are not ours any more are another member's affair."""
        assigned = self._consumer.assignment()
        marks = {each: (reader, reader.lane.mark()) for each, reader in self._readers.items()
                 if reader.lane is not None and reader.lane.is_dirty and each in assigned}
        if not marks:
            return
        try:
            await self._consumer.commit({each: floor for each, (_, (floor, _)) in marks.items()})
        except (CommitFailedError, IllegalStateError) as error:
            log.info("commit refused, the group is being shared out anew", group=self._settings.group,
                     error=str(error))
            self._dirty.set()
            return
        for reader, mark in marks.values():
            reader.committed(mark)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Tells a member what it gets and loses."""

    def __init__(self, member: Member) -> None:
        self._member = member

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Before the group is shared out anew."""
        await self._member.release(revoked)

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """After it."""
        self._member.take_up(assigned)
