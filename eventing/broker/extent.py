"""
How large an event is, as far as it says how long a CEL expression takes: the steps of macros.py.

What stands under a plain name is looked up, so that a number costs nothing however large the rest is. Pure.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from eventing.broker.tokens import Path

SCANNED = 4  # elements that are looked at in a step
COPIED_BYTES = 8192  # of a text, in a step
JOINED = 8  # elements of two lists that become one; and bytes of two texts
JOINED_BYTES = 1024
_UNKNOWN = object()


class Size(NamedTuple):
    """
    Of an event: elements of the longest list or map in its data, of all of them, and bytes of all its text.

    *variables* are its attributes and its data by the names that expressions have for them.
    """

    longest: int
    elements: int
    length_bytes: int
    variables: Mapping[str, Any] = MappingProxyType({})

    def _find(self, path: Path) -> Any:
        """What is at *path*, all there is if that is empty; _UNKNOWN if nothing is."""
        found: Any = self.variables
        for name in path:
            if not isinstance(found, Mapping) or name not in found:
                return _UNKNOWN
            found = found[name]
        return found

    def is_number(self, path: Path) -> bool:
        """Whether a number, or a truth, is at *path*; null counts, too."""
        return _is_number(self._find(path))

    def compared(self, paths: tuple[Path, ...]) -> int:
        """Steps of a comparison that is over when the shortest of what is at *paths* is."""
        return min((self._gone_through(self._find(path)) for path in paths),
                   default=self._gone_through(_UNKNOWN))

    def scanned(self, path: Path, longest: int) -> int:
        """Elements of what is at *path*; where that is not known, no list is longer than *longest*."""
        found = self._find(path)
        return len(found) if isinstance(found, list | dict | str) and path else longest

    def read_bytes(self, path: Path) -> int:
        """Of the text at *path*; of all there is, where that is not known."""
        found = self._find(path)
        return len(found) if isinstance(found, str) else self.length_bytes

    def converted(self, path: Path) -> int:
        """Steps of a function that goes through the text at *path*, if it is one."""
        found = self._find(path)
        return len(found) // COPIED_BYTES if isinstance(found, str) else 0

    def joined(self, paths: tuple[Path, ...], longest: int) -> int:
        """Steps of a `+` of what is at *paths*; where that is not known, no list is longer than *longest*."""
        return sum(len(found) // JOINED_BYTES if isinstance(found, str)
                   else len(found) // JOINED if isinstance(found, list)
                   else longest // JOINED + self.length_bytes // JOINED_BYTES
                   for found in map(self._find, paths))

    def _gone_through(self, found: Any) -> int:
        if _is_number(found):
            return 0
        if isinstance(found, str):
            return len(found) // COPIED_BYTES
        return self.elements // SCANNED + self.length_bytes // COPIED_BYTES


def size_of(variables: Mapping[str, Any], length_bytes: int) -> Size:
    """Size of an event of these *variables* (`data`, if it is there, was parsed from JSON)."""
    longest = elements = 0
    waiting = [variables.get("data")]
    while waiting:
        found = waiting.pop()
        inner = found.values() if isinstance(found, dict) else found if isinstance(found, list) else ()
        longest = max(longest, len(inner))
        elements += len(inner)
        waiting += [each for each in inner if isinstance(each, dict | list)]
    return Size(longest, elements, length_bytes, variables)


def _is_number(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float)
