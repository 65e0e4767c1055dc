"""Nothing is lost when anything dies; what comes twice was in flight, which `parallelism` bounds."""

import asyncio
import time

import pytest

from eventing import projection
from tests.sources.process import role_process

PARALLELISM = 8
MESSAGES = 300


async def test_source_restarted(flow, sources, sink, publisher):
    """A source that is stopped and started mid-stream goes on where it was."""
    sink.delay_s = 0.005
    await flow.apply(parallelism=PARALLELISM)
    publisher.events(flow.exchange, range(MESSAGES))

    for part in (50, 100, 150):
        await sink.until(lambda sink, part=part: len(sink.seen) > part)
        await flow.project()  # another generation: the old run ends, a new one begins
    await sink.until(lambda sink: len(sink.seen) == MESSAGES)

    assert sink.repeats <= 3 * PARALLELISM
    redelivered = [event for event in sink.events if "rabbitmqredelivered" in event.attributes]
    assert len(redelivered) >= sink.repeats


async def test_role_killed(flow, sink, publisher, valkey_socket, tmp_path):
    """SIGKILL of the sources role, three times, mid-stream."""
    sink.delay_s = 0.005
    await flow.project(parallelism=PARALLELISM)

    for part in (50, 100, 150):
        with role_process(valkey_socket, tmp_path):
            if part == 50:
                await flow.until(lambda state: state["ready"])
                publisher.events(flow.exchange, range(MESSAGES))
            await sink.until(lambda sink, part=part: len(sink.seen) > part)
    with role_process(valkey_socket, tmp_path):
        await sink.until(lambda sink: len(sink.seen) == MESSAGES)

    assert sink.repeats <= 3 * PARALLELISM


@pytest.mark.parametrize("how", ["kill", "stop"])
@pytest.mark.usefixtures("sources")
async def test_server_restarted(flow, sink, publisher, rabbitmq, how):
    """RabbitMQ killed, or stopped, and started again mid-stream."""
    sink.delay_s = 0.005
    await flow.apply(parallelism=PARALLELISM)
    if how == "kill":
        # RabbitMQ syncs the name of a new quorum queue when it was left alone for half a second: one that is
        # younger does not survive SIGKILL of the only node.
        await asyncio.sleep(2)
    publisher.events(flow.exchange, range(MESSAGES))
    await sink.until(lambda sink: len(sink.seen) > 50)

    await asyncio.to_thread(getattr(rabbitmq, how))
    state = await flow.until(lambda state: not state["ready"])
    await asyncio.to_thread(rabbitmq.start)
    publisher.connect()
    publisher.events(flow.exchange, range(MESSAGES, MESSAGES + 10))
    await sink.until(lambda sink: len(sink.seen) == MESSAGES + 10)

    assert state["reason"] in {"ConnectionLost", "ConnectionFailed", "QueueFailed"}
    assert sink.repeats <= PARALLELISM
    assert (await flow.until(lambda state: state["ready"]))["reason"] == ""


async def test_queue_deleted(flow, sources, sink, publisher):
    """A queue that somebody deletes is noticed, declared again, and read."""
    await flow.apply()

    publisher.channel.queue_delete(flow.queue)
    assert (await flow.until(lambda state: not state["ready"]))["reason"] == "QueueFailed"
    await flow.until(lambda state: state["ready"])
    publisher.events(flow.exchange, ["after"])

    await sink.until(lambda sink: sink.seen["after"])


async def test_deleted_source_reads_no_more(flow, sources, sink, publisher, store):
    """A deleted source leaves its queue, with what is in it, to others."""
    await flow.apply()
    await projection.write(store, "sources", flow.name, None)
    deadline = time.monotonic() + 10
    while publisher.channel.queue_declare(flow.queue, passive=True).method.consumer_count:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)

    publisher.events(flow.exchange, ["kept"])

    assert publisher.left_in(flow.queue) == 1
    assert not sink.seen
