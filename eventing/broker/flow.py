"""
How fast and in which order one trigger is served: annotations on the Trigger, read once.

    kafka.eventing.knative.dev/delivery.order    ordered | unordered
    rabbitmq.eventing.knative.dev/parallelism    1: ordered; up to 1000: so many requests at once
    clarion.dev/on-poison                        dead-letter (default) | wait: of an ordered trigger
    clarion.dev/concurrency                      requests at once
    clarion.dev/concurrency-key                  CESQL: `concurrency` (1 if absent) for each of its values
    clarion.dev/rate                             100/s, 30/m, 5/h: requests begun; what is more waits
    clarion.dev/batch                            50,200ms: so many events in a request, or what came meanwhile
    clarion.dev/max-age                          PT1H: after that an event gets no further attempt

A broker of several partitions has an owner for each, and each takes its share of concurrency and rate. A
limit that is less than they are many holds because they take turns (turns.py): `Flow.share` says how many.
Pure.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from eventing import cesql, duration
from eventing.errors import ClarionError

ORDER = "kafka.eventing.knative.dev/delivery.order"
PARALLELISM = "rabbitmq.eventing.knative.dev/parallelism"
ON_POISON = "clarion.dev/on-poison"
CONCURRENCY = "clarion.dev/concurrency"
CONCURRENCY_KEY = "clarion.dev/concurrency-key"
RATE = "clarion.dev/rate"
BATCH = "clarion.dev/batch"
MAX_AGE = "clarion.dev/max-age"

_PARALLELISM_MOST = 1000  # RabbitMQ broker's own bound
_BATCH_MOST = 1000  # events: a MiB of small ones
_LINGER_MOST_S = 60.0
_PERIODS_S = {"s": 1.0, "m": 60.0, "h": 3600.0}
_RATE = re.compile(r"([1-9]\d{0,6})/([smh])")

KeyOf = Callable[[Mapping[str, str]], str]


class FlowInvalid(ClarionError):
    """An annotation that cannot be understood; the message names it, its value, and what is allowed."""

    def __init__(self, annotation: str, value: str, allowed: str) -> None:
        """*allowed* completes "expected ..."."""
        super().__init__(f"{annotation}: {value!r} is not allowed here; expected {allowed}")
        self.annotation = annotation
        self.value = value
        self.allowed = allowed


@dataclass(frozen=True, slots=True)
class Flow:
    """What the annotations say; None: not limited."""

    is_ordered: bool = False
    waits_for_poison: bool = False
    concurrency: int | None = None
    key_of: KeyOf | None = None  # whose values are limited, each by itself
    rate_per_s: float | None = None
    batch_events: int = 1
    linger_s: float = 0.0
    max_age_s: float | None = None
    turns: int | None = None  # partitions that may send at a time, where that is not all of them

    @property
    def is_timed(self) -> bool:
        """Whether time alone may let something be sent."""
        return self is not PLAIN and (self.is_ordered or self.rate_per_s is not None or self.batch_events > 1)

    def share(self, partition: int, partitions: int) -> "Flow":
        """Part of the limits that falls to one of several partitions; all parts together are no more."""
        if partitions <= 1 or (self.concurrency is None and self.rate_per_s is None):
            return self
        limit, turns = self.concurrency, None
        if limit is not None:
            turns = limit if limit < partitions else None
            more = self.key_of is None and partition < limit % partitions
            limit = 1 if turns else limit // partitions + more
        rate = None if self.rate_per_s is None else self.rate_per_s / partitions
        return replace(self, concurrency=limit, rate_per_s=rate, turns=turns)


PLAIN = Flow()


def flow_of(annotations: Mapping[str, str]) -> Flow:
    """Read a Trigger's annotations. Raises FlowInvalid."""
    if not annotations:
        return PLAIN
    parallel = _number(annotations, PARALLELISM, _PARALLELISM_MOST)
    is_ordered = _choice(annotations, ORDER, ("ordered", "unordered")) == "ordered" or parallel == 1
    waits = _choice(annotations, ON_POISON, ("wait", "dead-letter")) == "wait"
    concurrency = _number(annotations, CONCURRENCY, None)
    key_of = _key(annotations)
    events, linger_s = _batch(annotations)
    for annotation, is_given in ((CONCURRENCY_KEY, key_of is not None), (BATCH, events > 1)):
        if is_ordered and is_given:
            raise FlowInvalid(annotation, annotations[annotation],
                              "none on an ordered trigger: it sends one event of a partitionkey at a time")
    if key_of is not None and events > 1:
        raise FlowInvalid(BATCH, annotations[BATCH], f"none beside {CONCURRENCY_KEY}")
    if waits and not is_ordered:
        raise FlowInvalid(ON_POISON, annotations[ON_POISON], f"it beside {ORDER}: ordered only")
    if concurrency is None:
        concurrency = parallel if parallel is not None and parallel > 1 else 1 if key_of is not None else None
    return Flow(is_ordered, waits, concurrency, key_of, _rate(annotations), events, linger_s,
                _max_age(annotations))


