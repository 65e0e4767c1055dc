"""
The page: everything that was decided since the last commit, to be written at once (`scripts/commit.lua`).

    a delivery is        what the page says
    ----------           ------------------
    settled              its pair is resolved; out of the backlog, if it was there
    parked               its pair is resolved; into the backlog
    retried              as settled; into the retry schedule; of an ordered trigger: parked, with the time
    dead-lettered        as settled; into the trigger's dead letters (and on to its sink)

A pair is an entry and a trigger. The floor is the last entry before which all pairs are resolved; pairs above
it are listed one by one, and leave the list when the floor has passed them. What the page says holds as a
whole or not at all, so nothing is ever between two places.

Rows of the delivery record, one an attempt: [when, Unix ms; ref; event id; trigger; attempt; status, 0 for
no answer; ms it took; what was decided].

Pure: no I/O, no clock.
"""

import itertools
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import orjson

from eventing.broker.lane import Delivery, Entry

# A row is about 150 bytes: few enough that one page of the records is small, many enough to be cheap.
_ROWS_IN_A_RECORD = 32
_SEQUENCE_BITS = 11
_HELD_ENTRIES = 4096  # read and above the floor; a second of them is parked
_HELD_BYTES = 64 * 1024 * 1024
# Dead letters go before everything else, and retention does not count them.
DEAD_PLACE = -(2**53)


def place_of(ref: str) -> int:
    """Score of *ref* (keys.py, PLACE)."""
    is_letter = ref[0] in "dr"
    milliseconds, _, sequence = (ref[1:] if is_letter else ref).partition("-")
    limit = (1 << _SEQUENCE_BITS) - 1
    place = (int(milliseconds) << _SEQUENCE_BITS) + min(int(sequence or 0), limit)
    return place + DEAD_PLACE if is_letter else place


def time_of(place: float) -> float:
    """Unix time that a place of an event stands for."""
    return int(place) / (1000 << _SEQUENCE_BITS)


def accepted_at(ref: str) -> float:
    """Unix time at which the entry of *ref* was stored, or that dead letter."""
    return int(ref.lstrip("dr").partition("-")[0]) / 1000


@dataclass(slots=True)
class Page:
    """One commit."""

    floor: str | None = None
    resolved: list[str] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)
    parked: dict[str, dict[str, int]] = field(default_factory=dict)
    drained: dict[str, list[str]] = field(default_factory=dict)
    retries: list[tuple[int, int, str]] = field(default_factory=list)
    dead: list[tuple[str, bool, dict[str, bytes]]] = field(default_factory=list)
    redeemed: dict[str, list[str]] = field(default_factory=dict)
    rows: list[list[Any]] = field(default_factory=list)

    def arguments(self) -> list[bytes]:
        """Return ARGV from the page on."""
        letters: list[list[Any]] = []
        values: list[bytes] = []
        for uid, to_sink, fields in self.dead:
            # The letter's own id is the store's to give; its place in the backlog only has to be a letter's.
            letters.append([uid, DEAD_PLACE if to_sink else None, *fields])
            values += fields.values()
        page = orjson.dumps({
            "floor": self.floor, "resolved": self.resolved, "passed": self.passed, "drained": self.drained,
            "parked": {uid: [part for member, place in members.items() for part in (place, member)]
                       for uid, members in self.parked.items() if members},
            "retries": self.retries, "dead": letters, "redeemed": self.redeemed,
        })
        # Beside the page, not in it: JSON within JSON would be escaped here and undone by the store.
        records = [orjson.dumps(self.rows[at:at + _ROWS_IN_A_RECORD])
                   for at in range(0, len(self.rows), _ROWS_IN_A_RECORD)]
        return [page, *values, *records]


