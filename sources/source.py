"""
What a source is: a kind's name and one coroutine, `run(record, emit)`.

The coroutine runs until it is cancelled, which is how a source is edited, stopped or deleted; its next run
begins when it has ended. It calls `emit.ready()` once it is connected to what it reads from,
`emit.not_ready(reason, message)` while it has lost that, and `await emit(event)` for each event: that
returns when the sink has accepted it, so whatever the coroutine then commits (an offset, an
acknowledgement) is never ahead of what is safe. What it raises is reported in the object's conditions, and
it is started again after a while: NotReady with its reason, anything else as `SourceFailed`.

An event that the sink will never take raises Refused; a source that reads from something which waits for it
calls `await emit.give_up(event, refused)` and goes on. A source whose server does not keep where it stopped
says so with `emit.remember(place)`; the record of its next run has that as `place`. One that has to know its
server's objects between runs writes them into `emit.ledger`.

A new source is a new file in this folder with a coroutine under `@source("ItsKind")`; the file registers
the kind of its objects too.
"""

import importlib
import pkgutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from eventing.errors import ClarionError
from eventing.event import Event
from eventing.projection import Record
from sources.ledger import Ledger

# Who wrote an event, and where: the attributes of a source's events (status.ceAttributes).
CeAttributes = list[dict[str, str]]


class Refused(ClarionError):
    """
    The sink will never take this event: a 4xx that no repetition changes, or the retries are used up.

    `status` is the sink's last answer, 0 if there was none; `body` what it said.
    """

    def __init__(self, message: str, status: int = 0, body: bytes = b"") -> None:
        """*message* is for a person."""
        super().__init__(message)
        self.status = status
        self.body = body


class NotReady(ClarionError):
    """The source cannot work now; `reason` and the message stand in its object's conditions."""

    def __init__(self, reason: str, message: str) -> None:
        """*reason* is one CamelCase word."""
        super().__init__(message)
        self.reason = reason


class State(Protocol):
    """How a coroutine says how it is."""

    def ready(self) -> None:
        """Say that it is connected; its object becomes Ready."""

    def not_ready(self, reason: str, message: str) -> None:
        """Say that it has lost its server and tries to get it back; its object is not Ready."""


class Emit(State, Protocol):
    """A source's way out."""

    ledger: Ledger

    def ready(self, status: Mapping[str, Any] | None = None) -> None:
        """Say that the source is connected; its object becomes Ready, and gets the fields of *status*."""

    async def __call__(self, event: Event) -> None:
        """
        Return once the sink has accepted *event*; waits and repeats as long as that takes.

        Raises Refused if the sink refuses it for good.
        """

    def remember(self, place: str) -> None:
        """
        Keep *place*, where the source is now, for its next run; "" is what a first run finds.

        It is written within a moment, not at once: after a crash `place` may be an earlier one.
        """

    async def in_order(self, events: Sequence[Event]) -> int:
        """
        Send the first of *events* together, so that they stay in order; returns how many were accepted.

        It tries once. 0 means that the first one is to be sent by itself: the sink takes no batches, or did
        not take this one.
        """

    async def give_up(self, event: Event, refused: Refused) -> None:
        """Send *event* to the dead letter sink, if there is one; else log and count that it was skipped."""

    def hand_back(self, event: Event, refused: Refused) -> None:
        """Log and count that what *event* came from takes it back: its server knows what to do with it."""


Run = Callable[[Record, Emit], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Source:
    """One kind of source."""

    kind: str
    run: Run
    is_small: bool  # people have many of them, with few events each: those travel together


_sources: dict[str, Source] = {}


def source(kind: str, *, is_small: bool = False) -> Callable[[Run], Run]:
    """Register the coroutine of sources of *kind*; see Source for *is_small*."""

    def register(run: Run) -> Run:
        _sources[kind] = Source(kind, run, is_small)
        return run

    return register


def named(kind: str) -> Source | None:
    """The source of that kind, or None."""
    return _sources.get(kind)


def load() -> None:
    """Import every module of this folder, so that each registers what it has."""
    package = importlib.import_module("sources")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"sources.{module.name}")


def secrets_of(record: Record) -> dict[str, str]:
    """Values of the secrets that the object refers to, by the names its kind gave them; never logged."""
    secrets: dict[str, str] = record.get("secrets") or {}
    return secrets


def spec_of(record: Record) -> dict[str, Any]:
    """The `spec` of the object behind *record*, defaults filled in."""
    spec: dict[str, Any] = record["spec"]
    return spec
