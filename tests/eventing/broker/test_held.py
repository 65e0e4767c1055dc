"""Events that wait until they are due, and events that come again: what is stored of them, and when."""

import asyncio
import time

import pytest

from eventing import keys
from eventing.broker import held
from eventing.broker.arrival import due_ms, stamp
from eventing.broker.entry import decode
from eventing.event import Event
from eventing.runtime import end
from tests.eventing.broker.test_stream import running

BROKER = "shop/default"
KEY = keys.events(BROKER, 0)
SEEN = KEY.replace("events", "seen")
pytestmark = pytest.mark.timeout(30)


def event(name, now=None, **more):
    """Make an event as the ingress stores it."""
    attributes = {"specversion": "1.0", "id": str(name), "source": "/s", "type": "t", **more}
    return stamp(Event(attributes, b"x"), now or time.time())


async def names(store):
    """Ids of the events in the stream."""
    return [decode(fields).attributes["id"] for _, fields in await store.xrange(KEY)]


async def until_there(store, *wanted):
    """Release what is due until the stream has *wanted*; returns when that was."""
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(held.release(store, BROKER, 0))
        while await names(store) != list(wanted):
            await asyncio.sleep(0.005)
        arrived = time.time()
        await end([task])
    return arrived


async def test_held_events_enter_the_stream_when_they_are_due_and_not_before(store):
    """In the order of their times, each once, as they were accepted; nothing is left behind."""
    now = time.time()
    async with running(store) as stream:
        await stream.append(BROKER, 0, event("late", now, delay="600ms"))
        await stream.append(BROKER, 0, event("soon", now, delay="300ms"))
        await stream.append(BROKER, 0, event("at once", now))
        await stream.append(BROKER, 0, event("next week", now, delay="P7D"))

    assert await names(store) == ["at once"]
    assert await until_there(store, "at once", "soon", "late") >= now + 0.6
    for entry_id, fields in (await store.xrange(KEY))[1:]:
        assert int(entry_id.partition(b"-")[0]) >= due_ms(decode(fields).attributes["deliverat"])
    assert await store.zcard(KEY.replace("events", "due")) == 1
    assert await store.xlen(KEY.replace("events", "held")) == 1


async def test_held_events_survive_the_end_of_the_store(valkey):
    """What was accepted for later is there after a kill -9, and comes when it is due."""
    store = valkey.client()
    async with running(store) as stream:
        await stream.append(BROKER, 0, event("later", delay="1s"))
        valkey.kill()
    valkey.start()

    assert await names(store) == []
    await until_there(store, "later")
    await store.aclose()


async def test_a_repeat_is_stored_once_within_the_window(store):
    """Same source and id is a repeat, in one append or two; another source is none; later it is new."""
    async with running(store) as stream:
        await asyncio.gather(*(stream.append(BROKER, 0, event(n % 2), 200) for n in range(6)))
        await stream.append(BROKER, 0, event(1, source="/other"), 200)
        assert stream.counts.repeats == 4
        assert len(await names(store)) == 3
        while await store.exists(SEEN):
            await asyncio.sleep(0.01)
        await stream.append(BROKER, 0, event(1), 200)

    assert len(await names(store)) == 4


async def test_without_a_window_nothing_is_a_repeat(store):
    """A broker that asks for nothing pays for nothing."""
    async with running(store) as stream:
        await asyncio.gather(*(stream.append(BROKER, 0, event(1)) for _ in range(3)))

    assert await names(store) == ["1"] * 3
    assert not await store.exists(SEEN)


async def test_repeats_are_known_after_a_kill_of_the_store(valkey):
    """What was accepted before a crash is not stored again after it."""
    store = valkey.client()
    async with running(store) as stream:
        await stream.append(BROKER, 0, event(1), 60_000)
        valkey.kill()
    valkey.start()
    async with running(store) as stream:
        await stream.append(BROKER, 0, event(1), 60_000)
        await stream.append(BROKER, 0, event(2), 60_000)

    assert await names(store) == ["1", "2"]
    await store.aclose()


async def test_expired_repeats_are_forgotten_as_new_events_come(store):
    """What is known is not more than a window's worth: each append removes what has expired."""
    async with running(store) as stream:
        await asyncio.gather(*(stream.append(BROKER, 0, event(n), 60_000) for n in range(20)))
        await store.zadd(SEEN, dict.fromkeys(await store.zrange(SEEN, 0, -1), 1))
        await asyncio.gather(*(stream.append(BROKER, 0, event(f"n{n}"), 60_000) for n in range(10)))

    assert await store.zcard(SEEN) == 10


async def test_a_repeat_of_a_held_event_is_a_repeat(store):
    """An event that waits has been accepted."""
    async with running(store) as stream:
        for _ in range(2):
            await stream.append(BROKER, 0, event(1, delay="P1D"), 60_000)

    assert await store.xlen(KEY.replace("events", "held")) == 1


async def test_a_batch_is_all_or_nothing_also_where_a_partition_fails(store):
    """A batch on two partitions, one of which the store refuses, stores nothing on the other."""
    await store.set(keys.events(BROKER, 1), "not a stream")
    told = asyncio.get_running_loop().create_future()
    async with running(store) as stream:
        stream.offer_all(BROKER, [(0, event(1)), (1, event(2))], told.set_result)
        assert "refused" in str(await told)

    assert await names(store) == []
