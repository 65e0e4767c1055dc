"""
Time limits of many requests, nearly all of which end long before: one timer for all of them.

    set(entry, due)     `entry.check()` is called at that time, or up to a step later
    drop(entry)         it will not be

An entry costs two operations on a set, where a timer of the loop's own costs as much as half of a request.
The wheel rests while it is empty. What an entry is, and why it has a limit, is not known here.
"""

import asyncio
from collections import defaultdict
from time import monotonic
from typing import Protocol

# Limits are whole seconds in Knative; nobody notices a quarter.
_STEP_S = 0.25


class Entry(Protocol):
    """What can be late."""

    spoke: int  # the wheel's own mark: when it is due, in steps; 0: it is not set

    def check(self) -> None:
        """Its time has come; it may set itself again."""


class Wheel:
    """One for each loop; times are those of `time.monotonic`, in seconds."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Turn on *loop*, while something is set."""
        self._loop = loop
        self._spokes: defaultdict[int, set[Entry]] = defaultdict(set)
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        """How many are set."""
        return f"<Wheel [{sum(map(len, self._spokes.values()))} entries]>"

    def set(self, entry: Entry, due: float) -> None:
        """Have *entry* checked at *due*; it is not set already."""
        entry.spoke = spoke = int(due / _STEP_S) + 1
        self._spokes[spoke].add(entry)
        if self._timer is None:
            self._timer = self._loop.call_later(_STEP_S, self._turn)

    def drop(self, entry: Entry) -> None:
        """Forget *entry*, if it is set."""
        if entry.spoke:
            self._spokes[entry.spoke].discard(entry)
            entry.spoke = 0

    def _turn(self) -> None:
        """Check what is due; go on while anything is set."""
        now = monotonic() / _STEP_S
        for spoke in [spoke for spoke in self._spokes if spoke <= now]:
            for entry in self._spokes.pop(spoke):
                if entry.spoke == spoke:  # else it was dropped meanwhile
                    entry.spoke = 0
                    entry.check()
        if not any(self._spokes.values()):
            self._spokes.clear()
        self._timer = self._loop.call_later(_STEP_S, self._turn) if self._spokes else None
