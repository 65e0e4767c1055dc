"""
The chaos run: `python -m tests.chaos [--duration S] [--seed N] [--faults NAME,..]`, or `make chaos`.

Producers publish numbered events to two brokers, six triggers deliver them, and every 1 to 5 seconds
something goes wrong. Then everything is healed and drained, and the invariants of checker.py are checked.
Exit status 1 if one of them is broken; the system's directory, with its log, is kept then.
"""

import argparse
import asyncio
import secrets
import sys
import time

from benchmarks.measure import console
from tests.chaos import checker, report
from tests.chaos.faults import FAULTS
from tests.chaos.history import ACCEPTED
from tests.chaos.run import Options, Run

_SAY_S = 10.0


def main():
    """Read the command line, run, report."""
    chosen = _arguments()
    run = Run(Options(chosen.seed, chosen.duration, chosen.faults, chosen.rate, chosen.dispatchers,
                      chosen.drain))
    console.print(f"seed {chosen.seed}: {chosen.duration:.0f} s of {', '.join(chosen.faults)}")
    if "step-clock" in chosen.faults and not run.clock.is_available:
        console.print("step-clock does nothing here: there is no libfaketime (Debian: apt install faketime)")
    history = asyncio.run(_watched(run))
    breaches = checker.check(history)
    report.show(console, history, breaches, chosen.seed)
    if any(breaches.values()):
        console.print(f"Log and store of the system: {run.system.directory}")
        return 1
    run.system.remove()
    return 0


def _arguments():
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="faults:\n" + "\n".join(f"  {name:<17}{act.__doc__}" for name, act in FAULTS.items()))
    parser.add_argument("--duration", type=float, default=600, metavar="S", help="seconds of it (600)")
    parser.add_argument("--seed", type=int, default=None, metavar="N", help="of the plan (any)")
    parser.add_argument("--faults", default=",".join(FAULTS), metavar="NAME,..", help="only these (all)")
    parser.add_argument("--rate", type=float, default=100, metavar="N", help="about so many events/s (100)")
    parser.add_argument("--dispatchers", type=int, default=2, metavar="N", help="processes (2)")
    parser.add_argument("--drain", type=float, default=180, metavar="S", help="patience after the end (180)")
    chosen = parser.parse_args()
    chosen.faults = tuple(filter(None, chosen.faults.split(",")))
    unknown = set(chosen.faults) - FAULTS.keys()
    if unknown:
        parser.error(f"no fault called {', '.join(sorted(unknown))}; there are {', '.join(FAULTS)}")
    chosen.seed = secrets.randbelow(100_000) if chosen.seed is None else chosen.seed
    return chosen


async def _watched(run):
    """Run, and say what happens: faults at once, the counts always (every 10 s where it is no terminal)."""
    with console.status("") as status:
        run.options.say = lambda line: console.print(line, highlight=False, markup=False)
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(_count(run.history, status))
            history = await run.run()
            watching.cancel()
    return history


async def _count(history, status):
    said = time.monotonic()
    while True:
        accepted = sum(send.outcome == ACCEPTED for send in history.sends)
        since = f"{time.monotonic() - history.began:.0f} s: " if history.began else ""
        line = f"{since}{accepted:,} accepted, {len(history.receipts):,} requests at subscribers"
        status.update(line)
        if not console.is_terminal and time.monotonic() - said > _SAY_S:
            said = time.monotonic()
            console.print(line, highlight=False)
        await asyncio.sleep(1.0)


if __name__ == "__main__":
    sys.exit(main())
