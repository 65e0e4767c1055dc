r"""
How long a regular expression takes to compile, reckoned from its text: CEL's library compiles one each time.

    weight (steps of macros.py)     what
    1                               a character, or a class of characters that it lists
    20                              `.`, and a class of what is not in it
    150                             `\d`, `\s` and their opposites: what Unicode has of these
    2000                            `\w`, `\p{..}` and their opposites
    times n                         what `{n}` or `{m,n}` repeats

The syntax is that of Rust's regex, which takes time in proportion to the text once it is compiled. Pure.
"""

import re
from typing import NamedTuple

_LEAST = 50
_ANY, _SOME, _MANY = 20, 150, 2000
_ATOM = re.compile(r"""
    (?P<many>\\[wW]|\\[pP](?:\{[^}]*\})?)
  | (?P<some>\\[dDsS])
  | (?P<listed>\[(?:\\.|[^\]\\])+\]?)
  | (?P<times>\{\s*(?P<least>\d*)(?P<comma>\s*,\s*(?P<most>\d*))?\s*\})
  | (?P<opened>\((?:\?[^:)]*:?)?)
  | (?P<closed>\))
  | (?P<any>\.)
  | (?P<plain>\\.|.)
""", re.VERBOSE | re.DOTALL)


class _Group(NamedTuple):
    """What is complete of a group, and its last part, which may be repeated yet."""

    weight: int = 0
    last: int = 0

    def then(self, weight: int) -> "_Group":
        return _Group(self.weight + self.last, weight)


def steps_of(pattern: str) -> int:
    """How many steps it takes to compile *pattern*, about."""
    groups = [_Group()]
    for found in _ATOM.finditer(pattern):
        group = groups[-1]
        if found["times"]:
            groups[-1] = _Group(group.weight, group.last * _times(found))
        elif found["opened"]:
            groups.append(_Group())
        elif found["closed"]:
            inner = groups.pop() if len(groups) > 1 else group
            groups[-1] = groups[-1].then(inner.weight + inner.last)
        else:
            groups[-1] = group.then(_weight(found))
    return _LEAST + sum(group.weight + group.last for group in groups)


def _times(found: re.Match[str]) -> int:
    least = int(found["least"] or 0)
    if found["comma"] is None:
        return max(1, least)
    return max(1, least + 1, int(found["most"] or 0))


def _weight(found: re.Match[str]) -> int:
    listed = found["listed"] or ""
    if found["many"] or re.search(r"\\[wWpP]", listed):
        return _MANY
    if found["some"] or re.search(r"\\[dDsS]", listed):
        return _SOME
    return _ANY if found["any"] or listed.startswith("[^") else 1
