"""sources/kafka/lane.py: what may be committed, and how much may be read."""

from hypothesis import given
from hypothesis import strategies as st

from sources.kafka.lane import URGENT, WINDOW, Lane


def test_floor_waits_for_the_slowest():
    """What is settled out of order is committed once everything before it is settled; gaps are no records."""
    lane = Lane(10)
    for offset in (10, 12, 13):
        lane.take(offset)

    lane.settle(12)
    lane.settle(13)
    assert (lane.floor, lane.is_dirty) == (10, False)
    lane.settle(10)

    assert (lane.floor, lane.is_dirty, lane.next) == (14, True, 14)


def test_window():
    """There is room for what is committed, not for what is merely settled."""
    lane = Lane(0)
    for offset in range(WINDOW):
        lane.take(offset)
    assert lane.room == 0
    for offset in range(URGENT):
        lane.settle(offset)
    assert (lane.room, lane.is_urgent) == (0, True)

    lane.commit(lane.mark())

    assert (lane.room, lane.is_urgent, repr(lane)) == (
        URGENT, False, f"<Lane {URGENT}..{URGENT}..{WINDOW} [{WINDOW - URGENT} taken]>")


def test_commits_that_overtake_each_other():
    """Two commits under way at once count no record twice."""
    lane = Lane(0)
    lane.take(0)
    lane.settle(0)
    first = lane.mark()
    lane.take(1)
    lane.settle(1)

    lane.commit(lane.mark())
    lane.commit(first)

    assert (lane.room, lane.committed) == (WINDOW, 2)


@given(st.permutations(range(40)))
def test_any_order(order):
    """The floor is never above a record that is not settled."""
    lane = Lane(0)
    for offset in range(40):
        lane.take(offset)
    settled = set()

    for offset in order:
        lane.settle(offset)
        settled.add(offset)
        assert set(range(lane.floor)) <= settled

    assert lane.floor == 40
