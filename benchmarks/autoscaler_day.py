"""
A day of traffic before the autoscaler, in virtual time: `python -m benchmarks.autoscaler_day` draws it.

    traffic      concurrency in each of the day's 86,400 seconds: night, morning, a burst, lunch, evening
    autoscaler   the one that runs (serving/autoscaler/kpa.py), asked every two seconds as the scaler asks it
    workers      are ready one tick after they were decided on, and gone at once

No clock and no chance: the same file every time, and a test compares. The numbers are those of a revision
that sets `target: 10`, so that something is to be seen, and leaves the rest to Knative's defaults.
"""

import itertools
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from serving.autoscaler.kpa import TICK_S, Autoscaler
from serving.autoscaler.scaling import PREFIX, effective
from serving.objects import autoscaling

DAY_S = 24 * 3600
PICTURE = Path(__file__).parent.parent / "docs" / "autoscaler_day.svg"
REVISION = {"annotations": {f"{PREFIX}target": "10"}}

# Hours, and the concurrency between them: (from, to, at the beginning, at the end).
_SLOPES = ((6.0, 9.0, 0.0, 40.0), (9.0, 12.0, 40.0, 60.0), (12.0, 13.0, 60.0, 20.0), (13.0, 14.0, 20.0, 55.0),
           (14.0, 17.0, 55.0, 50.0), (17.0, 21.0, 50.0, 8.0), (21.0, 23.0, 8.0, 0.0))
_BURST_H, _BURST_S, _BURST = 15.0, 120, 200.0  # campaign mail: two minutes
_NIGHTLY_H, _NIGHTLY_S, _NIGHTLY = (1.0, 2.0, 3.0, 4.0), 20, 6.0  # a job of 20 s, every hour of the night


@dataclass(frozen=True)
class Moment:
    """One decision."""

    second: int
    concurrency: float  # in the second before
    desired: int
    ready: int
    panicking: bool


def traffic(second: int) -> float:
    """Concurrency in one second of the day."""
    hour = second / 3600
    for burst_h in _NIGHTLY_H:
        if 0 <= second - burst_h * 3600 < _NIGHTLY_S:
            return _NIGHTLY
    load = sum(low + (high - low) * (hour - start) / (end - start)
               for start, end, low, high in _SLOPES if start <= hour < end)
    load += 0.15 * load * math.sin(second / 37)  # no minute is like the one before
    return load + (_BURST if 0 <= second - _BURST_H * 3600 < _BURST_S else 0.0)


