"""
What is done beside reading and writing: are the topics there, where does the group start, is the cluster
still reachable.

Where a group starts is settled once, by a commit, before anybody reads; from then on its commits say where
it is. So `latest` means latest as of when the source came up, not as of some later restart. A partition of a
topic that the group knows, but that is new, starts at its beginning; so does a topic that appears after the
source.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from sources.kafka.failure import UNREACHABLE, explain, not_ready
from sources.source import NotReady, State

_CONNECT_S = 15.0  # to a cluster: longer than a leader's election takes
_TOPIC_POLL_S = 1.0  # while a topic does not exist
_PROBE_EVERY_S = 5.0
_PROBE_S = 5.0
# Three probes in a row: aiokafka has not found the cluster again by itself; a new start looks up names anew.
_GIVE_UP_AFTER = 3


class Scout:
    """The administrator of one source's, or sink's, cluster."""

    def __init__(self, connection: Mapping[str, Any], topics: list[str]) -> None:
        """Nothing is connected yet."""
        self._connection = connection
        self._topics = topics
        self._admin = AIOKafkaAdminClient(**connection)

    async def __aenter__(self) -> Self:
        """Connect; raises NotReady."""
        try:
            async with asyncio.timeout(_CONNECT_S):
                await self._admin.start()
        except (KafkaError, OSError, TimeoutError) as error:
            await self._admin.close()
            raise await explain(self._connection, error) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnect."""
        await self._admin.close()

    async def create(self, topic: str, partitions: int, replication_factor: int) -> None:
        """Create *topic* unless it is there, as it may be; raises NotReady."""
        try:
            async with asyncio.timeout(_CONNECT_S):
                answer = await self._admin.create_topics([NewTopic(topic, partitions, replication_factor)])
        except (KafkaError, OSError, TimeoutError) as error:
            raise not_ready(error) from error
        for _, code, *words in answer.topic_errors:
            if code and code != TopicAlreadyExistsError.errno:
                why = next(filter(None, words), "") or for_code(code).__name__
                raise NotReady("FailedToCreateTopic", f"topic {topic} cannot be created: {why}")

    async def wait_for_topics(self, state: State) -> set[str]:
        """Wait until all topics exist; those that did not at first."""
        late: set[str] = set()
        while missing := await self._missing_topics():
            late |= missing
            names = ", ".join(sorted(missing))
            state.not_ready("TopicNotFound", f"the cluster has no topic {names}; it is waited for")
            await asyncio.sleep(_TOPIC_POLL_S)
        return late

    async def settle_start(self, group: str, initial_offset: str, state: State) -> None:
        """Wait for all topics; commit where *group* starts in those that it has not read yet."""
        late = await self.wait_for_topics(state)
        beginners = AIOKafkaConsumer(group_id=group, enable_auto_commit=False, **self._connection)
        try:
            await beginners.start()
            await self._commit_start(beginners, initial_offset, late)
        finally:
            await beginners.stop()

    async def watch(self, state: State) -> None:
        """Tell whether the cluster answers; raises NotReady once it has not for a while."""
        failures = 0
        while True:
            await asyncio.sleep(_PROBE_EVERY_S)
            try:
                missing = await self._missing_topics()
            except NotReady as why:
                failures += 1
                if failures == _GIVE_UP_AFTER:
                    raise
                state.not_ready(why.reason, str(why))
                continue
            failures = 0
            if missing:
                raise NotReady("TopicNotFound", f"topic {', '.join(sorted(missing))} has gone")
            state.ready()

    async def _missing_topics(self) -> set[str]:
        """Topics that the cluster does not have; raises NotReady if it does not say."""
        return {topic for topic, partitions in (await self._partitions()).items() if not partitions}

    async def _partitions(self) -> dict[str, list[int]]:
        try:
            async with asyncio.timeout(_PROBE_S):
                described = await self._admin.describe_topics(self._topics)
        except (KafkaError, OSError, TimeoutError) as error:
            why = not_ready(error)
            raise NotReady(UNREACHABLE, f"the cluster does not answer: {why}") from error
        return {each["topic"]: [part["partition"] for part in each["partitions"]] for each in described}

    async def _commit_start(self, consumer: AIOKafkaConsumer, initial_offset: str, late: set[str]) -> None:
        found = await self._partitions()
        everything = [TopicPartition(topic, number) for topic, numbers in found.items() for number in numbers]
        consumer.assign(everything)
        committed = {each: await consumer.committed(each) for each in everything}
        known = {each.topic for each, offset in committed.items() if offset is not None}
        fresh = [each for each, offset in committed.items() if offset is None]
        at_end = [each for each in fresh
                  if initial_offset == "latest" and each.topic not in known and each.topic not in late]
        start = await consumer.end_offsets(at_end) if at_end else {}
        if at_start := [each for each in fresh if each not in start]:
            start |= await consumer.beginning_offsets(at_start)
        if start:
            await consumer.commit(start)
