"""
What a Trigger's filter means: `compile_filter` makes one predicate of a trigger's record.

A dialect is a file in this folder, found by being there. It registers, under its name in YAML, a function
that makes a predicate of what stands below that name; a dialect that contains filters gets `compile_one`
to make predicates of them. Nothing here does I/O. A predicate takes an event's attributes; a dialect that
looks into the data, or may have to say that it did not look at an event, is given a Subject
(eventing/broker/subject.py).

A filter that does not compile raises FilterInvalid with its path. It never becomes "no filter", which
would let everything through.
"""

import importlib
import pkgutil
import re
from collections.abc import Callable, Mapping
from typing import Any

Predicate = Callable[[Mapping[str, str]], bool]
Dialect = Callable[[Any, str], Predicate]

DIALECTS: dict[str, Dialect] = {}
_WITH_SUBJECT: set[str] = set()  # names of dialects that are given a Subject

# CloudEvents attribute names as Knative's webhook takes them.
_NAME = re.compile(r"[a-z][a-z0-9]*\Z")
# Attributes that have another name in filters: CloudEvents 0.3 called dataschema schemaurl.
_ALIASES = {"schemaurl": "dataschema"}


class FilterInvalid(ValueError):
    """A filter that means nothing; `path` names the field, the message says why."""

    def __init__(self, path: str, message: str) -> None:
        """*path* as in `spec.filters[0].any[1].exact`."""
        super().__init__(f"{message}: {path}")
        self.path = path
        self.message = message


def dialect(name: str, *, takes_subject: bool = False) -> Callable[[Dialect], Dialect]:
    """Register the decorated function as the dialect *name*."""
    def register(compile_dialect: Dialect) -> Dialect:
        DIALECTS[name] = compile_dialect
        if takes_subject:
            _WITH_SUBJECT.add(name)
        return compile_dialect
    return register


def attribute_values(wanted: object, path: str) -> dict[str, str]:
    """Check an object of attribute names and non-empty strings, as `exact`, `prefix` and `suffix` take it."""
    if not isinstance(wanted, Mapping) or not wanted:
        found = ", found none: it is empty" if wanted == {} else ""
        raise FilterInvalid(path, f"expected an object of attribute names and values{found}")
    values: dict[str, str] = {}
    for name, value in wanted.items():
        if not isinstance(name, str) or not _NAME.match(name):
            raise FilterInvalid(path, f'invalid key name "{name}"')
        if not isinstance(value, str) or not value:
            raise FilterInvalid(f"{path}.{name}", "expected a non-empty string")
        values[attribute(name)] = value
    return values


def attribute(name: str) -> str:
    """Name under which a predicate finds the attribute that a filter calls *name*; see `visible`."""
    return _ALIASES.get(name, name)


def visible(attributes: Mapping[str, str]) -> Mapping[str, str]:
    """Attributes of an event as a predicate takes them: under one name, whatever CloudEvents version."""
    if "schemaurl" in attributes:
        return {**attributes, "dataschema": attributes["schemaurl"]}
    return attributes


def compile_one(element: object, path: str) -> Predicate:
    """Make the predicate of one element, {dialect: ...}; of `{}` it is `unsaid`. Raises FilterInvalid."""
    if not isinstance(element, Mapping):
        raise FilterInvalid(path, "expected an object with one dialect")
    if not element:
        return unsaid
    if len(element) > 1:
        raise FilterInvalid(path, "multiple dialects found, filters can have only one dialect set")
    (name, wanted), = element.items()
    if name not in DIALECTS:
        raise FilterInvalid(path, f'unknown dialect "{name}", expected one of {", ".join(sorted(DIALECTS))}')
    return DIALECTS[name](wanted, f"{path}.{name}")


def compile_many(elements: object, path: str) -> list[Predicate]:
    """Make the predicates of those of a list of elements that say something. Raises FilterInvalid."""
    if not isinstance(elements, list):
        raise FilterInvalid(path, "expected a list of filters")
    predicates = [compile_one(element, f"{path}[{index}]") for index, element in enumerate(elements)]
    return [predicate for predicate in predicates if predicate is not unsaid]


def compile_attributes(wanted: Mapping[str, str]) -> Predicate:
    """
    Make the predicate of `filter.attributes`: every key must be present and equal; "" is any value.

    Values are compared in their canonical string form (CloudEvents 1.0, 3.1), so `"true"` matches an
    extension that arrived as a JSON boolean, as the specification has it and Knative's Go does not.
    """
    pairs = [(attribute(name), value) for name, value in wanted.items()]

    def passes(attributes: Mapping[str, str]) -> bool:
        for name, value in pairs:
            found = attributes.get(name)
            if not found or (value and found != value):
                return False
        return True
    return passes


def compile_filter(record: Mapping[str, Any]) -> Predicate:
    """
    Make the predicate of a trigger's record: `filters` if it has any, else `filter`. Raises FilterInvalid.

    A list of filters that is not empty overrides `filter` (Knative's own precedence).
    """
    if record.get("filters"):
        return everything_of(compile_many(record["filters"], "spec.filters"))
    return compile_attributes(record.get("filter") or {})


def take_subject(elements: object) -> bool:
    """Whether any of *elements*, `filters` of a record that compiles, is to be given a Subject."""
    if isinstance(elements, Mapping):
        return any(name in _WITH_SUBJECT or take_subject(wanted) for name, wanted in elements.items())
    return isinstance(elements, list) and any(map(take_subject, elements))


def everything_of(predicates: list[Predicate]) -> Predicate:
    """Make the predicate that is true when all of *predicates* are; of none it is `unsaid`."""
    if not predicates:
        return unsaid
    if len(predicates) == 1:
        return predicates[0]
    return lambda attributes: all(predicate(attributes) for predicate in predicates)


def unsaid(_attributes: Mapping[str, str]) -> bool:
    """
    Let every event pass: the predicate of what says nothing, `{}`, `any: []`, and what has only such inside.

    Knative's NoFilter: in a list it does not count, and `not` of it says nothing either.
    """
    return True


for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
