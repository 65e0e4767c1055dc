"""From the stream to the subscribers."""

import time

from eventing.event import Event


async def test_delivers_what_matches(bench, subscriber, eventually):
    """An event goes to the triggers whose filter passes, as it was stored, and nowhere else."""
    await bench.dispatcher()
    await bench.trigger("mine", subscriber.url, filter={"type": "order"})

    await bench.send("1", type="other")
    await bench.send("2", type="order", data=b'{"sku": "A1"}', datacontenttype="application/json",
                     subject="s")
    await bench.send("3", type="order", data=None)
    await eventually(lambda: len(subscriber.received) == 2)

    (event, headers), (bare, _) = subscriber.received
    attributes = dict(event.attributes)
    del attributes["knativearrivaltime"]
    assert event.data == b'{"sku": "A1"}'
    assert attributes == {"specversion": "1.0", "id": "2", "source": "/test", "type": "order",
                          "datacontenttype": "application/json", "subject": "s"}
    assert bare == Event(bare.attributes, None)
    assert headers[b"prefer"] == b"reply"
    assert headers[b"kn-namespace"] == b"shop"


async def test_structured_where_asked(bench, subscriber, eventually, delivery):
    """`format: json` makes a structured message of any event."""
    await bench.dispatcher()
    await bench.trigger("mine", subscriber.url, delivery=delivery(format="json"))

    await bench.send("1", data=b'{"a": 1}', datacontenttype="application/json")
    await eventually(lambda: subscriber.received)

    event, headers = subscriber.received[0]
    assert headers[b"content-type"] == b"application/cloudevents+json"
    assert event.data == b'{"a":1}'


async def test_a_trigger_gets_nothing_older_than_itself(bench, subscriber, eventually):
    """What was settled before a trigger came stays so; what comes after its acknowledgement it gets."""
    await bench.dispatcher()
    await bench.trigger("first", subscriber.url)
    await bench.send("before")
    await eventually(lambda: subscriber.ids == ["before"])

    await bench.trigger("second", subscriber.url)
    await bench.send("after")
    await eventually(lambda: len(subscriber.ids) == 3)

    assert subscriber.ids == ["before", "after", "after"]


async def test_a_changed_trigger(bench, subscriber, make_subscriber, eventually):
    """A new generation's filter and subscriber hold from its acknowledgement on."""
    other = await make_subscriber()
    await bench.dispatcher()
    record = await bench.trigger("mine", subscriber.url, filter={"type": "a"})
    await bench.send("1", type="a")
    await eventually(lambda: subscriber.ids == ["1"])

    await bench.trigger("mine", other.url, uid=record["uid"], generation=2, filter={"type": "b"})
    await bench.send("2", type="a")
    await bench.send("3", type="b")
    await eventually(lambda: other.ids == ["3"])

    assert subscriber.ids == ["1"]


async def test_a_failed_attempt_is_repeated(bench, subscriber, eventually, delivery):
    """A retryable answer is followed by another attempt, until it is delivered."""
    statuses = iter([503, 404, 429, 200])
    subscriber.answer = lambda exchange, event: exchange.respond(next(statuses))
    await bench.dispatcher()
    await bench.trigger("mine", subscriber.url, delivery=delivery(retry=5))

    await bench.send("1")
    await eventually(lambda: len(subscriber.received) == 4)

    assert subscriber.ids == ["1"] * 4


async def test_a_subscriber_may_ask_for_time(bench, subscriber, eventually, delivery):
    """Retry-After is heard where the trigger says so, and only within its limit."""
    subscriber.answer = lambda exchange, event: exchange.respond(429, [(b"retry-after", b"3600")])
    await bench.dispatcher()
    await bench.trigger("patient", subscriber.url, delivery=delivery(retry=1, retry_after_max_s=600.0))
    await bench.trigger("deaf", subscriber.url, delivery=delivery(retry=1))

    await bench.send("1")
    await eventually(lambda: len(subscriber.received) == 3)
    ((_, due_ms),) = await bench.until(
        lambda: bench.store.zrange("{shop/default/0}:retries", 0, -1, withscores=True))

    assert 590 < due_ms / 1000 - time.time() <= 601


