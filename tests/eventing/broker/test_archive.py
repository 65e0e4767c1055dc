"""Reading a partition back, following it, and keeping it small."""

import asyncio
import time

from eventing import keys
from eventing.broker import archive
from eventing.event import Event

BROKER = "shop/default"
KEY = keys.events(BROKER, 0)


async def add(store, partition, entry_id, name):
    """Put one entry where append would."""
    fields = {"a": b'{"id":"%s"}' % name.encode(), "d": b"x"}
    await store.xadd(keys.events(BROKER, partition), fields, id=entry_id)


def so_many(counts):
    """Says how many partitions there are: a number, or the one in a list that may change."""
    async def partitions():
        return counts if isinstance(counts, int) else counts[0]
    return partitions


async def ids(entries):
    """Names of the events, in the order read."""
    return [entry.event.attributes["id"] async for entry in entries]


async def test_partitions_are_read_in_the_order_of_time(store):
    """Entries of several partitions come oldest first, and ids are compared as numbers."""
    for partition, entry_id, name in ((0, "9-0", "a"), (1, "10-2", "b"), (0, "10-10", "c"), (1, "11-0", "d")):
        await add(store, partition, entry_id, name)

    assert await ids(archive.read(store, BROKER, [0, 1, 2])) == ["a", "b", "c", "d"]


async def test_a_range_includes_both_ends_and_is_read_in_pages(store):
    """More entries than a page holds are all read, from the first id to the last, both included."""
    for number in range(1, 260):
        await add(store, 0, f"{number}-0", str(number))

    assert await ids(archive.read(store, BROKER, [0], start="5-0", end="250-0")) == [
        str(number) for number in range(5, 251)]


async def test_an_id_and_a_time_are_the_same(store):
    """An event can be found by when it was appended."""
    before = time.time() - 1
    entry_id = (await store.xadd(KEY, {"a": b"{}"})).decode()

    assert before < archive.when_of(entry_id) < time.time() + 1
    assert archive.order_of(archive.id_at(archive.when_of(entry_id))) <= archive.order_of(entry_id)
    found = [entry async for entry in archive.read(store, BROKER, [0], start=archive.id_at(before))]
    assert found == [archive.Entry(entry_id, 0, Event({}, None))]


async def test_following_starts_now_and_sees_every_partition(store):
    """A follower sees what is appended after it began, and nothing from before."""
    await add(store, 0, "1-0", "old")
    seen = []
    started = asyncio.Event()

    async def watch():
        entries = archive.follow(store, BROKER, so_many(2), asyncio.Event(), after=None)
        first = asyncio.ensure_future(anext(entries))  # noqa: TID251  owned by this test
        started.set()
        seen.append((await first).event.attributes["id"])
        seen.append((await anext(entries)).event.attributes["id"])

    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(watch())
        await started.wait()
        number = 0
        while not task.done():
            number += 1
            await add(store, number % 2, "*", f"new{number}")
            await asyncio.sleep(0.01)

    assert all(name.startswith("new") for name in seen)


async def test_a_follower_finds_partitions_that_are_added(store, monkeypatch):
    """What came to a partition before the follower heard of it is seen, too."""
    monkeypatch.setattr(archive, "_ASK_S", 0.0)
    counts = [1]
    entries = archive.follow(store, BROKER, so_many(counts), asyncio.Event(), after=None)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        first = tasks.create_task(anext(entries))
        while not first.done():
            await add(store, 0, "*", "a")
            await asyncio.sleep(0.01)
        await add(store, 2, "*", "b")
        counts[0] = 3
        await add(store, 1, "*", "c")
        found = {first.result().event.attributes["id"]}
        while found != {"a", "b", "c"}:
            found.add((await anext(entries)).event.attributes["id"])
    await entries.aclose()


async def test_a_follower_outlives_its_store(valkey):
    """A store that is killed and comes back is followed on, and nothing is missed."""
    store = valkey.client()
    await add(store, 0, "1-0", "a")
    entries = archive.follow(store, BROKER, so_many(1), asyncio.Event(), after="0")
    async with asyncio.timeout(15):
        assert (await anext(entries)).event.attributes["id"] == "a"
        valkey.kill()
        valkey.start()
        await add(store, 0, "2-0", "b")
        assert (await anext(entries)).event.attributes["id"] == "b"
    await entries.aclose()
    await store.aclose()


async def fill(store, count, size_bytes=1000):
    """Put *count* entries with ids 1-0, 2-0, ..."""
    for number in range(1, count + 1):
        await store.xadd(KEY, {"a": b"{}", "d": b"x" * size_bytes}, id=f"{number}-0")


async def oldest(store):
    """Milliseconds of the oldest id left."""
    return int((await store.xrange(KEY, count=1))[0][0].partition(b"-")[0])


async def test_old_entries_go_but_never_what_is_needed(store):
    """Everything here is older than a week: it goes up to the id that the owner needs, and no further."""
    await fill(store, 100)

    removed = await archive.retain(store, BROKER, 0, needed="60-0", now=time.time())

    assert 50 < removed < 60
    assert 50 < await oldest(store) <= 60
    assert await archive.retain(store, BROKER, 0, needed="60-0", now=time.time()) == 0


async def test_too_much_goes_but_never_what_is_needed(store):
    """A partition that is too large loses its oldest entries, unless they are still needed."""
    size_bytes = 40_000
    await fill(store, 100)

    await archive.retain(store, BROKER, 0, needed="20-0", now=0, size_bytes=size_bytes)
    assert 10 < await oldest(store) <= 20
    await archive.retain(store, BROKER, 0, needed="101-0", now=0, size_bytes=size_bytes)
    assert 20 < await store.xlen(KEY) < 50


async def test_as_many_go_as_there_are_too_many(store):
    """However far a partition has grown past what its broker keeps, one pass brings it back."""
    for first in range(1, 30_001, 1000):  # in parts: the client sends again what takes it too long
        async with store.pipeline(transaction=False) as pipe:
            for number in range(first, first + 1000):
                pipe.xadd(KEY, {"a": b"{}", "d": b"x" * 1000}, id=f"{number}-0")
            await pipe.execute()

    await archive.retain(store, BROKER, 0, needed="30001-0", now=0, size_bytes=1_000_000)

    assert 500 < await store.xlen(KEY) < 1500


async def test_a_broker_says_how_old_its_events_may_be(store):
    """With an age of its own, a partition loses what is older, and keeps what is younger."""
    await fill(store, 100)

    await archive.retain(store, BROKER, 0, needed="101-0", now=0.1, age_s=0.04)

    assert 50 < await oldest(store) <= 60


async def test_what_is_young_and_little_stays(store):
    """Retention of a small partition removes nothing, and an absent one is no error."""
    assert await archive.retain(store, BROKER, 0, needed="0", now=time.time()) == 0
    await store.xadd(KEY, {"a": b"{}"})

    assert await archive.retain(store, BROKER, 0, needed="9999999999999-0", now=time.time()) == 0
    assert await store.xlen(KEY) == 1
