"""
Why a Trigger's filter lets an event pass, or does not: each element's verdict, with a reason for a person.

The verdicts are those of the very predicates that deliver (filters/); reasons are added here, and nothing is
decided. A dialect that is not known here has a verdict without a reason.

    exact prefix suffix     each attribute: what it is, and what was wanted; or that the event has none
    cesql                   the value, or the kind of error and its sentence
    cel                     the value, or what could not be evaluated: a field that is not there, another type
    all any not             the verdicts of what is inside

Pure: no I/O, no clock.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from eventing import cesql
from eventing.broker.filters import attribute, cel, compile_attributes, compile_one, unsaid, visible
from eventing.broker.subject import Subject
from eventing.event import Event

_NOTHING_INSIDE = "what is inside says nothing"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one part of a filter says; *path* as in `spec.filters[0].any[1].exact`, *wanted* what is there."""

    path: str
    wanted: str
    passes: bool
    reason: str = ""
    parts: tuple["Verdict", ...] = ()


def explain(spec: Mapping[str, Any], event: Event) -> list[Verdict]:
    """
    Verdicts on *event* of the filters in a Trigger's *spec*; it is delivered if all of them pass.

    Raises FilterInvalid for a filter that does not compile.
    """
    subject = Subject(visible(event.attributes), event.data)
    if spec.get("filters"):
        return [_element(element, f"spec.filters[{index}]", subject)
                for index, element in enumerate(spec["filters"])]
    wanted = (spec.get("filter") or {}).get("attributes") or {}
    return [_legacy(name, value, subject) for name, value in wanted.items()]


def _legacy(name: str, value: str, subject: Subject) -> Verdict:
    """One key of `filter.attributes`; "" wants any value."""
    passes = compile_attributes({name: value})(subject)
    shown = _quoted(value) if value else "any value"
    return Verdict(f"spec.filter.attributes.{name}", shown, passes, _found(name, subject))


def _element(element: Mapping[str, Any], path: str, subject: Subject) -> Verdict:
    predicate = compile_one(element, path)
    passes = predicate(subject)
    if not element:
        return Verdict(path, "{}", passes, "an empty element says nothing")
    (dialect, wanted), = element.items()
    path = f"{path}.{dialect}"
    if dialect in {"all", "any"}:
        parts = tuple(_element(part, f"{path}[{index}]", subject) for index, part in enumerate(wanted))
        counted = tuple(part for index, part in enumerate(parts)
                        if compile_one(wanted[index], path) is not unsaid)
        return Verdict(path, "", passes, _tally(dialect, counted, len(parts)), parts)
    if dialect == "not":
        part = _element(wanted, path, subject)
        reason = "" if predicate is not unsaid else part.reason if not wanted else _NOTHING_INSIDE
        return Verdict(path, "", passes, reason, (part,) if wanted else ())
    if dialect in {"exact", "prefix", "suffix"}:
        parts = tuple(_attributes(dialect, wanted, path, subject))
        tally = _tally("all", parts, len(parts))
        return parts[0] if len(parts) == 1 else Verdict(path, "", passes, tally, parts)
    reason = _REASONS.get(dialect, _no_reason)(wanted, path, subject)
    return Verdict(path, str(wanted), passes, reason)


def _attributes(dialect: str, wanted: Mapping[str, str], path: str, subject: Subject) -> Iterator[Verdict]:
    for name, value in wanted.items():
        passes = compile_one({dialect: {name: value}}, path)(subject)
        yield Verdict(f"{path}.{name}", _quoted(value), passes, _found(name, subject))


def _found(name: str, subject: Subject) -> str:
    value = subject.get(attribute(name))
    return f"the event has no attribute {name}" if value is None else f"{name} is {_quoted(value)}"


def _tally(dialect: str, parts: tuple[Verdict, ...], listed: int) -> str:
    """How many pass of *parts*, those of *listed* elements that say something."""
    if not parts:
        return _NOTHING_INSIDE if listed else "an empty list says nothing"
    passing = sum(part.passes for part in parts)
    return f"{passing} of {len(parts)} pass, {'all have to' if dialect == 'all' else 'one has to'}"


def _cesql(text: str, _path: str, subject: Subject) -> str:
    outcome = cesql.parse(text).evaluate(subject)
    if outcome.error is not None:
        return f"{outcome.error}: {outcome.reason}"
    shown = str(outcome.value).upper() if isinstance(outcome.value, bool) else _quoted(outcome.value)
    return f"the value is {shown}" if isinstance(outcome.value, bool) else f"the value is {shown}, not TRUE"


def _cel(text: str, path: str, subject: Subject) -> str:
    value, reason = cel.Expression(text, path).verdict(subject)
    return reason or f"the value is {str(value).lower()}"


def _no_reason(_wanted: object, _path: str, _subject: Subject) -> str:
    return ""


def _quoted(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


_REASONS: Mapping[str, Callable[[Any, str, Subject], str]] = {"cesql": _cesql, "cel": _cel}
