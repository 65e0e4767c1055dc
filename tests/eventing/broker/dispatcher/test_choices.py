"""What docs/choices.md says of deliveries, where no other file shows it."""

from dataclasses import asdict

import orjson
import pytest
import structlog.testing
from prometheus_client import CollectorRegistry, generate_latest

from eventing.broker.flow import BATCH, ORDER
from eventing.broker.lane_metrics import LaneMetrics
from eventing.broker.macros import STEPS_MOST
from eventing.cli.description import describe

TRIGGER = {"apiVersion": "eventing.knative.dev/v1", "kind": "Trigger", "metadata": {"name": "mine"}}


async def test_the_answer_to_a_batch_is_its_status(bench, make_batch_subscriber, eventually):
    """A batch asks for no reply, and an event in its answer is none: it could not be said to which event."""
    subscriber = await make_batch_subscriber()
    headers = []

    def handle(exchange):
        def take(body):
            headers.append(dict(exchange.headers))
            _reply(exchange, None)
        exchange.collect(1 << 20, take)
    subscriber._server.handler = handle
    await bench.dispatcher()
    await bench.trigger("mine", subscriber.url, annotations={BATCH: "5,50ms"})

    await bench.send(*range(5))
    assert [row[-1] for row in await bench.records(5)] == ["settled"] * 5
    assert len(await bench.stored()) == 5
    assert not any(b"prefer" in each for each in headers)


@pytest.fixture
async def holding(bench, subscriber, delivery):
    """An ordered trigger two of whose keys wait for a failed event each."""
    subscriber.answer = lambda exchange, event: exchange.respond(
        503 if event.attributes["id"] in ("a0", "b0") else 200)
    dispatcher, _ = await bench.dispatcher()
    await bench.trigger("mine", subscriber.url, annotations={ORDER: "ordered"},
                        delivery=delivery(retry=1, backoff_s=600))
    for key in "abc":
        await bench.send(*(f"{key}{number}" for number in range(3)), partitionkey=key)
    return dispatcher


async def test_what_a_failed_event_holds_up_shows(bench, subscriber, eventually, holding):
    """A metric counts the keys that wait, and `describe` says that they do, and why."""
    await eventually(lambda: sorted(subscriber.ids) == ["a0", "b0", "c0", "c1", "c2"])
    registry = CollectorRegistry()
    registry.register(LaneMetrics(lambda: holding.partitions))
    letters = await bench.letters("mine")

    async def held():
        found = await letters.waiting()
        return found if found.held == 2 else None
    waiting = await bench.until(held)

    assert 'clarion_keys_held{partition="0",trigger="shop/mine"} 2.0' in generate_latest(registry).decode()
    counts = {"trigger": "mine", **asdict(waiting)}
    text = describe(TRIGGER, [], counts)
    assert "(2 failed and hold their key until they are delivered or given up)" in text
    assert "other keys may wait behind them" in describe(TRIGGER, [], counts | {"backlog": 2000})


async def test_a_reply_that_cannot_be_stored_fails_the_delivery(
    valkey, tmp_path, subscriber, eventually, delivery, *, make_bench
):
    """CP-E7: what a full store does not take is no reply; the delivery is repeated until it does."""
    subscriber.answer = subscriber.hold
    client = valkey.client()
    async with make_bench(client, tmp_path) as bench:
        await bench.broker()
        await bench.dispatcher()
        await bench.trigger("mine", subscriber.url, filter={"type": "t"},
                            delivery=delivery(retry=1000, backoff_s=0.05))
        await bench.send("1")
        await eventually(lambda: subscriber.held)
        await client.config_set("maxmemory", 1)

        subscriber.answer = _reply
        _reply(subscriber.held[0], None)
        await eventually(lambda: len(subscriber.received) >= 2)
        assert [event.attributes["type"] for event in await bench.stored()] == ["t"]
        await client.config_set("maxmemory", 0)

        async def is_stored():
            return "reply" in [event.attributes["type"] for event in await bench.stored()]
        await bench.until(is_stored)
    await client.aclose()


def _reply(exchange, _event):
    """Answer with an event."""
    exchange.respond(200, [(b"ce-specversion", b"1.0"), (b"ce-id", b"r"), (b"ce-source", b"/s"),
                           (b"ce-type", b"reply")])


async def test_an_event_that_a_filter_cannot_judge_in_time(bench, subscriber, eventually):
    """It does not match, what comes after it is delivered; the log, the metrics and the Trigger say so."""
    with structlog.testing.capture_logs() as logs:
        dispatcher, _ = await bench.dispatcher()
        await bench.trigger("slow", subscriber.url, filters=[
            {"cel": "data.all(i, data.exists_one(j, j == i))"}])
        await bench.send("big", "bigger", data=orjson.dumps(list(range(3000))))
        await bench.send("small", data=b"[1, 2]")
        await eventually(lambda: subscriber.ids == ["small"])

        letters = await bench.letters("slow")

        async def told_of():
            waiting = await letters.waiting()
            return waiting if waiting.unjudged and waiting.unjudged.count > 1 else None
        waiting = await bench.until(told_of)
        described = describe(TRIGGER, [], {"trigger": "slow", **asdict(waiting)})
        assert "filter unjudged  2 events were not judged, and so not delivered, the last " in described
        assert f" ago: 3000 elements, macros 2 deep: more than {STEPS_MOST} steps\n" in described
        registry = CollectorRegistry()
        registry.register(LaneMetrics(lambda: dispatcher.partitions))
        found = registry.get_sample_value(
            "clarion_filter_unjudged_total", {"trigger": "shop/slow", "partition": "0"})
        assert found == 2

    told = [(line["trigger"], line["reason"]) for line in logs if "cannot be judged" in line["event"]]
    assert told == [("shop/slow", f"3000 elements, macros 2 deep: more than {STEPS_MOST} steps")]


async def test_an_attribute_that_a_cesql_filter_cannot_judge_in_time(bench, subscriber, eventually):
    """It is told of in the log as CEL's are, and what comes after it is delivered."""
    with structlog.testing.capture_logs() as logs:
        await bench.dispatcher()
        await bench.trigger("slow", subscriber.url, filters=[
            {"cesql": " OR ".join(["subject LIKE '%aaaaaaaaaa%'"] * 20)}])
        await bench.send("long", "longer", subject="a" * 100_000)
        await bench.send("short", subject="a" * 10)
        await eventually(lambda: subscriber.ids == ["short"])

    told = [line["trigger"] for line in logs if "cannot be judged" in line["event"]]
    assert told == ["shop/slow"]


async def test_no_attribute_costs_others_an_event(bench, subscriber, make_subscriber, eventually):
    """A number of thousands of digits is none to a filter that wants one; others get the event."""
    picky = await make_subscriber()
    await bench.dispatcher()
    await bench.trigger("picky", picky.url, filters=[{"cesql": "INT(subject) > 0"}])
    await bench.trigger("other", subscriber.url)

    await bench.send("long", subject="9" * 5000)
    await bench.send("short", subject="9")

    await eventually(lambda: picky.ids == ["short"] and subscriber.ids == ["long", "short"])
