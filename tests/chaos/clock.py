"""
A wall clock that can be stepped, for the system under test and nobody else on the machine.

Started through `stepped.py`, the roles read the offset where they would ask for the time, and the store
does through libfaketime (Debian: `apt install faketime`); where there is none, the fault is left out. (Python
itself does not run under that library: its absolute sleeps fail.) CLOCK_MONOTONIC is never touched: the
kernel does not step that one either. Functions keep the true clock.
"""

import struct
import sys
from pathlib import Path

_LIBRARIES = ("lib/*/faketime/libfaketimeMT.so.1", "lib/faketime/libfaketimeMT.so.1",
              "lib64/faketime/libfaketimeMT.so.1")


class Clock:
    """The offset of a wall clock, in two files: one for the roles, one for the store."""

    def __init__(self, directory: Path, *, is_wanted: bool):
        """Keep the offset in *directory*; without *is_wanted* nobody's clock is touched."""
        found = [path for pattern in _LIBRARIES for path in Path("/usr").glob(pattern)]
        self._library = found[0] if found and is_wanted else None
        self._binary, self._text = directory / "clock", directory / "clock.txt"
        self.step(0.0)

    @property
    def is_available(self):
        """Whether it can be stepped."""
        return self._library is not None

    @property
    def program(self):
        """What to run in place of `clarion`; empty: that."""
        if self._library is None:
            return ()
        launcher = str(Path(__file__).with_name("stepped.py"))
        return sys.executable, launcher, str(self._binary), str(self._text), str(self._library)

    def step(self, seconds):
        """From now on the clock is *seconds* ahead of the true one."""
        fresh = self._text.with_suffix(".new")
        fresh.write_text(f"{seconds:+.3f}\n")
        fresh.replace(self._text)
        with self._binary.open("r+b" if self._binary.exists() else "w+b") as file:
            file.write(struct.pack("d", seconds))  # in place: the roles have it mapped
