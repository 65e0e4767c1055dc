"""Queues: order per key, limits per key, batches."""

import random
from collections import Counter

import pytest

from eventing.broker.lane import Delivery, Lane
from eventing.broker.queues import Batches, Fifo, Keyed
from eventing.event import Event

LANE = Lane("u", "ns/t")


def delivery(number, key=""):
    """Make a delivery of a small event."""
    return Delivery(LANE, f"{number}-0", 1, Event({"id": str(number), "partitionkey": key}, b"{}"))


def key_of(made):
    """Key of a delivery."""
    return made.event.attributes["partitionkey"]


@pytest.mark.parametrize("seed", range(20))
def test_order_and_limit_of_keys(seed):
    """Whatever is pushed, taken, ended and held in whatever order: each key keeps its order and its limit."""
    chance = random.Random(seed)
    limit = chance.choice([1, 1, 2])
    queue = Keyed(key_of, limit)
    pushed, taken, held_until = [], [], {}
    is_open = []
    now = 0.0
    while len(taken) < 200:
        now += 1
        if len(pushed) < 200 and chance.random() < 0.6:
            pushed.append(delivery(len(pushed), chance.choice("abc")))
            queue.push(pushed[-1])
        for made in queue.pop(now):
            assert held_until.get(key_of(made), 0) <= now
            is_open.append(made)
            assert Counter(map(key_of, is_open))[key_of(made)] <= limit
        if is_open and chance.random() < 0.7:
            made = is_open.pop(chance.randrange(len(is_open)))
            queue.closed(made)
            if limit == 1 and chance.random() < 0.2:
                held_until[key_of(made)] = now + 5
                queue.hold(made, now + 5)
            else:
                taken.append(made)
        assert len(queue) == len(pushed) - len(taken) - len(is_open) == len(list(queue))

    if limit == 1:
        for key in "abc":
            assert [made for made in taken if key_of(made) == key] == \
                [made for made in pushed if key_of(made) == key]
    assert sorted(made.ref for made in taken) == sorted(made.ref for made in pushed)


def test_a_held_key_says_when():
    """The time at which a key goes on is told, and until then others go on."""
    queue = Keyed(key_of, 1)
    first, second, other = delivery(1, "a"), delivery(2, "a"), delivery(3, "b")
    for made in (first, second, other):
        queue.push(made)

    assert queue.pop(0.0) == [first]
    queue.closed(first)
    queue.hold(first, 10.0)
    assert queue.pop(1.0) == [other]
    assert queue.pop(1.0) == []
    assert queue.wake_at == 10.0
    assert queue.pop(10.0) == [first]
    queue.closed(first)
    assert queue.pop(10.0) == [second]


def test_fifo():
    """One after the other."""
    queue = Fifo()
    queue.push(delivery(1))
    queue.push(delivery(2))

    assert [made.ref for made in (*queue.pop(0.0), *queue.pop(0.0), *queue.pop(0.0))] == ["1-0", "2-0"]


def test_dead_letters_are_no_batch():
    """A dead letter on its way to the sink goes alone, and waits for nobody."""
    queue = Batches(10, 60.0)
    letter = Delivery(LANE, "d1-0", 1, Event({"id": "1"}))
    queue.push(delivery(2))
    queue.push(letter)

    assert queue.pop(0.0) == [letter]
