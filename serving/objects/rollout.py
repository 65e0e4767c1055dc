"""
Gradual rollout: how the share of a latest revision moves from the one before it, step by step.

    a new latest revision appears     1 % of the share moves to it at once
    every step                        so many whole percents that all of it has moved when the duration is
                                      about over, taken from the newest of the others first
    it appears while one is under way both go on: the newer one drains the older one
    the share itself changes          more goes to the newest, less is taken from the oldest

Steps are a second apart at least, and one percent at least. A share of 1 % has nothing to move gradually.
Pure, in virtual time: `route.py` keeps the state in the Route's status and asks again when a step is due.
Source: Knative Serving's `pkg/reconciler/route/traffic/rollout.go`; the JSON is that of its annotation.
"""

import json
import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

from serving.duration import SECOND_NS

STATE = "networking.internal.knative.dev/rollout"  # annotation that holds the state

_FIRST = 1  # per cent that a new revision gets at once
_MIN_STEP_S = 1.0

Share = tuple[str, int]  # a revision and its per cent


@dataclass(frozen=True)
class Pace:
    """Of a rollout that is under way; instants in Unix nanoseconds, as Knative writes them."""

    start_ns: int
    next_ns: int
    step_ns: int
    step_size: int  # per cent


@dataclass(frozen=True)
class Rollout:
    """The share of one Configuration's latest revision at one host (that of *tag*, or the untagged one)."""

    configuration: str
    tag: str
    percent: int
    revisions: tuple[Share, ...]  # the newest is the last; their sum is `percent`
    pace: Pace | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What identifies it from one reconciliation to the next."""
        return self.configuration, self.tag


def step(goals: Iterable[Rollout], before: Iterable[Rollout], now_ns: int, duration_s: float,
         gone: Collection[str] = ()) -> list[Rollout]:
    """
    What holds from *now_ns* on, where *before* held until then and *goals* are where it should lead.

    A goal has one revision, the latest that is ready. Revisions in *gone* get nothing any more. With a
    duration of 0 the goals are reached at once.
    """
    known = {each.key: each for each in before}
    return [_step(goal, known[goal.key], now_ns, duration_s, gone)
            if duration_s > 0 and goal.key in known else goal for goal in goals]


def due_s(rollouts: Iterable[Rollout], now_ns: int) -> float | None:
    """Seconds until the next step; None where no rollout is under way."""
    nexts = [each.pace.next_ns for each in rollouts if each.pace is not None]
    return max(0.0, (min(nexts) - now_ns) / SECOND_NS) if nexts else None


def _step(goal: Rollout, before: Rollout, now_ns: int, duration_s: float,
          gone: Collection[str]) -> Rollout:
    name = goal.revisions[-1][0]
    others = _kept(before, name, gone)
    rolling = replace(goal, pace=before.pace,
                      revisions=(*others, (name, before.percent - sum(share for _, share in others))))
    if before.revisions and before.revisions[-1][0] != name:
        rolling = _begun(replace(rolling, percent=before.percent), now_ns, duration_s)
    elif rolling.pace is not None and now_ns >= rolling.pace.next_ns:
        rolling = _advanced(rolling, rolling.pace, now_ns)
    rolling = _adjusted(rolling, before.percent, goal.percent)
    return rolling if len(rolling.revisions) > 1 else goal


def _kept(before: Rollout, newest: str, gone: Collection[str]) -> list[Share]:
    """The revisions that still have a share, without the newest one."""
    return [(name, share) for name, share in before.revisions
            if share > 0 and name != newest and name not in gone]


def _begun(rolling: Rollout, now_ns: int, duration_s: float) -> Rollout:
    """A new revision takes its first percent from the newest of the others; its pace is set."""
    *others, (name, _) = rolling.revisions
    if rolling.percent <= _FIRST or not others:
        return replace(rolling, revisions=((name, rolling.percent),), pace=None)
    had = sum(share for _, share in others)
    left, taken = _drained(others, max(0, _FIRST - (rolling.percent - had)))
    share = rolling.percent - had + taken
    return replace(rolling, revisions=(*left, (name, share)),
                   pace=_pace(rolling.percent, now_ns, duration_s))


def _pace(percent: int, now_ns: int, duration_s: float) -> Pace:
    remaining_s = max(1.0, duration_s - _MIN_STEP_S)
    to_move = percent - _FIRST
    steps = min(max(1.0, remaining_s / _MIN_STEP_S), to_move)
    step_ns = round(remaining_s / steps * SECOND_NS)
    return Pace(start_ns=now_ns, next_ns=now_ns + step_ns, step_ns=step_ns,
                step_size=max(1, math.floor(to_move / steps + 0.5)))


def _advanced(rolling: Rollout, pace: Pace, now_ns: int) -> Rollout:
    *others, (name, share) = rolling.revisions
    left, taken = _drained(others, pace.step_size)
    return replace(rolling, revisions=(*left, (name, share + taken)),
                   pace=replace(pace, next_ns=now_ns + pace.step_ns))


def _drained(shares: list[Share], wanted: int) -> tuple[list[Share], int]:
    """*shares* without *wanted* per cent, the newest first, and how much that was."""
    left, taken = list(shares), 0
    while left and taken < wanted:
        name, share = left.pop()
        part = min(share, wanted - taken)
        taken += part
        if share > part:
            left.append((name, share - part))
    return left, taken


def _adjusted(rolling: Rollout, old: int, new: int) -> Rollout:
    """The whole share is *new* and not *old*."""
    *others, (name, share) = rolling.revisions
    if new >= old:
        return replace(rolling, percent=new, revisions=(*others, (name, share + new - old)))
    oldest_last, taken = _drained([*reversed(others)], old - new)
    return replace(rolling, percent=new,
                   revisions=(*reversed(oldest_last), (name, share - (old - new - taken))))


def dump(rollouts: Iterable[Rollout]) -> str:
    """The state as JSON."""
    return json.dumps({"configurations": [_dumped(each) for each in rollouts]}, separators=(",", ":"))


def _dumped(rollout: Rollout) -> dict[str, Any]:
    dumped: dict[str, Any] = {
        "configurationName": rollout.configuration, "tag": rollout.tag, "percent": rollout.percent,
        "revisions": [{"revisionName": name, "percent": share} for name, share in rollout.revisions],
    }
    if (pace := rollout.pace) is not None:
        dumped["stepParams"] = {"starttime": pace.start_ns, "nextStepTime": pace.next_ns,
                                "stepDuration": pace.step_ns, "stepSize": pace.step_size}
    return dumped


def load(text: str) -> list[Rollout]:
    """The state in *text*; none where that cannot be read, so that the next change is made at once."""
    try:
        return [_loaded(each) for each in json.loads(text)["configurations"]]
    except (ValueError, KeyError, TypeError):
        return []


def _loaded(dumped: dict[str, Any]) -> Rollout:
    said = dumped.get("stepParams")
    pace = None
    if isinstance(said, dict):
        pace = Pace(said["starttime"], said["nextStepTime"], said["stepDuration"], said["stepSize"])
    shares = dumped["revisions"]
    revisions = tuple((each["revisionName"], each["percent"]) for each in shares)
    return Rollout(dumped["configurationName"], dumped.get("tag") or "", dumped["percent"], revisions, pace)
