"""Changes on their way from the store to one watcher: bounded, and at an end when he is too slow."""

import asyncio
import contextlib
from collections import deque

from eventing.control.mirror import Change

# A watcher that reads slower than changes come is cut off here and lists again; 1,024 changes are about 2 MB.
_BACKLOG = 1024


class Watch:
    """Changes as they come, for one watcher; ends when it is too slow, or when the process stops."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._waiting: deque[Change] = deque()
        self._arrived = asyncio.Event()
        self.is_over = False

    def __repr__(self) -> str:
        """How far behind the watcher is."""
        return f"<Watch [{len(self._waiting)} waiting{' | over' if self.is_over else ''}]>"

    def offer(self, change: Change) -> None:
        """Take one more change, or give up on a watcher that is too far behind."""
        if len(self._waiting) >= _BACKLOG:
            self.end()
        elif not self.is_over:
            self._waiting.append(change)
            self._arrived.set()

    def end(self) -> None:
        """Let the watcher finish what is waiting; nothing more comes."""
        self.is_over = True
        self._arrived.set()

    async def next(self, timeout_s: float) -> list[Change]:
        """What has come, waiting at most *timeout_s*; empty after that time, or when it is over."""
        if not self._waiting and not self.is_over:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._arrived.wait()
        self._arrived.clear()
        found = list(self._waiting)
        self._waiting.clear()
        return found
