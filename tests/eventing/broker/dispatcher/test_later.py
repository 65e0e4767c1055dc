"""What waits, what comes again, what is kept, and filters on data: a dispatcher and a real subscriber."""

import time

from eventing import keys, projection
from eventing.broker import upkeep
from eventing.broker.page import DEAD_PLACE

REPLY = ((b"ce-specversion", b"1.0"), (b"ce-id", b"r"), (b"ce-source", b"/f"), (b"ce-type", b"reply"))


async def test_a_delayed_event_is_not_delivered_before_it_is_due(bench, subscriber, eventually):
    """Others overtake it; it comes once, when its time has come."""
    await bench.dispatcher()
    await bench.trigger("t", subscriber.url)
    sent = time.time()
    await bench.send("later", delay="400ms")
    await bench.send("now")
    await eventually(lambda: len(subscriber.received) == 2)

    assert subscriber.ids == ["now", "later"]
    assert time.time() >= sent + 0.4


async def test_a_delayed_event_survives_a_restart_of_its_owner(bench, subscriber, eventually):
    """The next owner finds what waits."""
    _, runtime = await bench.dispatcher()
    await bench.trigger("t", subscriber.url)
    await bench.send("later", delay="1s")
    runtime.stopping.set()
    await bench.dispatcher()

    await eventually(lambda: subscriber.ids == ["later"])


async def test_a_reply_that_comes_again_is_stored_once(bench, subscriber, eventually, store):
    """Where the broker knows repeats, that includes replies: two events that are answered alike make one."""
    record = {"uid": "b", "partitions": 1, "dedup_window_s": 60}
    await projection.write(store, "brokers", "shop/default", record)
    await bench.dispatcher()
    subscriber.answer = lambda exchange, _event: exchange.respond(200, REPLY, b"{}")
    await bench.trigger("t", subscriber.url, filter={"type": "t"})
    await bench.send("1", "2")
    rows = await bench.records(2)

    assert [row[-1] for row in rows] == ["replied", "replied"]
    assert await store.xlen(keys.events("shop/default", 0)) == 3


async def test_a_retry_without_a_place_is_sent_all_the_same(bench, subscriber, delivery, store, eventually):
    """What another layout has kept elsewhere is delivered when it is due, and holds up nobody."""
    record = await bench.put("t", subscriber.url, delivery=delivery(retry=1))
    await bench.send("event")
    (entry_id,) = await bench.stored_ids()
    await store.sadd("{shop/default/0}:lanes", record["uid"])
    await store.zadd("{shop/default/0}:retries", {f"{record['uid']} 2 {entry_id.decode()}": 1})
    await bench.dispatcher()

    await eventually(lambda: subscriber.ids == ["event", "event"])
    await bench.until_gone("{shop/default/0}:retries", "{shop/default/0}:backlog:*")


async def test_a_filter_looks_into_the_data(bench, subscriber, eventually):
    """Only the events whose data says so are delivered; one without such a field is not."""
    await bench.dispatcher()
    await bench.trigger("t", subscriber.url, filters=[{"cel": "data.amount > 100"}])
    await bench.send("small", data=b'{"amount": 1}')
    await bench.send("none", data=b"{}")
    await bench.send("large", data=b'{"amount": 101}')
    await eventually(lambda: bool(subscriber.received))

    assert subscriber.ids == ["large"]


async def test_the_owner_keeps_what_the_broker_says(bench, eventually, store):
    """A broker's retention reaches the owner of its partitions, also when it changes."""
    record = {"uid": "b", "partitions": 2, "retention_s": 60.0, "retention_bytes": 2**21}
    await projection.write(store, "brokers", "shop/default", record)
    dispatcher, _ = await bench.dispatcher()
    await eventually(lambda: len(list(dispatcher.partitions)) == 2)
    assert {(each.settings.retention_age_s, each.settings.retention_bytes)
            for each in dispatcher.partitions} == {(60.0, 2**20)}

    await projection.write(store, "brokers", "shop/default", {**record, "retention_s": 90.0})
    await eventually(lambda: {each.settings.retention_age_s for each in dispatcher.partitions} == {90.0})


async def test_a_retry_does_not_keep_what_came_after(bench, subscriber, eventually, store, monkeypatch):
    """While one event waits for its retry a broker keeps as little as it says; it comes all the same."""
    monkeypatch.setattr(upkeep, "_RETAIN_S", 0.0)
    await projection.write(store, "brokers", "shop/default",
                           {"uid": "b", "partitions": 1, "retention_bytes": 50_000})
    subscriber.answer = lambda exchange, event: exchange.respond(
        503 if event.attributes["id"] == "first" else 200)
    await bench.dispatcher()
    await bench.trigger("t", subscriber.url,
                        delivery={"retry": 1000, "backoff_s": 0.1, "backoff_policy": "linear"})
    await bench.send("first", data=b"body")
    await bench.send(*range(200), data=b"x" * 1000)
    await eventually(lambda: len(set(subscriber.ids)) == 201)

    async def is_little():
        return await store.xlen(keys.events("shop/default", 0)) < 100
    await bench.until(is_little)
    subscriber.received.clear()
    subscriber.answer = lambda exchange, event: exchange.respond(200)

    await eventually(lambda: subscriber.received)
    assert [(event.attributes["id"], event.data) for event, _ in subscriber.received] == [("first", b"body")]
    await bench.until_gone("{shop/default/0}:spared")


async def test_a_trigger_that_waits_for_nothing_is_not_asked_for(bench, subscriber, eventually, delivery):
    """It is among those that have something waiting while it has: to count them takes the store time."""
    answers = [500, 500, 202]
    subscriber.answer = lambda exchange, _event: exchange.respond(answers.pop(0), ())
    await bench.dispatcher()
    await bench.trigger("t", subscriber.url, delivery=delivery(retry=1, backoff_s=0.3))
    await bench.send("1")

    async def waits():
        return await bench.store.scard("{shop/default/0}:lanes") == 1
    await bench.until(waits)  # for its retry; then it is a dead letter
    await eventually(lambda: len(subscriber.received) == 2)

    async def is_dead():
        return [key async for key in bench.store.scan_iter("{shop/default/0}:dead:*")]
    (dead,) = await bench.until(is_dead)
    assert await waits()
    uid = dead.decode().rpartition(":")[2]
    (letter,) = [entry for entry, _ in await bench.store.xrange(dead)]
    await bench.store.fcall("clarion_redrive", 1, "{shop/default/0}", uid, int(time.time() * 1000),
                            DEAD_PLACE, letter)
    await eventually(lambda: len(subscriber.received) == 3)
    await bench.until_gone("*}:lanes", "*}:dead:*")
