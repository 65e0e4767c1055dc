"""Where sources stopped, over a real Valkey: what was said is written, whatever happens meanwhile."""

import asyncio

import pytest
import redis.asyncio

from eventing import keys
from sources.places import Places


class Slow(redis.asyncio.Redis):
    """A client whose pipelines take until they are let go."""

    def pipeline(self, *args, **options):
        made = super().pipeline(*args, **options)
        execute = made.execute

        async def slowly():
            await self.go_on.wait()
            return await execute()
        made.execute = slowly
        return made


@pytest.fixture
async def slow(store, valkey_socket):
    """A client of the same store, whose pipelines do nothing until `go_on` is set."""
    async with Slow(unix_socket_path=str(valkey_socket)) as client:
        client.go_on = asyncio.Event()
        yield client


async def stored(store):
    """The place as it is stored."""
    return await store.get(keys.source_place("1"))


async def test_a_write_that_is_cancelled(store, slow):
    """What was being written when the role ends is written by the last write."""
    places = Places(slow)
    places.say("1", "here")
    async with asyncio.TaskGroup() as tasks:
        writing = tasks.create_task(places.run())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        writing.cancel()
    assert await stored(store) is None

    slow.go_on.set()
    await places.write()

    assert await stored(store) == b"here"


async def test_what_is_being_written_is_read(store, slow):
    """A place is the one that was said last, also while that or an earlier one is written."""
    places = Places(slow)
    places.say("1", "here")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(places.write())
        await asyncio.sleep(0)
        assert await places.read("1") == "here"
        places.say("1", "there")
        slow.go_on.set()
    assert await stored(store) == b"here"

    await places.write()
    assert await stored(store) == b"there"
    assert await places.read("1") == "there"


async def test_what_is_written_is_forgotten(store, slow):
    """What has been written is not written again."""
    slow.go_on.set()
    places = Places(slow)
    places.say("1", "here")
    await places.write()
    await store.delete(keys.source_place("1"))
    await places.write()

    assert await stored(store) is None
