"""Why nothing arrives: what fails is told while it is retried, and after it was given up."""

import time

import pytest
import structlog

from eventing import keys, projection
from eventing.broker.failures import Failure


@pytest.fixture(autouse=True)
def often(monkeypatch):
    """What fails is told ten times a second, for less waiting."""
    monkeypatch.setattr("eventing.broker.upkeep.RENEW_S", 0.1)


async def told(bench, letters, is_right):
    """What waits, once it *is_right*."""
    async def waiting():
        found = await letters.waiting()
        return found if is_right(found) else None
    return await bench.until(waiting)


async def test_while_it_is_retried(bench, subscriber, delivery):
    """The last failure: which event, which attempt, why in the subscriber's own words, what comes next."""
    subscriber.answer = lambda exchange, event: exchange.respond(500, (), b"ValueError: no such product\n")
    await bench.dispatcher()
    await bench.trigger("mine", subscriber.url, delivery=delivery(retry=3, backoff_s=600))
    letters = await bench.letters("mine")

    await bench.send("1")
    found = await told(bench, letters, lambda found: found.failure)

    assert (found.failure.event, found.failure.tried, found.failure.count) == ("1", "1 of 4", 1)
    assert found.failure.reason == "the subscriber answered 500: ValueError: no such product"
    assert found.failure.next_at > time.time()
    assert found.letter is None


async def test_when_nobody_listens(bench, make_subscriber, delivery):
    """A reason is a sentence that names where it went wrong."""
    gone = await make_subscriber()
    await gone.stop()
    await bench.dispatcher()
    await bench.trigger("mine", gone.url, delivery=delivery(retry=3, backoff_s=600))
    letters = await bench.letters("mine")

    await bench.send("1")
    found = await told(bench, letters, lambda found: found.failure)

    where = gone.url.removeprefix("http://").rstrip("/")
    assert found.failure.reason == f"the subscriber gave no answer: nothing listens at {where}"


async def test_given_up(bench, subscriber, delivery):
    """The newest dead letter with its reason, and the control plane hears of it."""
    subscriber.answer = lambda exchange, event: exchange.respond(400, (), b"no stock")
    await bench.dispatcher()
    record = await bench.trigger("mine", subscriber.url, delivery=delivery(retry=3))
    letters = await bench.letters("mine")

    await bench.send("1")
    found = await told(bench, letters, lambda found: found.letter and found.failure)

    assert (found.letter.event, found.letter.attempts) == ("1", 1)
    assert found.letter.reason == "the subscriber answered 400: no stock"
    assert found.failure.next_at is None

    async def lane():
        return (await projection.read(bench.store, "lanes"))["shop/mine/0"].get("given_up")
    given_up = await bench.until(lane)
    assert (given_up["attempts"], given_up["reason"]) == (1, found.letter.reason)
    assert record["uid"]


@pytest.fixture
def soon(monkeypatch):
    """That it works again is told at once."""
    monkeypatch.setattr("eventing.broker.failures._OVER_S", 0.0)


@pytest.mark.usefixtures("soon")
async def test_it_works_again(bench, subscriber, eventually, delivery):
    """A line when a trigger begins to fail, one when it works again; what failed is told as past."""
    subscriber.answer = lambda exchange, event: exchange.respond(503)
    await bench.dispatcher()
    await bench.trigger("mine", subscriber.url, delivery=delivery(retry=300, backoff_s=0.1))
    letters = await bench.letters("mine")
    with structlog.testing.capture_logs() as lines:
        await bench.send("1")
        await eventually(lambda: len(subscriber.received) > 2)
        await eventually(lambda: [line for line in lines if line["event"] == "delivery failed"])
        subscriber.answer = lambda exchange, event: exchange.respond(200)
        found = await told(bench, letters, lambda found: found.failure and found.failure.is_over)
        await eventually(lambda: [line for line in lines if line["event"] == "delivers again"])

    assert found.failure.count > 1
    (line,) = [line for line in lines if line["event"] == "delivery failed"]
    assert (line["trigger"], line["error"]) == ("shop/mine", "the subscriber answered 503")


async def test_another_owner(bench, subscriber, delivery):
    """A new owner goes on with what the last one told, and what a deleted trigger failed at is forgotten."""
    subscriber.answer = lambda exchange, event: exchange.respond(503)
    _, runtime = await bench.dispatcher()
    await bench.trigger("mine", subscriber.url, delivery=delivery(retry=3, backoff_s=600))
    letters = await bench.letters("mine")
    await bench.send("1")
    first = await told(bench, letters, lambda found: found.failure)
    await bench.stop(runtime)
    await bench.dispatcher()
    await bench.send("2")

    second = await told(bench, letters, lambda found: found.failure.event == "2")
    assert isinstance(first.failure, Failure)
    assert (second.failure.count, second.failure.since) == (2, first.failure.since)

    await bench.untrigger("mine")
    await bench.until_gone(keys.failures("shop/default", 0))


async def test_replies_in_a_circle(bench, subscriber, eventually):
    """Replies that have gone through too many brokers are dropped, which is counted."""
    subscriber.answer = lambda exchange, event: exchange.respond(200, [
        (b"ce-specversion", b"1.0"), (b"ce-id", b"r"), (b"ce-source", b"/s"), (b"ce-type", b"reply")], b"{}")
    await bench.dispatcher()
    await bench.trigger("mine", subscriber.url)
    letters = await bench.letters("mine")

    await bench.send("1", knativebrokerttl="2")
    found = await told(bench, letters, lambda found: found.drops)

    assert (found.drops.count, found.drops.event, found.failure) == (1, "r", None)


async def test_what_is_only_for_people_ends_no_delivery(bench, subscriber, eventually):
    """What cannot be read of what was told before is logged, and events are delivered all the same."""
    await bench.store.hset(keys.failures("shop/default", 0), "somebody", b"no JSON")
    with structlog.testing.capture_logs() as lines:
        dispatcher, _ = await bench.dispatcher()
        await bench.trigger("mine", subscriber.url)
        await eventually(lambda: [line for line in lines if line["event"] == "failures cannot be told"])
        await bench.send("1")
        await eventually(lambda: subscriber.ids == ["1"])

    assert len(list(dispatcher.partitions)) == 1
