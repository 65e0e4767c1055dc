"""
What a CEL expression does, as far as its tokens say it: its macros, and in each of them what takes time.

    data.orders.exists(o, o.n == 1 && o.t.contains("x"))    a macro, depth 1: its steps, a comparison, a read

What that comes to for an event is reckoned in macros.py, which says what is counted, and why. Pure.
"""

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from eventing.broker import patterns
from eventing.broker.tokens import Path, Steps, Token, Tokens

_MACROS = frozenset({"all", "exists", "exists_one", "map", "filter"})
_UNKNOWN_PATTERN_STEPS = 40_000  # of one that the data brings
_NUMBERS = {("double",), ("int",), ("size",), ("uint",)}  # functions that give one
_WALKS = {"bytes", "double", "duration", "int", "size", "string", "timestamp", "uint"}  # through a text


class Join(NamedTuple):
    """A `+`: paths to what it joins; whether it joins what the macro's element has, and what nobody knows."""

    paths: tuple[Path, ...]
    is_own: bool
    is_unknown: bool


class Receiver(NamedTuple):
    """
    What a macro is called on: *path* of the variable of *macro*, or (0) of the event's variables.

    Where it is the result of *macro*, *path* is what that has of its own variable for each element.
    """

    macro: int
    path: Steps
    is_result: bool = False


@dataclass(slots=True)
class Macro:
    """What stands in the parentheses of a macro; the first of all is what stands in none."""

    parent: int
    depth: int
    position: int = 0
    variable: str = ""
    is_plain: bool = False  # its list is one that the data has, looked through once
    is_owned: bool = False  # its list belongs to the variable of the macro that it stands in
    receiver: Receiver | None = None  # None: what nobody knows
    made: Steps | None = None  # of `filter` and `map`: what its result has of its variable, if that is a path
    steps: int = 0
    scans: list[Path] = field(default_factory=list)  # paths to what `in` looks through; () is unknown
    comparisons: list[tuple[Path, ...]] = field(default_factory=list)  # paths of which one decides how long
    joins: list[Join] = field(default_factory=list)
    walks: list[Path] = field(default_factory=list)  # paths to texts that are gone through
    copies: list[Path] = field(default_factory=list)  # and to what becomes part of a list or map
    reads: list[Path] = field(default_factory=list)  # and to texts that are read; () as above
    own_reads: int = 0  # of texts that its own list's elements have
    pattern_steps: int = 0
    makes_list: bool = False


@dataclass(slots=True)
class _Group:
    """What stands in one pair of brackets, but for macros in it."""

    bracket: str
    macro: int
    is_literal: bool = False
    is_map: bool = False
    is_macro: bool = False
    commas: int = 0
    pluses: int = 0
    copies: int = 0


