"""Flow control: what a subscriber sees of a trigger's limits."""

import time

from eventing.broker.flow import BATCH, CONCURRENCY, CONCURRENCY_KEY, MAX_AGE, RATE


async def test_concurrency(bench, subscriber, eventually, overlap):
    """Never more requests at once than the trigger says, over queue and backlog."""
    await bench.dispatcher()
    await bench.trigger("mine", subscriber.url, annotations={CONCURRENCY: "3"})

    await bench.send(*range(400))
    await eventually(lambda: len(subscriber.received) == 400)

    assert overlap.most == 3
    assert sorted(map(int, subscriber.ids)) == list(range(400))


async def test_concurrency_of_a_key(bench, subscriber, eventually, overlap):
    """Each value of the expression has its own limit."""
    await bench.dispatcher()
    await bench.trigger("mine", subscriber.url, annotations={CONCURRENCY: "2", CONCURRENCY_KEY: "subject"})

    for number in range(60):
        await bench.send(number, subject=f"s{number % 3}")
    await bench.send(*range(60, 120), subject="s0")
    await eventually(lambda: len(subscriber.received) == 120)

    assert overlap.most_of_one == 2
    assert 2 < overlap.most <= 6


async def test_rate(bench, subscriber, eventually):
    """What is more than the rate waits; nothing is lost by it."""
    await bench.dispatcher()
    await bench.trigger("mine", subscriber.url, annotations={RATE: "50/s"})

    began = time.monotonic()
    await bench.send(*range(50))
    await eventually(lambda: len(subscriber.received) == 50)

    assert time.monotonic() - began > 0.7  # 50 at 50/s are a second; nobody measures how exactly
    assert sorted(map(int, subscriber.ids)) == list(range(50))


async def test_batch(bench, make_batch_subscriber, eventually):
    """Events travel together, as many as the trigger says; none waits longer than it says for others."""
    subscriber = await make_batch_subscriber()
    await bench.dispatcher()
    await bench.trigger("mine", subscriber.url, annotations={BATCH: "10,100ms"})

    await bench.send(*range(25), data=b'{"n": 1}', datacontenttype="application/json")
    await eventually(lambda: sum(map(len, subscriber.batches)) == 25)

    assert max(map(len, subscriber.batches)) == 10
    events = [event for batch in subscriber.batches for event in batch]
    assert sorted(int(event["id"]) for event in events) == list(range(25))
    assert events[0]["data"] == {"n": 1}
    assert "knativebrokerttl" not in events[0]
    assert subscriber.types == {b"application/cloudevents-batch+json"}


async def test_a_batch_fails_as_one(bench, make_batch_subscriber, eventually, delivery):
    """All events of a batch that failed are tried again, and become dead letters one by one."""
    subscriber = await make_batch_subscriber()
    subscriber.status = 500
    await bench.dispatcher()
    await bench.trigger("mine", subscriber.url, annotations={BATCH: "5,1s"}, delivery=delivery(retry=1))
    letters = await bench.letters("mine")

    await bench.send(*range(5))
    found = await bench.until(lambda: bench.at_least(5, letters))

    assert sorted(int(letter.event.attributes["id"]) for letter in found) == list(range(5))
    assert {letter.attempts for letter in found} == {2}


async def test_an_event_can_be_too_old_for_another_attempt(bench, subscriber, delivery):
    """`max-age` ends the retries before their number does."""
    subscriber.answer = lambda exchange, event: exchange.respond(500)
    await bench.dispatcher()
    await bench.trigger("mine", subscriber.url, annotations={MAX_AGE: "500ms"},
                        delivery=delivery(retry=1000, backoff_policy="linear", backoff_s=0.1))
    letters = await bench.letters("mine")

    await bench.send("1")
    (letter,) = await bench.until(letters.find)

    assert 1 < letter.attempts < 10


async def test_limits_can_change(bench, subscriber, eventually, overlap):
    """A new generation's limits hold for what waits already."""
    await bench.dispatcher()
    record = await bench.trigger("mine", subscriber.url, annotations={RATE: "1/h"})
    await bench.send(*range(100))
    await eventually(lambda: subscriber.received)

    await bench.trigger("mine", subscriber.url, uid=record["uid"], generation=2,
                        annotations={CONCURRENCY: "2"})
    await eventually(lambda: len(subscriber.received) == 100)

    assert overlap.most == 2


async def test_a_batch_is_bounded(bench, make_batch_subscriber, eventually):
    """Large events travel in smaller batches: a MiB of data each."""
    subscriber = await make_batch_subscriber()
    await bench.dispatcher()
    await bench.trigger("mine", subscriber.url, annotations={BATCH: "100,200ms"})

    await bench.send(*range(8), data=b'"' + b"x" * 400_000 + b'"', datacontenttype="application/json")
    await eventually(lambda: sum(map(len, subscriber.batches)) == 8)

    assert max(map(len, subscriber.batches)) == 2
