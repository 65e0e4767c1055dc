"""
How long an expression takes on long texts, known before it is evaluated: nothing could stop it then.

Reckoned is the time for each character of the longest attribute that the expression names:

    0.1 ns     a comparison
    1          a function that copies its text
    4          CONCAT, CONCAT_WS: each of their arguments, and memory of four bytes a character
    10         LOWER and UPPER
    32         LIKE with a `%` before its pattern's last character; and 2 for each character of the pattern

At most 100 ms are taken. An expression that comes to NS_FREE or less takes no longer with an attribute of a
million characters, and is not asked again; any other looks how long the attributes are each time. Pure.
"""

from collections.abc import Mapping
from typing import Any

from eventing.cesql import tree
from eventing.cesql.tree import Node

NS_FREE = 100.0
_NS_MOST = 100e6
_COMPARED, _COPIED, _JOINED, _CASED, _SEARCHED, _EACH = 0.1, 1.0, 4.0, 10.0, 32.0, 2.0
_JOINS = frozenset({"CONCAT", "CONCAT_WS"})
_COPIES = {"LOWER": _CASED, "UPPER": _CASED} | dict.fromkeys(
    ("TRIM", "LEFT", "RIGHT", "SUBSTRING", "STRING"), _COPIED)


class Effort:
    """What one expression takes: `ns` for each character."""

    def __init__(self, root: Node) -> None:
        """Reckon for the tree under *root*."""
        self.ns = 0.0
        self._names: set[str] = set()
        self._reckon(root)

    def __repr__(self) -> str:
        """The time."""
        return f"<Effort [{self.ns:.1f} ns a character]>"

    def excess(self, attributes: Mapping[str, Any]) -> str:
        """Why an event of these *attributes* is too much; "" if it is not."""
        values = [attributes.get(name) for name in self._names]
        longest = max((len(value) for value in values if isinstance(value, str)), default=0)
        if self.ns * longest <= _NS_MOST:
            return ""
        return f"an attribute of {longest} characters is too long for all that the expression does with it"

    def _reckon(self, node: Node) -> int:
        """Add what *node* takes; returns how many times as long as an attribute its text may be."""
        is_compared = False
        while isinstance(node, tree.Binary):  # hundreds may be in a row, each the left one of the next
            length = self._reckon(node.right)  # which adds to `ns`, too
            self.ns += _COMPARED * length
            node, is_compared = node.left, True
        length = self._reckon_operand(node)
        return 0 if is_compared else length

    def _reckon_operand(self, node: Node) -> int:
        match node:
            case tree.Attribute(name):
                self._names.add(name)
                return 1
            case tree.Unary(_, operand):
                self._reckon(operand)
            case tree.Like(operand, pattern):
                length = self._reckon(operand)
                self.ns += length * (_SEARCHED + _EACH * len(pattern) if "%" in pattern[:-1] else _COPIED)
            case tree.In(operand, members):
                length = self._reckon(operand) + sum(map(self._reckon, members))
                self.ns += _COMPARED * length
            case tree.Call(name, arguments):
                lengths = [self._reckon(argument) for argument in arguments]
                return self._called(name, lengths)
        return 0

    def _called(self, name: str, lengths: list[int]) -> int:
        """Add what the function takes; returns the length of its result."""
        if name in _JOINS:
            length = sum(lengths) + (lengths[0] * len(lengths) if name == "CONCAT_WS" and lengths else 0)
            self.ns += _JOINED * length
            return length
        length = lengths[0] if lengths and name in _COPIES else 0
        self.ns += _COPIES.get(name, 0.0) * length
        return length * 3 if name == "UPPER" else length
