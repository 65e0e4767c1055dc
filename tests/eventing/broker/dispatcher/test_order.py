"""Ordered triggers: strictly one after the other per partitionkey, whatever happens."""

import collections

from eventing.broker.flow import ON_POISON, ORDER, PARALLELISM

ORDERED = {ORDER: "ordered"}


def by_key(subscriber):
    """Numbers of the events that each key got, in order of arrival; repeats of the last one left out."""
    found = collections.defaultdict(list)
    for event, _ in subscriber.received:
        key, number = event.attributes["partitionkey"], int(event.attributes["id"])
        if found[key][-1:] != [number]:
            found[key].append(number)
    return found


def refuse(subscriber, name, status):
    """Let *subscriber* fail one event, and take all others."""
    subscriber.answer = lambda exchange, event: exchange.respond(
        status if event.attributes["id"] == name else 200)


async def send_keyed(bench, numbers, keys, **more):
    """Send numbers, one after the other, each to the key that it is by turns."""
    for number in numbers:
        await bench.send(number, partitionkey=f"k{number % keys}", **more)


async def test_one_at_a_time_per_key(bench, subscriber, eventually):
    """While an event of a key has no answer the next of that key waits, and other keys go on."""
    subscriber.answer = subscriber.hold
    await bench.dispatcher()
    await bench.trigger("mine", subscriber.url, annotations=ORDERED)

    await send_keyed(bench, range(6), 2)
    await eventually(lambda: len(subscriber.received) == 2)
    assert subscriber.ids == ["0", "1"]
    subscriber.release()
    await eventually(lambda: len(subscriber.received) == 4)
    assert subscriber.ids == ["0", "1", "2", "3"]
    subscriber.release()
    await eventually(lambda: len(subscriber.received) == 6)
    subscriber.release()


async def test_without_a_key_one_order_for_all(bench, subscriber, eventually):
    """Events without a partitionkey are one sequence."""
    await bench.dispatcher()
    await bench.trigger("mine", subscriber.url, annotations={PARALLELISM: "1"})

    for number in range(100):
        await bench.send(number)
    await eventually(lambda: len(subscriber.received) == 100)

    assert subscriber.ids == [str(number) for number in range(100)]


async def test_a_failed_event_holds_its_key(bench, subscriber, eventually, delivery):
    """What follows a failed event of its key waits until it is delivered; other keys do not."""
    failures = iter(range(3))
    subscriber.answer = lambda exchange, event: exchange.respond(
        503 if event.attributes["id"] == "0" and next(failures, None) is not None else 200)
    await bench.dispatcher()
    await bench.trigger("mine", subscriber.url, annotations=ORDERED,
                        delivery=delivery(retry=5, backoff_s=0.1))

    await send_keyed(bench, range(20), 2)
    await eventually(lambda: len(subscriber.received) == 23)

    assert by_key(subscriber) == {"k0": list(range(0, 20, 2)), "k1": list(range(1, 20, 2))}
    assert subscriber.ids.index("19") < subscriber.ids.index("2")
    assert [row[4] for row in await bench.records(23) if row[2] == "0"] == [1, 2, 3, 4]


async def test_poison_is_a_dead_letter(bench, subscriber, eventually, delivery):
    """An event that fails after all its retries becomes a dead letter, and its key goes on."""
    refuse(subscriber, "0", 500)
    await bench.dispatcher()
    await bench.trigger("mine", subscriber.url, annotations=ORDERED, delivery=delivery(retry=2))
    letters = await bench.letters("mine")

    await bench.send("0", "1", "2")
    await eventually(lambda: subscriber.ids == ["0", "0", "0", "1", "2"])

    assert [letter.attempts for letter in await bench.until(letters.find)] == [3]


async def test_poison_may_wait(bench, subscriber, eventually, delivery):
    """With `on-poison: wait` an event that fails is never given up, and its key waits for it."""
    refuse(subscriber, "0", 400)
    await bench.dispatcher()
    await bench.trigger("mine", subscriber.url, annotations=ORDERED | {ON_POISON: "wait"},
                        delivery=delivery(retry=0))

    await bench.send("0", "1")
    await eventually(lambda: subscriber.ids == ["0", "0"])
    subscriber.answer = lambda exchange, event: exchange.respond(200)
    await eventually(lambda: len(subscriber.received) == 4)

    assert subscriber.ids == ["0", "0", "0", "1"]


async def test_order_over_a_backlog(bench, subscriber, eventually):
    """More than memory holds comes out of the backlog in the same order."""
    subscriber.answer = subscriber.hold
    await bench.dispatcher()
    record = await bench.trigger("mine", subscriber.url, annotations=ORDERED)
    for start in range(0, 3000, 500):
        await bench.send(*range(start, start + 500), partitionkey="k")
    accepted = [event.attributes["id"] for event in await bench.stored()]
    await bench.until(lambda: bench.has(f"{{shop/default/0}}:backlog:{record['uid']}", 3000))

    subscriber.answer = lambda exchange, event: exchange.respond(200)
    subscriber.release()
    await eventually(lambda: len(subscriber.received) == 3000)

    assert subscriber.ids == accepted


async def test_order_over_a_hand_over(bench, subscriber, eventually, delivery):
    """The next owner begins where the last one was, a failed event with the attempts it had."""
    refuse(subscriber, "40", 503)
    _, first = await bench.dispatcher()
    await bench.trigger("mine", subscriber.url, annotations=ORDERED,
                        delivery=delivery(retry=50, backoff_s=0.05))
    await send_keyed(bench, range(100), 4)
    await eventually(lambda: subscriber.ids.count("40") >= 3)

    await bench.dispatcher()
    await bench.stop(first)
    await eventually(lambda: subscriber.ids.count("40") >= 6)
    subscriber.answer = lambda exchange, event: exchange.respond(200)
    await eventually(lambda: len(set(subscriber.ids)) == 100)

    assert by_key(subscriber) == {f"k{key}": list(range(key, 100, 4)) for key in range(4)}
    attempts = [row[4] for row in await bench.records(100) if row[2] == "40"]
    assert attempts == list(range(1, len(attempts) + 1))


async def test_order_over_partitions_and_dispatchers(bench, subscriber, eventually):
    """With several partitions and owners that come and go, every key keeps its order."""
    await bench.broker(partitions=4)
    _, leaving = await bench.dispatcher()
    await bench.trigger("mine", subscriber.url, annotations=ORDERED)
    await send_keyed(bench, range(100), 8, partitions=4)
    await bench.dispatcher()
    await send_keyed(bench, range(100, 200), 8, partitions=4)
    await bench.stop(leaving)
    await send_keyed(bench, range(200, 300), 8, partitions=4)
    await eventually(lambda: len(set(subscriber.ids)) == 300)

    assert by_key(subscriber) == {f"k{key}": list(range(key, 300, 8)) for key in range(8)}
