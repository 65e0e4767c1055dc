"""A figure is a median and a range over several runs, and a ratio to a floor of the same run."""

import statistics
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

# A table in a file or a log is not cut to the 80 columns that rich assumes there.
console = Console(width=None if sys.stdout.isatty() else 140)


@dataclass
class Figure:
    """One row of the table: what was measured, several times."""

    what: str
    unit: str
    samples: list[float] = field(default_factory=list)
    floor: "Figure | None" = None
    goal: float | None = None  # of the ratio to the floor, or of the figure where there is no floor
    at_most: bool = False  # whether the goal is an upper limit
    note: str = ""

    @property
    def median(self) -> float:
        """The middle one of the runs."""
        return statistics.median(self.samples)

    @property
    def ratio(self) -> float | None:
        """Median over the floor's median."""
        return None if self.floor is None else self.median / self.floor.median

    @property
    def judged(self) -> float:
        """What is held against the goal."""
        return self.median if self.ratio is None else self.ratio

    def verdict(self) -> str:
        """Whether the goal was reached."""
        if self.goal is None:
            return ""
        reached = self.judged <= self.goal if self.at_most else self.judged >= self.goal
        sign = "<=" if self.at_most else ">="
        return f"[{'green' if reached else 'red'}]{sign} {self.goal:g}[/]"


def quantile(samples: Iterable[float], share: float) -> float:
    """Sample below which *share* of them are."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def show(title: str, figures: Iterable[Figure]) -> None:
    """Print the table of one benchmark."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for name in ("what", "median", "range", "ratio to floor", "goal", "exact"):
        table.add_column(name, justify="left" if name in {"what", "exact"} else "right")
    for figure in figures:
        ratio = "" if figure.ratio is None or figure.floor is None \
            else f"{figure.ratio:.2f} {figure.floor.what.split(',')[0]}"
        table.add_row(figure.what, f"{_number(figure.median)} {figure.unit}",
                      f"{_number(min(figure.samples))} - {_number(max(figure.samples))}",
                      ratio, figure.verdict(), figure.note)
    console.print(table)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"
