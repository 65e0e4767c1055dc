"""eventing/broker/catchup.py: who asks for what a follower has not heard of, over a real Valkey."""

import asyncio
import contextlib

import orjson
import pytest

from eventing import keys
from eventing.broker import catchup
from eventing.broker.catchup import CatchUp
from eventing.errors import Unavailable
from eventing.projection import Follower

pytestmark = pytest.mark.timeout(30)
RECORD = {"uid": "u"}


class House:
    """A follower of two tables, and those who wait for it."""

    def __init__(self, store):
        self.known = set()
        self.follower = Follower(store, {"brokers": self._on_change, "routes": self._on_change})
        self.catch_up = CatchUp()

    def _on_change(self, name, record):
        (self.known.add if record else self.known.discard)(name)

    async def ask(self, table, name):
        """(what one who waits is told, whether the name is known then)."""
        told = asyncio.get_running_loop().create_future()
        self.catch_up.wait(table, name, lambda error: told.set_result((error, name in self.known)))
        async with asyncio.timeout(20):
            return await told


@contextlib.asynccontextmanager
async def running(store):
    """A House that is loaded."""
    house = House(store)
    async with asyncio.TaskGroup() as tasks:
        owned = [tasks.create_task(task) for task in
                 (house.follower.run(), house.catch_up.run(house.follower))]
        async with asyncio.timeout(10):
            await house.follower.loaded.wait()
        yield house
        for task in owned:
            task.cancel()


async def write_silently(store, table, *names):
    """Write records of which no follower is told."""
    await store.hset(keys.table(table), mapping=dict.fromkeys(names, orjson.dumps(RECORD)))


async def test_what_is_there_is_known_to_who_waits(store):
    """A record that nobody has told of is known when they are told; one that is not there is not."""
    async with running(store) as house:
        await write_silently(store, "brokers", "shop/new")
        await write_silently(store, "routes", "new.default.localhost")

        assert await asyncio.gather(
            house.ask("brokers", "shop/new"), house.ask("routes", "new.default.localhost"),
            house.ask("brokers", "shop/none"), house.ask("brokers", "\N{REPLACEMENT CHARACTER}/\x00"),
        ) == [(None, True), (None, True), (None, False), (None, False)]
        assert repr(house.catch_up) == "<CatchUp [0 waiting]>"


async def test_a_flood_shares_its_looks(store):
    """Names that do not exist, by the hundreds and again and again, cost a few commands; all are answered."""
    async with running(store) as house:
        await store.config_resetstat()
        for round_ in range(3):
            answers = await asyncio.gather(*(house.ask("brokers", f"shop/{round_}-{n}") for n in range(300)))
            assert set(answers) == {(None, False)}

        assert (await store.info("commandstats"))["cmdstat_hmget"]["calls"] <= 6


async def test_who_comes_beyond_the_limit_does_not_wait(store, monkeypatch):
    """What too many wait for already, and what no object is called, is answered at once by what is known."""
    monkeypatch.setattr(catchup, "WAITING_LIMIT", 2)
    house = House(store)
    told = []
    for name in ("a/a", "b/b", "c/c", "d/" + "d" * 600):
        house.catch_up.wait("brokers", name, lambda error, name=name: told.append((name, error)))

    assert told == [("c/c", None), ("d/" + "d" * 600, None)]
    assert repr(house.catch_up) == "<CatchUp [2 waiting]>"


async def test_one_whose_turn_fails_costs_the_others_nothing(store):
    """What is raised over one is logged; those who wait with it, and those who come later, are told."""
    async with running(store) as house:
        house.catch_up.wait("brokers", "shop/odd", [].index)
        told = await asyncio.gather(house.ask("brokers", "shop/none"), house.ask("brokers", "shop/none"))
        assert [*told, await house.ask("brokers", "shop/none")] == [(None, False)] * 3


async def test_a_store_that_does_not_answer(valkey):
    """They are told so within seconds, and not that there is nothing of that name."""
    async with valkey.client() as client, running(client) as house:
        valkey.pause()
        try:
            error, is_known = await house.ask("brokers", "shop/new")
        finally:
            valkey.resume()

        assert isinstance(error, Unavailable)
        assert "the store is away" in str(error)
        assert not is_known
        await write_silently(client, "brokers", "shop/new")
        assert await house.ask("brokers", "shop/new") == (None, True)
