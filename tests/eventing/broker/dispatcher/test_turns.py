"""A trigger's limit holds for all partitions together, over dispatchers that come, leave and are killed."""

import asyncio
import signal

import pytest

from eventing.broker.flow import CONCURRENCY, CONCURRENCY_KEY, ORDER

PARTITIONS = 4


@pytest.fixture
async def wide(bench):
    """A broker of several partitions."""
    await bench.broker(partitions=PARTITIONS)
    return bench


async def test_one_at_a_time(wide, subscriber, eventually, overlap):
    """Over four partitions and two dispatchers; each partition has its turn, and nothing is lost."""
    await wide.dispatcher()
    await wide.dispatcher()
    await wide.trigger("mine", subscriber.url, annotations={CONCURRENCY: "1"})

    await wide.send(*range(80), partitions=PARTITIONS)
    await eventually(lambda: len(subscriber.received) >= 80)

    assert sorted(map(int, subscriber.ids)) == list(range(80))
    assert overlap.most == 1


async def test_two_of_a_key(wide, subscriber, eventually, overlap):
    """The limit of a key's value holds over partitions, and other values go on beside it."""
    await wide.dispatcher()
    await wide.dispatcher()
    await wide.trigger("mine", subscriber.url,
                       annotations={CONCURRENCY: "2", CONCURRENCY_KEY: "subject"})

    for key in "abcd":
        await wide.send(*(f"{key}{number}" for number in range(20)), subject=key, partitions=PARTITIONS)
    await eventually(lambda: len(subscriber.received) >= 80)

    assert overlap.most_of_one == 2
    assert overlap.most > 2


async def test_order_over_turns(wide, subscriber, eventually, overlap):
    """An ordered trigger with a limit keeps the order of its keys."""
    await wide.dispatcher()
    await wide.trigger("mine", subscriber.url, annotations={CONCURRENCY: "1", ORDER: "ordered"})

    for number in range(15):
        for key in "abcdef":
            await wide.send(f"{key}{number:02}", partitionkey=key, partitions=PARTITIONS)
    await eventually(lambda: len(subscriber.received) >= 90)

    assert overlap.most == 1
    for key in "abcdef":
        mine = [name for name in subscriber.ids if name[0] == key]
        assert mine == [f"{key}{number:02}" for number in range(15)]


async def test_a_killed_dispatchers_turn_comes_back(wide, subscriber, eventually, overlap, start):
    """When its lease has ended; nobody sends beside what it had open, and nothing is lost."""
    first, _ = await start(), await start()
    await wide.until(lambda: wide.living(2))
    await wide.trigger("mine", subscriber.url, annotations={CONCURRENCY: "1"})
    await wide.send(*range(60), partitions=PARTITIONS)

    await eventually(lambda: len(subscriber.received) >= 10)
    first.signal(signal.SIGKILL)
    async with asyncio.timeout(30):
        while len(set(subscriber.ids)) < 60:
            await asyncio.sleep(0.01)

    assert overlap.most == 1


async def test_limits_can_change(wide, subscriber, eventually, overlap):
    """A limit that needs no turns any more is had at once, and one that needs some is kept."""
    await wide.dispatcher()
    record = await wide.trigger("mine", subscriber.url, annotations={CONCURRENCY: "1"})
    await wide.send(*range(20), partitions=PARTITIONS)
    await eventually(lambda: len(subscriber.received) >= 20)
    assert overlap.most == 1

    await wide.trigger("mine", subscriber.url, uid=record["uid"], generation=2, annotations={})
    await wide.send(*range(20, 80), partitions=PARTITIONS)
    await eventually(lambda: len(subscriber.received) >= 80)
    assert overlap.most > 1
