"""
The three types of CESQL, their zero values, and how one becomes another (section 3.7).

Strings are str, integers int within 32 bits, booleans bool. Python's bool is an int, so the type of a
value is asked for exactly.
"""

import re

Value = str | int | bool
Type = type[str] | type[int] | type[bool]

INTEGER_MIN = -(2**31)
INTEGER_MAX = 2**31 - 1

_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_DIGITS_MOST = 4000  # Python's int takes 4,300, zeros in front among them
_BOOLEAN_CHARACTERS = len("false")
_SHOWN_CHARACTERS = 60
_TRUTHS = {"true": True, "false": False}


class EvaluationError(Exception):
    """
    An expression could not be evaluated.

    `kind` is math, cast, missingAttribute, missingFunction, functionEvaluation or generic. `value`, where it
    is not None, is what the outermost operator or function says its result is all the same.
    """

    def __init__(self, kind: str, reason: str, value: Value | None = None) -> None:
        """*reason* is a sentence for people."""
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
        self.value = value


def cast_error(value: Value, type_name: str) -> EvaluationError:
    """The error of a cast that cannot be."""
    if isinstance(value, str) and len(value) > _SHOWN_CHARACTERS:
        return EvaluationError("cast", f"{value[:_SHOWN_CHARACTERS]!r}... is no {type_name}")
    return EvaluationError("cast", f"{value!r} is no {type_name}")


def to_string(value: Value) -> str:
    """Any value as String; never fails."""
    if type(value) is str:
        return value
    if type(value) is bool:
        return "true" if value else "false"
    return str(value)


def to_integer(value: Value) -> int:
    """Boolean or decimal String as Integer; a cast error for anything else, and beyond 32 bits."""
    if type(value) is int:
        return value
    if type(value) is bool:
        return 1 if value else 0
    text = str(value)
    if len(text) > _DIGITS_MOST or not _INTEGER.fullmatch(text):
        raise cast_error(value, "Integer")
    number = int(text)
    if not INTEGER_MIN <= number <= INTEGER_MAX:
        raise cast_error(value, "Integer of 32 bits")
    return number


def to_boolean(value: Value) -> bool:
    """Integer (0 is false) or the String `true` or `false` in any case as Boolean; else a cast error."""
    if type(value) is bool:
        return value
    if type(value) is int:
        return value != 0
    text = str(value)
    truth = _TRUTHS.get(text.lower()) if len(text) <= _BOOLEAN_CHARACTERS else None
    if truth is None:
        raise cast_error(value, "Boolean")
    return truth


CASTS = {str: to_string, int: to_integer, bool: to_boolean}
ZEROS: dict[Type, Value] = {str: "", int: 0, bool: False}