class Ledger:
    """Entries that the floor has not passed, and the page that is being written."""

    def __init__(self) -> None:
        """Nothing has been read or decided."""
        self._entries: deque[Entry] = deque()
        self._fresh: list[tuple[Entry, str]] = []
        self._page = Page()
        self.size_bytes = 0  # of the entries' data
        self.is_dirty = False  # something was decided; a floor that merely rises can wait

    def __repr__(self) -> str:
        """Counts of entries and rows."""
        return f"<Ledger [{len(self._entries)} above the floor | {len(self._page.rows)} rows]>"

    def __len__(self) -> int:
        """Entries above the floor."""
        return len(self._entries)

    @property
    def has_room(self) -> bool:
        """Whether more may be read."""
        return len(self._entries) < _HELD_ENTRIES and self.size_bytes < _HELD_BYTES

    def add(self, entry: Entry) -> None:
        """Take note of an entry that has been read, after all before it."""
        self._entries.append(entry)
        self.size_bytes += len(entry.event.data or b"")

    def is_held_since(self, when: float) -> bool:
        """Whether an entry that was read before *when* is still pending."""
        return any(entry.pending for entry in itertools.takewhile(
            lambda entry: entry.read_at < when, self._entries))

    def is_parking(self, uid: str) -> bool:
        """Whether the page adds to the backlog of the trigger *uid*."""
        return bool(self._page.parked.get(uid))

    def leave(self, delivery: Delivery) -> None:
        """*delivery* is no longer where it was: in memory, in the backlog, or a dead letter."""
        uid = delivery.lane.uid
        self.is_dirty = True
        if delivery.entry is not None:
            self._resolve(delivery.entry, uid)
            delivery.entry = None
        if delivery.member is not None:
            # Parked since the last commit, it was never in the store's backlog.
            if self._page.parked.get(uid, {}).pop(delivery.member, None) is None:
                self._page.drained.setdefault(uid, []).append(delivery.member)
            else:
                delivery.lane.taken.discard(delivery.member)

    def park(self, delivery: Delivery) -> None:
        """*delivery*, in memory only so far, goes into the backlog; it may stay queued or open."""
        assert delivery.entry is not None
        self.is_dirty = True
        delivery.member = f"{delivery.ref} {delivery.attempt}"
        self._page.parked.setdefault(delivery.lane.uid, {})[delivery.member] = place_of(delivery.ref)
        self._resolve(delivery.entry, delivery.lane.uid)
        delivery.entry = None

    def retry(self, delivery: Delivery, when: float) -> None:
        """*delivery* is tried again at *when*, a Unix time."""
        self.leave(delivery)
        member = f"{delivery.lane.uid} {delivery.attempt + 1} {delivery.ref}"
        self._page.retries.append((int(when * 1000) + 1, place_of(delivery.ref), member))

    def hold(self, delivery: Delivery, when: float) -> None:
        """
        As `retry`, for an ordered trigger: *delivery* stays in hand, and in the backlog.

        There it goes before all that follows it, also for the next owner; its name says when it is due.
        """
        self.leave(delivery)
        delivery.attempt += 1
        delivery.member = f"{delivery.ref} {delivery.attempt} {int(when * 1000) + 1}"
        delivery.lane.taken.add(delivery.member)
        self._page.parked.setdefault(delivery.lane.uid, {})[delivery.member] = place_of(delivery.ref)

    def bury(self, delivery: Delivery, letter: dict[str, bytes], *, to_sink: bool) -> None:
        """*delivery* becomes a dead letter, or another one; *to_sink*: and is sent to the sink from there."""
        self.redeem(delivery)
        self._page.dead.append((delivery.lane.uid, to_sink, letter))

    def redeem(self, delivery: Delivery) -> None:
        """*delivery* is settled; a dead letter is none any more."""
        entry = delivery.entry
        if entry is not None and delivery.member is None:  # what `leave` comes to for nearly all
            entry.pending -= 1
            self._fresh.append((entry, delivery.lane.uid))
            delivery.entry = None
            self.is_dirty = True
            return
        self.leave(delivery)
        if delivery.ref[0] in "dr":
            self._page.redeemed.setdefault(delivery.lane.uid, []).append(delivery.ref[1:])

    def drop(self, entry: Entry) -> None:
        """One of the triggers that *entry* waits for is gone: nothing is written about it."""
        entry.pending -= 1

    def record(self, row: list[Any]) -> None:
        """Add a row to the delivery record."""
        self._page.rows.append(row)
        self.is_dirty = True

    def turn(self) -> Page:
        """Take the page as it is now, and begin the next."""
        page, self._page = self._page, Page()
        self.is_dirty = False
        while self._entries and not self._entries[0].pending:
            entry = self._entries.popleft()
            entry.is_passed = True
            self.size_bytes -= len(entry.event.data or b"")
            page.floor = entry.id
            if entry.listed is not None:
                page.passed += entry.listed
        for entry, uid in self._fresh:
            if not entry.is_passed:
                pair = f"{entry.id} {uid}"
                if entry.listed is None:
                    entry.listed = []
                entry.listed.append(pair)
                page.resolved.append(pair)
        self._fresh.clear()
        return page

    def _resolve(self, entry: Entry, uid: str) -> None:
        entry.pending -= 1
        self._fresh.append((entry, uid))

