"""
How long a CEL expression may take, known before it is evaluated: the library cannot be stopped.

A macro (`all exists exists_one map filter`) evaluates its parentheses once for each element of a list or map;
one inside another multiplies. What that comes to at most is counted in steps, a token being one:

    steps of a macro     its tokens, times how often it is reached
    how often            as often as what it stands in, times the length of the longest list or map; but what
                         is in a list of the variable around it (`order.lines` in `data.orders.all(order,
                         ...)`) is reached no more often than the data has elements
    more than a step     `in`, which looks through a list; `+`, which copies a text; `contains` and `matches`,
                         which read one (those of the elements of one list of the data are not longer
                         together than the data); `matches`, which compiles its pattern first, each time
                         (patterns.py); `map` and `filter`, which copy what they have made with each element;
                         outside of macros `==` and `!=` between what both may be lists

A step takes 0.1 to 0.35 us, so that STEPS_MOST are 10 to 35 ms.

A list that the expression makes longer itself (`+` before a macro, copies in `map`) counts by what it is made
of. Inside of a macro `==` is taken for one step. Pure; nothing here knows the library.
"""

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from eventing.broker import patterns

STEPS_MOST = 100_000
DEPTH_MOST = 3
_GROWTH_MOST = 100  # times a list or text of the data: more is memory, not only time
_MACROS = frozenset({"all", "exists", "exists_one", "map", "filter"})
_UNKNOWN_PATTERN_STEPS = 40_000  # of one that the data brings
_SCANNED = 4  # elements that are looked at in a step
_READ_BYTES = 128  # of a text
_COPIED_BYTES = 8192
_SMALL_BYTES = 4096  # of data that is gone through in no time worth counting, where no macro repeats it

_TOKEN = re.compile(r'''
    (?P<space>\s+|//[^\n\r]*)
  | (?P<text>[bB]?(?:[rR](?:"""(?:.*?)"""|\'\'\'(?:.*?)\'\'\'|"[^"\n\r]*"|'[^'\n\r]*')
      |"""(?:\\.|[^\\])*?"""|\'\'\'(?:\\.|[^\\])*?\'\'\'|"(?:\\.|[^"\\\n\r])*"|'(?:\\.|[^'\\\n\r])*'))
  | (?P<word>[A-Za-z_]\w*)
  | (?P<number>\d+(?:\.\d+)?\w*)
  | (?P<sign>&&|\|\||[<>=!]=|.)
''', re.VERBOSE | re.DOTALL)


class Size(NamedTuple):
    """Of an event's data: elements of its longest list or map, of all of them, and how much it is as JSON."""

    longest: int
    elements: int
    length_bytes: int


def size_of(data: Any, length_bytes: int) -> Size:
    """Size of *data*, JSON that was parsed from *length_bytes*."""
    longest = elements = 0
    waiting = [data]
    while waiting:
        found = waiting.pop()
        inner = found.values() if isinstance(found, dict) else found if isinstance(found, list) else ()
        longest = max(longest, len(inner))
        elements += len(inner)
        waiting += [each for each in inner if isinstance(each, dict | list)]
    return Size(longest, elements, length_bytes)


class _Token(NamedTuple):
    kind: str
    text: str
    position: int


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
    comparisons: int = 0
    additions: int = 0
    reads: int = 0  # of texts; and of those that its own list's elements have
    own_reads: int = 0
    pattern_steps: int = 0
    makes_list: bool = False


