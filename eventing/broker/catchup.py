"""
Who asks for what nobody here knows waits for one look at the store: it may be a moment old.

    catch_up.wait("brokers", "shop/default", then)      then(None) follows: nothing older is unknown now

An object is Ready once its record is written, and a follower hears of that some milliseconds later; a client
may be faster. All who wait share a look, and looks have a pause between them: a flood of names that do not
exist costs the store `1 / PAUSE_S` commands a second and table, and those who ask their patience.

Knows nothing of HTTP; who waits holds no body meanwhile.
"""

import asyncio
from collections.abc import Callable

import redis.exceptions
import structlog

from eventing.errors import Unavailable
from eventing.projection import Follower

PAUSE_S = 0.25
WAITING_LIMIT = 1000  # who comes beyond that is told what is known
_LOOK_S = 1.0
_LONGEST_NAME = 512  # characters: Kubernetes' names have 253, and a namespace 63

Then = Callable[[Unavailable | None], None]

log = structlog.get_logger(__name__)


class CatchUp:
    """Those who wait; `run` is the task that looks."""

    def __init__(self) -> None:
        """Nobody waits yet."""
        self._waiting: list[tuple[str, str, Then]] = []
        self._asked = asyncio.Event()

    def __repr__(self) -> str:
        """How many wait."""
        return f"<CatchUp [{len(self._waiting)} waiting]>"

    def wait(self, table: str, name: str, then: Then) -> None:
        """
        Call *then* once the store was asked for record *name* of *table*: with None, or why that failed.

        At once, with None, where too many wait already or no object is called so. It must not raise:
        that is logged, and the client waits for an answer in vain.
        """
        if len(self._waiting) >= WAITING_LIMIT or len(name) > _LONGEST_NAME:
            then(None)
            return
        self._waiting.append((table, name, then))
        self._asked.set()

    async def run(self, follower: Follower) -> None:
        """Have *follower* look whenever somebody waits, until cancelled."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            waiting, self._waiting = self._waiting, []
            error = await _look(follower, waiting)
            for table, name, then in waiting:
                try:
                    then(error)
                except Exception:
                    log.exception("a request that had waited could not be taken", table=table, name=name)
            await asyncio.sleep(PAUSE_S)


async def _look(follower: Follower, waiting: list[tuple[str, str, Then]]) -> Unavailable | None:
    """One look for all who wait; why it failed."""
    wanted: dict[str, set[str]] = {}
    for table, name, _ in waiting:
        wanted.setdefault(table, set()).add(name)
    try:
        async with asyncio.timeout(_LOOK_S):
            for table, names in wanted.items():
                await follower.look(table, names)
    except (redis.exceptions.RedisError, OSError, TimeoutError):
        return Unavailable("the store is away, and nothing of that name is known here; try again")
    return None
