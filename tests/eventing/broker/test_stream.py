"""Appending to a partition: what is told is true, and many go together."""

import asyncio
import contextlib
import itertools

import pytest

from eventing import keys
from eventing.broker import archive
from eventing.broker import stream as stream_module
from eventing.broker.entry import decode, partition_of
from eventing.broker.page import place_of
from eventing.broker.stream import Stream
from eventing.connection import connect
from eventing.errors import Unavailable
from eventing.event import Event

BROKER = "shop/default"
KEY = keys.events(BROKER, 0)
pytestmark = pytest.mark.timeout(30)


def event(number, data=b"x"):
    """Make a small event."""
    return Event({"specversion": "1.0", "id": str(number), "source": "/s", "type": "t"}, data)


@contextlib.asynccontextmanager
async def running(store):
    """A stream that is connected."""
    stream = Stream(store)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(stream.run())
        async with asyncio.timeout(5):
            await stream.connected.wait()
        yield stream
        task.cancel()


async def append_many(stream, numbers):
    """Append at once; None or the error for each."""
    appends = (stream.append(BROKER, 0, event(number)) for number in numbers)
    return await asyncio.gather(*appends, return_exceptions=True)


async def test_an_appended_event_is_in_the_stream_when_append_returns(store):
    """Attributes and data come back as they went in, and no data is not the same as empty data."""
    wanted = [event(1, b"\x00\xff"), event(2, b""), event(3, None), event(4, "é".encode())]
    async with running(store) as stream:
        for given in wanted:
            await stream.append(BROKER, 0, given)

    assert [decode(fields) for _, fields in await store.xrange(KEY)] == wanted


async def test_events_that_arrive_during_an_append_go_together_in_the_next(store):
    """One hundred concurrent events take two or three appends, and keep the order they were offered in."""
    async with running(store) as stream:
        assert await append_many(stream, range(100)) == [None] * 100
        calls = sum(stream.counts.groups)

    assert calls <= 3
    assert [decode(fields).attributes["id"] for _, fields in await store.xrange(KEY)] == [
        str(n) for n in range(100)]


async def test_small_groups_that_alternate_become_one(store):
    """Producers whose turns came apart go together: a flight costs an fsync, however few it carries."""
    numbers = itertools.count()

    async with running(store) as stream:
        done = asyncio.Event()

        def send(error=None):
            assert error is None
            number = next(numbers)
            if number < 400:
                stream.offer(BROKER, 0, event(number), send)
            elif number == 407:
                done.set()

        for _ in range(4):
            send()
        while not stream.counts.stored and "4 in flight" not in repr(stream):
            await asyncio.sleep(0)
        for _ in range(4):
            send()
        await done.wait()

    _, _, _, four_to_seven, eight, *_ = stream.counts.groups
    assert four_to_seven <= 3
    assert eight >= 45


async def test_partitions_have_a_group_each(store):
    """Events of several partitions travel in one flight and end in their own streams."""
    async with running(store) as stream:
        await asyncio.gather(*(stream.append(BROKER, n % 3, event(n)) for n in range(30)))

    assert [await store.xlen(keys.events(BROKER, p)) for p in range(3)] == [10, 10, 10]


async def test_a_large_group_is_divided(store):
    """More events than one call may carry are stored all the same, in order."""
    many = stream_module.GROUP_LIMIT_EVENTS * 2 + 7
    async with running(store) as stream:
        assert await append_many(stream, range(many)) == [None] * many

    assert await store.xlen(KEY) == many


async def test_an_append_without_connection_is_refused_at_once(store):
    """A stream that has not reached the store accepts nothing."""
    with pytest.raises(Unavailable, match="away"):
        await Stream(store).append(BROKER, 0, event(1))


async def test_functions_that_the_store_lost_are_loaded_again(store):
    """A store that was emptied, functions too, takes the next event."""
    async with running(store) as stream:
        await store.function_flush()
        await append_many(stream, range(3))

    assert await store.xlen(KEY) == 3


async def test_a_key_of_another_type_is_an_error_that_is_told(store):
    """What the store refuses for any reason is never told as stored, and the stream goes on."""
    await store.set(keys.events(BROKER, 1), "not a stream")
    async with running(store) as stream:
        with pytest.raises(Unavailable, match="refused: WRONGTYPE"):
            await stream.append(BROKER, 1, event(1))
        await stream.append(BROKER, 0, event(2))

    assert await store.xlen(KEY) == 1


async def test_the_queue_is_bounded(store, monkeypatch):
    """Beyond the queue's limit an event is refused at once, and what was queued is stored."""
    monkeypatch.setattr(stream_module, "QUEUE_LIMIT_EVENTS", 10)
    async with running(store) as stream:
        told = await append_many(stream, range(15))
        assert [error for error in told if error is None] == [None] * 10
        assert all("too many events" in str(error) for error in told[10:])
        assert repr(stream) == "<Stream [0 waiting | 0 in flight | 10 stored | 5 refused]>"

    assert await store.xlen(KEY) == 10


