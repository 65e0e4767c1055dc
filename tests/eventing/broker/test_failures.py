"""What fails, told for people: nothing that happens while it is written is lost, and nothing of it ends."""

import time

import orjson
import pytest
import redis.asyncio
import redis.exceptions

from eventing import keys
from eventing.broker import failures
from eventing.broker.delivery import Answer, RetryAt
from eventing.broker.failures import Failures
from eventing.broker.lane import Delivery, Lane
from eventing.event import Event

KEY = keys.failures("shop/default", 0)


@pytest.fixture
def lanes():
    """Two triggers' lanes, by uid."""
    return {uid: Lane(uid, f"shop/{uid}") for uid in ("a", "b")}


@pytest.fixture
def make_failures(lanes):
    """Makes the failures of a partition with these lanes."""
    return lambda store: Failures(store, KEY, lanes, lambda lane, failure: None)


def fail(told, lane, event_id="1"):
    """An attempt of *lane* fails."""
    delivery = Delivery(lane, "1-0", 1, Event({"id": event_id}))
    told.note(delivery, RetryAt(time.time() + 600), Answer(503))


async def events(store):
    """The last event that failed, by trigger, as it is stored."""
    found = await store.hgetall(KEY)
    return {uid.decode(): failures.read(packed).failure.event for uid, packed in found.items()}


class Meanwhile(redis.asyncio.Redis):
    """A client of a store, while whose next command something happens."""

    happens = None

    async def execute_command(self, *args, **options):
        answer = await super().execute_command(*args, **options)
        happens, self.happens = self.happens, None
        if happens is not None:
            happens()
        return answer


@pytest.fixture
async def slow(store, valkey_socket):
    """A client of the same store, so slow that something happens meanwhile."""
    async with Meanwhile(unix_socket_path=str(valkey_socket)) as client:
        yield client


async def test_a_trigger_goes_while_another_is_forgotten(slow, lanes, make_failures):
    """Triggers that are deleted one after the other are forgotten one after the other."""
    told = make_failures(slow)
    for lane in lanes.values():
        fail(told, lane)
    await told.tell()
    assert await events(slow) == {"a": "1", "b": "1"}

    del lanes["a"]
    slow.happens = lanes.clear
    await told.tell()
    assert await events(slow) == {"b": "1"}
    await told.tell()
    assert await events(slow) == {}


async def test_what_fails_while_it_is_written(slow, lanes, make_failures):
    """What fails while the store writes what failed before is written the next time."""
    told = make_failures(slow)
    await told.tell()
    fail(told, lanes["a"])

    slow.happens = lambda: fail(told, lanes["a"], "2")
    await told.tell()
    assert await events(slow) == {"a": "1"}
    await told.tell()
    assert await events(slow) == {"a": "2"}


async def test_a_store_that_does_not_write(valkey, lanes, make_failures):
    """What could not be written, or forgotten, is as soon as the store writes again."""
    async with valkey.client() as store:
        told = make_failures(store)
        fail(told, lanes["b"])
        await told.tell()
        fail(told, lanes["a"])
        del lanes["b"]
        await store.config_set("maxmemory", 1)
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            await told.tell()
        await store.config_set("maxmemory", 0)
        await told.tell()

        assert await events(store) == {"a": "1"}


async def test_another_version(store, lanes, make_failures):
    """What a later version knows more of is no obstacle; what an earlier one did not write is not known."""
    fail(written := make_failures(store), lanes["a"])
    await written.tell()
    packed = orjson.loads(await store.hget(KEY, "a"))
    packed["failure"]["mood"] = packed["mood"] = "bad"
    packed["drops"] = {"count": 1}
    del packed["unjudged"]
    await store.hset(KEY, "a", orjson.dumps(packed))

    fail(told := make_failures(store), lanes["a"], "2")
    await told.tell()

    found = failures.read(await store.hget(KEY, "a"))
    assert (found.failure.event, found.failure.count, found.drops, found.unjudged) == ("2", 2, None, None)
