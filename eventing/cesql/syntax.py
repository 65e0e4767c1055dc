"""
CESQL text -> tree (section 2 and CESQLParser.g4).

Operators by precedence, the tightest first (section 3.6); those in one line go from left to right:

    NOT  - (one operand)
    LIKE  NOT LIKE
    IN  NOT IN            (EXISTS stands in front of a name and is an operand itself)
    *  /  %
    +  -
    =  !=  <>  <  <=  >  >=
    AND  OR  XOR

Keywords and function names may be written in any case, and so may attribute names, which are lower-case in
every event (the conformance kit has `EXISTS SOURCE`).
"""

import re
from dataclasses import dataclass

from eventing.cesql import tree
from eventing.cesql.tree import Attribute, Binary, Call, Exists, In, Like, Literal, Node, Unary
from eventing.cesql.values import INTEGER_MAX, INTEGER_MIN

# Deeper than a person writes; keeps a hostile filter from exhausting Python's stack, which ends at 1,000
# calls: the parser takes eight for a level of parentheses, what is made of the tree three for one of its.
_DEEPEST = 50
_DEEPEST_TREE = 150


class ParseError(ValueError):
    """The text is no CESQL expression; `position` counts characters from 0."""

    def __init__(self, reason: str, position: int) -> None:
        """*reason* says what was found or expected."""
        super().__init__(f"{reason} at position {position + 1}")
        self.position = position


_TOKEN = re.compile(r"""
    (?P<space>[ \t\r\n]+)
  | (?P<string>'(?:\\.|''|[^'\\])*'|"(?:\\.|""|[^"\\])*")
  | (?P<word>[A-Za-z0-9]+(?:_[A-Za-z_]*)?)
  | (?P<symbol><=|>=|<>|!=|[-+*/%=<>(),])
""", re.VERBOSE | re.DOTALL)

_KEYWORDS = frozenset({"AND", "OR", "XOR", "NOT", "LIKE", "IN", "EXISTS", "TRUE", "FALSE"})
_LEVELS = (
    frozenset({"AND", "OR", "XOR"}),
    frozenset({"=", "!=", "<>", "<", "<=", ">", ">="}),
    frozenset({"+", "-"}),
    frozenset({"*", "/", "%"}),
)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str  # string, word, keyword, symbol, end
    text: str  # keywords in upper case
    position: int


def parse(text: str) -> Node:
    """The tree of *text*. Raises ParseError."""
    root = _Parser(_tokens(text)).parse()
    if any(depth > _DEEPEST_TREE for _, depth in tree.walk(root)):
        raise ParseError(f"nested deeper than {_DEEPEST_TREE} levels", len(text))
    return root


def _tokens(text: str) -> list[_Token]:
    found = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ParseError(f"{text[position]!r} is not part of the language", position)
        kind, part = str(match.lastgroup), match.group()
        if kind == "word" and part.upper() in _KEYWORDS:
            kind, part = "keyword", part.upper()
        if kind != "space":
            found.append(_Token(kind, part, position))
        position = match.end()
    found.append(_Token("end", "the end", position))
    return found


