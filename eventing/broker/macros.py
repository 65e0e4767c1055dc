"""
How long a CEL expression may take, known before it is evaluated: the library cannot be stopped.

A macro (`all exists exists_one map filter`) evaluates its parentheses once for each element of a list or map;
one inside another multiplies. What that comes to at most is counted in steps, a token being one:

    steps of a macro     its tokens, times how often it is reached
    how often            as often as what it stands in, times the length of the longest list or map; but what
                         is in a list of the variable around it (`order.lines` in `data.orders.all(order,
                         ...)`) is reached no more often than the data has elements
    more than a step     `in`, which looks through a list; `+`, which copies texts and lists, and all that the
                         `+` before it have made; `contains` and `matches`, which read a text (those of the
                         elements of one list of the data are not longer together than the data); `matches`,
                         which compiles its pattern first, each time (patterns.py); `map` and `filter`, which
                         copy what they have made with each element; `==`, `!=`, conversions, and lists and
                         maps that are written out, of what the event has under a name

A step takes 0.1 to 0.35 us, so that STEPS_MOST are 10 to 35 ms.

A list that the expression makes longer itself (`+` before a macro, copies in `map`) counts by what it is made
of. What stands under a plain name (`data.n`, `subject`) counts by what the event has there (extent.py). Pure;
nothing here knows the library.
"""

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from eventing.broker import patterns
from eventing.broker.extent import COPIED_BYTES, JOINED, JOINED_BYTES, SCANNED, Size
from eventing.broker.tokens import Path, Token, Tokens, place

STEPS_MOST = 100_000
DEPTH_MOST = 3
_GROWTH_MOST = 100  # times a list or text of the data: more is memory, not only time
_MACROS = frozenset({"all", "exists", "exists_one", "map", "filter"})
_UNKNOWN_PATTERN_STEPS = 40_000  # of one that the data brings
_READ_BYTES = 128  # of a text
_JOINS_FEW = 16  # what they make of a small event is small
_NUMBERS = {("double",), ("int",), ("size",), ("uint",)}  # functions that give one
_WALKS = {"bytes", "double", "duration", "int", "size", "string", "timestamp", "uint"}  # through a text
_SMALL_BYTES = 4096  # of data that is gone through in no time worth counting, where no macro repeats it


class _Join(NamedTuple):
    """A `+`: paths to what it joins; whether it joins what the macro's element has, and what nobody knows."""

    paths: tuple[Path, ...]
    is_own: bool
    is_unknown: bool


@dataclass(slots=True)
class _Macro:
    """What stands in the parentheses of a macro; the first of all is what stands in none."""

    parent: int
    depth: int
    position: int = 0
    variable: str = ""
    is_plain: bool = False  # its list is one that the data has, looked through once
    is_owned: bool = False  # its list belongs to the variable of the macro that it stands in
    steps: int = 0
    scans: int = 0
    comparisons: list[tuple[Path, ...]] = field(default_factory=list)  # paths of which one decides how long
    joins: list[_Join] = field(default_factory=list)
    walks: list[Path] = field(default_factory=list)  # paths to texts that are gone through
    copies: list[Path] = field(default_factory=list)  # and to what becomes part of a list or map
    reads: int = 0  # of texts; and of those that its own list's elements have
    own_reads: int = 0
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


