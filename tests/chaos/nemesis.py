"""
When what goes wrong: a plan made from a seed alone, and its performance.

The same seed, duration and faults give the same plan; what each fault meets depends on the moment, so a run
is repeated in kind, not to the microsecond.
"""

import asyncio
import random
import time
from typing import NamedTuple

from tests.chaos.faults import FAULTS
from tests.chaos.history import Fault
from tests.chaos.system import Nobody

_PAUSE_S = (1.0, 5.0)


class Planned(NamedTuple):
    """One fault to come."""

    at_s: float  # since the start
    name: str
    seed: int  # of its own dice


def plan(seed: int, duration_s: float, names, first_s: float = 1.0):
    """What happens within *duration_s*: every 1 to 5 s one of *names*."""
    dice, planned, at_s = random.Random(seed), [], first_s
    names = sorted(names)
    waiting = []
    while at_s < duration_s:
        if not waiting:  # each of them once before any comes again
            waiting = dice.sample(names, len(names))
        planned.append(Planned(at_s, waiting.pop(), dice.getrandbits(32)))
        at_s += dice.uniform(*_PAUSE_S)
    return planned


async def perform(planned, scene, faults, say):
    """Do all that is *planned*, and note it in *faults*; one fault may begin before another ends."""
    began = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        for each in planned:
            await asyncio.sleep(max(0.0, began + each.at_s - time.monotonic()))
            tasks.create_task(_perform(each, scene, faults, say))


async def _perform(planned, scene, faults, say):
    noted = Fault(planned.name, time.monotonic())
    faults.append(noted)
    try:
        noted.what = await FAULTS[planned.name](scene, random.Random(planned.seed))
    except Nobody as nobody:
        noted.missed, noted.what = True, f"there was no {nobody}"
    noted.ended = time.monotonic()
    say(noted)
