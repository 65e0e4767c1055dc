"""Who gets a place, who waits, and that no worker has too much."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.activator.breaker import Breaker, Slot
from serving.workers.backend import Worker


class Waiting:
    """A ticket that remembers what became of it."""

    def __init__(self, log, name):
        self.log, self.name = log, name

    def admitted(self, slot):
        self.log.append((self.name, slot))

    def refused(self, status, reason, retry_after_s):
        self.log.append((self.name, status))


@pytest.fixture
def loop():
    """A loop to make futures of; it never runs."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def new_slot(loop, name):
    """A slot of a worker called *name*."""
    return Slot(Worker(id=name, revision="ns/r", uid="u", address=("127.0.0.1", 1), takes_early=True,
                       ready=loop.create_future(), exited=loop.create_future()))


def with_ready(loop, limit, count):
    """A breaker of *limit* with *count* ready workers."""
    breaker, slots = Breaker(limit), [new_slot(loop, f"w{number}") for number in range(count)]
    for slot in slots:
        breaker.opened(slot)
    return breaker, slots


def test_limit_holds_and_the_longest_waiting_is_next(loop):
    """With limit 1 the second and third request wait, and are let in in their order."""
    breaker, _ = with_ready(loop, 1, 1)
    log = []
    slot = breaker.take()
    assert breaker.take() is None
    for name in "ab":
        assert breaker.wait(Waiting(log, name))
    assert log == []
    breaker.give_back(slot)
    assert [name for name, _ in log] == ["a"]
    breaker.give_back(slot)
    assert [name for name, _ in log] == ["a", "b"]


def test_nobody_overtakes(loop):
    """While somebody waits, a newcomer is given nothing even if there is room."""
    breaker = Breaker(0)
    log = []
    breaker.wait(Waiting(log, "a"))
    assert breaker.take() is None
    breaker.opened(new_slot(loop, "w"))
    assert [name for name, _ in log] == ["a"]
    assert breaker.take() is not None


def test_full_queue_refuses():
    """The queue is bounded."""
    breaker = Breaker(1, depth=2)
    assert [breaker.wait(Waiting([], name)) for name in "abc"] == [True, True, False]


def test_who_lost_a_place_goes_first(loop):
    """A request whose worker died waits at the head of the queue."""
    breaker = Breaker(1)
    log = []
    breaker.wait(Waiting(log, "a"))
    breaker.wait(Waiting(log, "b"), first=True)
    breaker.opened(new_slot(loop, "w"))
    assert [name for name, _ in log] == ["b"]


@pytest.mark.parametrize("limit", [0, 1, 9])
def test_another_worker(loop, limit):
    """Who is to go to another worker gets a place at one that is ready and has room, before who waits."""
    breaker, (first, second) = with_ready(loop, limit, 2)
    breaker.add(new_slot(loop, "starting"))
    assert {breaker.elsewhere(first) for _ in range(limit or 20)} == {second}
    assert (second.inside, breaker.elsewhere(first) is None) == (limit or 20, limit > 0)
    breaker.close(second)
    assert breaker.elsewhere(first) is None


def test_who_leaves_the_queue_is_not_let_in(loop):
    """A client that left gives up its turn, once."""
    breaker = Breaker(1)
    log = []
    gone, stays = Waiting(log, "gone"), Waiting(log, "stays")
    breaker.wait(gone)
    breaker.wait(stays)
    assert breaker.forget(gone)
    assert not breaker.forget(gone)
    breaker.opened(new_slot(loop, "w"))
    assert [name for name, _ in log] == ["stays"]


def test_starting_worker_is_used_only_when_no_ready_one_has_room(loop):
    """Early workers take what the ready ones cannot."""
    breaker, (ready,) = with_ready(loop, 1, 1)
    early = new_slot(loop, "early")
    breaker.add(early)
    assert [breaker.take(), breaker.take(), breaker.take()] == [ready, early, None]


def test_closed_slot_gets_nothing_and_says_when_it_is_empty(loop):
    """A draining worker is told to stop only after its last request."""
    breaker, (slot,) = with_ready(loop, 0, 1)
    said = []
    breaker.take()
    breaker.take()
    breaker.close(slot)
    slot.on_empty = lambda: said.append(True)
    assert breaker.take() is None
    breaker.give_back(slot)
    assert said == []
    breaker.give_back(slot)
    assert said == [True]


def test_dismissed_queue_is_empty():
    """Whoever waited is handed back, longest first."""
    breaker = Breaker(0)
    tickets = [Waiting([], name) for name in "abc"]
    for ticket in tickets:
        breaker.wait(ticket)
    assert breaker.dismiss() == tickets
    assert breaker.waiting == 0


def test_small_limit_fills_the_first_worker(loop):
    """Limits up to 3: the first with room, so that the others can go."""
    breaker, (one, two) = with_ready(loop, 2, 2)
    assert [breaker.take() for _ in range(3)] == [one, one, two]


def test_larger_limit_takes_turns(loop):
    """Limits above 3: in turn, past those that are full."""
    breaker, slots = with_ready(loop, 4, 3)
    assert Counter(breaker.take() for _ in range(6)) == dict.fromkeys(slots, 2)


def test_without_limit_the_less_busy_of_two_is_taken(loop):
    """Of two workers the less busy one gets the next, so their loads differ by one at most."""
    breaker, (one, two) = with_ready(loop, 0, 2)
    for _ in range(100):
        breaker.take()
        assert abs(one.inside - two.inside) <= 1


@given(st.integers(1, 5), st.integers(1, 4), st.lists(st.integers(0, 9), max_size=60))
def test_no_worker_ever_exceeds_the_limit(limit, workers, steps):
    """Requests that come, end and wait in any order: each worker stays within its limit, none is lost."""
    loop = asyncio.new_event_loop()
    breaker, slots = with_ready(loop, limit, workers)
    inside, log, asked = [], [], 0
    for step in steps:
        if step < 6:
            asked += 1
            slot = breaker.take()
            if slot is None:
                breaker.wait(Waiting(log, asked))
            else:
                inside.append(slot)
        elif inside:
            breaker.give_back(inside.pop(step % len(inside)))
        inside += [slot for _, slot in log]
        done = [name for name, _ in log]
        assert done == sorted(done)
        log.clear()
        assert all(slot.inside <= limit for slot in slots)
        assert Counter(inside) == {slot: slot.inside for slot in slots if slot.inside}
        assert breaker.waiting == 0 or len(inside) == limit * workers
    loop.close()
