"""The matcher and CESQL by themselves, in this process: events and evaluations a second, against U."""

import time
from collections.abc import Callable

from benchmarks import floors
from benchmarks.measure import Figure, show
from eventing import cesql
from eventing.broker.matcher import Matcher

_EVENTS = 100_000
_TRIGGERS = 10_000
_GOALS = {"matcher": 5.0, "cesql": 2.5}
# Two comparisons, a pattern and a cast: what the filters of CESQL's own examples come to.
_EXPRESSION = "type = 'order.placed' AND source LIKE '/shop/%' AND INT(priority) >= 5"


def run(runs: int) -> None:
    """Match against 10,000 exact triggers, and evaluate a typical expression."""
    floor = floors.bare()
    matched = Figure(f"matcher alone, {_TRIGGERS:,} exact triggers, 1 matches", "/s", floor=floor,
                     goal=_GOALS["matcher"])
    evaluated = Figure("CESQL, a typical expression", "/s", floor=floor, goal=_GOALS["cesql"])
    match, evaluate = _matcher(), cesql.parse(_EXPRESSION).evaluate
    for _ in range(runs):
        floor.samples.append(floors.requests_per_s(_EVENTS // 2))
        matched.samples.append(_per_s(lambda number: len(match(_attributes(number))) == 1))
        evaluated.samples.append(_per_s(lambda number: evaluate(_attributes(number)).value is True))
    matched.note = evaluated.note = f"each of {_EVENTS:,} true"
    show(f"Filters alone: {_EXPRESSION}", [floor, matched, evaluated])


def _matcher() -> Callable[[dict[str, str]], list[str]]:
    matcher: Matcher[str] = Matcher()
    for number in range(1, _TRIGGERS):
        matcher.put(f"other-{number}", {"filter": {"type": f"other.{number}"}})
    matcher.put("wanted", {"filter": {"type": "order.placed"}})
    return matcher.match


def _attributes(number: int) -> dict[str, str]:
    """Attributes of an event as the dispatcher has them; each event its own, as no answer is to be kept."""
    return {"specversion": "1.0", "id": str(number), "type": "order.placed", "source": "/shop/12",
            "datacontenttype": "application/json", "priority": "7", "knativebrokerttl": "255",
            "knativearrivaltime": "2026-01-31T23:59:59.000000Z"}


def _per_s(is_right: Callable[[int], bool]) -> float:
    """How often a second *is_right* can be asked, which must say yes; making the event is a part of it."""
    began = time.perf_counter()
    for number in range(_EVENTS):
        if not is_right(number):
            raise SystemExit(f"event {number}: the wrong answer")
    return _EVENTS / (time.perf_counter() - began)
