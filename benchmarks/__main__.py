"""`python -m benchmarks [NAME ..] [--runs N]`: run some benchmarks, or all, one after the other."""

import argparse
import os
import platform

from benchmarks import cold, deliver, idle, ingest, isolation, kafka, rabbitmq
from benchmarks.measure import console

BENCHMARKS = {"ingest": ingest.run, "deliver": deliver.run, "isolation": isolation.run, "cold": cold.run,
              "idle": idle.run, "kafka": kafka.run, "rabbitmq": rabbitmq.run}


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=" ".join(BENCHMARKS))
    parser.add_argument("--runs", type=int, default=3, help="how often each is run (default: 3)")
    chosen = parser.parse_args()
    unknown = set(chosen.names) - BENCHMARKS.keys()
    if unknown:
        parser.error(f"no benchmark called {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    console.print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}; "
                  f"median and range of {chosen.runs} runs; other load on the machine shows in the ranges")
    for name in chosen.names or BENCHMARKS:
        BENCHMARKS[name](chosen.runs)


if __name__ == "__main__":
    main()
