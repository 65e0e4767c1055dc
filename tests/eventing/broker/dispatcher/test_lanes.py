"""Lanes: one subscriber's trouble is its own."""

from eventing.broker.lane import WINDOW


async def test_a_slow_subscriber_delays_nobody(bench, make_subscriber, eventually):
    """While one subscriber answers nothing at all, another gets everything, and the floor goes on."""
    slow, quick = await make_subscriber(), await make_subscriber()
    slow.answer = slow.hold
    await bench.dispatcher()
    await bench.trigger("slow", slow.url)
    await bench.trigger("quick", quick.url)

    await bench.send(*range(2000))
    await eventually(lambda: len(quick.received) == 2000)
    assert len(slow.received) == WINDOW
    last = (await bench.stored_ids())[-1]
    await bench.until(lambda: bench.is_floor(last))

    assert len(slow.received) == WINDOW
    slow.answer = lambda exchange, event: exchange.respond(200)
    slow.release()
    await eventually(lambda: len(slow.received) == 2000)
    assert sorted(map(int, slow.ids)) == list(range(2000))
    assert sorted(map(int, quick.ids)) == list(range(2000))


async def test_a_backlog_drains_in_order(bench, subscriber, eventually):
    """What was spilled comes back in the order in which it was accepted, and leaves nothing behind."""
    subscriber.answer = subscriber.hold
    await bench.dispatcher()
    record = await bench.trigger("mine", subscriber.url)
    backlog = f"{{shop/default/0}}:backlog:{record['uid']}"

    for start in range(0, 1000, 100):
        await bench.send(*range(start, start + 100))
    await bench.until(lambda: bench.has(backlog, 1000))
    accepted = [event.attributes["id"] for event in await bench.stored()]
    subscriber.answer = lambda exchange, event: exchange.respond(200)
    subscriber.release()
    await eventually(lambda: len(subscriber.received) == 1000)

    # Connections are many, so neighbours may overtake each other, by less than a window.
    place = {name: index for index, name in enumerate(accepted)}
    assert max(abs(place[name] - index) for index, name in enumerate(subscriber.ids)) <= 2 * WINDOW
    await bench.until_gone(backlog)


async def test_what_is_parked_is_delivered_by_the_next_owner(bench, subscriber, eventually):
    """An attempt that hangs is repeated after a hand-over: it is in the backlog, not in memory only."""
    subscriber.answer = subscriber.hold
    _, runtime = await bench.dispatcher()
    record = await bench.trigger("mine", subscriber.url)
    await bench.send("1")
    await bench.until(lambda: bench.has(f"{{shop/default/0}}:backlog:{record['uid']}", 1))

    await bench.stop(runtime)
    await bench.dispatcher()
    await eventually(lambda: subscriber.ids == ["1", "1"])


async def test_events_of_a_window_are_bounded(bench, subscriber, eventually):
    """A subscriber that hangs gets a window of small events, and fewer large ones."""
    subscriber.answer = subscriber.hold
    await bench.dispatcher()
    await bench.trigger("mine", subscriber.url)

    await bench.send(*range(20), data=b"x" * 1024 * 1024)
    last = (await bench.stored_ids())[-1]
    await bench.until(lambda: bench.is_floor(last))

    assert len(subscriber.received) == 4
