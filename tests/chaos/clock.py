"""
A wall clock that can be stepped, for all processes of the system under test and nobody else.

It needs libfaketime (Debian: `apt install faketime`); where there is none, the fault that steps it is left out.
CLOCK_MONOTONIC is never touched: the kernel does not step that one either.
"""

from pathlib import Path

_LIBRARIES = ("lib/*/faketime/libfaketimeMT.so.1", "lib/faketime/libfaketimeMT.so.1",
              "lib64/faketime/libfaketimeMT.so.1")


class Clock:
    """The offset of a wall clock, in a file that the library reads again and again."""

    def __init__(self, directory: Path, *, is_wanted: bool):
        """Keep the offset in *directory*; without *is_wanted* nobody's clock is touched."""
        found = [path for pattern in _LIBRARIES for path in Path("/usr").glob(pattern)]
        self._library = found[0] if found and is_wanted else None
        self._file = directory / "clock"
        self.step(0.0)

    @property
    def is_available(self):
        """Whether there is a library for it."""
        return self._library is not None

    @property
    def environment(self):
        """What a process has to be started with."""
        if self._library is None:
            return {}
        return {"LD_PRELOAD": str(self._library), "FAKETIME_TIMESTAMP_FILE": str(self._file),
                "FAKETIME_CACHE_DURATION": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "DONT_FAKE_MONOTONIC": "1"}

    def step(self, seconds):
        """From now on (within a second) the clock is *seconds* ahead of the true one."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{seconds:+.3f}\n")
        fresh.replace(self._file)
