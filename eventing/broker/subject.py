"""
What a filter is asked about: an event's attributes, and its data for the dialects that look into it.

A subject is the mapping of attributes that every predicate takes. What a dialect makes of an event it makes
once, however many triggers ask: `once` remembers it as long as the event is being matched. Pure.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

Made = TypeVar("Made")


class Subject(dict[str, str]):
    """One event while it is matched: its attributes, `data` as it came, and what was made of the two."""

    __slots__ = ("_made", "data", "unjudged")

    def __init__(self, attributes: Mapping[str, str], data: bytes | None) -> None:
        """Nothing is made yet."""
        super().__init__(attributes)
        self.data = data
        self.unjudged = ""  # why a filter did not look at the event: judging it would take too long
        self._made: dict[Callable[..., Any], Any] = {}

    def once(self, make: "Callable[[Subject], Made]") -> Made:
        """What *make* makes of this event; it is called the first time only."""
        if make not in self._made:
            self._made[make] = make(self)
        made: Made = self._made[make]
        return made
