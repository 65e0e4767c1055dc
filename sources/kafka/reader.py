"""
Reads one partition, as far as its lane has room, and starts a delivery for each record.

A record that cannot be read at all (its batch's checksum does not fit) must not stop the partition, and
aiokafka goes wrong there: it raises once, and then moves on behind good records of the same answer that it
never gave out. So after such an error the partition is sought back to where we were, and read one record at
a time up to the bad ones; those are passed by, in the open.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import CorruptRecordException, KafkaError

from sources.kafka.lane import Lane

# Records of one task, where order does not matter; as many as go to a broker in one request (batches.py).
TOGETHER = 64
_POLL_MS = 1000
# What is in flight when a partition goes gets this long: less than a session lasts.
_RELEASE_S = 2.0
# How many good records may stand before the bad ones in one answer before we try whole answers again.
_CAREFUL_READS = 4096


@dataclass(frozen=True, kw_only=True)
class Deliveries:
    """What a reader does with what it finds; each ends by settling the offset in the lane."""

    deliver: Callable[[Lane, Sequence[ConsumerRecord]], Coroutine[Any, Any, None]]
    deliver_in_order: Callable[[Lane, Sequence[ConsumerRecord]], Coroutine[Any, Any, None]]
    pass_by: Callable[[Lane, TopicPartition, int, Exception], Coroutine[Any, Any, None]]
    is_ordered: bool


class Reader:
    """One partition's reading, from being assigned to being revoked."""

    def __init__(self, consumer: AIOKafkaConsumer, partition: TopicPartition, deliveries: Deliveries,
                 tasks: asyncio.TaskGroup) -> None:
        """Begin to read."""
        self.lane: Lane | None = None  # until it is known where to start
        self._consumer = consumer
        self._partition = partition
        self._deliveries = deliveries
        self._stopping = asyncio.Event()
        self._freed = asyncio.Event()
        self._careful_reads = 0
        self._has_passed_by = False
        self._task = tasks.create_task(self._run())

    def __repr__(self) -> str:
        """Where it is."""
        return f"<Reader {self._partition.topic}/{self._partition.partition} {self.lane!r}>"

    def committed(self, mark: tuple[int, int]) -> None:
        """What the lane's *mark* said is committed: there may be room again."""
        if self.lane is not None:
            self.lane.commit(mark)
            self._freed.set()

    async def stop(self) -> None:
        """Read no more; deliveries under way have a moment to end, then they are cut."""
        self._stopping.set()
        _, late = await asyncio.wait((self._task,), timeout=_RELEASE_S)
        if late:
            self._task.cancel()
            await asyncio.wait(late)

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(self._read(tasks))
            await self._stopping.wait()
            reading.cancel()

    async def _read(self, tasks: asyncio.TaskGroup) -> None:
        lane = self.lane = Lane(await self._consumer.position(self._partition))
        while True:
            while lane.room < 1:
                self._freed.clear()
                await self._freed.wait()
            records = await self._fetch(lane, tasks)
            for record in records:
                lane.take(record.offset)
            await self._start(lane, records, tasks)

    async def _start(self, lane: Lane, records: Sequence[ConsumerRecord], tasks: asyncio.TaskGroup) -> None:
        """Return when the next records may be read."""
        if not self._deliveries.is_ordered:
            for start in range(0, len(records), TOGETHER):
                tasks.create_task(self._deliveries.deliver(lane, records[start:start + TOGETHER]))
        elif records:
            await asyncio.wait((tasks.create_task(self._deliveries.deliver_in_order(lane, records)),))

    async def _fetch(self, lane: Lane, tasks: asyncio.TaskGroup) -> Sequence[ConsumerRecord]:
        count = 1 if self._careful_reads else lane.room
        try:
            found = await self._consumer.getmany(self._partition, timeout_ms=_POLL_MS, max_records=count)
        except Exception as error:
            if isinstance(error, KafkaError) and not isinstance(error, CorruptRecordException):
                raise
            self._recover(lane, error, tasks)
            return ()
        records: Sequence[ConsumerRecord] = found.get(self._partition, ())
        if records and self._careful_reads:
            self._careful_reads = 0 if self._has_passed_by else self._careful_reads - 1
            self._has_passed_by = False
        return records

    def _recover(self, lane: Lane, error: Exception, tasks: asyncio.TaskGroup) -> None:
        """Go back to the first record that was not given out; the second time, that is the bad one."""
        if self._careful_reads:
            bad = lane.next
            lane.take(bad)
            tasks.create_task(self._deliveries.pass_by(lane, self._partition, bad, error))
            self._has_passed_by = True
        self._careful_reads = _CAREFUL_READS
        self._consumer.seek(self._partition, lane.next)
