"""
Label and field selectors, compiled to predicates on a resource.

| label selector | passes |
|---|---|
| `a=b`, `a==b` | the label is there with that value |
| `a!=b` | it is absent, or has another value |
| `a in (b, c)`, `a notin (b, c)` | it has one of these; it is absent or has none of these |
| `a`, `!a` | it is there; it is not |

A field selector knows `=`, `==` and `!=` on dotted paths, and an absent field is the empty string.
Requirements are joined by commas, and all must pass.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from eventing.errors import Rejected

LabelPredicate = Callable[[Mapping[str, str]], bool]
FieldPredicate = Callable[[Mapping[str, Any]], bool]

_KEY = r"[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?"
_VALUE = r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?"
_IN = re.compile(rf"(?P<key>{_KEY})\s+(?P<op>in|notin)\s*\((?P<values>[^()]*)\)")
_COMPARE = re.compile(rf"(?P<key>{_KEY})\s*(?P<op>==|=|!=)\s*(?P<value>{_VALUE})")
_EXISTS = re.compile(rf"(?P<not>!?)\s*(?P<key>{_KEY})")
_FIELD = re.compile(r"(?P<path>[^=!]+)(?P<op>!=|==|=)(?P<value>.*)", re.DOTALL)
_EXPRESSIONS = {"In": "{key} in ({values})", "NotIn": "{key} notin ({values})", "Exists": "{key}",
                "DoesNotExist": "!{key}"}
_TOP_LEVEL_COMMA = re.compile(r",(?![^(]*\))")


class SelectorInvalid(Rejected):
    """A selector that does not parse; the message quotes the requirement."""


def labels(selector: str | None) -> LabelPredicate:
    """Compile a label selector; an empty one passes everything. Raises SelectorInvalid."""
    clauses = [_label_clause(part.strip()) for part in _TOP_LEVEL_COMMA.split(selector or "") if part.strip()]
    return lambda found: all(clause(found) for clause in clauses)


def _label_clause(text: str) -> LabelPredicate:
    if match := _IN.fullmatch(text):
        key, wanted = match["key"], {value.strip() for value in match["values"].split(",")}
        if match["op"] == "in":
            return lambda found: found.get(key) in wanted
        return lambda found: found.get(key) not in wanted
    if match := _COMPARE.fullmatch(text):
        key, value = match["key"], match["value"]
        if match["op"] == "!=":
            return lambda found: found.get(key) != value
        return lambda found: found.get(key) == value
    if match := _EXISTS.fullmatch(text):
        key, is_wanted = match["key"], not match["not"]
        return lambda found: (key in found) == is_wanted
    known = "a=b, a!=b, a in (b), a notin (b), a, !a"
    raise SelectorInvalid(f"unable to parse requirement: {text!r} is none of {known}")


def text(label_selector: Mapping[str, Any]) -> str:
    """
    A LabelSelector (`matchLabels`, `matchExpressions`) in one line, as the table above has it.

    Raises SelectorInvalid, with Kubernetes' words, for what none can say.
    """
    clauses = [f"{key}={value}" for key, value in (label_selector.get("matchLabels") or {}).items()]
    for each in label_selector.get("matchExpressions") or ():
        key, operator, values = each.get("key"), each.get("operator"), ",".join(each.get("values") or ())
        if operator not in _EXPRESSIONS:
            raise SelectorInvalid(f'"{operator}" is not a valid label selector operator')
        if bool(values) != (operator in ("In", "NotIn")):
            why = ("values set must be empty for exists and does not exist" if values
                   else "for 'in', 'notin' operators, values set can't be empty")
            raise SelectorInvalid(why)
        clauses.append(_EXPRESSIONS[operator].format(key=key, values=values))
    joined = ",".join(clauses)
    labels(joined)  # a key or a value that is none
    return joined


def fields(selector: str | None) -> FieldPredicate:
    """Compile a field selector; an empty one passes everything. Raises SelectorInvalid."""
    clauses = [_field_clause(part.strip()) for part in (selector or "").split(",") if part.strip()]
    return lambda resource: all(clause(resource) for clause in clauses)


def _field_clause(text: str) -> FieldPredicate:
    match = _FIELD.fullmatch(text)
    if match is None:
        raise SelectorInvalid(f"invalid selector: '{text}'; can't understand '{text}'")
    parts, value, is_wanted = match["path"].split("."), match["value"], match["op"] != "!="
    return lambda resource: (_text_at(resource, parts) == value) == is_wanted


def _text_at(resource: Any, parts: list[str]) -> str:
    for part in parts:
        resource = resource.get(part) if isinstance(resource, Mapping) else None
    return "" if resource is None else str(resource)
