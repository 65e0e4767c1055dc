"""
The traceback of what a function raised while it was imported or started, as its author wants to see it.

From the first frame of the function's own folder on, with names relative to that folder, and without
Python's machinery of imports. What no frame of the folder had a part in is shown whole: the fault is ours.
"""

import traceback
from pathlib import Path

_MACHINERY = "<frozen importlib"


def text(error: BaseException, folder: Path) -> str:
    """The lines of *error*, raised by code below *folder*, and of what it was raised from."""
    told = traceback.TracebackException.from_exception(error, lookup_lines=True)
    _shorten(told, f"{folder}/", seen=set())
    return "".join(told.format())


def _shorten(told: traceback.TracebackException, home: str, seen: set[int]) -> None:
    if id(told) in seen:
        return
    seen.add(id(told))
    frames = [frame for frame in told.stack if not frame.filename.startswith(_MACHINERY)]
    first = next((index for index, frame in enumerate(frames) if frame.filename.startswith(home)), None)
    place: str | None = getattr(told, "filename", None)  # a SyntaxError names the place by itself
    if first is not None:
        frames = frames[first:]
    elif place is not None and place.startswith(home):
        frames = []
    if place is not None:
        told.filename = place.removeprefix(home)
    for frame in frames:
        frame.filename = frame.filename.removeprefix(home)
    told.stack = traceback.StackSummary.from_list(frames)
    for other in (told.__cause__, told.__context__):
        if other is not None:
            _shorten(other, home, seen)
