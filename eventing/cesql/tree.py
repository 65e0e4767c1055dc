"""
The tree that a CESQL expression is: what its nodes are, and how to walk it.

A node is a value; what it means is the evaluator's (evaluate.py), how it is written the parser's (syntax.py).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from eventing.cesql.values import Value

_LOGIC = frozenset({"AND", "OR", "XOR"})


@dataclass(frozen=True, slots=True)
class Literal:
    """A value that stands in the text."""

    value: Value


@dataclass(frozen=True, slots=True)
class Attribute:
    """A context attribute or extension, by its lower-case name."""

    name: str


@dataclass(frozen=True, slots=True)
class Exists:
    """Whether the event has an attribute."""

    name: str


@dataclass(frozen=True, slots=True)
class Unary:
    """`NOT` or `-` before an operand."""

    operator: str
    operand: "Node"


@dataclass(frozen=True, slots=True)
class Binary:
    """An operator between two operands; words in upper case, `<>` as `!=`."""

    operator: str
    left: "Node"
    right: "Node"


@dataclass(frozen=True, slots=True)
class Like:
    """A match against a pattern."""

    operand: "Node"
    pattern: str


@dataclass(frozen=True, slots=True)
class In:
    """Whether a value is in a set."""

    operand: "Node"
    members: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A function, by its upper-case name, and what it is given."""

    name: str
    arguments: tuple["Node", ...]
    position: int  # characters from 0


Node = Literal | Attribute | Exists | Unary | Binary | Like | In | Call


def calls(root: Node) -> list[Call]:
    """Every function that is called in *root*."""
    return [node for node, _ in walk(root) if isinstance(node, Call)]


def walk(root: Node) -> Iterator[tuple[Node, int]]:
    """All nodes of the tree under *root*, each with how deep it is."""
    waiting: list[tuple[Node, int]] = [(root, 1)]
    while waiting:
        node, depth = waiting.pop()
        yield node, depth
        waiting += _below(node, depth)


def _below(node: Node, depth: int) -> list[tuple[Node, int]]:
    """The children of *node*, which is *depth* levels deep; a chain of AND, OR and XOR is one level."""
    match node:
        case Binary(operator, left, right):
            return [(left, depth if operator in _LOGIC else depth + 1), (right, depth + 1)]
        case Unary(_, operand) | Like(operand, _):
            return [(operand, depth + 1)]
        case In(operand, members):
            return [(child, depth + 1) for child in (operand, *members)]
        case Call(_, arguments):
            return [(child, depth + 1) for child in arguments]
    return []
