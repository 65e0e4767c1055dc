"""What a new owner knows: the table of triggers as it is, whatever changes while that is read."""

import asyncio
from types import SimpleNamespace

import pytest

from eventing import projection
from eventing.broker import dispatcher


@pytest.fixture
def read_on(monkeypatch):
    """The first new owner has read the table, but has not got its answer until this is set."""
    read_on, reads = asyncio.Event(), []

    async def read(store, table):
        reads.append(table)
        is_first = len(reads) == 1
        found = await projection.read(store, table)
        if is_first:
            await read_on.wait()
        return found
    monkeypatch.setattr(dispatcher, "projection", SimpleNamespace(read=read))
    return read_on


async def test_two_partitions_at_once(bench, subscriber, eventually, read_on):
    """A trigger that is deleted while two owners read the table, one of them longer, is no lane of either."""
    await bench.broker(partitions=2)
    await bench.put("mine", subscriber.url)
    made, _ = await bench.dispatcher()
    await eventually(lambda: [list(partition.lanes) for partition in made.partitions] == [["shop/mine"]])
    await bench.untrigger("mine")
    await eventually(lambda: [list(partition.lanes) for partition in made.partitions] == [[]])

    read_on.set()
    await eventually(lambda: len(list(made.partitions)) == 2)

    assert [list(partition.lanes) for partition in made.partitions] == [[], []]