@dataclass(slots=True)
class _Group:
    """What stands in one pair of brackets, but for macros in it."""

    bracket: str
    macro: int
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
        self._read([_Token(str(match.lastgroup), match[0], match.start()) for match in _TOKEN.finditer(text)
                    if match.lastgroup != "space"])
        deepest = max(self._macros, key=lambda macro: macro.depth)
        self.depth = deepest.depth
        self._place = place(text, deepest.position)
        outside = self._macros[0]
        self._goes_through_data = bool(
            outside.scans or outside.comparisons or outside.additions or outside.reads)

    def __repr__(self) -> str:
        """Number and depth."""
        return f"<Macros [{len(self._macros) - 1} | {self.depth} deep]>"

    def needs_size(self, length_bytes: int) -> bool:
        """Whether data of *length_bytes* may be too much, so that `excess` has to be asked."""
        return self.depth > 0 or (self._goes_through_data and length_bytes > _SMALL_BYTES)

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
            return steps and f"{size.length_bytes} bytes of data: {steps}"
        return f"{max(size.longest, self._longest)} elements, {steps}"

    def _excess(self, size: Size) -> str:
        if self._steps(size) <= STEPS_MOST:
            return ""
        deep = f"macros {self.depth} deep: " if self.depth else ""
        return f"{deep}more than {STEPS_MOST} steps"

    def _steps(self, size: Size) -> int:
        """How many there are at most; see the module's docstring."""
        longest = max(size.longest, self._longest) * self._growth
        elements = size.elements * self._growth
        outside = self._macros[0]
        steps = _each(outside, longest, size.length_bytes) + outside.comparisons * (
            elements // _SCANNED + size.length_bytes // _COPIED_BYTES)
        reached, alone = [1], [1]  # how often each macro is; and the first of those whose list it belongs to
        for macro in self._macros[1:]:
            times = reached[macro.parent] * longest
            if macro.is_owned:
                times = min(times, alone[macro.parent] * elements)
            reached.append(times)
            alone.append(alone[macro.parent] if macro.is_owned else reached[macro.parent])
            steps += times * _each(macro, longest, size.length_bytes)
            steps += alone[-1] * macro.own_reads * size.length_bytes // _READ_BYTES
        return steps

    def _read(self, tokens: list[_Token]) -> None:
        groups = [_Group("", 0)]
        for index, (kind, text, _) in enumerate(tokens):
            group = groups[-1]
            macro = self._macros[group.macro]
            macro.steps += 1
            macro.scans += text == "in" and not _is_sign(tokens, index + 1, "[")
            macro.additions += text == "+"
            if text in {"==", "!="}:
                macro.comparisons += not (_is_plain(tokens, index - 1) or _is_plain(tokens, index + 1))
            if text in {"contains", "matches"}:
                is_own = macro.is_plain and _root(tokens, index - 1) == macro.variable
                macro.own_reads += is_own
                macro.reads += not is_own
            if text == "matches":
                macro.pattern_steps += self._pattern_steps(tokens[index + 2:index + 4])
            if kind != "sign":
                continue
            if text in "([{":
                groups.append(self._opened(tokens, index, group.macro))
            elif text in ")]}" and len(groups) > 1:
                after = tokens[index + 1].text if index + 1 < len(tokens) else ""
                self._closed(groups.pop(), groups[-1], is_receiver=after in {".", "["})
            group.commas += text == ","
            group.pluses += text == "+"

    def _opened(self, tokens: list[_Token], index: int, inside: int) -> _Group:
        """The group that begins at *index*, a macro's or another."""
        is_macro = (tokens[index].text == "(" and index > 1 and tokens[index - 1].text in _MACROS
                    and tokens[index - 2].text == "." and index + 1 < len(tokens))
        if not is_macro:
            return _Group(tokens[index].text, inside)
        parent = self._macros[inside]
        root, name = _root(tokens, index - 2), tokens[index - 1]
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

    def _pattern_steps(self, tokens: list[_Token]) -> int:
        """Steps of compiling the pattern that *tokens* are: a text and a bracket, if it is known before."""
        if len(tokens) < 2 or tokens[0].kind != "text" or tokens[1].text != ")":  # noqa: PLR2004  these two
            return _UNKNOWN_PATTERN_STEPS
        self.known_patterns.append(tokens[0].text)
        prefix, quote, text = re.split("([\"'])", tokens[0].text, maxsplit=1)
        text = text.strip(quote)
        is_raw = "r" in prefix.lower()
        return patterns.steps_of(text if is_raw else re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL))


def _each(macro: _Macro, longest: int, length_bytes: int) -> int:
    """Steps of *macro* for one element; no list is longer than *longest*, no text than *length_bytes*."""
    steps = macro.steps + macro.pattern_steps + macro.reads * length_bytes // _READ_BYTES
    steps += macro.scans * longest // _SCANNED + macro.additions * length_bytes // _COPIED_BYTES
    if macro.makes_list:
        made_bytes = length_bytes * (longest * macro.additions or 1)
        steps += longest // _SCANNED + made_bytes // _COPIED_BYTES
    return steps


def _is_sign(tokens: list[_Token], index: int, sign: str) -> bool:
    return index < len(tokens) and tokens[index].text == sign


def _is_plain(tokens: list[_Token], index: int) -> bool:
    """Whether the token at *index* is a value that is compared at once: no list, and no map."""
    if not 0 <= index < len(tokens):
        return False
    return tokens[index].kind in {"text", "number"} or tokens[index].text in {"true", "false", "null", "-"}


def place(text: str, position: int) -> str:
    """Line and column of *position* in *text*, both from 1."""
    return f"{text.count(chr(10), 0, position) + 1}:{position - text.rfind(chr(10), 0, position)}"


def _root(tokens: list[_Token], dot: int) -> str:
    """First name of the path of names that ends before the point at *dot*; "" where something else does."""
    while dot > 0 and tokens[dot].text == "." and tokens[dot - 1].kind == "word":
        dot -= 2
    is_path = dot < 0 or (tokens[dot].text != "." and tokens[dot + 1].kind == "word")
    return tokens[dot + 1].text if is_path else ""
