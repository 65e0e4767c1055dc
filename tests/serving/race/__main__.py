"""
The race for as long as you like: python -m tests.serving.race --duration 300 --seed 7

Ends with status 1 if a promise was broken; the instance's output is kept then.
"""

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
from pathlib import Path

from tests.instance import Instance
from tests.serving.race.race import ROLLOUTS, Race


def main():
    """Start an instance, race, stop it; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.serving.race", description=__doc__.splitlines()[1])
    parser.add_argument("--duration", type=float, default=300, metavar="SECONDS")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 16))
    parser.add_argument("--rollouts", type=int, default=ROLLOUTS, help="of each Service")
    parser.add_argument("--calm", type=int, default=8, help="Services whose workers nobody kills")
    parser.add_argument("--victims", type=int, default=3)
    chosen = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="clarion-race-"))
    (folder / "data").mkdir()
    instance = Instance(folder / "data")
    sys.stdout.write(f"seed {chosen.seed}, {chosen.duration:g} s\n")
    try:
        instance.start()
        race = Race(instance, chosen.duration, chosen.seed, chosen.rollouts)
        tally = asyncio.run(race.run(folder, chosen.calm, chosen.victims))
    finally:
        instance.stop()
    sys.stdout.write(f"{tally}\n")
    if tally.problems:
        sys.stdout.write(f"see {folder}\n")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
