"""
What a source must know of its server's objects between runs, in pages of entries that are written at once.

A page is of one collection of objects: up to where its changes were passed on (its place), and an entry for
each object that it had then. Written and on disk when `write` returns, so that a source which writes after
its sink has accepted repeats at most what was on the way. Pages die with their object, or when nobody has
written any of them for a month.
"""

from collections.abc import Mapping
from typing import Any

import redis.asyncio

from eventing import keys

_KEPT_S = 30 * 86400
_AT_ONCE = 1000


class Ledger:
    """The pages of one source."""

    def __init__(self, store: redis.asyncio.Redis, uid: str) -> None:
        """Those of the object *uid*; nothing is read yet."""
        self._store = store
        self._uid = uid
        self._pages, self._ledger = keys.source_pages(uid), keys.source_ledger(uid)

    def __repr__(self) -> str:
        """Whose."""
        return f"<Ledger of {self._uid}>"

    async def places(self) -> dict[str, str]:
        """The place of each page there is."""
        found: Any = await self._store.hgetall(self._pages)
        return {page.decode(): place.decode() for page, place in found.items()}

    async def entries(self, page: str) -> dict[str, bytes]:
        """All entries of a page."""
        found = {}
        async for field, value in self._store.hscan_iter(self._ledger, count=_AT_ONCE):
            its_page, _, entry = field.decode().partition(" ")
            if its_page == page:
                found[entry] = value
        return found

    async def write(self, page: str, entries: Mapping[str, bytes | None], place: str | None = None) -> None:
        """Set entries, or take them out (None), and with them the *place*, if one is given."""
        pipe = self._store.pipeline(transaction=True)
        kept: dict[Any, Any] = {f"{page} {entry}": value for entry, value in entries.items()
                                if value is not None}
        gone = [f"{page} {entry}" for entry, value in entries.items() if value is None]
        if kept:
            pipe.hset(self._ledger, mapping=kept)
        if gone:
            pipe.hdel(self._ledger, *gone)
        if place is not None:
            pipe.hset(self._pages, page, place)
        for key in (self._pages, self._ledger):
            pipe.expire(key, _KEPT_S)
        await pipe.execute()

    async def forget(self, page: str) -> None:
        """Drop a page."""
        await self._store.hdel(self._pages, page)
        await self.write(page, dict.fromkeys(await self.entries(page)))
