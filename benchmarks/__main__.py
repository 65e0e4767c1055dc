"""`python -m benchmarks [NAME ..] [--runs N]`: run some benchmarks, or all, one after the other."""

import argparse
import os
import platform

from benchmarks import (
    burst,
    cold,
    cpu,
    deliver,
    idle,
    ingest,
    isolation,
    kafka,
    many,
    matching,
    memory,
    ping,
    rabbitmq,
    warm,
    zero,
)
from benchmarks.measure import console

_ALL = (ingest, deliver, many, cpu, matching, isolation, cold, warm, burst, idle, zero, kafka,
        rabbitmq, ping)
_BY_NAME_ONLY = (memory,)
BENCHMARKS = {module.__name__.rpartition(".")[2]: module for module in (*_ALL, *_BY_NAME_ONLY)}


def main() -> None:
    """Read the command line and run."""
    shown = [f"  {name:12}{(module.__doc__ or '').strip().splitlines()[0]}"
             for name, module in BENCHMARKS.items()]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, epilog="\n".join(("benchmarks:", *shown)),
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="all but memory, if none is named")
    parser.add_argument("--runs", type=int, default=3, help="how often each is run (default: 3)")
    parser.add_argument("--duration", type=int, default=600, metavar="S", help="of memory (default: 600)")
    chosen = parser.parse_args()
    unknown = set(chosen.names) - BENCHMARKS.keys()
    if unknown:
        parser.error(f"no benchmark called {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    console.print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}; "
                  f"median and range of {chosen.runs} runs; other load on the machine shows in the ranges")
    for module in [BENCHMARKS[name] for name in chosen.names] or _ALL:
        module.run(chosen.duration if module in _BY_NAME_ONLY else chosen.runs)


if __name__ == "__main__":
    main()
