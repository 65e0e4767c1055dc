"""
The objects of one kind in one namespace (or in all), followed: a list, then a watch, for ever.

    first run             list: who is there is written down, and nothing is told (as in Knative)
    a later one           watch from where the last one stopped
    the server has        list again, and compare with what was written down: what came is added, what has
    forgotten since       another resourceVersion is updated, what is gone is deleted
    (410)

A server keeps changes for minutes (etcd is compacted every five; a server that restarts keeps none), so after
an outage the comparison is what makes it whole: an object that changed several times meanwhile is told once,
as it is now; one that came and went is not told; of one that is gone the outline is told, which is all that
was written down. Changes are written down once they have been taken, in the order in which they came: a
crash repeats at most those that were on the way together.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

import orjson

from eventing.control.resource import Resource, meta, name, namespace, resource_version, uid
from sources.apiserver.event import ADD, DELETE, UPDATE, Change, outline
from sources.apiserver.server import Expired, Object, Server
from sources.ledger import Ledger

_PAGE_OBJECTS = 100
_LEAST_WATCH_S = 1.0
# Changes that are on the way together: what a crash may repeat.
WINDOW = 64
# The place of a page that was begun and not read: whatever there is is new.
EMPTY = "-"
_CHANGES = {"ADDED": ADD, "MODIFIED": UPDATE, "DELETED": DELETE}

Take = Callable[[Sequence[Change]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where objects are."""

    server: str  # which one, in the ledger: versions and uids are its own
    path: str
    api_version: str
    kind: str
    selector: str  # of labels, in one line

    @property
    def page(self) -> str:
        """Its page in the ledger."""
        return f"{self.server}{self.path}?{self.selector}".replace(" ", "+")


class Collection:
    """One followed place; *take* returns once changes are where they should be."""

    def __init__(self, server: Server, ledger: Ledger, place: Place, take: Take) -> None:
        """Nothing is read yet."""
        self._server = server
        self._ledger = ledger
        self._place = place
        self._take = take

    def __repr__(self) -> str:
        """What it follows."""
        return f"<Collection {self._place.page}>"

    async def start(self, place: str | None) -> str:
        """The version to follow from; *place* is the page's, None if there is no such page."""
        if place is None:
            return await self._begin()
        return await self.catch_up() if place == EMPTY or await self._is_behind(place) else place

    async def follow(self, version: str, on_watching: Callable[[], None]) -> None:
        """
        Take changes from *version* on, until cancelled, or NotReady is raised.

        *on_watching* is called whenever a watch has been established.
        """
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            try:
                version = await self._watch(version, on_watching)
            except Expired:
                version = await self.catch_up()
            # A server, or a proxy before it, that ends every watch at once is not asked without end.
            await asyncio.sleep(max(0.0, begun + _LEAST_WATCH_S - loop.time()))

    async def outlines(self) -> list[Resource]:
        """Outlines of the objects that were written down."""
        entries = await self._ledger.entries(self._place.page)
        return [orjson.loads(entry) for entry in entries.values()]

    async def catch_up(self) -> str:
        """List, take what differs from what was written down, and return the list's version."""
        known = await self._ledger.entries(self._place.page)
        names = {_where(found): uid(found) for found in map(orjson.loads, known.values())}
        version = ""
        async for version, objects in self._pages():  # noqa: B007  the last page's, which is that of all
            await self._take_all(_differences(objects, known, names))
        await self._take_all(Change(DELETE, orjson.loads(entry)) for entry in known.values())
        await self._ledger.write(self._place.page, {}, version)
        return version

    async def _is_behind(self, place: str) -> bool:
        """
        Whether the server has not come to *place* yet: its data was restored from a copy, or it is another.

        A watch from there would wait without a word. Versions are numbers that grow (Kubernetes 1.35).
        """
        found = await self._server.get(self._place.path, limit="1", labelSelector=self._place.selector)
        version = str(meta(found)["resourceVersion"])
        return place.isdigit() and version.isdigit() and int(place) > int(version)

    async def _begin(self) -> str:
        """Write down who is there; a crash in between begins again."""
        page, version = self._place.page, ""
        await self._ledger.forget(page)
        async for version, objects in self._pages():  # noqa: B007  likewise
            await self._ledger.write(page, {uid(found): _entry(found) for found in objects})
        await self._ledger.write(page, {}, version)
        return version

    async def _watch(self, version: str, on_watching: Callable[[], None]) -> str:
        """One watch, from *version* to the version that it came to."""
        lines = self._server.watch(self._place.path, resourceVersion=version,
                                   labelSelector=self._place.selector)
        async for events in lines:
            if not events:
                on_watching()
            for first in range(0, len(events), WINDOW):
                version = await self._take_events(events[first:first + WINDOW])
        return version

    async def _take_events(self, events: Sequence[Object]) -> str:
        changes = [Change(_CHANGES[event["type"]], event["object"]) for event in events
                   if event["type"] in _CHANGES]
        version = resource_version(events[-1]["object"])
        await self._take_and_write(changes, version)
        return version

    async def _take_all(self, changes: Iterable[Change]) -> None:
        """Take changes of a comparison: the page's place stays until all of them are taken."""
        window: list[Change] = []
        for change in changes:
            window.append(change)
            if len(window) == WINDOW:
                await self._take_and_write(window)
                window = []
        await self._take_and_write(window)

    async def _take_and_write(self, changes: Sequence[Change], version: str | None = None) -> None:
        if changes:
            await self._take(changes)
        if changes or version is not None:
            entries = {uid(change.found): None if change.what == DELETE else _entry(change.found)
                       for change in changes}
            await self._ledger.write(self._place.page, entries, version)

    async def _pages(self) -> AsyncIterator[tuple[str, list[Resource]]]:
        """All objects in pages, each with the version of the whole list."""
        query = {"limit": str(_PAGE_OBJECTS), "labelSelector": self._place.selector}
        while True:
            found = await self._server.get(self._place.path, **query)
            of_list = meta(found)
            # The items of a list do not repeat what the list says of all of them.
            says = {"apiVersion": self._place.api_version, "kind": self._place.kind}
            yield str(of_list["resourceVersion"]), [says | item for item in found.get("items") or ()]
            if not of_list.get("continue"):
                return
            query["continue"] = of_list["continue"]


def _differences(objects: Iterable[Resource], known: dict[str, bytes],
                 names: dict[tuple[str, str], str]) -> Iterable[Change]:
    """What is new or changed in *objects*; takes each out of *known*, where what is gone stays."""
    for found in objects:
        former = names.get(_where(found))
        if former not in (None, uid(found)) and former in known:
            yield Change(DELETE, orjson.loads(known.pop(former)))  # another object of the same name
        entry = known.pop(uid(found), None)
        if entry is None:
            yield Change(ADD, found)
        elif resource_version(orjson.loads(entry)) != resource_version(found):
            yield Change(UPDATE, found)


def _where(found: Resource) -> tuple[str, str]:
    return namespace(found), name(found)


def _entry(found: Resource) -> bytes:
    return orjson.dumps(outline(found))
