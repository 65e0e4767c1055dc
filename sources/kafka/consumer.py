"""
A KafkaSource at work: a scout, and as many members of the consumer group as the spec asks for.

This is the room that needs aiokafka: the kind beside it imports it when a source starts, so that Clarion
without the extra `kafka` is none the worse.
"""

import asyncio
import logging

from sources.kafka.failure import not_ready
from sources.kafka.member import Member, Settings
from sources.kafka.scout import Scout
from sources.source import Emit

# What the library has to say several times a second while a broker is away, our conditions say once.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


async def consume(settings: Settings, consumers: int, initial_offset: str, emit: Emit) -> None:
    """
    Emit an event for each record, until cancelled.

    Args:
        settings: what to read, and how.
        consumers: members of the group, at least 1.
        initial_offset: `latest` or `earliest`, where the group has not read yet.
        emit: the source's way out.

    Raises:
        NotReady: the cluster was lost, or cannot be used.
    """
    try:
        async with Scout(settings.connection, settings.topics) as scout:
            await scout.settle_start(settings.group, initial_offset, emit)
            async with asyncio.TaskGroup() as tasks:
                members = [Member(settings, emit) for _ in range(consumers)]
                for member in members:
                    tasks.create_task(member.run())
                for member in members:
                    await member.started.wait()
                emit.ready()
                await scout.watch(emit)
    except Exception as error:
        raise not_ready(error) from error
