"""
`cel: 'data.amount > 100 && type.startsWith("order.")'` - Common Expression Language, over data too.

Every attribute is a variable, a string, under its own name; `data` is the event's data where that is JSON. An
event passes when the value is true. What cannot be evaluated - a field that is not there, another type, data
that is no JSON - does not pass, and `verdict` says why; `||` and `&&` go on where the other side decides, as
CEL has it, and `has(data.field)` asks first.

An evaluation cannot be stopped, and a macro in a macro (`exists` in `exists`) takes the product of the
lengths of their lists: what would take too long is refused, or does not pass (broker/macros.py). Fields are
looked up as indexes, which the library does not copy (broker/tokens.py).

The language is that of the library common-expression-language (a Rust interpreter; wheels for every platform
that the store has one for). It is imported with the first expression: it takes 0.15 s and 20 MiB that only
those processes pay that have such a filter.
"""

import functools
import re
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import orjson

from eventing.binding import is_json
from eventing.broker import extent, macros, tokens
from eventing.broker.filters import FilterInvalid, Predicate, dialect
from eventing.broker.subject import Subject

# An interpreter of trees recurses: ten times as long a sum would end the process.
_LIMIT_CHARACTERS = 2000
# The standard's functions that the library has. It misses others only when they are called: too late.
_FUNCTIONS = frozenset({
    "bytes", "contains", "double", "duration", "dyn", "endsWith", "getDate", "getDayOfMonth", "getDayOfWeek",
    "getDayOfYear", "getFullYear", "getHours", "getMilliseconds", "getMinutes", "getMonth", "getSeconds",
    "int", "matches", "none", "of", "size", "startsWith", "string", "timestamp", "type", "uint"})
_UNDEFINED = re.compile(r"Undefined variable or function: '(\w+)'")
# What is wanted of one type and asked of another, as those who know other languages do.
_INSTEAD = {"contains": "; for a list write VALUE in LIST"}
_OVERLOAD = "No such overload"
_SYNTAX = re.compile(r"ERROR: <input>:(\d+):(\d+): (?:Syntax error: )?([^\n]*)")


@dialect("cel", takes_subject=True)
def cel(wanted: object, path: str) -> Predicate:
    """The value must be true."""
    if not isinstance(wanted, str) or not wanted.strip():
        raise FilterInvalid(path, "expected an expression in a string")
    return Expression(wanted, path)


class Expression:
    """A compiled expression; a predicate."""

    def __init__(self, text: str, path: str) -> None:
        """Compile *text*. Raises FilterInvalid, with the position of what is wrong."""
        if len(text) > _LIMIT_CHARACTERS:
            raise FilterInvalid(path, f"the expression is longer than {_LIMIT_CHARACTERS} characters")
        self._text = text
        self._program = _compiled(text, path)
        for name in self._program.functions():
            if name.isidentifier() and name not in _FUNCTIONS:
                position = text.find(name) + 1
                raise FilterInvalid(path, f"{text}: at 1:{position}: there is no function {name}")
        self._macros = macros.Macros(text)
        if complaint := self._macros.complaint():
            raise FilterInvalid(path, f"{text}: {complaint}")
        for pattern in self._macros.known_patterns:
            if wrong := _wrong_pattern(pattern):
                raise FilterInvalid(path, f"{text}: at {tokens.place(text, text.find(pattern))}: {wrong}")
        if not self._program.variables() and (reason := self.verdict({})[1]):
            raise FilterInvalid(path, f"{text}: the same for every event: {reason}")
        self._program = _compiled(tokens.indexed(text), path)

    def __repr__(self) -> str:
        """The text."""
        return f"<Expression {self._text}>"

    def __call__(self, attributes: Mapping[str, str]) -> bool:
        """Whether an event passes."""
        return self.verdict(attributes)[0]

    def verdict(self, attributes: Mapping[str, str]) -> tuple[bool, str]:
        """Whether an event passes, and if it cannot be said, why."""
        subject = attributes if isinstance(attributes, Subject) else Subject(attributes, None)
        if self._macros.may_be_long and self._macros.needs_size(subject.once(_length_bytes)) and (
                excess := self._macros.excess(subject.once(_size))):
            subject.unjudged = excess
            return False, excess
        try:
            value = self._program.execute(subject.once(_context))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001  a panic in Rust is no Exception
            return False, _reason(error)
        if value is True or value is False:
            return value, ""
        return False, f"the value is {type(value).__name__}, not true or false"


def _compiled(text: str, path: str) -> Any:
    """The library's program of *text*. Raises FilterInvalid."""
    try:
        return _library().compile(text)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic in Rust is no Exception
        raise FilterInvalid(path, f"{text}: {_complaint(str(error))}") from error


@functools.cache
def _library() -> ModuleType:
    import cel as library  # noqa: PLC0415  see the module's docstring

    return library


def _parsed(subject: Subject) -> dict[str, Any]:
    """The event's JSON data, under its name; nothing where it has none."""
    if subject.data is None or not is_json(subject.get("datacontenttype")):
        return {}
    try:
        return {"data": orjson.loads(subject.data)}
    except orjson.JSONDecodeError:
        return {}


def _variables(subject: Subject) -> dict[str, Any]:
    return {**subject, **subject.once(_parsed)}


def _context(subject: Subject) -> Any:
    """The event as the library takes it: made once, and given to every expression."""
    return _library().Context(variables=subject.once(_variables))


def _length_bytes(subject: Subject) -> int:
    """About how much text the event is."""
    return len(subject.data or b"") + sum(map(len, subject.values()))


def _size(subject: Subject) -> extent.Size:
    return extent.size_of(subject.once(_variables), subject.once(_length_bytes))


def _wrong_pattern(pattern: str) -> str:
    """What is wrong with a pattern, as it stands in an expression; "" if it is one."""
    try:
        _library().compile(f"''.matches({pattern})").execute({})
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001  a panic in Rust is no Exception
        why = str(error).rpartition("error: ")[2].partition(". ")[0]
        return f"no pattern that matches knows: {' '.join(why.split())}"
    return ""


def _complaint(text: str) -> str:
    """What the library says of an expression that does not compile, in one line."""
    found = _SYNTAX.search(text)
    if found is None:
        return "cannot be compiled"
    line, column, what = found.groups()
    return f"at {line}:{column}: {what}"


def _reason(error: BaseException) -> str:
    if isinstance(error, KeyError):
        return f"there is no field {error}"
    undefined = _UNDEFINED.match(str(error))
    if undefined is not None:
        name = undefined[1]
        if name in _FUNCTIONS:
            return f"{name} is not there for a value of that type{_INSTEAD.get(name, '')}"
        return "the event has no JSON data" if name == "data" else f"the event has no attribute {name}"
    if str(error).startswith(_OVERLOAD):
        return ("the types do not fit, as a text beside a number, or a field of what has none; string(..), "
                "int(..) and others convert")
    return " ".join(str(error).partition(". ")[0].split()) or type(error).__name__
