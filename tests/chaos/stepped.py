"""
`clarion`, with a wall clock that can be stepped: `python stepped.py OFFSET TEXT LIBRARY ARGUMENT ..`.

OFFSET is a file with a double, TEXT one with the same for libfaketime, which is LIBRARY (clock.py).
"""

import mmap
import struct
import sys
import time
from pathlib import Path

from eventing import valkey
from eventing.cli import main


def _step_ours(path):
    with Path(path).open("rb") as file:
        offset = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)
    real = time.time
    time.time = lambda: real() + struct.unpack("d", offset)[0]


def _step_the_stores(text, library):
    command = valkey.command
    # `env` becomes the store; no other program gets these variables.
    variables = (f"LD_PRELOAD={library}", f"FAKETIME_TIMESTAMP_FILE={text}", "FAKETIME_NO_CACHE=1",
                 "FAKETIME_DONT_FAKE_MONOTONIC=1", "DONT_FAKE_MONOTONIC=1")
    valkey.command = lambda *arguments: ["/usr/bin/env", *variables, *command(*arguments)]


if __name__ == "__main__":
    _step_ours(sys.argv[1])
    _step_the_stores(*sys.argv[2:4])
    sys.argv[:4] = ["clarion"]
    main()