class Outline:
    """What stands in one expression that compiles."""

    def __init__(self, tokens: Tokens) -> None:
        """Read *tokens*."""
        self.macros = [Macro(0, 0)]
        self.longest = 0  # list or map that stands in the expression
        self.growth = 1  # times that it makes a list of the data longer
        self.known_patterns: list[str] = []  # of `matches`, as they stand there
        self._ended: dict[int, int] = {}  # where the parentheses of a macro end -> which one
        self._read(tokens)

    def __repr__(self) -> str:
        """Number of macros."""
        return f"<Outline [{len(self.macros) - 1} macros]>"

    def _read(self, tokens: Tokens) -> None:
        groups = [_Group("", 0)]
        for index, (kind, text, _) in enumerate(tokens):
            group = groups[-1]
            macro = self.macros[group.macro]
            macro.steps += 1
            if kind == "word":
                self._read_call(tokens, index, macro)
                continue
            if kind != "sign":
                continue
            if text in {"==", "!="}:
                self._read_comparison(tokens, index, macro)
            elif text == "+":
                self._read_join(tokens, index, macro)
            elif text in "([{":
                groups.append(self._opened(tokens, index, group.macro))
            elif text in ")]}" and len(groups) > 1:
                if group.is_macro:
                    self._ended[index] = group.macro
                self._closed(groups.pop(), groups[-1], is_receiver=tokens.at(index + 1).text in {".", "["})
            if groups[-1].is_literal and text in "[{,:":
                self._read_part(tokens, index + 1, macro)
            group.commas += text == ","
            group.pluses += text == "+"

    def _read_call(self, tokens: Tokens, index: int, macro: Macro) -> None:
        """Note what the word at *index* goes through, if it is `in`, or a function that does."""
        text = tokens[index].text
        if text == "in" and tokens.at(index + 1).text != "[":
            path, after = tokens.path_from(index + 1)
            macro.scans.append(() if after in {"(", "["} else self._of_event(path))
        if text in {"contains", "matches"}:
            path = tokens.path_before(index - 1)
            if macro.is_plain and path[:1] == (macro.variable,):
                macro.own_reads += 1
            else:
                macro.reads.append(self._of_event(path))
        if text == "matches":
            macro.pattern_steps += self._pattern_steps(tokens[index + 2:index + 4])
        if text in _WALKS and tokens.at(index + 1).text == "(":
            is_method = tokens.at(index - 1).text == "."
            path = tokens.path_before(index - 1) if is_method else tokens.path_from(index + 2)[0]
            if path and not self._is_variable(path):
                macro.walks.append(path)

    def _read_comparison(self, tokens: Tokens, index: int, macro: Macro) -> None:
        """Note what is compared at *index*, unless one of the two is a value that is compared at once."""
        if _is_plain(tokens.at(index - 1)) or _is_plain(tokens.at(index + 1)):
            return
        right, after = tokens.path_from(index + 1)
        paths = tuple(filter(None, (tokens.path_before(index), () if after in {"(", "["} else right)))
        # In a macro: what is of an element is compared in all no longer than the data is.
        if not macro.depth or (paths and not any(map(self._is_variable, paths))):
            macro.comparisons.append(tuple(path for path in paths if not self._is_variable(path)))

    def _read_join(self, tokens: Tokens, index: int, macro: Macro) -> None:
        """Note what the `+` at *index* joins, unless one of the two is a number, so that nothing is."""
        operands = tokens.at(index - 1), tokens.at(index + 1)
        right, after = tokens.path_from(index + 1)
        if "number" in {token.kind for token in operands} or (after == "(" and right[-1:] in _NUMBERS):
            return
        paths = tokens.path_before(index), () if after in {"(", "["} else right
        is_own = [macro.is_plain and path[:1] == (macro.variable,) for path in paths]
        is_known = [own or token.kind == "text" or (path and not self._is_variable(path))
                    for own, token, path in zip(is_own, operands, paths, strict=True)]
        macro.joins.append(Join(tuple(path for path in paths if path and not self._is_variable(path)),
                                 any(is_own), not all(is_known)))

    def _read_part(self, tokens: Tokens, index: int, macro: Macro) -> None:
        """Note what at *index* becomes part of a list or map: it is copied."""
        path, after = tokens.path_from(index)
        if path and after != "(" and not self._is_variable(path):
            macro.copies.append(path)

    def _of_event(self, path: Path) -> Path:
        """*path*, if it is of the event's variables; else ()."""
        return () if not path or self._is_variable(path) else path

    def _is_variable(self, path: Path) -> bool:
        """Whether *path* begins with the variable of a macro."""
        return any(path[0] == macro.variable for macro in self.macros)

    def _opened(self, tokens: Tokens, index: int, inside: int) -> _Group:
        """The group that begins at *index*, a macro's or another."""
        is_macro = (tokens[index].text == "(" and index > 1 and tokens[index - 1].text in _MACROS
                    and tokens[index - 2].text == "." and index + 1 < len(tokens))
        if not is_macro:
            is_literal = tokens[index].text != "(" and not tokens.is_value(index - 1)
            return _Group(tokens[index].text, inside, is_literal=is_literal)
        parent = self.macros[inside]
        name, variable = tokens[index - 1], tokens[index + 1].text
        receiver = self._receiver(tokens, index - 2, inside)
        source = self.macros[receiver.macro] if receiver else parent
        if receiver and receiver.is_result:
            is_owned, is_plain = source.is_owned, source.is_plain
        else:
            is_owned = bool(receiver) and parent.is_plain and source is parent
            is_plain = is_owned or bool(receiver and receiver.macro == 0 and receiver.path[0] == "data")
        self.macros.append(Macro(
            inside, parent.depth + 1, name.position, variable, is_owned=is_owned, is_plain=is_plain,
            receiver=receiver, makes_list=name.text in {"map", "filter"},
            made=() if name.text == "filter" else _mapped(tokens, index) if name.text == "map" else None))
        return _Group("(", len(self.macros) - 1, is_map=name.text == "map", is_macro=True)

    def _receiver(self, tokens: Tokens, index: int, inside: int) -> Receiver | None:
        """What stands before the dot at *index*, in the parentheses of macro *inside*."""
        made_by = self._ended.get(index - 1)
        if made_by is not None:
            made = self.macros[made_by].made
            return None if made is None else Receiver(made_by, made, is_result=True)
        path = tokens.receiver_before(index)
        if not path:
            return None
        while inside and self.macros[inside].variable != path[0]:
            inside = self.macros[inside].parent
        return Receiver(inside, path[1:] if inside else path)

    def _closed(self, group: _Group, outer: _Group, *, is_receiver: bool) -> None:
        """Note what a group says of the length of lists."""
        if group.bracket != "(":
            self.longest = max(self.longest, group.commas + 1)
            group.copies += group.commas
        if group.is_map:
            self.growth *= 1 + group.pluses + group.copies
        elif is_receiver and not group.is_macro:
            self.growth *= 1 + group.pluses
            outer.copies += group.copies
        elif not group.is_macro:
            outer.pluses += group.pluses
            outer.copies += group.copies

    def _pattern_steps(self, tokens: list[Token]) -> int:
        """Steps of compiling the pattern that *tokens* are: a text and a bracket, if it is known before."""
        if len(tokens) < 2 or tokens[0].kind != "text" or tokens[1].text != ")":  # noqa: PLR2004  these two
            return _UNKNOWN_PATTERN_STEPS
        self.known_patterns.append(tokens[0].text)
        prefix, quote, text = re.split("([\"'])", tokens[0].text, maxsplit=1)
        text = text.strip(quote)
        is_raw = "r" in prefix.lower()
        return patterns.steps_of(text if is_raw else re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL))


def _mapped(tokens: Tokens, index: int) -> Steps | None:
    """What a `map`, whose parentheses open at *index*, makes of its variable; None if that is no path."""
    path, after = tokens.path_from(index + 3)
    return path[1:] if after == ")" and path[:1] == (tokens[index + 1].text,) else None


def _is_plain(token: Token) -> bool:
    """Whether *token* is a value that is compared at once: no list, and no map."""
    return token.kind in {"text", "number"} or token.text in {"true", "false", "null", "-"}
