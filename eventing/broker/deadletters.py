"""
Dead letters of a trigger, and what else waits for it: list, show, send again, throw away.

A dead letter is an entry of the stream `{ns/broker/p}:dead:UID`, written by the owner's commit:

    a, d          the event, as in the partition's stream
    entry         id of the entry that it was
    when          Unix ms at which it was given up
    attempts      how many there were
    status        of the last answer; 0: there was none
    destination   URL that was asked
    reason        a sentence for a person
    body          start of the last answer's body, base64
    sink          of one that the dead letter sink did not take either: these five of the sink, a JSON object
                  of strings; `reason` says both then, and the others are of the subscriber still

Where a dead letter sink is set, a letter is here while it is on its way there, and again when the sink
did not take it either. Everything here needs no ownership: reading changes nothing, what is sent again is
put into the retry schedule, where the partition's owner finds it within a second.

This module knows neither the API nor the command line that offer this.
"""

import base64
import operator
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import orjson
import redis.asyncio

from eventing import keys
from eventing.broker import failures, functions, hand
from eventing.broker.entry import decode
from eventing.broker.failures import Drops, Failure, Trouble, Unjudged
from eventing.broker.page import DEAD_PLACE
from eventing.errors import NotFound
from eventing.event import Event

_PAGE_ENTRIES = 100  # events of one look, at most 100 MiB of the largest
_SCAN_ENTRIES = 1000


@dataclass(frozen=True, slots=True)
class Sink:
    """What a dead letter sink said, that did not take a letter either."""

    attempts: int
    status: int
    destination: str
    body: bytes


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A delivery that was given up; `id` is unique for its trigger, `when` a Unix time."""

    id: str
    event: Event
    when: float
    attempts: int
    status: int
    destination: str
    reason: str
    body: bytes
    sink: Sink | None = None


@dataclass(frozen=True, slots=True)
class LastLetter:
    """What is told of a trigger's newest dead letter; `when` is a Unix time."""

    id: str
    event: str
    when: float
    attempts: int
    reason: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """
    How many events wait for a trigger, and where.

    `held` of the backlog failed, and hold their key; `open` are being sent, as dispatchers said within the
    last second or so, the oldest request for `open_s`; `lag_s` is how old the oldest event is that is neither
    delivered, nor given up, nor known not to match. `failure`, `drops` and `letter` are the latest of all
    partitions, `failure.count` and `drops.count` sums.
    """

    backlog: int
    retries: int
    dead: int
    held: int
    open: int
    lag_s: float
    failure: Failure | None = None
    drops: Drops | None = None
    letter: LastLetter | None = None
    unjudged: Unjudged | None = None
    open_s: float = 0.0


