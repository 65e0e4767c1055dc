"""
Where sources stopped: one short text each, for those whose server does not keep it for them.

A source says where it is as often as it likes; what was said last is written, that of all sources together,
every tenth of a second. A crash in between makes a source begin a little earlier, which repeats events and
loses none. The control side forgets a place with its object; one that it missed is forgotten when nobody has
written it for more than a year.
"""

import asyncio
from typing import Any

import redis.asyncio
import redis.exceptions

from eventing import keys

_WRITE_EVERY_S = 0.1
_KEPT_S = 400 * 86400  # a yearly schedule is written once a year


class Places:
    """The places of all sources of one process."""

    def __init__(self, store: redis.asyncio.Redis) -> None:
        """Nothing has been said."""
        self._store = store
        self._said: dict[str, str] = {}
        self._changed = asyncio.Event()

    def __repr__(self) -> str:
        """Counts."""
        return f"<Places [{len(self._said)} to write]>"

    async def read(self, uid: str) -> str:
        """What was last said of the object *uid*; "" if nothing was."""
        if uid in self._said:
            return self._said[uid]
        place: Any = await self._store.get(keys.source_place(uid))
        return str(place.decode()) if place else ""

    def say(self, uid: str, place: str) -> None:
        """Keep *place* for the object *uid*."""
        self._said[uid] = place
        self._changed.set()

    async def run(self) -> None:
        """Write what is said, until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self.write()
            await asyncio.sleep(_WRITE_EVERY_S)

    async def write(self) -> None:
        """Write what is not written yet; what cannot be written now stays for the next time."""
        said = self._said.copy()
        pipe = self._store.pipeline(transaction=False)
        for uid, place in said.items():
            pipe.set(keys.source_place(uid), place, ex=_KEPT_S)
        try:
            await pipe.execute()
        except (redis.exceptions.RedisError, OSError):
            self._changed.set()
        else:
            self._said = {uid: place for uid, place in self._said.items() if said.get(uid) != place}