class _Parser:
    """Precedence climbing over a list of tokens."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._index = 0
        self._depth = 0

    def parse(self) -> Node:
        node = self._binary(0)
        if self._next.kind != "end":
            raise self._unexpected("an operator or the end")
        return node

    @property
    def _next(self) -> _Token:
        return self._tokens[self._index]

    def _advance(self) -> _Token:
        token = self._next
        self._index += 1
        return token

    def _take(self, *texts: str) -> str:
        """Consume the next token if it is one of *texts* (keyword or symbol); "" if it is not."""
        if self._next.kind in {"keyword", "symbol"} and self._next.text in texts:
            return self._advance().text
        return ""

    def _expect(self, text: str) -> None:
        if not self._take(text):
            raise self._unexpected(repr(text))

    def _unexpected(self, wanted: str) -> ParseError:
        return ParseError(f"found {self._next.text!r}, expected {wanted}", self._next.position)

    def _binary(self, level: int) -> Node:
        if level == len(_LEVELS):
            return self._postfix()
        node = self._binary(level + 1)
        while operator := self._take(*_LEVELS[level]):
            node = Binary("!=" if operator == "<>" else operator, node, self._binary(level + 1))
        return node

    def _postfix(self) -> Node:
        node = self._unary()
        while True:
            negated = self._is_negated()
            if negated:
                self._advance()
            if self._take("LIKE"):
                node = Like(node, self._pattern())
            elif self._take("IN"):
                node = In(node, self._list(1))
            else:
                return node
            if negated:
                node = Unary("NOT", node)

    def _is_negated(self) -> bool:
        """Whether `NOT LIKE` or `NOT IN` comes next."""
        after = self._tokens[min(self._index + 1, len(self._tokens) - 1)]
        return (self._next.kind, self._next.text) == ("keyword", "NOT") and after.text in {"LIKE", "IN"}

    def _pattern(self) -> str:
        if self._next.kind != "string":
            raise self._unexpected("a string literal as pattern")
        return _unquoted(self._advance().text)

    def _unary(self) -> Node:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ParseError(f"nested deeper than {_DEEPEST} levels", self._next.position)
        try:
            if self._take("NOT"):
                return Unary("NOT", self._unary())
            if operator := self._take("-", "+"):
                return self._signed(operator)
            return self._atom()
        finally:
            self._depth -= 1

    def _signed(self, operator: str) -> Node:
        """A sign belongs to the integer right behind it; else `-` is an operator and `+` is nothing."""
        sign = self._tokens[self._index - 1]
        adjoins = self._next.position == sign.position + 1
        if adjoins and self._next.kind == "word" and self._next.text.isdigit():
            return self._integer(operator)
        if operator == "+":
            raise ParseError("found '+', expected a value", sign.position)
        return Unary("-", self._unary())

    def _atom(self) -> Node:
        if self._take("("):
            node = self._binary(0)
            self._expect(")")
            return node
        if truth := self._take("TRUE", "FALSE"):
            return Literal(truth == "TRUE")
        if self._take("EXISTS"):
            return Exists(self._name())
        if self._next.kind == "string":
            return Literal(_unquoted(self._advance().text))
        if self._next.kind != "word":
            raise self._unexpected("a value")
        if self._next.text.isdigit():
            return self._integer("")
        if self._tokens[self._index + 1].text == "(" and self._tokens[self._index + 1].kind == "symbol":
            position = self._next.position
            return Call(self._function(), self._list(0), position)
        return Attribute(self._name())

    def _integer(self, sign: str) -> Node:
        token = self._advance()
        value = int(sign + token.text) if len(token.text) < len(str(INTEGER_MAX)) * 2 else INTEGER_MAX + 1
        if not INTEGER_MIN <= value <= INTEGER_MAX:
            raise ParseError(f"{sign}{token.text} does not fit into 32 bits", token.position)
        return Literal(value)

    def _name(self) -> str:
        token = self._next
        if token.kind != "word" or "_" in token.text:
            raise self._unexpected("the name of an attribute")
        return self._advance().text.lower()

    def _function(self) -> str:
        token = self._advance()
        if any(character.isdigit() for character in token.text):
            raise ParseError(f"{token.text!r} is no name of a function", token.position)
        return token.text.upper()

    def _list(self, fewest: int) -> tuple[Node, ...]:
        """What stands in parentheses, separated by commas."""
        self._expect("(")
        if not fewest and self._take(")"):
            return ()
        members = [self._binary(0)]
        while self._take(","):
            members.append(self._binary(0))
        self._expect(")")
        return tuple(members)


def _unquoted(text: str) -> str:
    """A string literal's value: its own quote may be escaped or doubled; any other backslash stays."""
    quote = text[0]
    return re.sub(rf"\\{quote}|{quote}{quote}", quote, text[1:-1])
