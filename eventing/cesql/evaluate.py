"""
CESQL tree -> closures: each node becomes a function of the attributes, so an evaluation is a few calls.

A closure returns its value or raises EvaluationError; nothing catches one on the way, which is the "fail
fast" of section 4.1. The result is then the zero of the root's type, unless the root itself names another
(`LEFT` of a negative length gives its argument back).
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from eventing.cesql import functions, tree
from eventing.cesql.tree import Node
from eventing.cesql.values import (
    CASTS,
    INTEGER_MAX,
    INTEGER_MIN,
    ZEROS,
    EvaluationError,
    Type,
    Value,
    to_boolean,
    to_integer,
    to_string,
)

Attributes = Mapping[str, Value]
Evaluate = Callable[[Attributes], Any]

# A valid event has them (section 3.4.4).
_REQUIRED = frozenset({"id", "source", "specversion", "type"})
_COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "<": int.__lt__, "<=": int.__le__, ">": int.__gt__, ">=": int.__ge__,
}


def type_of(node: Node) -> Type:
    """The type of what *node* evaluates to; Boolean where only the event knows it (section 3.2)."""
    match node:
        case tree.Literal(value):
            return type(value)
        case tree.Unary("-"):
            return int
        case tree.Binary(operator) if operator in "+-*/%":
            return int
        case tree.Call(name, arguments):
            function = functions.find(name, len(arguments))
            return function.result if function else bool
    return bool


def zero(node: Node) -> Value:
    """The value of *node* when it cannot be evaluated."""
    return ZEROS[type_of(node)]


def build(node: Node, *, is_root: bool = False) -> Evaluate:
    """The function that evaluates *node*; only a root may say what its value is beside an error."""
    evaluate = _build(node)
    if is_root or not isinstance(node, tree.Call | tree.Unary):
        return evaluate
    return _without_value(evaluate)


def _without_value(evaluate: Evaluate) -> Evaluate:
    def inner(attributes: Attributes) -> Value:
        try:
            return evaluate(attributes)  # type: ignore[no-any-return]
        except EvaluationError as error:
            error.value = None
            raise

    return inner


def _build(node: Node) -> Evaluate:
    match node:
        case tree.Literal(value):
            return lambda _: value
        case tree.Attribute(name):
            return _attribute(name)
        case tree.Exists(name):
            return lambda attributes: name in _REQUIRED or name in attributes
        case tree.Unary("NOT", operand):
            return _not(build(operand))
        case tree.Unary(_, operand):
            return _negative(build(operand))
        case tree.Binary():
            return _logic(node) if node.operator in _LOGIC else _binary(node)
        case tree.Like(operand, pattern):
            return _like(build(operand), pattern)
        case tree.In(operand, members):
            return _in(build(operand), [build(member) for member in members])
        case tree.Call(name, arguments):
            return _call(name, [build(argument) for argument in arguments])


def _attribute(name: str) -> Evaluate:
    def evaluate(attributes: Attributes) -> Value:
        try:
            return attributes[name]
        except KeyError:
            raise EvaluationError("missingAttribute", f"the event has no attribute {name!r}") from None

    return evaluate


def _not(operand: Evaluate) -> Evaluate:
    def evaluate(attributes: Attributes) -> bool:
        value = operand(attributes)
        if type(value) is int:
            # The kit expects this, although section 3.7 lets an Integer become a Boolean.
            raise EvaluationError("cast", f"NOT: {value} is no Boolean", value=True)
        return not to_boolean(value)

    return evaluate


def _negative(operand: Evaluate) -> Evaluate:
    def evaluate(attributes: Attributes) -> int:
        return _bounded(-to_integer(operand(attributes)))

    return evaluate


def _logic(node: Node) -> Evaluate:
    """AND, OR and XOR, which bind alike, from left to right; a loop, since there may be hundreds in a row."""
    steps: list[tuple[str, Evaluate]] = []
    while isinstance(node, tree.Binary) and node.operator in _LOGIC:
        steps.append((node.operator, build(node.right)))
        node = node.left
    first = build(node)
    if len(steps) == 1:
        return _LOGIC[steps[0][0]](first, steps[0][1])
    steps.reverse()

    def evaluate(attributes: Attributes) -> bool:
        value = to_boolean(first(attributes))
        for operator, right in steps:
            if operator == "XOR":
                value = value is not to_boolean(right(attributes))
            elif value is (operator == "AND"):  # else the right operand is not looked at
                value = to_boolean(right(attributes))
        return value

    return evaluate


_LOGIC: dict[str, Callable[[Evaluate, Evaluate], Evaluate]] = {
    "AND": lambda left, right: lambda attributes:
        to_boolean(left(attributes)) and to_boolean(right(attributes)),
    "OR": lambda left, right: lambda attributes:
        to_boolean(left(attributes)) or to_boolean(right(attributes)),
    "XOR": lambda left, right: lambda attributes:
        to_boolean(left(attributes)) is not to_boolean(right(attributes)),
}


def _binary(node: tree.Binary) -> Evaluate:
    left, right = build(node.left), build(node.right)
    match node.operator:
        case "=":
            return _equal(left, right)
        case "!=":
            equal = _equal(left, right)
            return lambda attributes: not equal(attributes)
    compute: Callable[[int, int], Value] = (_COMPARISONS | _ARITHMETIC)[node.operator]
    return lambda attributes: compute(to_integer(left(attributes)), to_integer(right(attributes)))


def _equal(left: Evaluate, right: Evaluate) -> Evaluate:
    """Equality is ambiguous: the right operand's type decides what the left is cast to (section 3.7)."""

    def evaluate(attributes: Attributes) -> bool:
        value, wanted = left(attributes), right(attributes)
        if type(value) is type(wanted):
            return bool(value == wanted)
        return bool(CASTS[type(wanted)](value) == wanted)

    return evaluate


