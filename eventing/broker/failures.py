"""
Why nothing arrives: what fails in one partition, told for people.

    courier, of an attempt that failed, or a reply that was dropped    -> note, dropped
    matcher, of an event that a filter would take too long to judge    -> unjudged
    upkeep, every second, of those triggers   -> {ns/broker/p}:failures, a field a trigger, for `describe`
                                              -> log lines: the first failure, then at most one a minute
                                                 with a count, and when it works again; a dead letter

A trigger's failures are over when something was delivered since the last, and that was 10 s ago. A new
owner goes on with what the last one told. Nothing is done for events that are delivered.
"""

import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, TypeVar

import orjson
import redis.asyncio
import structlog

from eventing.broker.delivery import Answer, DeadLetter, Decision, RetryAt
from eventing.broker.lane import Delivery, Lane
from eventing.broker.letter import reason_of

_LINE_S = 60.0  # between two log lines of a trigger that fails
_LETTER_LINE_S = 10.0  # the same for its dead letters: who tries something out waits for each
_OVER_S = 10.0
_TOLD_AT_ONCE = 500  # triggers: a sink of very many may be down
_ID_CHARACTERS = 200  # of an event's id; there is no limit to it

GivenUp = Callable[[Lane, "Failure"], None]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    """
    The last attempt of a trigger that failed; times are Unix times.

    `attempts` is how many there are at the most, 0: no end. `next_at` is None if the event was given up.
    `count` of them failed since `since`. `is_over`: it works again.
    """

    when: float
    event: str
    attempt: int
    attempts: int
    reason: str
    next_at: float | None
    since: float
    count: int = 1
    is_over: bool = False

    @property
    def tried(self) -> str:
        """Which attempt it was, for people."""
        return f"{self.attempt} of {self.attempts}" if self.attempts else str(self.attempt)


@dataclass(frozen=True, slots=True)
class Drops:
    """Replies that went round in a circle: how many were dropped, and the id and Unix time of the last."""

    count: int
    event: str
    when: float


@dataclass(frozen=True, slots=True)
class Unjudged:
    """Events that a filter did not look at: how many, why the last, and its Unix time."""

    count: int
    reason: str
    when: float


_Told = TypeVar("_Told", Failure, Drops, Unjudged)


@dataclass(slots=True)
class Trouble:
    """What is known of one trigger."""

    failure: Failure | None = None
    drops: Drops | None = None
    unjudged: Unjudged | None = None
    delivered: int = 0  # by its lane, when the last attempt failed
    is_new: bool = False  # since it was written
    is_told: bool = False  # in the log: that it works again is told, too
    failures: int = 0  # since the last log line of them, and when that was, Unix time
    failures_told_at: float = 0.0
    letter: Failure | None = None  # the last
    letters: int = 0  # as failures
    letters_told_at: float = 0.0
    said_at: float = 0.0  # when `on_given_up` was called last

    @property
    def packed(self) -> bytes:
        """Value of the field; `read` reads it."""
        return orjson.dumps({"failure": self.failure and asdict(self.failure),
                             "drops": self.drops and asdict(self.drops),
                             "unjudged": self.unjudged and asdict(self.unjudged)})


def read(packed: bytes) -> Trouble:
    """What was written of a trigger, perhaps by another version."""
    said = orjson.loads(packed)
    return Trouble(_known(Failure, said.get("failure")), _known(Drops, said.get("drops")),
                   _known(Unjudged, said.get("unjudged")))


def _known(kind: type[_Told], said: Mapping[str, Any] | None) -> _Told | None:
    """What we know of *said*; None if that is too little."""
    names = {each.name for each in fields(kind)}
    try:
        return kind(**{name: value for name, value in said.items() if name in names}) if said else None
    except TypeError:
        return None


