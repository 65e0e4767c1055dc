"""
The end of a pipe at which we read what a worker, or a command beside it, prints.

Read are OUTPUT_BYTES_PER_S at most: who prints faster waits in its print(), and keeps the role from nothing.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable

# A log that grows faster than this is no log; it bounds what one worker costs the whole role, too.
OUTPUT_BYTES_PER_S = 1024 * 1024

_READ_BYTES = 64 * 1024  # a pipe's size on Linux


class Tap:
    """Hands on what comes from one descriptor, which is its own from now on."""

    def __init__(self, descriptor: int, feed: Callable[[bytes], None]) -> None:
        """Read *descriptor* until `close`; *feed* gets all of it in pieces."""
        self._descriptor = descriptor
        self._feed = feed
        self._loop = asyncio.get_running_loop()
        self._resume: asyncio.TimerHandle | None = None
        self._paid_bytes = 0  # in this second
        os.set_blocking(descriptor, False)
        self._loop.add_reader(descriptor, self._readable)

    def __repr__(self) -> str:
        """Descriptor and what it has given in this second."""
        return f"<Tap {self._descriptor} [{self._paid_bytes} bytes]>"

    def read(self) -> bool:
        """Read once, whatever has been read; False when there is nothing to be had (now, or ever)."""
        chunk = b""
        with contextlib.suppress(BlockingIOError):
            chunk = os.read(self._descriptor, _READ_BYTES)
            if not chunk:
                self._loop.remove_reader(self._descriptor)  # its end
        if not chunk:
            return False
        self._feed(chunk)
        if self._resume is None:
            self._resume = self._loop.call_later(1, self._next_second)
        self._paid_bytes += len(chunk)
        return True

    def close(self) -> None:
        """Read no more."""
        self._loop.remove_reader(self._descriptor)
        if self._resume is not None:
            self._resume.cancel()
        os.close(self._descriptor)

    def _readable(self) -> None:
        if self._paid_bytes >= OUTPUT_BYTES_PER_S:
            self._loop.remove_reader(self._descriptor)
            return
        self.read()

    def _next_second(self) -> None:
        self._resume = None
        self._paid_bytes = 0
        self._loop.add_reader(self._descriptor, self._readable)