def _like(operand: Evaluate, pattern: str) -> Evaluate:
    matches = re.compile(_regular(pattern), re.DOTALL).fullmatch
    return lambda attributes: matches(to_string(operand(attributes))) is not None


def _regular(pattern: str) -> str:
    """
    A LIKE pattern as a regular expression.

    What stands between two `%` is looked for from the left and never again (atomic groups): trying all places
    for all of them would take the length of the text to the power of their number.
    """
    segments = [""]
    for piece in re.split(r"(\\[%_]|%+|_)", pattern):
        if piece.startswith("%"):
            segments.append("")
        else:
            segments[-1] += "." if piece == "_" else \
                re.escape(piece[1:] if piece in {r"\%", r"\_"} else piece)
    if len(segments) == 1:
        return segments[0]
    first, *middle, last = segments
    return first + "".join(f"(?>.*?{segment})" for segment in middle) + ".*" + last


def _in(operand: Evaluate, members: list[Evaluate]) -> Evaluate:
    """The left operand's type is the one that members are cast to; one that cannot be is an error."""

    def evaluate(attributes: Attributes) -> bool:
        value = operand(attributes)
        cast = CASTS[type(value)]
        return any(cast(member(attributes)) == value for member in members)

    return evaluate


def _call(name: str, arguments: list[Evaluate]) -> Evaluate:
    function = functions.find(name, len(arguments))
    if function is None:
        return _missing_function(name, len(arguments))
    types = [*function.parameters, *[function.rest] * (len(arguments) - len(function.parameters))]
    casts = [CASTS[type_] if type_ else _as_it_is for type_ in types]
    pairs = list(zip(casts, arguments, strict=True))
    call = function.call
    return lambda attributes: call(*[cast(argument(attributes)) for cast, argument in pairs])


def _missing_function(name: str, count: int) -> Evaluate:
    def evaluate(_: Attributes) -> Value:
        raise EvaluationError("missingFunction", f"there is no function {name} of {count} arguments")

    return evaluate


def _as_it_is(value: Value) -> Value:
    return value


def _bounded(number: int) -> int:
    if not INTEGER_MIN <= number <= INTEGER_MAX:
        raise EvaluationError("math", f"{number} does not fit into 32 bits")
    return number


def _divide(left: int, right: int) -> int:
    if right == 0:
        raise EvaluationError("math", "division by zero")
    quotient = abs(left) // abs(right)
    return _bounded(quotient if (left < 0) == (right < 0) else -quotient)


def _modulo(left: int, right: int) -> int:
    """The remainder has the sign of the dividend."""
    if right == 0:
        raise EvaluationError("math", "division by zero")
    remainder = abs(left) % abs(right)
    return remainder if left >= 0 else -remainder


_ARITHMETIC: dict[str, Callable[[int, int], int]] = {
    "+": lambda left, right: _bounded(left + right),
    "-": lambda left, right: _bounded(left - right),
    "*": lambda left, right: _bounded(left * right),
    "/": _divide,
    "%": _modulo,
}
