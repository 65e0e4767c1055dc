"""
Which lists of an event the macros of a CEL expression walk: how often each one's parentheses are evaluated.

    data.items.all(i, ...)              as often as `items` has elements, each time that it is reached
    i.tags.exists(t, ...)               the same of each element's own list; `i` is the macro's around it
    ....filter(i, ...).exists(j, ...)   what the first one has walked
    ....map(i, i.tags).exists(j, ...)   the same, of what is at that path

Anything else (`(a + b).all(...)`, a list that is written out) is not known here. Nothing is evaluated: what
`exists` leaves out because it has found one, and what `filter` does, counts. Pure.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from eventing.broker.tokens import Steps


class Walk(NamedTuple):
    """Lists, all of which are walked *rounds* times."""

    rounds: int
    lists: Sequence[Sequence[Any]]

    @property
    def times(self) -> int:
        """How often the macro's parentheses are evaluated."""
        return self.rounds * sum(map(len, self.lists))

    @property
    def longest(self) -> int:
        """Elements of the longest list."""
        return max(map(len, self.lists), default=0)

    def deepest(self) -> int:
        """Elements of the largest list, with all that is in them."""
        return max(map(deep, self.lists), default=0)


class Reached(NamedTuple):
    """How often a macro's parentheses are evaluated, and the list that its own are parts of; its walk."""

    times: int
    alone: int
    walk: Walk | None


def of_event(variables: Mapping[str, Any], path: Steps, reached: int) -> Walk | None:
    """The walk of a macro on what an event has at *path*; None if it has no such variable."""
    if path[0] not in variables:
        return None
    return Walk(reached, list(_walked(_at(variables, path))))


def of_elements(outer: Walk, path: Steps) -> Walk:
    """The walk of a macro that stands in that of *outer*, on what is at *path* of its variable."""
    return Walk(outer.rounds, [inner for found in _each_at(outer.lists, path) for inner in _walked(found)])


def of_result(made: Walk, path: Steps) -> Walk:
    """The walk of a macro on what one has made that walks *made*: *path* of each element."""
    return made if not path else Walk(made.rounds, [list(_each_at([each], path)) for each in made.lists])


def deep(found: Any) -> int:
    """Elements of a list or map, with all that is in them."""
    count, waiting = 0, [found]
    while waiting:
        each = waiting.pop()
        inner = each.values() if isinstance(each, dict) else each if isinstance(each, list) else ()
        count += len(inner)
        waiting += [more for more in inner if isinstance(more, dict | list)]
    return count


def _walked(found: Any) -> Iterator[Sequence[Any]]:
    """What a macro on *found* walks: a list, the keys of a map, else nothing."""
    if isinstance(found, list):
        yield found
    elif isinstance(found, dict):
        yield list(found)


def _each_at(lists: Iterable[Sequence[Any]], path: Steps) -> Iterator[Any]:
    return (_at(element, path) for each in lists for element in each)


def _at(found: Any, path: Steps) -> Any:
    """What is at *path* of *found*; None if there is nothing."""
    for step in path:
        if isinstance(found, list) and isinstance(step, int):
            found = found[step] if step < len(found) else None
        elif isinstance(found, Mapping):
            found = found.get(step)
        else:
            return None
    return found
