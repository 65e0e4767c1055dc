"""
What a partition's owner has in hand, told for people: `describe` shows what no other role could know.

    every second, if there is something    -> {ns/broker/p}:hand, believed for a few seconds
    clarion_kept, when somebody asks       -> what waits in the store, and since when

Together they say how far a trigger lags: how old the oldest event is that waits for it, or is on its way. An
entry that nobody has read counts for every trigger: nobody knows yet who wants it. Pure.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from eventing.broker import archive
from eventing.broker.lane import Lane
from eventing.broker.page import accepted_at, time_of

HAND_MS = 5000  # for how long it is believed: some times as long as it takes to be told again
_CURSOR = "cursor"


class Waits(NamedTuple):
    """What waits in the store for one trigger in one partition; `since`, a Unix time, of an event."""

    backlog: int = 0
    retries: int = 0
    dead: int = 0
    since: float | None = None


class Kept(NamedTuple):
    """What the store holds for a partition; `unread_since`: when the first came that nobody has read."""

    lag_s: float = 0.0  # between the last entry that was read and the last that there is
    unread_since: float | None = None
    lanes: Mapping[str, Waits] = {}  # by uid
    counted_at: float = 0.0  # Unix time

    def lag_of(self, uid: str) -> float:
        """Seconds for which the oldest event of the trigger *uid* had waited when this was counted."""
        return lag_s(self.counted_at, self.unread_since, self.lanes.get(uid, Waits()).since)


class Hand(NamedTuple):
    """
    What an owner said of one trigger; Unix times.

    `open` are events being sent, `parked` those of them that are in the backlog, too. `since`: when the
    oldest was accepted; `asked_at`: when the oldest request was begun.
    """

    open: int = 0
    since: float | None = None
    parked: int = 0
    asked_at: float | None = None


def kept_of(answer: list[Any], cursor: str, now: float) -> Kept:
    """Read what `clarion_kept` says *now* (Unix time); *cursor* is the id that it was given."""
    last, unread, *lanes = answer
    waits = zip(lanes[::5], lanes[1::5], lanes[2::5], lanes[3::5], lanes[4::5], strict=True)
    return Kept(
        max(0.0, archive.when_of(last.decode()) - archive.when_of(cursor)) if cursor else 0.0,
        archive.when_of(unread.decode()) if unread else None,
        {uid.decode(): Waits(backlog, retries, dead, time_of(float(place)) if place else None)
         for uid, backlog, retries, dead, place in waits}, now)


def oldest(lane: Lane) -> float | None:
    """When the oldest event was accepted that *lane* has queued or open; a dead letter is none any more."""
    refs = (delivery.ref for found in (lane.open, lane.queue) for delivery in found)
    return min((accepted_at(ref) for ref in refs if ref[0] not in "dr"), default=None)


def told(lanes: Iterable[Lane], cursor: str, now: float, monotonic: float) -> list[str]:
    """Fields and values of {ns/broker/p}:hand; empty if nothing is in hand. *now* by both clocks."""
    fields: list[str] = []
    for lane in lanes:
        if lane.open_requests or lane.queue_units:
            asked_at = now - monotonic + next(iter(lane.open.values())) if lane.open else ""
            fields += (lane.uid, f"{len(lane.open)} {oldest(lane) or ''} {lane.open_parked} {asked_at}")
    return [_CURSOR, cursor, *fields] if fields else []


def cursor_of(hand: Mapping[bytes, bytes]) -> str:
    """The cursor that was told; "" if none was."""
    return hand.get(_CURSOR.encode(), b"").decode()


def hand_of(hand: Mapping[bytes, bytes], uid: str) -> Hand:
    """What was told of the trigger *uid*; a later version may have told more."""
    opened, since, parked, asked_at, *_ = hand.get(uid.encode(), b"0  0 ").decode().split(" ")
    return Hand(int(opened), float(since) if since else None, int(parked),
                float(asked_at) if asked_at else None)


def lag_s(now: float, *since: float | None) -> float:
    """Seconds from the earliest of *since* to *now*; 0 if nothing waits."""
    return max([0.0, *(now - when for when in since if when is not None)])
