"""
How long a CEL expression may take, known before it is evaluated: the library cannot be stopped.

A macro (`all exists exists_one map filter`) evaluates its parentheses once for each element of a list or map;
one inside another multiplies. What that comes to at most is counted in steps, a token being one:

    steps of a macro     its tokens, times how often it is reached
    how often            as many elements as what it is called on has, as often as that is walked: walks.py.
                         Where that is not known, as often as what it stands in, times the length of the
                         longest list or map; but what is in a list of the variable around it is reached no
                         more often than the data has elements
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

from eventing.broker import walks
from eventing.broker.extent import COPIED_BYTES, JOINED, JOINED_BYTES, SCANNED, Size
from eventing.broker.outline import Join, Macro, Outline
from eventing.broker.tokens import Tokens, place
from eventing.broker.walks import Reached, Walk

STEPS_MOST = 100_000
DEPTH_MOST = 3
_GROWTH_MOST = 100  # times a list or text of the data: more is memory, not only time
_READ_BYTES = 128  # of a text
_JOINS_FEW = 16  # what they make of a small event is small
_SMALL_BYTES = 4096  # of data that is gone through in no time worth counting, where no macro repeats it


class Macros:
    """The macros of one expression that compiles."""

    def __init__(self, text: str) -> None:
        """Find them in *text*."""
        outline = Outline(Tokens(text))
        self.known_patterns = outline.known_patterns
        self._macros, self._longest, self._growth = outline.macros, outline.longest, outline.growth
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
        longest = max(size.longest, self._longest)
        walked = max(longest if each.walk is None else each.walk.longest for each in self._reached(size)[1:])
        return f"{walked} elements, {steps}"

    def times(self, size: Size) -> list[int]:
        """How often the parentheses of each macro are evaluated, at most; from left to right."""
        return [each.times for each in self._reached(size)[1:]]

    def _excess(self, size: Size) -> str:
        if self._steps(size) <= STEPS_MOST:
            return ""
        deep = f"macros {self.depth} deep: " if self.depth else ""
        return f"{deep}more than {STEPS_MOST} steps"

    def _reached(self, size: Size) -> list[Reached]:
        """How often each macro is; the first is what stands in none."""
        longest, elements = max(size.longest, self._longest) * self._growth, size.elements * self._growth
        found = [Reached(1, 1, None)]
        for macro in self._macros[1:]:
            around = found[macro.parent]
            alone = around.alone if macro.is_owned else around.times
            walk = _walk(macro, found, size)
            most = around.times * longest
            found.append(Reached(
                walk.times if walk else min(most, alone * elements) if macro.is_owned else most, alone, walk))
        return found

    def _steps(self, size: Size) -> int:
        """How many there are at most; see the module's docstring."""
        found = self._reached(size)
        if self._growth > 1:
            size = size._replace(length_bytes=size.length_bytes * self._growth)
        longest = max(size.longest, self._longest) * self._growth
        elements = size.elements * self._growth
        steps = 0
        for macro, (times, alone, walk) in zip(self._macros, found, strict=True):
            steps += times * _each(macro, longest, size)
            steps += alone * macro.own_reads * size.length_bytes // _READ_BYTES
            if any(join.is_own for join in macro.joins):
                steps += alone * _pairs(macro.joins) * (
                    elements // JOINED + size.length_bytes // JOINED_BYTES)
            if macro.makes_list and steps <= STEPS_MOST:
                steps += times * _copied(macro, walk, longest, size)
        return steps


def _walk(macro: Macro, found: list[Reached], size: Size) -> Walk | None:
    """What *macro* walks, where *found* is what those before it do; None if that is not known."""
    receiver = macro.receiver
    if receiver is None:
        return None
    if receiver.macro == 0:
        return walks.of_event(size.variables, receiver.path, found[macro.parent].times)
    source = found[receiver.macro].walk
    if source is None:
        return None
    if receiver.is_result:
        return walks.of_result(source, receiver.path)
    return walks.of_elements(source, receiver.path) if receiver.macro == macro.parent else None


def _each(macro: Macro, longest: int, size: Size) -> int:
    """Steps of *macro* for one element of an event of *size*; no list is longer than *longest*."""
    steps = macro.steps + macro.pattern_steps + sum(map(size.read_bytes, macro.reads)) // _READ_BYTES
    steps += sum(size.scanned(path, longest) for path in macro.scans) // SCANNED
    if macro.walks or macro.comparisons or macro.copies:
        steps += sum(map(size.converted, macro.walks)) + sum(map(size.compared, macro.comparisons))
        steps += sum(size.compared((path,)) for path in macro.copies)
    joins = _joins(macro, size)
    if joins:
        steps += _pairs(joins) * max(
            size.joined(((),) if join.is_unknown else join.paths, longest) for join in joins)
    return steps


def _copied(macro: Macro, walk: Walk | None, longest: int, size: Size) -> int:
    """Steps for one element of what `map` or `filter` has made before, which is copied with all in it."""
    if walk is not None:
        longest = walk.longest if macro.made is None else walks.of_result(walk, macro.made).deepest()
    made_bytes = size.length_bytes * (longest * len(_joins(macro, size)) or 1)
    return longest // SCANNED + made_bytes // COPIED_BYTES


def _joins(macro: Macro, size: Size) -> list[Join]:
    """Those of *macro* that join more than numbers."""
    return [join for join in macro.joins if not any(map(size.is_number, join.paths))]


def _pairs(joins: list[Join]) -> int:
    """How often something is copied by *joins*: each of them copies what those before it have made."""
    return len(joins) * (len(joins) + 1) // 2
