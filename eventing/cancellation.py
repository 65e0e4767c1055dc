"""
A task that was cancelled ends, even where a library swallowed the cancellation.

On Python 3.11 `asyncio.wait_for`, with which redis-py sends its commands, loses a cancellation that comes as
what it waited for completes. A loop that only awaits Redis would go on for ever; it asks here each time.
"""

import asyncio


def heed() -> None:
    """Raise CancelledError if this task was cancelled and does not know it."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