class Macros:
    """The macros of one expression that compiles."""

    def __init__(self, text: str) -> None:
        """Find them in *text*."""
        self.known_patterns: list[str] = []  # of `matches`, as they stand there
        self._macros = [_Macro(0, 0)]
        self._longest = 0  # list or map that stands in the expression
        self._growth = 1
        self._read(Tokens(text))
        deepest = max(self._macros, key=lambda macro: macro.depth)
        self.depth = deepest.depth
        self._place = place(text, deepest.position)
        outside = self._macros[0]
        self._joins_much = len(outside.joins) > _JOINS_FEW
        # Else no event is too much, however large.
        self.may_be_long = self.depth > 0 or bool(
            outside.scans or outside.comparisons or outside.joins or outside.copies or outside.reads)

    def __repr__(self) -> str:
        """Number and depth."""
        return f"<Macros [{len(self._macros) - 1} | {self.depth} deep]>"

    def needs_size(self, length_bytes: int) -> bool:
        """Whether an event of *length_bytes* may be too much, so that `excess` has to be asked."""
        return self.depth > 0 or self._joins_much or (self.may_be_long and length_bytes > _SMALL_BYTES)

    def complaint(self) -> str:
        """What is too much for any event, with its position; "" if nothing is."""
        if max(macro.pattern_steps for macro in self._macros) > STEPS_MOST:
            return ("the patterns of matches take too long to compile, which is done for every event: write "
                    r"[0-9] for \d and [A-Za-z0-9_] for \w, repeat less, or use startsWith or contains")
        if self.depth > DEPTH_MOST:
            return f"at {self._place}: macros {self.depth} deep, at most {DEPTH_MOST} may be in one another"
        if self._growth > _GROWTH_MOST:
            return f"at {self._place}: makes lists more than {_GROWTH_MOST} times as long; make fewer copies"
        if steps := self._excess(Size(0, 0, 0)):
            return (f"at {self._place}: {steps} by its own lists; shorten them, or put fewer macros in one "
                    "another")
        return ""

    def excess(self, size: Size) -> str:
        """Why data of *size* is too much; "" if it is not."""
        steps = self._excess(size)
        if not steps or not self.depth:
            return steps and f"{size.length_bytes} bytes: {steps}"
        return f"{max(size.longest, self._longest)} elements, {steps}"

    def _excess(self, size: Size) -> str:
        if self._steps(size) <= STEPS_MOST:
            return ""
        deep = f"macros {self.depth} deep: " if self.depth else ""
        return f"{deep}more than {STEPS_MOST} steps"

    def _steps(self, size: Size) -> int:
        """How many there are at most; see the module's docstring."""
        if self._growth > 1:
            size = size._replace(length_bytes=size.length_bytes * self._growth)
        longest = max(size.longest, self._longest) * self._growth
        elements = size.elements * self._growth
        steps = _each(self._macros[0], longest, size)
        reached, alone = [1], [1]  # how often each macro is; and the first of those whose list it belongs to
        for macro in self._macros[1:]:
            times = reached[macro.parent] * longest
            if macro.is_owned:
                times = min(times, alone[macro.parent] * elements)
            reached.append(times)
            alone.append(alone[macro.parent] if macro.is_owned else reached[macro.parent])
            steps += times * _each(macro, longest, size)
            steps += alone[-1] * macro.own_reads * size.length_bytes // _READ_BYTES
            if any(join.is_own for join in macro.joins):
                steps += alone[-1] * _pairs(macro.joins) * (
                    elements // JOINED + size.length_bytes // JOINED_BYTES)
        return steps

    def _read(self, tokens: Tokens) -> None:
        groups = [_Group("", 0)]
        for index, (kind, text, _) in enumerate(tokens):
            group = groups[-1]
            macro = self._macros[group.macro]
            macro.steps += 1
            macro.scans += text == "in" and tokens.at(index + 1).text != "["
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
                self._closed(groups.pop(), groups[-1], is_receiver=tokens.at(index + 1).text in {".", "["})
            if groups[-1].is_literal and text in "[{,:":
                self._read_part(tokens, index + 1, macro)
            group.commas += text == ","
            group.pluses += text == "+"

    def _read_call(self, tokens: Tokens, index: int, macro: _Macro) -> None:
        """Note what the function called at *index* goes through, if it is one that does."""
        text = tokens[index].text
        if text in {"contains", "matches"}:
            is_own = macro.is_plain and tokens.path_before(index - 1)[:1] == (macro.variable,)
            macro.own_reads += is_own
            macro.reads += not is_own
        if text == "matches":
            macro.pattern_steps += self._pattern_steps(tokens[index + 2:index + 4])
        if text in _WALKS and tokens.at(index + 1).text == "(":
            is_method = tokens.at(index - 1).text == "."
            path = tokens.path_before(index - 1) if is_method else tokens.path_from(index + 2)[0]
            if path and not self._is_variable(path):
                macro.walks.append(path)

    def _read_comparison(self, tokens: Tokens, index: int, macro: _Macro) -> None:
        """Note what is compared at *index*, unless one of the two is a value that is compared at once."""
        if _is_plain(tokens.at(index - 1)) or _is_plain(tokens.at(index + 1)):
            return
        right, after = tokens.path_from(index + 1)
        paths = tuple(filter(None, (tokens.path_before(index), () if after in {"(", "["} else right)))
        # In a macro: what is of an element is compared in all no longer than the data is.
        if not macro.depth or (paths and not any(map(self._is_variable, paths))):
            macro.comparisons.append(tuple(path for path in paths if not self._is_variable(path)))

    def _read_join(self, tokens: Tokens, index: int, macro: _Macro) -> None:
        """Note what the `+` at *index* joins, unless one of the two is a number, so that nothing is."""
        operands = tokens.at(index - 1), tokens.at(index + 1)
        right, after = tokens.path_from(index + 1)
        if "number" in {token.kind for token in operands} or (after == "(" and right[-1:] in _NUMBERS):
            return
        paths = tokens.path_before(index), () if after in {"(", "["} else right
        is_own = [macro.is_plain and path[:1] == (macro.variable,) for path in paths]
        is_known = [own or token.kind == "text" or (path and not self._is_variable(path))
                    for own, token, path in zip(is_own, operands, paths, strict=True)]
        macro.joins.append(_Join(tuple(path for path in paths if path and not self._is_variable(path)),
                                 any(is_own), not all(is_known)))

    def _read_part(self, tokens: Tokens, index: int, macro: _Macro) -> None:
        """Note what at *index* becomes part of a list or map: it is copied."""
        path, after = tokens.path_from(index)
        if path and after != "(" and not self._is_variable(path):
            macro.copies.append(path)

    def _is_variable(self, path: Path) -> bool:
        """Whether *path* begins with the variable of a macro."""
        return any(path[0] == macro.variable for macro in self._macros)

    def _opened(self, tokens: Tokens, index: int, inside: int) -> _Group:
        """The group that begins at *index*, a macro's or another."""
        is_macro = (tokens[index].text == "(" and index > 1 and tokens[index - 1].text in _MACROS
                    and tokens[index - 2].text == "." and index + 1 < len(tokens))
        if not is_macro:
            is_literal = tokens[index].text != "(" and not tokens.is_value(index - 1)
            return _Group(tokens[index].text, inside, is_literal=is_literal)
        parent = self._macros[inside]
        root, name = (tokens.path_before(index - 2) or ("",))[0], tokens[index - 1]
        is_owned = parent.is_plain and root == parent.variable
        self._macros.append(_Macro(
            inside, parent.depth + 1, name.position, tokens[index + 1].text, is_owned=is_owned,
            makes_list=name.text in {"map", "filter"},
            is_plain=is_owned or (root == "data" and all(each.variable != root for each in self._macros))))
        return _Group("(", len(self._macros) - 1, is_map=name.text == "map", is_macro=True)

    def _closed(self, group: _Group, outer: _Group, *, is_receiver: bool) -> None:
        """Note what a group says of the length of lists."""
        if group.bracket != "(":
            self._longest = max(self._longest, group.commas + 1)
            group.copies += group.commas
        if group.is_map:
            self._growth *= 1 + group.pluses + group.copies
        elif is_receiver and not group.is_macro:
            self._growth *= 1 + group.pluses
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


def _each(macro: _Macro, longest: int, size: Size) -> int:
    """Steps of *macro* for one element of an event of *size*; no list is longer than *longest*."""
    length_bytes = size.length_bytes
    steps = macro.steps + macro.pattern_steps + macro.reads * length_bytes // _READ_BYTES
    steps += macro.scans * longest // SCANNED
    if macro.walks or macro.comparisons or macro.copies:
        steps += sum(map(size.converted, macro.walks)) + sum(map(size.compared, macro.comparisons))
        steps += sum(size.compared((path,)) for path in macro.copies)
    joins = [join for join in macro.joins if not any(map(size.is_number, join.paths))]
    if joins:
        steps += _pairs(joins) * max(
            size.joined(((),) if join.is_unknown else join.paths, longest) for join in joins)
    if macro.makes_list:
        made_bytes = length_bytes * (longest * len(joins) or 1)
        steps += longest // SCANNED + made_bytes // COPIED_BYTES
    return steps


def _pairs(joins: list[_Join]) -> int:
    """How often something is copied by *joins*: each of them copies what those before it have made."""
    return len(joins) * (len(joins) + 1) // 2


def _is_plain(token: Token) -> bool:
    """Whether *token* is a value that is compared at once: no list, and no map."""
    return token.kind in {"text", "number"} or token.text in {"true", "false", "null", "-"}