async def test_retries_survive_a_restart(bench, subscriber, eventually, delivery):
    """The next dispatcher goes on with the attempts that are left, and only those."""
    subscriber.answer = lambda exchange, event: exchange.respond(500)
    _, runtime = await bench.dispatcher()
    await bench.trigger("mine", subscriber.url, delivery=delivery(retry=2, backoff_s=0.4))
    await bench.send("1")
    await eventually(lambda: len(subscriber.received) == 1)

    await bench.stop(runtime)
    assert await bench.store.zcard("{shop/default/0}:retries") == 1
    await bench.dispatcher()
    letters = await bench.letters("mine")
    await eventually(lambda: len(subscriber.received) == 3)
    await bench.until(letters.find)

    assert len(subscriber.received) == 3
    assert [letter.attempts for letter in await letters.find()] == [3]
    assert await bench.store.zcard("{shop/default/0}:waiting") == 0


async def test_two_partitions_two_dispatchers(bench, subscriber, eventually):
    """Every event arrives once, whoever owns its partition, also when an owner leaves."""
    await bench.broker(partitions=4)
    _, leaving = await bench.dispatcher()
    await bench.dispatcher()
    await bench.trigger("mine", subscriber.url)
    await bench.send(*range(100), partitions=4)
    await eventually(lambda: len(subscriber.received) == 100)

    await bench.stop(leaving)
    await bench.send(*range(100, 200), partitions=4)
    await eventually(lambda: len(subscriber.received) == 200)

    assert sorted(map(int, subscriber.ids)) == list(range(200))


async def test_a_deleted_trigger_leaves_nothing(bench, subscriber, eventually, delivery):
    """Its backlog, retries and dead letters go, and it holds the floor no longer."""
    statuses = {"dead": 400, "retry": 500}
    subscriber.answer = lambda exchange, event: (
        exchange.respond(statuses[event.attributes["id"]]) if event.attributes["id"] in statuses
        else subscriber.hold(exchange, event))
    await bench.dispatcher()
    record = await bench.trigger("mine", subscriber.url, delivery=delivery(retry=1, backoff_s=60.0))
    await bench.send("dead", "retry", *range(500))
    await eventually(lambda: len(subscriber.received) >= 60)
    await bench.until(lambda: bench.store.zcard("{shop/default/0}:retries"))
    await bench.until(lambda: bench.store.zcard(f"{{shop/default/0}}:backlog:{record['uid']}"))

    await bench.untrigger("mine")
    await bench.until_gone(f"*{record['uid']}*", "*:retries", "*:lanes")
    await bench.trigger("next", subscriber.url, filter={"type": "next"})
    subscriber.answer = lambda exchange, event: exchange.respond(200)
    await bench.send("last", type="next")
    await eventually(lambda: "last" in subscriber.ids)

    last = (await bench.store.xrevrange("{shop/default/0}:events", count=1))[0][0]
    await bench.until(lambda: bench.is_floor(last))


async def test_a_deleted_broker_leaves_nothing(bench, subscriber, eventually):
    """All keys of its partitions go."""
    await bench.dispatcher()
    await bench.trigger("mine", subscriber.url)
    await bench.send("1")
    await eventually(lambda: subscriber.received)

    await bench.untrigger("mine")
    await bench.unbroker()

    await bench.until_gone("{*")


async def test_survives_the_store(valkey, tmp_path, subscriber, eventually, make_bench):
    """A store that dies and comes back costs nothing but time."""
    async with valkey.client() as store, make_bench(store, tmp_path) as bench:
        await bench.broker()
        await bench.dispatcher()
        await bench.trigger("mine", subscriber.url)
        await bench.send(*range(50))
        valkey.kill()
        valkey.start()
        await bench.send(*range(50, 100))
        await eventually(lambda: len(set(subscriber.ids)) == 100)

        await bench.trigger("another", subscriber.url, filter={"type": "another"})
