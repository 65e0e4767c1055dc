"""
The control plane's ends of the projections: what it writes for other roles, and what they report back.

A record that is there already is not written again, so a reconciliation that changes nothing writes nothing.
"""

import asyncio
import hashlib
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

import orjson
import redis.asyncio

from eventing import projection
from eventing.control.kind import Kind, every
from eventing.control.mirror import Key
from eventing.projection import Record


class Reports:
    """Projections, as reconcilers see them."""

    def __init__(self, server: redis.asyncio.Redis, on_report: Callable[[Key], None]) -> None:
        """Follow every table that some kind `reports`; *on_report* gets the object that a record is about."""
        self._server = server
        self._on_report = on_report
        self._kinds: dict[str, list[Kind]] = {}
        for kind in every():
            if kind.reports is not None:
                self._kinds.setdefault(kind.reports, []).append(kind)
        self._follower = projection.Follower(server, {table: partial(self._reported, table)
                                                      for table in self._kinds})
        self._written: dict[str, dict[str, bytes]] = {}  # table -> name -> digest of the record
        self._loading = asyncio.Lock()

    def __repr__(self) -> str:
        """Tables followed and written."""
        return f"<Reports {self._follower!r} [{len(self._written)} tables written]>"

    @property
    def loaded(self) -> asyncio.Event:
        """Set once everything that was reported before is known."""
        return self._follower.loaded

    async def run(self) -> None:
        """Follow until cancelled."""
        await self._follower.run()

    async def write(self, table: str, name: str, record: Mapping[str, Any] | None) -> None:
        """Write one record (None deletes it) unless it is there already."""
        known = await self._known(table)
        digest = b"" if record is None else _digest(record)
        if known.get(name, b"") == digest:
            return
        await projection.write(self._server, table, name, record)
        if digest:
            known[name] = digest
        else:
            known.pop(name, None)

    async def written(self, table: str) -> set[str]:
        """The names of all records of *table*, which nobody else writes."""
        return set(await self._known(table))

    async def forget(self, table: str, name: str) -> None:
        """Delete a record that another role wrote."""
        if self.reported(table, name) is not None:
            await projection.write(self._server, table, name, None)

    async def erase(self, keys: Collection[str]) -> None:
        """Delete what another role kept for an object that is gone."""
        await self._server.unlink(*keys)

    def begin_anew(self) -> None:
        """Know nothing of what is written any more: another process may have been at it."""
        self._written.clear()

    def reported(self, table: str, name: str) -> Record | None:
        """A record that another role wrote; None when there is none."""
        return self._follower.table(table).get(name)

    async def _known(self, table: str) -> dict[str, bytes]:
        async with self._loading:
            if table not in self._written:
                records = await projection.read(self._server, table)
                self._written[table] = {name: _digest(record) for name, record in records.items()}
            return self._written[table]

    def _reported(self, table: str, name: str, _record: Record | None) -> None:
        for kind in self._kinds[table]:
            found = kind.object_of(name)
            if found is not None:
                self._on_report(Key(kind.resource_name, *found))


def _digest(record: Mapping[str, Any]) -> bytes:
    """What to know a record by: a thousand revisions' own text would be a megabyte."""
    return hashlib.blake2b(orjson.dumps(record, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()
