"""What waits for a trigger, and since when: as metrics, and for `describe`."""

from dataclasses import asdict

import pytest
from prometheus_client import CollectorRegistry

from eventing.broker.lane_metrics import LaneMetrics
from eventing.cli.description import describe

TRIGGER = {"apiVersion": "eventing.knative.dev/v1", "kind": "Trigger", "metadata": {"name": "mine"}}


@pytest.fixture
def value():
    """Reads a metric of trigger shop/mine from a dispatcher."""
    def read(dispatcher, name):
        registry = CollectorRegistry()
        registry.register(LaneMetrics(lambda: dispatcher.partitions))
        return registry.get_sample_value(name, {"trigger": "shop/mine", "partition": "0"})
    return read


async def test_what_is_being_sent(bench, subscriber, eventually, value):
    """Events whose subscriber has not answered: how many, and how old; none once it has."""
    subscriber.answer = subscriber.hold
    dispatcher, _ = await bench.dispatcher()
    await bench.trigger("mine", subscriber.url)
    letters = await bench.letters("mine")
    await bench.send("1", "2", "3")

    async def all_are_open():
        found = await letters.waiting()
        return found.open == 3 and found.lag_s > 1
    await bench.until(all_are_open)
    assert value(dispatcher, "clarion_deliveries_open") == 3
    assert value(dispatcher, "clarion_trigger_lag_seconds") > 1

    subscriber.release()

    async def none_is():
        found = await letters.waiting()
        return (found.open, found.backlog, found.lag_s) == (0, 0, 0.0)
    await bench.until(none_is)
    await eventually(lambda: value(dispatcher, "clarion_trigger_lag_seconds") == 0)


@pytest.mark.usefixtures("counting")
async def test_what_is_sent_for_long_counts_once(bench, subscriber, eventually, value):
    """An event that is being sent does not count in the backlog, where it is parked, too; and how long."""
    subscriber.answer = subscriber.hold
    dispatcher, _ = await bench.dispatcher()
    uid = (await bench.trigger("mine", subscriber.url))["uid"]
    letters = await bench.letters("mine")
    await bench.send("1", "2", "3")
    await bench.until(lambda: bench.has(f"{{shop/default/0}}:backlog:{uid}", 3))

    async def is_told():
        found = await letters.waiting()
        return found if found.open == 3 and not found.backlog and found.open_s > 1 else None
    found = await bench.until(is_told)

    said = describe(TRIGGER, [], {"trigger": "mine", **asdict(found)})
    assert "being sent       3   (the oldest request has been open for " in said
    assert "in the backlog   0\n" in said
    await eventually(lambda: value(dispatcher, "clarion_backlog") == 0)
    subscriber.release()

    async def none_is():
        found = await letters.waiting()
        return (found.open, found.backlog, found.open_s) == (0, 0, 0.0)
    await bench.until(none_is)


@pytest.fixture
def counting(monkeypatch):
    """What waits in the store is counted every second, for less waiting."""
    monkeypatch.setattr("eventing.broker.upkeep._COUNT_S", 0.0)


@pytest.mark.usefixtures("counting")
async def test_what_is_to_be_retried(bench, subscriber, eventually, delivery, value):
    """Retries count for their trigger, not for the partition; dead letters are no lag."""
    subscriber.answer = lambda exchange, event: exchange.respond(
        400 if event.attributes["id"] == "bad" else 503)
    dispatcher, _ = await bench.dispatcher()
    await bench.trigger("other", subscriber.url, filter={"type": "none"})
    await bench.trigger("mine", subscriber.url, delivery=delivery(retry=3, backoff_s=600))
    await bench.send("1", "2", "bad")

    await eventually(lambda: value(dispatcher, "clarion_retries") == 2)
    assert value(dispatcher, "clarion_dead_letters") == 1
    assert value(dispatcher, "clarion_trigger_lag_seconds") > 0
    mine = await (await bench.letters("mine")).waiting()
    other = await (await bench.letters("other")).waiting()
    assert (mine.retries, mine.dead, mine.backlog) == (2, 1, 0)
    assert mine.lag_s > 0
    assert (other.retries, other.dead, other.open, other.lag_s) == (0, 0, 0, 0.0)


async def test_what_nobody_reads(bench, subscriber, eventually):
    """While there is no dispatcher an event waits for every trigger; then for none."""
    await bench.put("mine", subscriber.url)
    letters = await bench.letters("mine")
    await bench.send("1")

    async def lags():
        return (await letters.waiting()).lag_s > 0.1
    await bench.until(lags)
    await bench.dispatcher()

    async def is_done():
        return subscriber.ids == ["1"] and (await letters.waiting()).lag_s == 0
    await bench.until(is_done)


async def test_it_goes_with_its_trigger(bench, subscriber, eventually, delivery):
    """Many retries of a deleted trigger are removed, some in a call; those of another stay."""
    subscriber.answer = lambda exchange, event: exchange.respond(503)
    await bench.dispatcher()
    record = await bench.trigger("mine", subscriber.url, delivery=delivery(retry=3, backoff_s=600))
    await bench.trigger("other", subscriber.url, filter={"type": "kept"},
                        delivery=delivery(retry=3, backoff_s=600))
    await bench.send(*range(1200))
    await bench.send("kept", type="kept")
    await bench.until_waiting(await bench.letters("mine"), 1201)

    await bench.untrigger("mine")
    await bench.until_gone(f"*{record['uid']}*")
    assert await bench.store.zcard("{shop/default/0}:retries") == 1
    assert (await (await bench.letters("other")).waiting()).retries == 1
