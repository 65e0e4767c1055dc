"""What commands print: colours on a terminal only, ages, durations, YAML; nothing that a terminal obeys."""

import io
import os
import re
import sys
from collections.abc import Container
from datetime import UTC, datetime
from typing import Any

from eventing.errors import UsageError

_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_GOOD, _BAD = "32", "31"
_GAP = "   "  # between columns, as kubectl has it
_LEAST = 8  # characters of a cell that is cut; of a column that has fewer nothing is cut
# Colours; and what a terminal obeys or what turns the order of letters, instead of being shown.
_OBEYED = re.compile(
    r"(\x1b\[[0-9;]*m)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]|\r(?!\n)")


class Screen(io.TextIOWrapper):
    """A terminal that text of others may colour, and nothing else: it shows what it would have obeyed."""

    def write(self, text: str) -> int:
        """Write *text*, made visible."""
        super().write(visible(text))
        return len(text)


def guard() -> None:
    """Let everything that is printed from now on be visible, if it goes to a terminal."""
    stream = sys.stdout
    if isinstance(stream, io.TextIOWrapper) and stream.isatty():
        encoding, errors = stream.encoding, stream.errors
        sys.stdout = Screen(stream.detach(), encoding, errors, line_buffering=True)


def visible(text: str) -> str:
    """*text* with control characters as Python writes them; lines, tabs and colours stay."""
    return _OBEYED.sub(lambda found: found[1] or ascii(found[0])[1:-1], text)


def _styled(text: str, code: str) -> str:
    """NO_COLOR is https://no-color.org."""
    has_colours = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    return f"\033[{code}m{text}\033[0m" if has_colours and text else text


def bold(text: str) -> str:
    """What the eye looks for."""
    return _styled(text, "1")


def dim(text: str) -> str:
    """What is there if it is wanted."""
    return _styled(text, "2")


def good(text: str) -> str:
    """What is as it should be."""
    return _styled(text, _GOOD)


def bad(text: str) -> str:
    """What is not."""
    return _styled(text, _BAD)


def verdict(text: str) -> str:
    """`True` in green, `False` in red, anything else as it is."""
    return good(text) if text.strip() == "True" else bad(text) if text.strip() == "False" else text


def duration_s(text: str) -> float:
    """Seconds in `30s`, `5m`, `2h` or `1d`; UsageError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if not found:
        raise UsageError(f"{text}: give a number with s, m, h or d, such as 30s or 2h")
    return float(found[1]) * _UNITS_S[found[2]]


def age(timestamp: str | None, now: datetime | None = None) -> str:
    """How long ago an RFC 3339 time was, in kubectl's one or two largest units."""
    if not timestamp:
        return "<unknown>"
    then = datetime.fromisoformat(timestamp)
    return length(((now or datetime.now(UTC)) - then).total_seconds())


def length(length_s: float) -> str:
    """A length of time in kubectl's one or two largest units; none is less than nothing."""
    seconds = max(0, int(length_s))
    if seconds < 120:  # noqa: PLR2004  kubectl counts seconds up to two minutes, and so on
        return f"{seconds}s"
    if seconds < 10 * 60:
        return f"{seconds // 60}m{seconds % 60}s" if seconds % 60 else f"{seconds // 60}m"
    if seconds < 3 * 3600:
        return f"{seconds // 60}m"
    if seconds < 48 * 3600:
        return f"{seconds // 3600}h"
    return f"{seconds // 86400}d"


def as_yaml(value: Any) -> str:
    """YAML in the order of the object, as `kubectl get -o yaml`."""
    import yaml  # noqa: PLC0415  most commands print tables

    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, default_flow_style=False)


def fitting(heads: list[str], rows: list[list[str]],
            spare: Container[str] = ()) -> tuple[list[str], list[list[str]]]:
    """
    Heads and rows of a table, made to fit the terminal if stdout is one; all of them if not.

    Args:
        heads: of all columns.
        rows: of as many cells each.
        spare: heads of columns that are left out before anything is cut.
    """
    width = os.get_terminal_size(sys.stdout.fileno()).columns if sys.stdout.isatty() else 0
    if not width:  # no terminal, or one that does not say
        return heads, rows
    columns = narrowed([list(column) for column in zip(heads, *rows, strict=True)], width, spare)
    heads, *rows = [list(row) for row in zip(*columns, strict=True)]
    return heads, rows


def narrowed(columns: list[list[str]], width: int, spare: Container[str] = ()) -> list[list[str]]:
    """
    Columns, each with its head, of a table of at most *width* characters, if that can be.

    First those go that are empty, then the *spare* ones; then long cells are cut, and last the longest
    columns go. Names, and the namespaces before them, are what a person types again: they stay whole.
    """
    if _width(columns) > width:
        columns = [column for column in columns if any(column[1:])]
    if _width(columns) > width:
        columns = [column for column in columns if column[0] not in spare]
    kept = 2 if columns[0][0] == "NAMESPACE" else 1
    while _width(columns) > width:
        for most in range(width, _LEAST - 1, -1):
            cut = columns[:kept] + [[_cut(cell, most) for cell in column] for column in columns[kept:]]
            if _width(cut) <= width:
                return cut
        longest = max(columns[kept:], key=lambda column: max(map(len, column)), default=[""])
        if max(map(len, longest)) <= _LEAST:
            break
        columns.remove(longest)
    return columns


def _width(columns: list[list[str]]) -> int:
    return sum(max(map(len, column)) for column in columns) + len(_GAP) * (len(columns) - 1)


def _cut(cell: str, most: int) -> str:
    return cell if len(cell) <= most else f"{cell[:most - 1]}…"


def table(heads: list[str], rows: list[list[str]]) -> str:
    """Columns three spaces apart, as kubectl prints them."""
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    lines = []
    for number, row in enumerate([heads, *rows]):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        cells[-1] = cells[-1].rstrip()  # inside of its colours, if it has any
        cells = [(verdict if number else bold)(cell) for cell in cells]
        lines.append(_GAP.join(cells).rstrip())
    return "".join(f"{line}\n" for line in lines)
