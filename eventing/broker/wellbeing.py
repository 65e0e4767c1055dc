"""
What is wrong with a dispatcher although it runs: a line for /readyz, empty while all is well.

    no answer           the store has said nothing to a reader for too long; it does so every second
    no room             what was read cannot be committed, so that nothing more is read
    nothing is read     entries wait in the store, and none of them was read, whatever the cause
    no owner            a partition that is this dispatcher's to own is not owned

A dispatcher that hangs as a whole does not answer /readyz, which says that. Pure.
"""

from collections.abc import Iterator, Mapping
from typing import Protocol

Unowned = Mapping[tuple[str, int], tuple[float, str]]


class Owned(Protocol):
    """What is asked of a partition that is owned; `read_at` is a time of `time.monotonic()`."""

    broker: str
    number: int

    @property
    def read_at(self) -> float:
        """When the store last answered its reader."""

    @property
    def trouble(self) -> str:
        """Why it does not, if something is wrong."""

    @property
    def stuck_s(self) -> float:
        """For how long the same entry has been the next one to be read."""


def complaint(owned: list[Owned], unowned: Unowned, now: float, bound_s: float) -> str:
    """
    Say what is wrong, one partition after the other.

    Args:
        owned: the partitions that are owned.
        unowned: (broker, partition) of those that should be -> since when (as *now*) they are not, and why.
        now: `time.monotonic()`.
        bound_s: what is shorter than that, is nothing.
    """
    return "; ".join((*_of_owned(owned, now, bound_s), *_of_unowned(unowned, now, bound_s)))


def _of_owned(owned: list[Owned], now: float, bound_s: float) -> Iterator[str]:
    for partition in owned:
        place = f"{partition.broker}/{partition.number}"
        silent_s = now - partition.read_at
        if silent_s > bound_s:
            yield f"{place}: nothing read for {silent_s:.0f} s: {partition.trouble}"
        elif partition.stuck_s > bound_s:
            yield f"{place}: events wait, and none was read for {partition.stuck_s:.0f} s"


def _of_unowned(unowned: Unowned, now: float, bound_s: float) -> Iterator[str]:
    for (broker, number), (since, why) in unowned.items():
        if now - since > bound_s:
            yield f"{broker}/{number}: not owned for {now - since:.0f} s: {why}"
