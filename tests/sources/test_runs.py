"""The runs of one source, one after the other, and what is reported of them, over a real Valkey."""

import asyncio

import pytest
import redis.exceptions

from eventing import projection
from sources import source

NAME = "SlowSource/default/slow"
LATER = "SlowSource/default/later"


def record(generation=1, uid="1"):
    """A source as its reconciler projects it."""
    return {"uid": uid, "generation": generation, "source": "/slow", "sink": "http://127.0.0.1:9/",
            "extensions": {}, "spec": {}}


class Slow:
    """A kind of source that takes its time to close."""

    def __init__(self):
        self.began = []  # uid and generation of each run
        self.emits = []
        self.open = self.most_open = 0
        self.may_close = asyncio.Event()

    async def run(self, record, emit):
        self.began.append((record["uid"], record["generation"]))
        self.emits.append(emit)
        if record["uid"] == "later":
            return
        self.open += 1
        self.most_open = max(self.open, self.most_open)
        try:
            emit.ready()
            await asyncio.Event().wait()
        finally:
            await self.may_close.wait()
            self.open -= 1


@pytest.fixture
def slow(monkeypatch, sources):
    """The only kind of source that there is."""
    made = Slow()
    monkeypatch.setattr(source, "named", lambda kind: source.Source(kind, made.run, is_small=True))
    yield made
    made.may_close.set()


@pytest.fixture
def eventually():
    """Waits until a condition holds, or what it returns does."""
    async def wait(condition):
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.005)
    return wait


@pytest.mark.parametrize("records", [
    [record(2), record(3)], [None, record(uid="2")], [record(2), None, record(uid="2"), record(2, uid="2")]])
async def test_one_at_a_time(store, slow, eventually, records):
    """A run begins when every one before has ended, whatever was edited or deleted meanwhile."""
    await projection.write(store, "sources", NAME, record())
    await eventually(lambda: slow.open == 1)

    for changed in records:
        await projection.write(store, "sources", NAME, changed)
    await projection.write(store, "sources", LATER, record(uid="later"))
    await eventually(lambda: slow.began[-1][0] == "later")  # so the changes are known
    assert slow.most_open == 1
    slow.may_close.set()
    await eventually(lambda: len(slow.began) > 2)

    assert slow.began == [("1", 1), ("later", 1), (records[-1]["uid"], records[-1]["generation"])]
    assert slow.most_open == 1


@pytest.mark.parametrize("problem", [None, redis.exceptions.ConnectionError("gone")])
async def test_a_state_that_was_already(store, slow, eventually, monkeypatch, problem):
    """A source that is as it was, while it is written what it was meanwhile, is reported as it is."""
    slow.may_close.set()
    held, write_many = asyncio.Event(), projection.write_many
    written = []

    async def slowly(store, table, records):
        await write_many(store, table, records)
        if table == "source-states":
            written.append(records[NAME]["ready"])
            if not written[-1]:
                await held.wait()
                if problem is not None and len(written) == 2:
                    raise problem
    monkeypatch.setattr(projection, "write_many", slowly)
    await projection.write(store, "sources", NAME, record())
    await eventually(lambda: written == [True])
    slow.emits[0].not_ready("Away", "its server is away")
    await eventually(lambda: written == [True, False])

    slow.emits[0].ready()
    held.set()
    await eventually(lambda: len(written) > 2)

    assert written == [True, False, True]
    assert (await projection.read(store, "source-states"))[NAME]["ready"]
