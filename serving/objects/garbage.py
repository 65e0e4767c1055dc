"""
Which old Revisions of a Configuration may go: ConfigMap `config-gc`, and the choice.

    kept always       the latest ready one, what a Route points at, what says serving.knative.dev/no-gc
    of the others     min-non-active-revisions newest are kept
    beyond those      stale ones go: older than both retention times
    at last           the oldest go until max-non-active-revisions are left

Pure, with `now` as an argument. Source: Knative Serving's `pkg/gc` and `pkg/reconciler/gc`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from eventing.control import resource
from eventing.control.resource import Resource
from serving import duration
from serving.objects import names

KEYS = ("retain-since-create-time", "retain-since-last-active-time", "min-non-active-revisions",
        "max-non-active-revisions")


@dataclass(frozen=True, kw_only=True)
class Retention:
    """ConfigMap `config-gc`; None: disabled."""

    since_create_s: float | None = 48 * 3600.0
    since_active_s: float | None = 15 * 3600.0
    least: int = 20
    most: int | None = 1000


def retention(data: Mapping[str, str]) -> Retention:
    """Read `config-gc`; a value that cannot be read is Knative's default: keeping too much harms nobody."""
    default = Retention()
    return Retention(
        since_create_s=_seconds(data.get("retain-since-create-time"), default.since_create_s),
        since_active_s=_seconds(data.get("retain-since-last-active-time"), default.since_active_s),
        least=_count(data.get("min-non-active-revisions"), default.least) or 0,
        most=_count(data.get("max-non-active-revisions"), default.most),
    )


def check(data: Mapping[str, str]) -> None:
    """Raise ValueError for the first value of `config-gc` that is none, or makes no sense."""
    for key in KEYS[:2]:
        if _seconds(data.get(key), math.inf) is math.inf and key in data:
            raise ValueError(f'{key} = {data[key]}, must be a duration, such as 48h, or "disabled"')
    for key, may_be_off in zip(KEYS[2:], (False, True), strict=True):
        wanted = f'must be a whole number, 0 or more{", or disabled" if may_be_off else ""}'
        if key in data and _count(data[key], -1) in ((-1,) if may_be_off else (-1, None)):
            raise ValueError(f"{key} = {data[key]}, {wanted}")
    keep = retention(data)
    if keep.most is not None and keep.least > keep.most:
        raise ValueError(f"min-non-active-revisions({keep.least}) must be <= "
                         f"max-non-active-revisions({keep.most})")


def _seconds(text: str | None, default: float | None) -> float | None:
    if text == "disabled":
        return None
    try:
        return default if text is None else duration.parse_s(text)
    except ValueError:
        return default


def _count(text: str | None, default: int | None) -> int | None:
    if text == "disabled":
        return None
    return int(text) if text is not None and text.isdecimal() and text.isascii() else default


def superfluous(revisions: list[Resource], latest_ready: str, keep: Retention, now: float) -> list[str]:
    """Names of those of one Configuration's *revisions* that may go at *now*."""
    if keep.most is None and keep.since_create_s is None and keep.since_active_s is None:
        return []
    idle = sorted((each for each in revisions if not _is_active(each, latest_ready)), key=_last_active)
    spare = len(idle) - keep.least
    going = [each for each in idle if _is_stale(each, keep, now)][: max(0, spare)]
    left = [each for each in idle if each not in going]
    if keep.most is not None and len(left) > keep.most:
        going += left[: len(left) - keep.most]
    return [resource.name(each) for each in going]


def _is_active(revision: Resource, latest_ready: str) -> bool:
    return (resource.name(revision) == latest_ready
            or resource.annotations(revision).get(names.NO_GC) == "true"
            or resource.labels(revision).get(names.ROUTING_STATE) != "reserve")


def _last_active(revision: Resource) -> float:
    """Unix time at which *revision* was last routed to, or made."""
    text = resource.annotations(revision).get(names.ROUTING_STATE_MODIFIED, "")
    try:
        return resource.unix(text)
    except ValueError:
        return _created(revision)


def _created(revision: Resource) -> float:
    return resource.unix(resource.meta(revision).get("creationTimestamp") or "1970-01-01T00:00:00Z")


def _is_stale(revision: Resource, keep: Retention, now: float) -> bool:
    if keep.since_create_s is None and keep.since_active_s is None:
        return False
    return (now - _created(revision) >= (keep.since_create_s or 0)
            and now - _last_active(revision) >= (keep.since_active_s or 0))
