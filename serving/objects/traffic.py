"""
A Route's traffic: defaults, what is wrong with it, and who gets what.

    default(traffic, ...)     latestRevision and percent of each target
    errors_of(traffic, ...)   paths are relative to the list
    assign(traffic, ...)      targets -> assignments, or the first failure in Knative's words

Pure: `route.py` looks up the Configurations and Revisions and performs the assignment. Sources: Knative
Serving's `pkg/apis/serving/v1/route_{defaults,validation}.go` and `pkg/reconciler/route/traffic`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from eventing.control import field, resource
from eventing.control.field import FieldError
from eventing.control.resource import FALSE, UNKNOWN, Resource
from serving.objects import names
from serving.objects.rollout import Rollout, Share

Target = Mapping[str, Any]


def default(traffic: Any) -> None:
    """Let each target say whether it follows the latest revision, and its percentage; in place."""
    for target in traffic or ():
        if target.get("latestRevision") is None:
            target["latestRevision"] = not target.get("revisionName")
        if target.get("percent") is None:
            target["percent"] = 0


def errors_of(traffic: list[Target], *, is_service: bool) -> list[FieldError]:
    """What is wrong with the targets; a Service's may not name a Configuration, because there is only one."""
    errors: list[FieldError] = []
    tags: dict[str, int] = {}
    for index, target in enumerate(traffic):
        errors += field.via_index(_target_errors(target, is_service=is_service), index)
        tag = target.get("tag") or ""
        if not tag:
            continue
        if wrong := names.not_dns_1035(tag):
            message = f"not a DNS 1035 label: [{' '.join(wrong)}]"
            errors.append(field.invalid_value(message, f"tag[{index}]"))
        if tag in tags:
            both = (f"[{index}].tag", f"[{tags[tag]}].tag")
            errors.append(field.generic(f'Multiple definitions for "{tag}"', *both))
        tags.setdefault(tag, index)
    total = sum(target.get("percent") or 0 for target in traffic)
    if total != 100:  # noqa: PLR2004  per cent
        errors.append(field.generic(f"Traffic targets sum to {total}, want 100", ""))
    return errors


