"""
The server-side functions of the data plane: every `scripts/*.lua` beside this module, one library a file.

A function is the only way in which a partition changes, because it is atomic and one call carries many
events. Libraries are loaded (replacing what an older version left in the AOF) whenever a process
connects, and again when the store says that it does not know a function: it was emptied, or is another.

This module knows how functions get into the store, not what they do: each file opens with its keys and
arguments.
"""

from importlib import resources
from typing import Any

import redis.asyncio
import redis.exceptions

# How Redis >= 7.0 and Valkey say it; redis-py has removed the leading "ERR".
_UNKNOWN = "Function not found"


def sources() -> list[str]:
    """The text of every library, in the order of the files' names."""
    scripts = resources.files(__package__).joinpath("scripts")
    return [script.read_text() for script in sorted(scripts.iterdir(), key=lambda script: script.name)
            if script.name.endswith(".lua")]


def is_unknown(error: Exception) -> bool:
    """Whether *error* says that a function is not loaded; then nothing has been written."""
    return _UNKNOWN in str(error)


async def load(store: redis.asyncio.Redis) -> None:
    """Load all libraries in one round trip; raises what redis-py raises."""
    pipe = store.pipeline(transaction=False)
    for source in sources():
        pipe.function_load(source, replace=True)
    await pipe.execute()


async def call(store: redis.asyncio.Redis, name: str, keys: list[str | bytes], arguments: list[Any]) -> Any:
    """Call function *name*; libraries the store has lost are loaded first. Raises what redis-py raises."""
    try:
        return await store.fcall(name, len(keys), *keys, *arguments)
    except redis.exceptions.ResponseError as error:
        if not is_unknown(error):
            raise
    await load(store)
    return await store.fcall(name, len(keys), *keys, *arguments)