def partition_key(attributes: Mapping[str, str]) -> str:
    """Key of an ordered trigger; events without one share an order."""
    return attributes.get("partitionkey", "")


def _choice(annotations: Mapping[str, str], name: str, allowed: tuple[str, str]) -> str | None:
    given = annotations.get(name)
    if given is None:
        return None
    if given.lower() not in allowed:
        raise FlowInvalid(name, given, " or ".join(allowed))
    return given.lower()


def _number(annotations: Mapping[str, str], name: str, most: int | None) -> int | None:
    given = annotations.get(name)
    if given is None:
        return None
    if not (given.isascii() and given.isdecimal()) or not 1 <= int(given) <= (most or 1_000_000):
        raise FlowInvalid(name, given, f"a whole number from 1 to {most or 1_000_000}")
    return int(given)


def _key(annotations: Mapping[str, str]) -> KeyOf | None:
    given = annotations.get(CONCURRENCY_KEY)
    if given is None:
        return None
    try:
        expression = cesql.parse_known(given)
    except cesql.ParseError as error:
        raise FlowInvalid(CONCURRENCY_KEY, given, f"a CESQL expression: {error}") from error
    return lambda attributes: str(expression.evaluate(attributes).value)


def _rate(annotations: Mapping[str, str]) -> float | None:
    given = annotations.get(RATE)
    if given is None:
        return None
    match = _RATE.fullmatch(given)
    if match is None:
        raise FlowInvalid(RATE, given, "a number and a unit, such as 100/s, 30/m or 5/h")
    return int(match[1]) / _PERIODS_S[match[2]]


def _batch(annotations: Mapping[str, str]) -> tuple[int, float]:
    given = annotations.get(BATCH)
    if given is None:
        return 1, 0.0
    events, comma, linger = (part.strip() for part in given.partition(","))
    try:
        linger_s = duration.either(linger) if comma else 0.0
    except ValueError:
        linger_s = _LINGER_MOST_S + 1
    if not (events.isascii() and events.isdecimal() and 1 <= int(events) <= _BATCH_MOST) \
            or linger_s > _LINGER_MOST_S:
        raise FlowInvalid(BATCH, given, f"how many events (at most {_BATCH_MOST}) and how long to wait for "
                                        f"them (at most {_LINGER_MOST_S:.0f}s), such as 50,200ms")
    return int(events), linger_s


def _max_age(annotations: Mapping[str, str]) -> float | None:
    given = annotations.get(MAX_AGE)
    if given is None:
        return None
    try:
        age_s = duration.either(given)
    except ValueError:
        age_s = 0.0
    if age_s <= 0:
        raise FlowInvalid(MAX_AGE, given, "a duration above zero, such as 1h or PT1H")
    return age_s
