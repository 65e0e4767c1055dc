"""
What admission says of filters of events (Trigger, ApiServerSource), in Knative's words.

Names of attributes, one dialect an element, CESQL that parses; fields that nobody knows are refused before
that, by their shape (`FILTER`, `FILTERS`). What a filter means, and whether all of it compiles, is known in
`eventing/broker/filters`: the reconciler asks there.
Source: knative.dev/eventing `pkg/apis/eventing/v1/trigger_validation.go`.
"""

import re
from collections.abc import Mapping
from typing import Any

from eventing import cesql
from eventing.control import field
from eventing.control.field import FieldError
from eventing.control.schema import Shape

_NAME = re.compile(r"[a-z][a-z0-9]*")
_NAME_WRONG = "Attribute name must start with a letter and can only contain lowercase alphanumeric"
_MULTIPLE = "multiple dialects found, filters can have only one dialect set"
_MAPS = ("exact", "prefix", "suffix")
_LISTS = ("all", "any")

FILTER: Shape = {"attributes": {"*": str}}
_ELEMENT: dict[str, Shape] = {**{name: {"*": str} for name in _MAPS}, "cesql": str, "cel": str}
FILTERS: Shape = [_ELEMENT]
_ELEMENT |= {"all": FILTERS, "any": FILTERS, "not": _ELEMENT}  # an element holds elements


def validate_filter(filter_: Any) -> list[FieldError]:
    """What is wrong with `filter`; None is fine."""
    if filter_ is None:
        return []
    if not isinstance(filter_, Mapping):
        return [field.invalid_value(filter_, "", "expected attributes: {name: value}")]
    return field.via_field(_attributes(filter_.get("attributes") or {}), "attributes")


def validate_filters(filters: Any) -> list[FieldError]:
    """What is wrong with `filters`, a list of elements of one dialect each; None is fine."""
    if filters is None:
        return []
    if not isinstance(filters, list):
        return [field.invalid_value(filters, "", "expected a list of filters")]
    return [error.via_index(index) for index, element in enumerate(filters) for error in _element(element)]


def _element(element: Any) -> list[FieldError]:
    if element is None:
        return []
    if not isinstance(element, Mapping):
        return [field.invalid_value(element, "", "expected an object with one dialect")]
    errors: list[FieldError] = []
    present = [name for name in _ELEMENT if element.get(name) or (name == "not" and element.get(name) == {})]
    if len(present) > 1:
        errors.append(field.generic(_MULTIPLE, ""))
    for name in _MAPS:
        errors += field.via_field(_attributes(element.get(name) or {}), name)
    for name in _LISTS:
        errors += field.via_field(validate_filters(element.get(name)), name)
    errors += field.via_field(_element(element.get("not")), "not")
    return errors + _expression(element.get("cesql") or "")


def _expression(text: Any) -> list[FieldError]:
    """A CESQL expression is parsed here already; the detail is the parser's, with the position."""
    if not isinstance(text, str):
        return [field.invalid_value(text, "cesql", "expected an expression in a string")]
    try:
        if text:
            cesql.parse(text)
    except cesql.ParseError as error:
        return [field.invalid_value(text, "cesql", str(error))]
    return []


def _attributes(attributes: Any) -> list[FieldError]:
    if not isinstance(attributes, Mapping):
        return [field.invalid_value(attributes, "", "expected {name: value}")]
    errors = [field.invalid_key_name(name, "", _NAME_WRONG)
              for name in attributes if not _NAME.fullmatch(name)]
    return errors + [field.invalid_value(value, "", "expected a string").via_key(name)
                     for name, value in attributes.items() if not isinstance(value, str)]