class DeadLetters:
    """Those of one trigger, over all partitions of its broker. Methods raise what redis-py raises."""

    def __init__(self, store: redis.asyncio.Redis, *, broker: str, partitions: int, uid: str) -> None:
        """Of the trigger *uid* of *broker*; `of_trigger` finds these by name."""
        self._store = store
        self._broker = broker
        self._partitions = partitions
        self._uid = uid

    async def find(self, *, limit: int = 100, after: str | None = None) -> list[DeadLetter]:
        """Return at most *limit* dead letters that follow the one called *after*, by partition and age."""
        found: list[DeadLetter] = []
        async for letter in self._after(after):
            if len(found) >= limit:
                break
            found.append(letter)
        return found

    async def show(self, letter_id: str) -> DeadLetter:
        """Return one dead letter. Raises NotFound."""
        partition, entry_id = self._split(letter_id)
        page: Any = await self._store.xrange(self._key(partition), entry_id, entry_id)
        if not page:
            raise NotFound(f"there is no dead letter {letter_id}")
        return _letter(partition, *page[0])

    async def redrive(self, letter_ids: Iterable[str]) -> int:
        """Send these to the subscriber again, with all attempts anew; returns how many of them there are."""
        count = 0
        for partition, entry_ids in self._by_partition(letter_ids).items():
            count += await functions.call(
                self._store, "clarion_redrive", [keys.partition_tag(self._broker, partition)],
                [self._uid, int(time.time() * 1000), DEAD_PLACE, *entry_ids])
        return count

    async def purge(self, letter_ids: Iterable[str]) -> int:
        """Throw these away; returns how many of them there were."""
        count = 0
        for partition, entry_ids in self._by_partition(letter_ids).items():
            count += await self._store.xdel(self._key(partition), *entry_ids)
        return count

    async def waiting(self) -> Waiting:
        """Count what waits for the trigger; some of it one by one, so not for every second."""
        parts = [await self._waiting(partition) for partition in range(self._partitions)]
        return Waiting(
            backlog=sum(part.backlog for part in parts), retries=sum(part.retries for part in parts),
            dead=sum(part.dead for part in parts), held=sum(part.held for part in parts),
            open=sum(part.open for part in parts), lag_s=max(part.lag_s for part in parts),
            failure=_latest(part.failure for part in parts), drops=_latest(part.drops for part in parts),
            letter=max((part.letter for part in parts if part.letter), key=_when, default=None),
            unjudged=_latest(part.unjudged for part in parts), open_s=max(part.open_s for part in parts))

    async def _waiting(self, partition: int) -> Waiting:
        """Those of one partition."""
        tag, held = keys.partition_tag(self._broker, partition), 0
        async for _ in self._store.zscan_iter(f"{tag}:backlog:{self._uid}", match="* * *",
                                              count=_SCAN_ENTRIES):  # REF n MS: keys.py
            held += 1
        told: Any = await self._store.hgetall(f"{tag}:hand")
        cursor = hand.cursor_of(told)
        answer = await functions.call(self._store, "clarion_kept", [tag], [cursor, self._uid])
        kept, mine = hand.kept_of(answer, cursor, time.time()), hand.hand_of(told, self._uid)
        waits, lag_s = kept.lanes[self._uid], max(kept.lag_of(self._uid), hand.lag_s(time.time(), mine.since))
        trouble = await self._trouble(partition)
        letter = await self._last_letter(partition) if waits.dead else None
        return Waiting(max(0, waits.backlog - mine.parked), waits.retries, waits.dead, held, mine.open, lag_s,
                       trouble.failure, trouble.drops, letter, trouble.unjudged,
                       hand.lag_s(time.time(), mine.asked_at))

    async def _trouble(self, partition: int) -> Trouble:
        """What its owner told of what fails in one partition."""
        told: Any = await self._store.hget(keys.failures(self._broker, partition), self._uid)
        return failures.read(told) if told else Trouble()

    async def _last_letter(self, partition: int) -> LastLetter | None:
        """The newest of one partition."""
        page: Any = await self._store.xrevrange(self._key(partition), count=1)
        if not page:
            return None
        letter = _letter(partition, *page[0])
        return LastLetter(letter.id, letter.event.attributes.get("id", ""), letter.when, letter.attempts,
                          letter.reason)

    async def _after(self, after: str | None) -> AsyncIterator[DeadLetter]:
        first, start = (0, "-") if after is None else self._split(after)
        for partition in range(first, self._partitions):
            start = start if start == "-" else f"({start}"
            while True:
                page: Any = await self._store.xrange(self._key(partition), start, count=_PAGE_ENTRIES)
                for entry_id, fields in page:
                    yield _letter(partition, entry_id, fields)
                if len(page) < _PAGE_ENTRIES:
                    break
                start = f"({page[-1][0].decode()}"
            start = "-"

    def _key(self, partition: int) -> str:
        return keys.dead(self._broker, partition, self._uid)

    def _split(self, letter_id: str) -> tuple[int, str]:
        partition, _, entry_id = letter_id.partition(".")
        milliseconds, _, sequence = entry_id.partition("-")
        if not (partition.isdecimal() and milliseconds.isdecimal() and sequence.isdecimal()) \
                or int(partition) >= self._partitions:
            raise NotFound(f"there is no dead letter {letter_id}")
        return int(partition), entry_id

    def _by_partition(self, letter_ids: Iterable[str]) -> dict[int, list[str]]:
        found: dict[int, list[str]] = {}
        for letter_id in letter_ids:
            partition, entry_id = self._split(letter_id)
            found.setdefault(partition, []).append(entry_id)
        return found


async def of_trigger(store: redis.asyncio.Redis, name: str) -> DeadLetters:
    """Dead letters of the trigger *name*, `namespace/trigger`. Raises NotFound."""
    trigger = await store.hget(keys.table("triggers"), name)
    if trigger is None:
        raise NotFound(f"there is no trigger {name}, or its broker is not there yet")
    record = orjson.loads(trigger)
    broker = await store.hget(keys.table("brokers"), record["broker"])
    if broker is None:
        raise NotFound(f"there is no broker {record['broker']}")
    partitions = max(1, int(orjson.loads(broker).get("partitions") or 1))
    return DeadLetters(store, broker=record["broker"], partitions=partitions, uid=record["uid"])


_when = operator.attrgetter("when")
_Told = TypeVar("_Told", Failure, Drops, Unjudged)


def _latest(told: Iterable[_Told | None]) -> _Told | None:
    """The latest of several partitions', with the count of all."""
    known = [each for each in told if each is not None]
    if not known:
        return None
    return replace(max(known, key=_when), count=sum(each.count for each in known))


def _letter(partition: int, entry_id: bytes, fields: dict[bytes, bytes]) -> DeadLetter:
    return DeadLetter(
        f"{partition}.{entry_id.decode()}", decode(fields), int(fields[b"when"]) / 1000,
        int(fields[b"attempts"]), int(fields[b"status"]), fields[b"destination"].decode(),
        fields[b"reason"].decode(), base64.b64decode(fields[b"body"]), _sink(fields.get(b"sink")))


def _sink(text: bytes | None) -> Sink | None:
    if text is None:
        return None
    said = orjson.loads(text)
    return Sink(int(said["attempts"]), int(said["status"]), said["destination"],
                base64.b64decode(said["body"]))
