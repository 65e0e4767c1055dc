"""
Tables as kubectl asks for them (`Accept: application/json;as=Table`): pure, with ages already in words.

kubectl prints the cells as they come, so what a column shows is decided here.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from eventing.control.api.jsonpath import compiled
from eventing.control.kind import NAME, Column, Kind
from eventing.control.resource import Resource, meta, unix

_MINUTE_S, _HOUR_S, _DAY_S, _YEAR_S = 60, 3600, 86400, 365 * 86400


def table(kind: Kind, rows: Iterable[Resource], list_meta: Mapping[str, Any], *, now: float,
          include: str = "Metadata") -> dict[str, Any]:
    """A meta.k8s.io/v1 Table of *rows*; *include* is None, Metadata or Object, as in `includeObject`."""
    return {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": dict(list_meta),
            "columnDefinitions": list(map(_definition, _columns(kind))),
            "rows": [_row(kind, row, now, include) for row in rows]}


def _columns(kind: Kind) -> tuple[Column, ...]:
    has_name = any(column.name == NAME.name for column in kind.columns)
    return kind.columns if has_name else (NAME, *kind.columns)


def _definition(column: Column) -> dict[str, Any]:
    source = column.json_path if isinstance(column.json_path, str) else column.name
    format_ = "name" if column.name == NAME.name else ""
    return {"name": column.name, "type": column.type, "format": format_, "priority": column.priority,
            "description": f"Custom resource definition column (in JSONPath format): {source}"}


def _row(kind: Kind, found: Resource, now: float, include: str) -> dict[str, Any]:
    cells = [_cell(column, found, now) for column in _columns(kind)]
    if include == "None":
        return {"cells": cells}
    if include == "Object":
        return {"cells": cells, "object": found}
    return {"cells": cells, "object": {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
                                       "metadata": meta(found)}}


def _cell(column: Column, found: Resource, now: float) -> Any:
    read = compiled(column.json_path) if isinstance(column.json_path, str) else column.json_path
    value = read(found)
    if column.type == "date":
        return age(value, now)
    if value is None:
        return "" if column.type == "string" else None
    if column.type == "string" and isinstance(value, bool):
        return str(value).lower()
    return value if column.type in ("integer", "number", "boolean") else _text(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


def age(when: Any, now: float) -> str:
    """How long ago a timestamp is, in kubectl's words: 5s, 3m10s, 47m, 5h20m, 2d3h, 80d, 2y30d."""
    if not when:
        return "<unknown>"
    try:
        seconds = int(now - unix(str(when)))
    except ValueError:
        return "<invalid>"
    return duration(seconds)


def duration(seconds: int) -> str:
    """Whole seconds in words: two units where the first is small, as kubectl does."""
    if seconds < -1:
        return "<invalid>"
    seconds = max(seconds, 0)
    for below, unit, letter, rest, rest_letter in _STEPS:
        if seconds < below:
            left = seconds % unit // rest if rest else 0
            return f"{seconds // unit}{letter}{f'{left}{rest_letter}' if left else ''}"
    return f"{seconds // _YEAR_S}y"


# (below so many seconds, unit, its letter, the unit of the rest or 0, its letter)
_STEPS = (
    (2 * _MINUTE_S, 1, "s", 0, ""),
    (10 * _MINUTE_S, _MINUTE_S, "m", 1, "s"),
    (3 * _HOUR_S, _MINUTE_S, "m", 0, ""),
    (8 * _HOUR_S, _HOUR_S, "h", _MINUTE_S, "m"),
    (2 * _DAY_S, _HOUR_S, "h", 0, ""),
    (8 * _DAY_S, _DAY_S, "d", _HOUR_S, "h"),
    (2 * _YEAR_S, _DAY_S, "d", 0, ""),
    (8 * _YEAR_S, _YEAR_S, "y", _DAY_S, "d"),
)
