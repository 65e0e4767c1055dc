"""Partitions are added while an ordered trigger still has events to deliver."""

import time

import pytest

from eventing import projection
from eventing.broker import succession
from eventing.broker.entry import partition_of
from eventing.broker.flow import ORDER
from eventing.broker.succession import predecessors
from eventing.event import Event

BROKER = "shop/default"
ORDERED = {ORDER: "ordered"}
RETRIES = {"retry": 1000, "backoff_policy": "linear", "backoff_s": 0.005}
# A key that one partition has, then the second of two, then the last of four.
KEY = next(f"k{number}" for number in range(1000)
           if [partition_of(Event({"partitionkey": f"k{number}"}), count) for count in (2, 4)] == [1, 3])


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """What is added for an ingress that hears late is little here."""
    monkeypatch.setattr(succession, "LATE_MS", 50)
    monkeypatch.setattr(succession, "_LOOK_S", 0.02)


@pytest.fixture
def grow(store):
    """Adds partitions as the control plane does."""
    since = [[1, 0]]

    async def add(partitions):
        since.append([partitions, int(time.time() * 1000)])
        await projection.write(store, "brokers", BROKER,
                               {"uid": "b", "partitions": partitions, "partitions_since": since})
    return add


async def queued(dispatcher, eventually, number, events):
    """Wait until the owner of a partition has so many events of the trigger in hand."""
    def lanes():
        return [partition.lanes["shop/mine"] for partition in dispatcher.partitions
                if partition.number == number and "shop/mine" in partition.lanes]
    await eventually(lambda: [len(lane.queue) for lane in lanes()] == [events])


def refuse_first(exchange, event):
    """Fail one event, and take all others."""
    exchange.respond(503 if event.attributes["id"] == "0" else 200)


def delivered(subscriber):
    """Ids in order, repeats of the last one left out."""
    return [name for at, name in enumerate(subscriber.ids) if name not in subscriber.ids[max(0, at - 1):at]]


async def all_wait_for_the_first(subscriber, eventually):
    """Nothing but the first of 8 events was sent; once that is taken all are, in their order."""
    assert set(subscriber.ids) == {"0"}
    subscriber.answer = lambda exchange, event: exchange.respond(200)

    await eventually(lambda: len(set(subscriber.ids)) == 8)
    assert delivered(subscriber) == [str(number) for number in range(8)]


async def send(bench, numbers, partitions):
    """Send events of the key, one after the other."""
    for number in numbers:
        await bench.send(number, partitionkey=KEY, partitions=partitions)


@pytest.mark.parametrize(("partition", "growths", "before"), [
    (0, ((1, 10), (2, 20)), set()),
    (1, ((1, 10), (2, 20)), {(0, 10)}),
    (3, ((1, 10), (2, 20)), {(0, 10), (1, 20)}),
    (7, ((1, 10), (2, 20), (4, 30)), {(0, 10), (1, 20), (3, 30)}),
    (5, ((3, 10),), {(2, 10)}),
    (5, (), set()),
])
def test_who_had_the_keys_before(partition, growths, before):
    """Each time that partitions were added, one of the older ones had the keys that a newer one gets."""
    assert predecessors(partition, growths) == before


async def test_a_key_keeps_its_order(bench, subscriber, make_subscriber, grow, eventually):
    """An event that fails holds up its key in the partition that was added, too; other triggers go on."""
    other = await make_subscriber()
    subscriber.answer = refuse_first
    dispatcher, _ = await bench.dispatcher()
    await bench.trigger("mine", subscriber.url, annotations=ORDERED, delivery=RETRIES)
    await bench.trigger("other", other.url)
    await send(bench, range(4), 1)
    await eventually(lambda: subscriber.received)

    await grow(2)
    await send(bench, range(4, 6), 2)
    await queued(dispatcher, eventually, 1, 2)
    await grow(4)
    await send(bench, range(6, 8), 4)
    await queued(dispatcher, eventually, 3, 2)
    await eventually(lambda: len(other.received) == 8)
    await all_wait_for_the_first(subscriber, eventually)


async def test_a_new_owner_waits_as_well(bench, subscriber, grow, eventually):
    """Who takes the partitions over knows what still has to be waited for."""
    subscriber.answer = refuse_first
    dispatcher, runtime = await bench.dispatcher()
    await bench.trigger("mine", subscriber.url, annotations=ORDERED, delivery=RETRIES)
    await send(bench, range(4), 1)
    await grow(4)
    await send(bench, range(4, 8), 4)
    await queued(dispatcher, eventually, 3, 4)
    await bench.stop(runtime)
    subscriber.received.clear()

    dispatcher, _ = await bench.dispatcher()
    await queued(dispatcher, eventually, 3, 4)
    await eventually(lambda: subscriber.received)
    await all_wait_for_the_first(subscriber, eventually)


async def test_without_an_order_nothing_waits(bench, subscriber, grow, eventually):
    """An ordered trigger that stops being one goes on at once, and so does one that never was."""
    subscriber.answer = refuse_first
    dispatcher, _ = await bench.dispatcher()
    record = await bench.trigger("mine", subscriber.url, annotations=ORDERED, delivery=RETRIES)
    await send(bench, range(2), 1)
    await grow(4)
    await send(bench, range(2, 4), 4)
    await queued(dispatcher, eventually, 3, 2)

    await bench.put("mine", subscriber.url, **{**record, "generation": 2, "annotations": {}})
    await eventually(lambda: {"1", "2", "3"} <= set(subscriber.ids))
