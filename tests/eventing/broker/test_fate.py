"""An event is found by its id, with bounds to how much is looked at and how much is kept."""

import pytest

from eventing import keys
from eventing.broker import fate

BROKER = "shop/default"


@pytest.fixture
def fill(store):
    """Stores events with this id, at these Unix ms, in a partition."""
    async def fill(partition, event_id, times):
        pipe = store.pipeline(transaction=False)
        for when in times:
            pipe.xadd(keys.events(BROKER, partition), {"a": b'{"id":"%b"}' % event_id.encode(), "d": b"x"},
                      id=f"{when}-0")
        await pipe.execute()
    return fill


async def find(store, partitions, event_id="mine"):
    """Partition and Unix ms of each that is found, and whether these are all."""
    found, is_whole = await fate.find(store, BROKER, partitions, event_id, 0.0)
    return [(entry.partition, int(entry.id.partition("-")[0])) for entry in found], is_whole


async def test_newest_first(store, fill):
    """Events of one id come newest first, whichever partitions they are in; these are all."""
    await fill(0, "mine", [10, 30])
    await fill(1, "mine", [20, 40])
    await fill(1, "other", [50])

    assert await find(store, 2) == ([(1, 40), (0, 30), (1, 20), (0, 10)], True)
    assert await find(store, 2, "none") == ([], True)


async def test_a_long_partition_leaves_others_their_share(store, fill, monkeypatch):
    """An event is found however much there is in the partitions before its own."""
    monkeypatch.setattr(fate, "_LOOK_ENTRIES", 400)
    await fill(0, "other", range(1, 1001))
    await fill(1, "mine", [5])

    assert await find(store, 2) == ([(1, 5)], False)


async def test_what_a_short_partition_leaves(store, fill, monkeypatch):
    """A partition of which less is there than its share leaves the rest to the next."""
    monkeypatch.setattr(fate, "_LOOK_ENTRIES", 800)
    await fill(0, "other", [1])
    await fill(1, "mine", [5])
    await fill(1, "other", range(6, 700))

    assert await find(store, 2) == ([(1, 5)], True)


async def test_a_source_that_counts_badly(store, fill, monkeypatch):
    """Of many events of one id the newest are told, and no more are kept than that takes."""
    decoded, decode = [], fate.decode
    monkeypatch.setattr(fate, "decode", lambda fields: decoded.append(fields) or decode(fields))
    await fill(0, "mine", range(1, 1001))
    await fill(1, "mine", [996, 2000])

    found = [(1, 2000), (0, 1000), (0, 999), (0, 998), (0, 997), (0, 996), (1, 996), (0, 995), (0, 994),
             (0, 993)]
    assert await find(store, 2) == (found, False)
    assert len(decoded) <= 202
