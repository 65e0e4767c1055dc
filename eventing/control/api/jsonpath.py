r"""
The JSON paths that printer columns use, compiled to functions of an object.

    .spec.broker        .status.conditions[?(@.type=="Ready")].status        .metadata.annotations['a.b/c']
    .spec.containers[0].image        .metadata.annotations.a\.b/c

Nothing found is None. Not the whole of JSONPath: no wildcards, no slices, no recursive descent.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

_STEP = re.compile(r"""
    \.(?P<name>(?:\\.|[^.\[\\])+)
  | \[\?\(@\.(?P<key>[^=\s]+)\s*==\s*["'](?P<value>[^"']*)["']\)\]
  | \[(?P<index>\d+)\]
  | \[["'](?P<quoted>[^"']+)["']\]
""", re.VERBOSE)

Step = Callable[[Any], Any]


@lru_cache(maxsize=1024)
def compiled(path: str) -> Step:
    """A function that gives what *path* leads to in an object; ValueError for a path it does not know."""
    text = path.strip().removeprefix("{").removesuffix("}").removeprefix("$")
    steps: list[Step] = []
    at = 0
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None:
            raise ValueError(f"cannot read the JSON path {path!r} from {text[at:]!r} on")
        steps.append(_step(match))
        at = match.end()

    def walk(value: Any) -> Any:
        for step in steps:
            value = step(value)
            if value is None:
                return None
        return value

    return walk


def _step(match: re.Match[str]) -> Step:
    if match["index"] is not None:
        index = int(match["index"])
        return lambda value: value[index] if isinstance(value, list) and index < len(value) else None
    if match["key"] is not None:
        key, wanted = match["key"], match["value"]
        return lambda value: _first(value, key, wanted)
    name = match["quoted"] or re.sub(r"\\(.)", r"\1", match["name"])
    return lambda value: value.get(name) if isinstance(value, dict) else None


def _first(value: Any, key: str, wanted: str) -> Any:
    elements = value if isinstance(value, list) else ()
    return next((one for one in elements if isinstance(one, dict) and one.get(key) == wanted), None)