async def test_a_cancelled_append_disturbs_nobody(store):
    """One who waits no longer leaves the others their answers."""
    async with running(store) as stream:
        async with asyncio.TaskGroup() as tasks:
            impatient = tasks.create_task(stream.append(BROKER, 0, event(1)))
            patient = tasks.create_task(stream.append(BROKER, 0, event(2)))
            await asyncio.sleep(0)
            impatient.cancel()
        assert patient.done()
        assert patient.exception() is None


async def test_out_of_memory_is_a_refusal_that_passes(valkey):
    """A store that cannot keep an event says so and writes nothing; once it can, events are stored again."""
    store = valkey.client()
    async with running(store) as stream:
        await store.config_set("maxmemory", "1")
        with pytest.raises(Unavailable, match="out of memory"):
            await stream.append(BROKER, 0, event(1))
        await store.config_set("maxmemory", "0")
        assert await store.xlen(KEY) == 0
        await stream.append(BROKER, 0, event(2))
        assert await store.xlen(KEY) == 1
    await store.aclose()


async def test_a_store_that_is_read_only_is_left_until_it_is_a_primary(valkey, eventually):
    """Events are refused as such, at first and while no connection opens; then they are stored again."""
    store, client = connect(f"unix://{valkey.path}"), valkey.client()
    async with running(store) as stream:
        await client.execute_command("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(Unavailable, match="read-only"):
            await stream.append(BROKER, 0, event(1))
        await eventually(lambda: "read-only" in stream.absence)
        with pytest.raises(Unavailable, match="read-only"):
            await stream.append(BROKER, 0, event(1))
        await client.execute_command("REPLICAOF", "NO", "ONE")
        async with asyncio.timeout(10):
            await stream.connected.wait()
        assert await client.xlen(KEY) == 0
        await stream.append(BROKER, 0, event(2))
        assert await client.xlen(KEY) == 1
    await client.aclose()
    await store.aclose()


async def test_a_store_that_is_killed_and_restarted_is_found_again(valkey, eventually):
    """While the store is away events are refused; what was stored before is there after its restart."""
    store = valkey.client()
    async with running(store) as stream:
        await stream.append(BROKER, 0, event(1))
        valkey.kill()
        await eventually(lambda: not stream.connected.is_set())
        with pytest.raises(Unavailable, match="away"):
            await stream.append(BROKER, 0, event(2))
        valkey.start()
        async with asyncio.timeout(10):
            await stream.connected.wait()
        await stream.append(BROKER, 0, event(3))
        stored = [decode(fields).attributes["id"] for _, fields in await store.xrange(KEY)]
    await store.aclose()

    assert stored == ["1", "3"]


async def test_a_lost_reply_is_told_as_unavailable(valkey, eventually):
    """An event whose append was under way when the store died is refused, as perhaps stored."""
    store = valkey.client()
    async with running(store) as stream:
        valkey.pause()
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(append_many(stream, range(3)))
            await eventually(lambda: "3 in flight" in repr(stream))
            valkey.kill()
        assert all("may have been stored" in str(error) for error in waiting.result())
    await store.aclose()


def test_one_key_has_one_partition():
    """The partitionkey decides; without it source and id do, so a repeated event meets its first self."""
    keyed = [Event({"id": str(n), "source": "/s", "partitionkey": "k"}) for n in range(50)]
    plain = [Event({"id": str(n), "source": "/s"}) for n in range(50)]

    assert len({partition_of(given, 8) for given in keyed}) == 1
    assert len({partition_of(given, 8) for given in plain}) == 8
    assert [partition_of(given, 8) for given in plain] == [partition_of(given, 8) for given in plain]
    assert {partition_of(given, 1) for given in plain} == {0}


async def test_everybody_is_told_however_often_the_connection_is_cut(store):
    """Each append ends: stored, and then it is there, or Unavailable; nobody waits for ever."""
    told = []

    async def producer(name):
        for number in range(150):
            try:
                await stream.append(BROKER, 0, event(f"{name}-{number}"))
            except Unavailable:
                await asyncio.sleep(0.005)
            else:
                told.append(f"{name}-{number}")

    async with running(store) as stream, asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        producers = [tasks.create_task(producer(name)) for name in range(8)]
        while not all(each.done() for each in producers):
            await store.client_kill_filter(_type="normal", skipme=True)
            await store.function_flush()
            await asyncio.sleep(0.02)

    stored = [decode(fields).attributes["id"] for _, fields in await store.xrange(KEY)]
    assert told
    assert set(told) <= set(stored)


async def test_places_after_the_clock_was_stepped_back(store):
    """Each entry has a place of its own, after all before it, although the clock is behind the last one."""
    last = 32_503_680_000_000
    await store.xadd(KEY, {"a": "{}"}, id=f"{last}-0")
    async with running(store) as stream:
        for start in range(0, 3500, 500):
            assert await append_many(stream, range(start, start + 500)) == [None] * 500
        for number in range(50):  # one by one, with a window
            await stream.append(BROKER, 0, event(f"one-{number}"), 60_000)

    ids = [entry_id.decode() for entry_id, _ in await store.xrange(KEY)]
    places = [place_of(entry_id) for entry_id in ids]
    assert len(ids) == 3551
    assert all(before < after for before, after in itertools.pairwise(places))
    assert archive.order_of(ids[-1]) < (last + 10, 0)