def day() -> Iterator[Moment]:
    """Every decision of the day."""
    scaler = Autoscaler(effective(REVISION, autoscaling.settings({})), 0.0, initialized=True)
    ready = desired = 0
    for tick in range(1, DAY_S // int(TICK_S) + 1):
        now = tick * int(TICK_S)
        for second in range(now - int(TICK_S), now):
            load = traffic(second)
            if load or ready:  # at zero nobody measures, until a request comes
                scaler.record(second, load, load)
        decision = scaler.decide(now, ready)
        ready, desired = min(desired, decision.desired), decision.desired
        yield Moment(now, traffic(now - 1), desired, ready, decision.panicking)


_TITLE = ("A day of one revision (target 10, else Knative's defaults): traffic, and the workers that the "
          "autoscaler decided on")
_LEGEND = "panic mode: the number of workers does not fall"
# The picture, in pixels.
_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT = 960, 420, 60, 40, 90
_PANELS = ((_TOP, 150, "concurrency"), (_TOP + 190, 150, "workers"))
_STEP_S = 60  # a point a minute: a maximum, so that no peak is lost
_INK, _PALE, _LOAD, _WORKERS, _PANIC = "#334155", "#e2e8f0", "#0284c7", "#ea580c", "#fecaca"


def draw(moments: list[Moment]) -> str:
    """The day as SVG: traffic above, decisions below, panic shaded."""
    step = _STEP_S // int(TICK_S)
    minutes = [moments[at:at + step] for at in range(0, len(moments), step)]
    loads = [max(each.concurrency for each in minute) for minute in minutes]
    workers = [max(each.desired for each in minute) for minute in minutes]
    panics = _runs([any(each.panicking for each in minute) for minute in minutes])
    svg = 'xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" font-size="12"'
    parts = [f'<svg {svg} viewBox="0 0 {_WIDTH} {_HEIGHT}">',
             f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
             f'<text x="{_LEFT}" y="22" fill="{_INK}">{_TITLE}</text>']
    parts += _panel(_PANELS[0], loads, _LOAD, panics)
    parts += _panel(_PANELS[1], workers, _WORKERS, panics)
    legend_y = _PANELS[1][0] + _PANELS[1][1] + 36
    parts += [f'<rect x="{_LEFT}" y="{legend_y - 10}" width="12" height="12" fill="{_PANIC}"/>',
              f'<text x="{_LEFT + 18}" y="{legend_y}" fill="{_INK}">{_LEGEND}</text>', "</svg>"]
    return "\n".join(parts) + "\n"


def _runs(flags: list[bool]) -> list[tuple[int, int]]:
    """Beginning and length of every run of true *flags*."""
    runs, at = [], 0
    for is_set, group in itertools.groupby(flags):
        length = len(list(group))
        if is_set:
            runs.append((at, length))
        at += length
    return runs


def _panel(place: tuple[int, int, str], values: list[float] | list[int], colour: str,
           panics: list[tuple[int, int]]) -> Iterator[str]:
    top, height, label = place
    most, bottom = _round_up(max(values)), top + height
    wide = (_WIDTH - _LEFT - _RIGHT) / len(values)
    for at, length in panics:
        yield (f'<rect x="{_LEFT + at * wide:.1f}" y="{top}" width="{length * wide:.1f}" height="{height}" '
               f'fill="{_PANIC}"/>')
    for share in (0, 0.5, 1):
        y = bottom - share * height
        yield f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:g}" y2="{y:g}" stroke="{_PALE}"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4:g}" text-anchor="end" fill="{_INK}">{most * share:g}</text>'
    for hour in range(0, 25, 3):
        x = _LEFT + hour / 24 * (_WIDTH - _LEFT - _RIGHT)
        yield f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle" fill="{_INK}">{hour:02d}:00</text>'
    points = " ".join(_points(values, wide, bottom, height / most))
    yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
    yield f'<text x="{_WIDTH - _RIGHT + 6}" y="{top + 12}" fill="{colour}">{label}</text>'


def _points(values: list[float] | list[int], wide: float, bottom: int, scale: float) -> Iterator[str]:
    """A staircase: only where something changes."""
    last = None
    for index, value in enumerate(values):
        if value != last:
            if last is not None:
                yield f"{_LEFT + index * wide:.1f},{bottom - last * scale:.1f}"
            yield f"{_LEFT + index * wide:.1f},{bottom - value * scale:.1f}"
        last = value
    if last is not None:
        yield f"{_LEFT + len(values) * wide:.1f},{bottom - last * scale:.1f}"


def _round_up(value: float) -> float:
    """A number for the top of a scale: the next round one."""
    power: float = 10.0 ** math.floor(math.log10(value))
    return next(power * step for step in (1, 2, 3, 4, 5, 6, 8, 10) if power * step >= value)


def main() -> None:
    """Write the picture, and say in a line what is to be seen there."""
    moments = list(day())
    PICTURE.write_text(draw(moments))
    idle = sum(each.desired == 0 for each in moments) * TICK_S / 3600
    panics = sum(after.panicking and not before.panicking
                 for before, after in itertools.pairwise(moments))
    sys.stdout.write(f"{PICTURE}: {max(each.desired for each in moments)} workers at most, none for "
                     f"{idle:.1f} h, {panics} panics\n")


if __name__ == "__main__":
    main()
