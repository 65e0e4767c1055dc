"""
What is wrong with a dispatcher although it runs: a line for /readyz, empty while all is well.

    no answer           the store has said nothing to a reader for too long; it does so every second
    no room             what was read cannot be committed, so that nothing more is read
    nothing is read     entries wait in the store, and none of them was read, whatever the cause
    no owner            a partition that is this dispatcher's to own is not owned

A dispatcher that hangs as a whole does not answer /readyz, which says that. Pure.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

Unowned = Mapping[tuple[str, int], tuple[float, str]]


class Reading(NamedTuple):
    """How the reader of a partition is that is owned; times of `time.monotonic()`."""

    place: str
    heard_at: float  # when the store last answered it
    trouble: str  # what the store said instead
    has_room: bool  # for what could be read
    stuck_s: float  # for how long the same entry has been the next one to be read


def complaint(owned: list[Reading], unowned: Unowned, now: float, bound_s: float) -> str:
    """
    Say what is wrong, one partition after the other.

    Args:
        owned: of the partitions that are owned.
        unowned: (broker, partition) of those that should be -> since when (as *now*) they are not, and why.
        now: `time.monotonic()`.
        bound_s: what is shorter than that, is nothing.
    """
    return "; ".join((*_of_owned(owned, now, bound_s), *_of_unowned(unowned, now, bound_s)))


def _of_owned(owned: list[Reading], now: float, bound_s: float) -> Iterator[str]:
    for reading in owned:
        silent_s = now - reading.heard_at
        why = reading.trouble or (
            "the store does not answer" if reading.has_room else "what was read cannot be committed")
        if silent_s > bound_s:
            yield f"{reading.place}: nothing read for {silent_s:.0f} s: {why}"
        elif reading.stuck_s > bound_s:
            yield f"{reading.place}: events wait, and none was read for {reading.stuck_s:.0f} s"


def _of_unowned(unowned: Unowned, now: float, bound_s: float) -> Iterator[str]:
    for (broker, number), (since, why) in unowned.items():
        if now - since > bound_s:
            yield f"{broker}/{number}: not owned for {now - since:.0f} s: {why}"
