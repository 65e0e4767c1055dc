"""
Which processes of a Deployment are started and stopped next, and how long one that ended waits. Pure.

    Recreate        old ones first; once they are gone the new ones
    RollingUpdate   new ones as `maxSurge` allows; an old one goes once `maxUnavailable` allows that

However many are wanted, no more than 50 are starting at once. An old one that is not ready goes first and at
once. A process that ends, however it ends, is started again after 1 s, then 2 s, 4 s .. 5 min; one that has
run for 10 minutes has the first wait again.

Sources: Kubernetes' "Deployments", "Pod lifecycle" (CrashLoopBackOff, which begins with 10 s there).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 300.0
RECOVERED_S = 600.0
_MOST_STARTING = 50
# One that has crashed counts as ready again once it has run as long as it waited, within reason.
_LONGEST_PROOF_S = 10.0


@dataclass(frozen=True, slots=True)
class Seen:
    """One process, as the decision sees it."""

    is_new: bool  # of the template that is wanted now
    is_ready: bool
    is_stopping: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do next: how many to start, and which (by their place) to stop."""

    start: int
    stop: list[int]


@dataclass(frozen=True, slots=True)
class Strategy:
    """`spec.strategy`, in processes."""

    recreate: bool
    surge: int
    unavailable: int


def strategy(spec: Mapping[str, Any] | None, replicas: int) -> Strategy:
    """What `spec.strategy` means for so many *replicas*; ValueError if it is no number and no percentage."""
    rolling = (spec or {}).get("rollingUpdate") or {}
    surge = _count(rolling.get("maxSurge", "25%"), replicas, math.ceil)
    unavailable = _count(rolling.get("maxUnavailable", "25%"), replicas, math.floor)
    if not surge and not unavailable:
        unavailable = 1  # else nothing would ever move
    return Strategy((spec or {}).get("type") == "Recreate", surge, unavailable)


def _count(value: Any, replicas: int, rounded: Any) -> int:
    if isinstance(value, str):
        return int(rounded(int(value.removesuffix("%")) * replicas / 100))
    return int(value)


def plan(seen: Sequence[Seen], wanted: int, how: Strategy) -> Plan:
    """The next step from what is *seen* to so many *wanted*."""
    here = [index for index, each in enumerate(seen) if not each.is_stopping]
    new = [index for index in here if seen[index].is_new]
    old = [index for index in here if not seen[index].is_new]
    # Those that are not ready go first, then the youngest.
    room = _MOST_STARTING - sum(not seen[index].is_ready for index in new)
    missing = max(0, min(wanted - len(new), room))
    surplus = sorted(new, key=lambda index: (seen[index].is_ready, -index))[:max(0, len(new) - wanted)]
    if how.recreate:
        is_clear = all(each.is_new for each in seen)
        return Plan(missing if is_clear else 0, [*surplus, *old])
    start = max(0, min(missing, wanted + how.surge - len(here)))
    broken = [index for index in old if not seen[index].is_ready]
    ready = sum(seen[index].is_ready for index in here) - sum(seen[index].is_ready for index in surplus)
    spare = max(0, ready - (wanted - how.unavailable))
    working = [index for index in old if seen[index].is_ready]
    return Plan(start, [*surplus, *broken, *working[:spare]])


def wait_s(before_s: float, ran_s: float) -> float:
    """Seconds until what ran for *ran_s* is started again; *before_s* was the last wait, if any."""
    if not before_s or ran_s >= RECOVERED_S:
        return FIRST_WAIT_S
    return min(before_s * 2, LONGEST_WAIT_S)


def proof_s(waited_s: float) -> float:
    """How long (seconds) a process that *waited_s* has to run until it is ready; the first: no time."""
    return min(waited_s, _LONGEST_PROOF_S)
