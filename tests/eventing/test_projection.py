"""eventing/projection.py: one writer, many followers, over a real Valkey."""

import asyncio
import contextlib

import pytest

from eventing import keys, projection


class Seen:
    """What a follower was told, in order; `until` waits for it."""

    def __init__(self):
        self.calls = []
        self._told = asyncio.Event()

    def __call__(self, name, record):
        self.calls.append((name, record))
        self._told.set()

    async def until(self, count):
        """Return the calls once there are *count*."""
        async with asyncio.timeout(10):
            while len(self.calls) < count:
                self._told.clear()
                await self._told.wait()
        return self.calls


@contextlib.asynccontextmanager
async def following(store, seen, table="brokers"):
    """A follower of one table, running and loaded."""
    follower = projection.Follower(store, {table: seen})
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(follower.run())
        async with asyncio.timeout(10):
            await follower.loaded.wait()
        yield follower
        running.cancel()


async def test_what_was_there_before_is_loaded(store):
    """A follower that comes late is told of every record."""
    await projection.write_many(store, "brokers", {"a/x": {"n": 1}, "a/y": {"n": 2}})
    seen = Seen()

    async with following(store, seen) as follower:
        assert dict(await seen.until(2)) == {"a/x": {"n": 1}, "a/y": {"n": 2}}
        assert repr(follower) == "<Follower [2 brokers]>"


async def test_a_look_needs_no_telling(store):
    """What is written without a word is found by who looks, and told once."""
    seen = Seen()

    async with following(store, seen) as follower:
        await store.hset(keys.table("brokers"), "a/x", b'{"n": 1}')
        await follower.look("brokers", ("a/x", "a/none"))
        await projection.write(store, "brokers", "a/x", {"n": 1})
        await projection.write(store, "brokers", "a/x", {"n": 2})

        assert await seen.until(2) == [("a/x", {"n": 1}), ("a/x", {"n": 2})]


async def test_changes_arrive(store):
    """Setting, changing and deleting a record are each told once; writing the same again is not."""
    seen = Seen()

    async with following(store, seen):
        await projection.write(store, "brokers", "a/x", {"n": 1})
        await seen.until(1)
        await projection.write(store, "brokers", "a/x", {"n": 1})
        await projection.write(store, "brokers", "a/x", {"n": 2})
        await seen.until(2)
        await projection.write(store, "brokers", "a/x", None)

        assert await seen.until(3) == [("a/x", {"n": 1}), ("a/x", {"n": 2}), ("a/x", None)]


async def test_other_tables_are_not_told(store):
    """A follower hears only of the tables it asked for."""
    seen = Seen()

    async with following(store, seen):
        await projection.write(store, "triggers", "a/t", {"n": 1})
        await projection.write(store, "brokers", "a/x", {"n": 1})

        assert await seen.until(1) == [("a/x", {"n": 1})]


async def test_lost_connection_is_made_good(store):
    """What changed while the connection was gone is told after it is back, deletions too."""
    await projection.write_many(store, "brokers", {"a/x": {"n": 1}, "a/y": {"n": 2}})
    seen = Seen()

    async with following(store, seen):
        await seen.until(2)
        pipe = store.pipeline()  # at once, so that the follower cannot come back in between
        pipe.client_kill_filter(_type="pubsub")
        pipe.hdel(keys.table("brokers"), "a/x")
        pipe.hset(keys.table("brokers"), "a/z", b'{"n":3}')
        await pipe.execute()

        assert sorted((await seen.until(4))[2:], key=str) == [("a/x", None), ("a/z", {"n": 3})]


@pytest.mark.parametrize("records", [{}, {"a/x": None}])
async def test_nothing_to_write_is_fine(store, records):
    """Writing nothing, or deleting what is not there, changes nothing."""
    await projection.write_many(store, "brokers", records)

    assert await projection.read(store, "brokers") == {}
