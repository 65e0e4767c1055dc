"""Dispatchers as processes: killed, stopped and woken while events flow, they lose nothing."""

import asyncio
import os
import random
import signal
import time

from eventing.broker.entry import decode
from eventing.broker.flow import ORDER


async def owner(bench):
    """Process id of the partition's owner."""
    name = await bench.until(lambda: bench.store.get("{shop/default/0}:lease"))
    return int(name.decode().split("/")[-2])


async def settled(bench, uid):
    """Ids of the events with which a trigger is done, as the store has it."""
    tag = "{shop/default/0}"
    floor = await bench.store.hget(f"{tag}:state", "floor") or b"0-0"
    members = [*await bench.store.zrange(f"{tag}:waiting:{uid}", 0, -1),
               *await bench.store.zrange(f"{tag}:backlog:{uid}", 0, -1)]
    waiting = {part for member in members for part in member.split()}
    return {decode(fields).attributes["id"]
            for entry_id, fields in await bench.store.xrange(f"{tag}:events", "-", floor)
            if entry_id not in waiting}


async def test_killed_at_any_time(bench, start, make_subscriber, eventually, delivery):
    """Whoever is killed, whenever: every trigger gets each accepted event; what is settled is over."""
    plain, flaky, slow = [await make_subscriber() for _ in range(3)]
    failed = set()

    def once(exchange, event):
        name = event.attributes["id"]
        exchange.respond(200 if name in failed or random.random() < 0.8 else 503)
        failed.add(name)
    flaky.answer = once
    loop = asyncio.get_running_loop()
    slow.answer = lambda exchange, event: loop.call_later(0.01, exchange.respond, 200)
    processes = [await start(), await start()]
    records = [await bench.trigger(name, subscriber.url, delivery=delivery(retry=10))
               for name, subscriber in (("plain", plain), ("flaky", flaky), ("slow", slow))]

    over = []  # after a kill: what plain's trigger was done with, and how often plain had been asked by then
    for round_ in range(3):
        for start_at in range(0, 600, 100):
            await bench.send(*(f"{round_}-{index}" for index in range(start_at, start_at + 100)))
        victim = await owner(bench)
        os.kill(victim, signal.SIGKILL)
        processes = [process for process in processes if process.pid != victim]
        over.append((await settled(bench, records[0]["uid"]), len(plain.ids)))
        processes.append(await start())

    accepted = {event.attributes["id"] for event in await bench.stored()}
    assert len(accepted) == 1800
    await eventually(lambda: all(accepted == set(subscriber.ids) for subscriber in (plain, flaky, slow)))
    last = (await bench.stored_ids())[-1]
    await bench.until(lambda: bench.is_floor(last))
    assert not any(settled_then.intersection(plain.ids[count:]) for settled_then, count in over)


async def test_order_over_kills(bench, start, subscriber, eventually, delivery):
    """Whoever is killed, whenever: no event is delivered for the first time before the one ahead of it."""
    failed, delivered = set(), []

    def once(exchange, event):
        name = event.attributes["id"]
        is_taken = name in failed or random.random() < 0.9
        failed.add(name)
        exchange.respond(200 if is_taken else 503)
        if is_taken:
            delivered.append(name)
    subscriber.answer = once
    await start()
    await start()
    await bench.trigger("mine", subscriber.url, delivery=delivery(retry=10), annotations={ORDER: "ordered"})

    for round_ in range(2):
        await bench.send(*(f"{round_}-{index}" for index in range(400)))
        seen = len(delivered)
        await eventually(lambda seen=seen: len(delivered) > seen + 50)
        os.kill(await owner(bench), signal.SIGKILL)
        await start()

    accepted = [event.attributes["id"] for event in await bench.stored()]
    await eventually(lambda: len(set(delivered)) == len(accepted))
    assert list(dict.fromkeys(delivered)) == accepted


async def test_stopped_past_its_lease(bench, start, subscriber, eventually):
    """An owner that wakes after its lease finds another one, and neither sends nor settles any more."""
    subscriber.answer = subscriber.hold
    first = await start()
    await bench.trigger("mine", subscriber.url)
    await bench.send(*range(200))
    await eventually(lambda: len(subscriber.received) == 64)

    first.signal(signal.SIGSTOP)
    epoch = await bench.store.get("{shop/default/0}:epoch")
    second = await start()
    async with asyncio.timeout(10):
        while await owner(bench) != second.pid:
            await asyncio.sleep(0.05)
    assert await bench.store.get("{shop/default/0}:epoch") > epoch
    await eventually(lambda: len(subscriber.received) == 128)

    # The first one's 64 are answered while it sleeps; what it makes of that is refused when it wakes.
    for exchange in subscriber.held[:64]:
        exchange.respond(200)
    first.signal(signal.SIGCONT)
    woken = time.monotonic()
    await bench.until(lambda: bench.living(2))
    while time.monotonic() - woken < 1.0:  # it has had its chance: a renewal and fifty commits
        assert await owner(bench) == second.pid
        assert len(subscriber.received) == 128
        await asyncio.sleep(0.05)
    epoch = await bench.store.get("{shop/default/0}:epoch")

    async def second_has_committed():
        committed = await bench.store.hget("{shop/default/0}:state", "commit")
        return committed.split(b"/")[0] == epoch
    await bench.until(second_has_committed)  # what it has not brought to an end is parked after a second

    subscriber.answer = lambda exchange, event: exchange.respond(200)
    for exchange in subscriber.held[64:]:
        exchange.respond(200)
    await eventually(lambda: set(map(int, subscriber.ids)) == set(range(200)))


async def test_leaving_hands_over_at_once(bench, start, subscriber, eventually):
    """After SIGTERM the next owner does not wait for the lease, and repeats nothing."""
    first = await start()
    await bench.trigger("mine", subscriber.url)
    await bench.send(*range(100))
    await eventually(lambda: len(subscriber.received) == 100)
    await start()

    first.signal(signal.SIGTERM)
    await asyncio.to_thread(first._popen.wait)  # its end, not what it does
    assert await bench.store.zcard("clarion:dispatchers") == 1
    await bench.send(*range(100, 200))
    await eventually(lambda: len(subscriber.received) == 200)

    assert sorted(map(int, subscriber.ids)) == list(range(200))
