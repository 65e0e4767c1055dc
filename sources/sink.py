"""
What a sink is: the way out to a system of somebody else, a source the other way round.

It is a kind's name and one coroutine, `run(record, door)`, which the sources role keeps alive as it keeps a
source: started anew after a failure or an edit, cancelled when the object goes. Once it is connected it hands
`door.open` a coroutine that takes one event, and returns when that system has it for good; only then is the
sender told 202. What the coroutine raises is answered: Rejected with its status, anything else with 503, so
that a sender which repeats (a Trigger, a source) loses nothing.

Senders reach it over HTTP (doors.py), as they reach any other sink.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Protocol

from eventing.event import Event
from eventing.projection import Record
from sources.source import State

Take = Callable[[Event], Awaitable[None]]


class Door(State, Protocol):
    """A sink's way in."""

    def open(self, take: Take) -> AbstractContextManager[None]:
        """Let *take* have every event, until the context is left; at other times senders are told 503."""


Run = Callable[[Record, Door], Awaitable[None]]

_sinks: dict[str, Run] = {}


def sink(kind: str) -> Callable[[Run], Run]:
    """Register the coroutine of sinks of *kind*."""

    def register(run: Run) -> Run:
        _sinks[kind] = run
        return run

    return register


def named(kind: str) -> Run | None:
    """The coroutine of that kind of sink, or None."""
    return _sinks.get(kind)
