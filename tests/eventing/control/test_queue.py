"""The queue of the reconcilers, in virtual time."""

from hypothesis import given
from hypothesis import strategies as st

from eventing.control.mirror import Key
from eventing.control.queue import Queue

A, B = Key("toys", "default", "a"), Key("toys", "default", "b")


def test_a_key_is_there_once_and_the_earliest_time_wins():
    """However often something changes, it is reconciled once."""
    queue = Queue()
    for due in (5.0, 3.0, 4.0):
        queue.add(A, due)
    assert (queue.take(2.9), queue.next_due()) == (None, 3.0)
    assert (queue.take(3.0), queue.take(9.0), queue.next_due()) == (A, None, None)


def test_what_changes_while_it_runs_is_asked_again_afterwards():
    """One object is with one task at a time, and its last change is not lost."""
    queue = Queue()
    queue.add(A, 0)
    queue.take(0)
    queue.add(A, 1)
    assert queue.take(1) is None
    queue.done(A)
    assert queue.take(1) == A


def test_failures_wait_longer_and_longer_and_success_forgets_them():
    """Twice as long each time, a minute at most; a change does not wait for it."""
    queue = Queue()
    queue.add(A, 0)
    now, waits = 0.0, []
    for _ in range(13):
        assert queue.take(now) == A
        waits.append(queue.failed(A, now))
        assert queue.take(now + waits[-1] * 0.99) is None
        now += waits[-1]
    assert waits[:3] == [0.05, 0.1, 0.2]
    assert waits[-2:] == [60.0, 60.0]
    queue.take(now)
    queue.failed(A, now)
    queue.add(A, now)
    assert queue.take(now) == A
    queue.done(A)
    queue.add(A, now)
    queue.take(now)
    assert queue.failed(A, now) == 0.05


@given(st.lists(st.tuples(st.sampled_from([A, B]), st.sampled_from(["add", "take", "done", "failed"]))))
def test_nothing_runs_twice_and_nothing_added_is_forgotten(steps):
    """Whatever the order of events, a key runs once at a time, and what was added comes out in the end."""
    queue, running, wanted, now = Queue(), set(), set(), 0.0
    for key, step in steps:
        now += 100.0
        if step == "add":
            queue.add(key, now)
            wanted.add(key)
        elif step == "take":
            taken = queue.take(now)
            assert taken not in running
            if taken:
                running.add(taken)
                wanted.discard(taken)
        elif key in running:
            running.discard(key)
            if step == "done":
                queue.done(key)
            else:
                queue.failed(key, now)
                wanted.add(key)
    for key in running:
        queue.done(key)
    assert {queue.take(now + 1000), queue.take(now + 1000)} - {None} == wanted