def _target_errors(target: Target, *, is_service: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    revision, configuration = target.get("revisionName") or "", target.get("configurationName") or ""
    latest = target.get("latestRevision")
    if latest is not None and bool(revision) == latest:
        errors.append(field.generic(f'may not set revisionName "{revision}" when latestRevision is '
                                    f"{str(latest).lower()}", "latestRevision"))
    if is_service and configuration:
        errors.append(field.disallowed_fields("configurationName"))
    elif revision and configuration:
        errors.append(field.one_of_both("revisionName", "configurationName"))
    elif not revision and not configuration and not is_service:
        errors.append(field.one_of_neither("revisionName", "configurationName"))
    for name, value in (("revisionName", revision), ("configurationName", configuration)):
        if value and (wrong := names.not_qualified(value)):
            errors.append(field.invalid_key_name(value, name, ", ".join(wrong)))
    percent = target.get("percent")
    if percent is not None and not 0 <= percent <= 100:  # noqa: PLR2004  per cent
        errors.append(field.out_of_bounds(percent, 0, 100, "percent"))
    if target.get("url"):
        errors.append(field.disallowed_fields("url"))
    return errors


@dataclass(eq=False)
class Unassigned(Exception):
    """Traffic that cannot be assigned: status, reason and message of AllTrafficAssigned."""

    status: str  # False, or Unknown while it may still come
    reason: str
    message: str


@dataclass(frozen=True)
class Assignment:
    """One target with its revision known."""

    revision: str
    percent: int
    tag: str
    is_latest: bool
    configuration: str = ""  # whose latest revision it is


def assign(
    traffic: list[Target],
    service: str,
    configurations: Mapping[str, Resource],
    revisions: Mapping[str, Resource],
) -> list[Assignment]:
    """
    Find the revision of every target; Unassigned if one has none that is ready.

    *service* is the owning Service's name ("" for a Route by itself), whose Route may only point at its own
    revisions. Failures count more than what may still become ready, as in Knative.
    """
    found: list[Assignment] = []
    wrong: Unassigned | None = None
    for target in traffic:
        try:
            revision = _revision_of(target, service, configurations, revisions)
        except Unassigned as problem:
            if wrong is None or problem.status == FALSE:
                wrong = problem
            continue
        found = _merged(found, Assignment(revision, target.get("percent") or 0, target.get("tag") or "",
                                          bool(target.get("latestRevision")),
                                          target.get("configurationName") or ""))
    if wrong is not None:
        raise wrong
    return found


def _merged(found: list[Assignment], new: Assignment) -> list[Assignment]:
    """Targets of one tag that meet in one revision are one target."""
    for index, other in enumerate(found):
        if (other.tag, other.revision, other.is_latest) == (new.tag, new.revision, new.is_latest):
            merged = replace(new, percent=other.percent + new.percent)
            return [*found[:index], merged, *found[index + 1:]]
    return [*found, new]


def _revision_of(
    target: Target, service: str, configurations: Mapping[str, Resource], revisions: Mapping[str, Resource]
) -> str:
    name = target.get("revisionName") or ""
    if not name:
        name = _latest_ready(target.get("configurationName") or "", configurations)
    revision = revisions.get(name)
    if revision is None:
        raise Unassigned(FALSE, "RevisionMissing", f'Revision "{name}" referenced in traffic not found.')
    owner = resource.labels(revision).get(names.SERVICE, "")
    if target.get("revisionName") and service and owner != service:
        message = (f'Revision "{name}" belongs to Service "{owner}", not Service "{service}".' if owner
                   else f'Revision "{name}" does not belong to Service "{service}".')
        raise Unassigned(FALSE, "RevisionNotOwned", message)
    if not resource.is_ready(revision):
        if is_failed(revision):
            raise Unassigned(FALSE, "RevisionMissing", f'Revision "{name}" failed to become ready.')
        raise Unassigned(UNKNOWN, "RevisionMissing", f'Revision "{name}" is not yet ready.')
    return name


def _latest_ready(name: str, configurations: Mapping[str, Resource]) -> str:
    configuration = configurations.get(name)
    if configuration is None:
        message = f'Configuration "{name}" referenced in traffic not found.'
        raise Unassigned(FALSE, "ConfigurationMissing", message)
    latest: str = (configuration.get("status") or {}).get("latestReadyRevisionName") or ""
    if latest:
        return latest
    if is_failed(configuration):
        message = f'Configuration "{name}" does not have any ready Revision.'
        raise Unassigned(FALSE, "RevisionMissing", message)
    message = f'Configuration "{name}" is waiting for a Revision to become ready.'
    raise Unassigned(UNKNOWN, "RevisionMissing", message)


def is_failed(found: Resource) -> bool:
    """Whether Ready is False."""
    return resource.condition_status(found.get("status") or {}, resource.READY) == FALSE


def goals(assignments: list[Assignment]) -> list[Rollout]:
    """Where each latest revision's share should lead, at the untagged host and at that of its tag."""
    found: dict[tuple[str, str], Rollout] = {}
    for each in assignments:
        for tag in {"", each.tag} if each.is_latest else ():
            goal = Rollout(each.configuration, tag, 0, ())
            percent = 100 if tag else each.percent + found.get(goal.key, goal).percent
            found[goal.key] = replace(goal, percent=percent, revisions=((each.revision, percent),))
    return list(found.values())


def shares(assignments: list[Assignment], rollouts: list[Rollout]) -> dict[str, list[Share]]:
    """
    Revisions and percentages by tag; the default target is "".

    Targets of the default that have no share are left out. A tag of one target has all of it.
    """
    grouped: dict[str, dict[str, int]] = {"": {}}
    for each in assignments:
        for tag in {"", each.tag} if not each.is_latest else ():
            _add(grouped.setdefault(tag, {}), [(each.revision, each.percent)])
    for rollout in rollouts:
        _add(grouped.setdefault(rollout.tag, {}), rollout.revisions)
    result = {}
    for tag, share in grouped.items():
        kept = {name: percent for name, percent in share.items() if percent or tag}
        result[tag] = [(name, 100 if len(kept) == 1 else percent) for name, percent in kept.items()]
    return result


def _add(grouped: dict[str, int], found: Iterable[Share]) -> None:
    for revision, percent in found:
        grouped[revision] = grouped.get(revision, 0) + percent


def spread(assignments: list[Assignment], rollouts: list[Rollout]) -> list[Assignment]:
    """What holds during rollouts: a target of a latest revision stands there once for each revision."""
    left = {each.configuration: list(each.revisions) for each in rollouts if not each.tag}
    result: list[Assignment] = []
    for each in assignments:
        found = left.get(each.configuration) if each.is_latest and each.percent else None
        result += _split(each, found) if found else [each]
    return result


def _split(target: Assignment, left: list[Share]) -> list[Assignment]:
    """*target* as it is now; what it takes of the shares in *left* is gone from there."""
    result, rest = [], target.percent
    while rest and left:
        revision, percent = left.pop(0)
        part = min(percent, rest)
        rest -= part
        result.append(replace(target, revision=revision, percent=part,
                              is_latest=revision == target.revision))
        if percent > part:
            left.insert(0, (revision, percent - part))
    return result
