"""What roles see and tell: once, under Knative's name, and nothing while the flag is off."""

import asyncio

import pytest
import redis.asyncio
import structlog.testing
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from eventing import projection
from eventing.broker import eventtypes
from eventing.broker.eventtypes import EventTypes, name_of
from eventing.cancellation import heeding
from eventing.runtime import end


@pytest.fixture
def forgetful(monkeypatch):
    """Forget after a moment."""
    monkeypatch.setattr(eventtypes, "FORGET_S", 0.05)


@pytest.fixture
async def types(store):
    """A role's, with its task, the flag on."""
    made = EventTypes(store)
    made.on_config(eventtypes.FEATURES, {eventtypes.FLAG: "enabled"})
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(made.run())
        yield made
        await end([running])


def event(type_="order.placed", source="/shop", **more):
    """Attributes of an event."""
    return {"specversion": "1.0", "id": "1", "type": type_, "source": source, **more}


async def told(store, count):
    """The projection, once it has so many records."""
    async with asyncio.timeout(10):
        while len(found := await projection.read(store, eventtypes.TABLE)) < count:
            await asyncio.sleep(0.01)
    return found


@pytest.mark.parametrize(("value", "expected"), [
    ("enabled", True), ("Enabled", True), ("ENABLED", True), ("disabled", False), ("allowed", False),
    ("", False), (None, False)])
def test_flag(value, expected):
    """On means enabled, in any case; absent is off."""
    assert eventtypes.is_enabled({} if value is None else {eventtypes.FLAG: value}) is expected
    assert not eventtypes.is_enabled(None)


@pytest.mark.parametrize(("reference", "type_", "source", "expected"), [
    ("shop/default", "order.placed", "/s", "et-default-e91f3bd9deabd099d04950e2154b59d3"),
    ("shop/my.broker", "t", "/s", "et-my.broker-9621cd4773b2a05029565706fc8e326f"),
])
def test_names(reference, type_, source, expected):
    """`et-`, what it was seen at, and MD5 of type, source, namespace and name: Knative's scheme."""
    assert name_of(reference, type_, source) == expected


def test_a_long_name_is_cut_to_be_one():
    """What Kubernetes would not take as a name is made one, as Knative does it."""
    made = name_of(f"shop/{'b' * 250}", "t", "/s")

    assert (len(made), made[:5]) == (243, "et-bb")


async def test_is_told_once(store, types):
    """A hundred events of two types and sources are two records."""
    for number in range(100):
        types.note("Broker", "shop/default", event(source=f"/{number % 2}", dataschema="http://x/y"))

    assert await told(store, 2) == {
        f"shop/{name_of('shop/default', 'order.placed', source)}": {
            "type": "order.placed", "source": source, "schema": "http://x/y", "kind": "Broker",
            "name": "default"}
        for source in ("/0", "/1")}


async def test_is_told_again_after_a_while(store, forgetful, types):
    """What was noted is forgotten, so that an EventType that was deleted comes back."""
    types.note("Broker", "shop/default", event())
    (name,) = await told(store, 1)
    await projection.write(store, eventtypes.TABLE, name, None)

    async with asyncio.timeout(10):
        while not await projection.read(store, eventtypes.TABLE):
            types.note("Broker", "shop/default", event())
            await asyncio.sleep(0.01)


async def test_types_without_end_are_bounded(store, types, monkeypatch):
    """A role notes so many in that time, and no type that is too long to be read."""
    monkeypatch.setattr(eventtypes, "SEEN_LIMIT", 3)
    types.note("Broker", "shop/default", event(type_="x" * 2000))
    for number in range(10):
        types.note("Broker", "shop/default", event(source=f"/{number}"))

    found = await told(store, 3)
    assert sorted(record["source"] for record in found.values()) == ["/0", "/1", "/2"]


async def test_a_store_that_was_away_is_told_later(valkey, eventually, monkeypatch):
    """Nothing that was noted is lost with a store that is restarted."""
    monkeypatch.setattr(eventtypes, "_AWAY_S", 0.05)
    monkeypatch.setattr(eventtypes, "_LINGER_S", 0.0)
    client = heeding(redis.asyncio.Redis(unix_socket_path=str(valkey.path), retry=Retry(NoBackoff(), 0)))
    types = EventTypes(client)
    types.on_config(eventtypes.FEATURES, {eventtypes.FLAG: "enabled"})
    valkey.kill()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(types.run())
        types.note("Broker", "shop/default", event())
        with structlog.testing.capture_logs() as logs:
            await eventually(lambda: logs)
        valkey.start()
        assert len(await told(client, 1)) == 1
        await end([running])
    await client.aclose()


async def test_off_means_that_nothing_is_kept(store, types):
    """Who turns the flag off is told nothing more."""
    types.note("Broker", "shop/default", event())
    types.on_config(eventtypes.FEATURES, None)

    assert not types.is_on
    assert repr(types) == "<EventTypes [0 seen | 0 to tell]>"