class Failures:
    """Those of one partition."""

    def __init__(
        self, store: redis.asyncio.Redis, key: str, lanes: Mapping[str, Lane], on_given_up: GivenUp
    ) -> None:
        """*key* is that of the hash; *lanes* are by uid; *on_given_up* is called once a minute at most."""
        self._store = store
        self._key = key
        self._lanes = lanes
        self._on_given_up = on_given_up
        self._troubles: dict[str, Trouble] = {}  # by uid
        self._is_loaded = False

    def __repr__(self) -> str:
        """How many triggers."""
        return f"<Failures {self._key} [{len(self._troubles)} triggers]>"

    def note(self, delivery: Delivery, decision: Decision, answer: Answer) -> None:
        """An attempt came to *answer*; nothing happens if that is no failure."""
        if not isinstance(decision, RetryAt | DeadLetter):
            return
        lane, policy = delivery.lane, delivery.lane.policy
        trouble = self._troubles.setdefault(lane.uid, Trouble())
        now, last = time.time(), trouble.failure
        goes_on = last is not None and not last.is_over
        trouble.failure = Failure(
            now, _id(delivery.event.attributes), delivery.attempt, 0 if policy.waits else policy.retry + 1,
            reason_of(delivery, answer), decision.when if isinstance(decision, RetryAt) else None,
            last.since if last and goes_on else now, last.count + 1 if last and goes_on else 1)
        trouble.delivered = _delivered(lane)
        trouble.is_new = True
        if isinstance(decision, DeadLetter):
            trouble.letter = trouble.failure
            trouble.letters += 1
        else:
            trouble.failures += 1

    def dropped(self, lane: Lane, event: Mapping[str, str]) -> None:
        """A reply had gone through too many brokers; *event*: its attributes."""
        trouble = self._troubles.setdefault(lane.uid, Trouble())
        trouble.drops = Drops(trouble.drops.count + 1 if trouble.drops else 1, _id(event), time.time())
        trouble.is_new = True

    def unjudged(self, lane: Lane, reason: str) -> None:
        """The filter of *lane* was taken for false, unseen: judging an event would take too long."""
        lane.counts.unjudged += 1
        trouble = self._troubles.setdefault(lane.uid, Trouble())
        count = trouble.unjudged.count if trouble.unjudged else 0
        trouble.unjudged = Unjudged(count + 1, reason, time.time())
        trouble.is_new = True

    async def tell(self) -> None:
        """Write what is new, and log what is due; once a second. Raises what redis-py raises."""
        if not self._is_loaded:
            await self._load()
        now = time.time()
        gone: list[str] = []
        new: dict[Any, Any] = {}
        for uid, trouble in self._troubles.items():
            lane = self._lanes.get(uid)
            if lane is None:
                gone.append(uid)
                continue
            self._speak(trouble, lane, now)
            self._end(trouble, lane, now)
            if trouble.is_new:
                new[uid] = trouble.packed
        # Whatever is written stays new until it is, and so does what happens meanwhile.
        pairs = iter(new.items())
        while some := dict(itertools.islice(pairs, _TOLD_AT_ONCE)):
            await self._store.hset(self._key, mapping=some)
            for uid, packed in some.items():
                self._troubles[uid].is_new = self._troubles[uid].packed != packed
        if gone:
            await self._store.hdel(self._key, *gone)
            for uid in gone:
                del self._troubles[uid]

    async def _load(self) -> None:
        """Go on with what the last owner told."""
        found: Any = await self._store.hgetall(self._key)
        for uid, packed in found.items():
            told, trouble = read(packed), self._troubles.setdefault(uid.decode(), Trouble())
            last, now = told.failure, trouble.failure
            if now and last and not last.is_over:
                trouble.failure = replace(now, since=last.since, count=now.count + last.count)
            trouble.failure = trouble.failure or last
            trouble.drops = trouble.drops or told.drops
            trouble.unjudged = trouble.unjudged or told.unjudged
        self._is_loaded = True

    def _end(self, trouble: Trouble, lane: Lane, now: float) -> None:
        """Note that *lane* works again, if it does."""
        failure = trouble.failure
        if failure is None or failure.is_over or now - failure.when < _OVER_S \
                or _delivered(lane) <= trouble.delivered:
            return
        trouble.failure = replace(failure, is_over=True)
        trouble.is_new = True
        if trouble.is_told:
            trouble.is_told = False
            log.info("delivers again", trigger=lane.name, failures=failure.count)

    def _speak(self, trouble: Trouble, lane: Lane, now: float) -> None:
        """Log what failed and what was given up, and say the latter to whoever else wants to know."""
        if trouble.failure and trouble.failures and now - trouble.failures_told_at >= _LINE_S:
            log.warning("delivery failed", **_told(lane, trouble.failure, trouble.failures))
            trouble.failures, trouble.failures_told_at, trouble.is_told = 0, now, True
        if trouble.letter and trouble.letters and now - trouble.letters_told_at >= _LETTER_LINE_S:
            log.warning("event given up", **_told(lane, trouble.letter, trouble.letters))
            trouble.letters, trouble.letters_told_at, trouble.is_told = 0, now, True
            if now - trouble.said_at >= _LINE_S:
                trouble.said_at = now
                self._on_given_up(lane, trouble.letter)


def _told(lane: Lane, failure: Failure, count: int) -> dict[str, Any]:
    """Fields of a log line."""
    more = {"failures": count} if count > 1 else {}
    return {"trigger": lane.name, "event_id": failure.event, "attempt": failure.tried,
            "error": failure.reason} | more


def _delivered(lane: Lane) -> int:
    results = lane.counts.results
    return results.get("settled", 0) + results.get("replied", 0)


def _id(attributes: Mapping[str, str]) -> str:
    return attributes.get("id", "")[:_ID_CHARACTERS]
