"""
The functions of CESQL (section 3.5), by name and number of arguments.

`IS_INT` and `IS_BOOL` are not in the specification; the Go SDK that Knative uses has them, so filters written
for Knative may.
"""

from collections.abc import Callable
from dataclasses import dataclass

from eventing.cesql.values import (
    INTEGER_MAX,
    INTEGER_MIN,
    EvaluationError,
    Type,
    Value,
    to_boolean,
    to_integer,
)


@dataclass(frozen=True, slots=True)
class Function:
    """One overload: the types of its arguments, of any that follow (`rest`), and of its result."""

    parameters: tuple[Type | None, ...]  # None: any type, not cast
    result: Type
    call: Callable[..., Value]
    rest: Type | None = None


def _left(text: str, count: int) -> str:
    if count < 0:
        raise EvaluationError("functionEvaluation", f"LEFT: the length {count} is negative", text)
    return text[:count]


def _right(text: str, count: int) -> str:
    if count < 0:
        raise EvaluationError("functionEvaluation", f"RIGHT: the length {count} is negative", text)
    return text[-count:] if count else ""


def _substring(text: str, position: int, length: int = INTEGER_MAX) -> str:
    if not -len(text) <= position <= len(text):
        reason = f"SUBSTRING: position {position} is outside of a string of {len(text)}"
        raise EvaluationError("functionEvaluation", reason, "")
    if length < 0:
        raise EvaluationError("functionEvaluation", f"SUBSTRING: the length {length} is negative", "")
    if position == 0:
        return ""
    start = position - 1 if position > 0 else len(text) + position
    return text[start:start + length]


def _abs(number: int) -> int:
    if number == INTEGER_MIN:
        raise EvaluationError("math", "ABS: the result does not fit into 32 bits", INTEGER_MAX)
    return abs(number)


def _concat_ws(delimiter: str, *texts: str) -> str:
    return delimiter.join(texts)


def _is(cast: Callable[[Value], Value], value: Value) -> bool:
    try:
        cast(value)
    except EvaluationError:
        return False
    return True


_FUNCTIONS: dict[str, tuple[Function, ...]] = {
    "LENGTH": (Function((str,), int, len),),
    "CONCAT": (Function((), str, lambda *texts: "".join(texts), rest=str),),
    "CONCAT_WS": (Function((str,), str, _concat_ws, rest=str),),
    "LOWER": (Function((str,), str, str.lower),),
    "UPPER": (Function((str,), str, str.upper),),
    "TRIM": (Function((str,), str, str.strip),),
    "LEFT": (Function((str, int), str, _left),),
    "RIGHT": (Function((str, int), str, _right),),
    "SUBSTRING": (Function((str, int), str, _substring), Function((str, int, int), str, _substring)),
    "ABS": (Function((int,), int, _abs),),
    "INT": (Function((int,), int, lambda value: value),),
    "BOOL": (Function((bool,), bool, lambda value: value),),
    "STRING": (Function((str,), str, lambda value: value),),
    "IS_INT": (Function((None,), bool, lambda value: _is(to_integer, value)),),
    "IS_BOOL": (Function((None,), bool, lambda value: _is(to_boolean, value)),),
}


def find(name: str, count: int) -> Function | None:
    """The function of that upper-case name that takes *count* arguments, or None."""
    for function in _FUNCTIONS.get(name, ()):
        fixed = len(function.parameters)
        if count == fixed or (function.rest and count > fixed):
            return function
    return None
