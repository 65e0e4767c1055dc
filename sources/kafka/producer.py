"""
A KafkaSink at work: an event is answered for once all in-sync replicas of its partition have it (acks=all).

    Kafka                                         the sender hears
    has acknowledged the record                   202
    says that the record is too large             413: no repetition helps
    says anything else, or nothing for 5 s        503: repeat it; the record may be there all the same

Like consumer.py this room needs aiokafka, and is imported when a sink starts.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, ProducerClosed, RecordListTooLargeError

from eventing.errors import TooLarge, Unavailable
from eventing.event import Event
from eventing.runtime import end
from sources.kafka.failure import not_ready
from sources.kafka.record import to_record
from sources.kafka.scout import Scout
from sources.sink import Door

logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # as consumer.py

_ACKNOWLEDGED_S = 5.0  # longer than the election of a leader takes
_CLOSE_S = 2.0
# The client's own limit is out of the way: the topic's `max.message.bytes` decides.
_REQUEST_BYTES = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where events go."""

    connection: Mapping[str, Any]  # arguments of a client of aiokafka
    topic: str
    mode: str  # one of record.MODES
    partitions: int | None  # of a topic to be created, if both are given
    replication_factor: int | None


async def produce(settings: Settings, door: Door) -> None:
    """Write what comes through *door* until cancelled; raises NotReady when the cluster cannot be used."""
    try:
        async with Scout(settings.connection, [settings.topic]) as scout:
            if settings.partitions and settings.replication_factor:
                await scout.create(settings.topic, settings.partitions, settings.replication_factor)
            await scout.wait_for_topics(door)
            async with _producer(settings.connection) as producer:
                with door.open(_Outlet(producer, settings).take):
                    door.ready()
                    await scout.watch(door)
    except Exception as error:
        raise not_ready(error) from error


@contextlib.asynccontextmanager
async def _producer(connection: Mapping[str, Any]) -> Any:
    producer = AIOKafkaProducer(acks="all", request_timeout_ms=int(_ACKNOWLEDGED_S * 1000),
                                max_request_size=_REQUEST_BYTES, **connection)
    try:
        await producer.start()
        yield producer
    finally:
        await _close(producer)


async def _close(producer: AIOKafkaProducer) -> None:
    """Stop *producer*. What Kafka does not acknowledge meanwhile has failed, and keeps no task waiting."""
    try:
        await _briefly(producer.stop())
    finally:
        # A stop() that is cut short leaves the library's sender behind, which nobody holds then.
        sender = producer._sender.sender_task  # noqa: SLF001  there is no other way to it
        if sender is not None and not sender.done():
            producer._message_accumulator.fail_all(ProducerClosed())  # noqa: SLF001  likewise
            await end([sender])
            await _briefly(producer.client.close())


async def _briefly(closing: Awaitable[None]) -> None:
    with contextlib.suppress(TimeoutError, KafkaError):
        async with asyncio.timeout(_CLOSE_S):
            await closing


class _Outlet:
    """One topic, as events see it."""

    def __init__(self, producer: AIOKafkaProducer, settings: Settings) -> None:
        self._producer = producer
        self._topic = settings.topic
        self._mode = settings.mode

    async def take(self, event: Event) -> None:
        """Return once Kafka has *event*; raises TooLarge or Unavailable."""
        record = to_record(event, self._mode)
        try:
            async with asyncio.timeout(_ACKNOWLEDGED_S):
                written = await self._producer.send(self._topic, record.value, key=record.key,
                                                    headers=record.headers)
                await written
        except (MessageSizeTooLargeError, RecordListTooLargeError) as error:
            raise TooLarge(f"topic {self._topic} takes no record of that size: {error}") from error
        except TimeoutError as error:
            raise Unavailable(f"Kafka did not acknowledge within {_ACKNOWLEDGED_S:g} s") from error
        except KafkaError as error:
            raise Unavailable(f"Kafka did not take it: {not_ready(error)}") from error
