"""
ApiServerSource's coroutine: every collection that its spec names, followed side by side.

A source watches its own namespace, or those that `namespaceSelector` picks. Namespaces are followed as any
other objects: one that comes into the selection while the source exists brings its objects as added, one that
leaves it has its last changes told first. A change is written down in the ledger once its event has been
accepted, or given up; see collection.py for what a restart repeats.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from eventing.broker import filters
from eventing.broker.subject import Subject
from eventing.control import selector
from eventing.control.resource import name
from eventing.event import Event
from eventing.projection import Record
from sources.apiserver import kubeconfig, resources
from sources.apiserver.collection import EMPTY, Collection, Place
from sources.apiserver.event import ADD, DELETE, UPDATE, Change, is_owned_by, to_event, types
from sources.apiserver.kubeconfig import Access
from sources.apiserver.resources import Watched
from sources.apiserver.server import Server
from sources.source import Emit, NotReady, Refused, secrets_of, source, spec_of

IN_CLUSTER = "in-cluster"

_OURS = "clarion"  # our own control API, whatever its port
_EVERYWHERE = ""  # as Kubernetes says all namespaces


@source("ApiServerSource")
async def apiserver(record: Record, emit: Emit) -> None:
    """Tell changes of objects, until cancelled; raises NotReady with the reason."""
    access = await asyncio.to_thread(_access, record)
    try:
        # In a task of its own: on Python 3.11 a TaskGroup that fails leaves its task marked as cancelled
        # (mended in 3.13), and the caller's task, which runs this again, would take that for its end.
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(Watcher(Server(access), record, emit).run())
    except ExceptionGroup as group:
        raise _first(group) from group


def _access(record: Record) -> Access:
    """Which server, as the object's annotations say; our own if they say nothing."""
    told, context = record["kubeconfig"], record["context"]
    if "kubeconfig" in secrets_of(record):
        return kubeconfig.of(secrets_of(record)["kubeconfig"], context)
    if told == IN_CLUSTER:
        return kubeconfig.of_pod(kubeconfig.POD_DIRECTORY, os.environ)
    if not told:
        return Access(server=record["api"])
    path = Path(told).expanduser()
    return kubeconfig.of(kubeconfig.read(path, "the kubeconfig"), context, path.parent)


def _first(group: ExceptionGroup[Exception]) -> Exception:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error


class Watcher:
    """One source at work."""

    def __init__(self, server: Server, record: Record, emit: Emit) -> None:
        """Nothing is asked yet. Raises NotReady for filters that do not compile."""
        spec = spec_of(record)
        self._server = server
        self._home = server.url if record["kubeconfig"] or secrets_of(record) else _OURS
        self._emit = emit
        self._record = record
        self._mode: str = spec["mode"]
        self._owner = spec.get("owner")
        given = spec.get("namespaceSelector")
        self._selector = None if given is None else selector.text(given)  # "" picks all namespaces
        self._passes = _compiled(spec.get("filters") or [])
        self._places: dict[str, str] = {}
        self._tasks = asyncio.TaskGroup()
        self._running: dict[str, list[asyncio.Task[None]]] = {}  # by namespace
        self._pending: set[str] = set()  # pages whose first watch is not established yet
        self._resources: list[Watched] = []

    def __repr__(self) -> str:
        """Counts."""
        return f"<Watcher of {self._server.url} [{len(self._running)} namespaces]>"

    async def run(self) -> None:
        """Follow everything, for ever."""
        self._resources = await resources.discover(self._server, spec_of(self._record)["resources"])
        self._places = await self._emit.ledger.places()
        if self._selector:
            await self._run_selected()
            return
        namespace = self._record["namespace"] if self._selector is None else _EVERYWHERE
        await self._check_access([namespace])
        await self._forget_others({self._place(each, namespace).page for each in self._resources})
        async with self._tasks:
            self._watch(namespace, self._resources)

    async def _run_selected(self) -> None:
        """Follow the namespaces, and what is in them."""
        # A page of its own: the source may watch Namespaces too.
        place = Place(f"{self._home}#", "/api/v1/namespaces", "v1", "Namespace", self._selector or "")
        namespaces = Collection(self._server, self._emit.ledger, place, self._on_namespaces)
        elsewhere = [each for each in self._resources if not each.is_namespaced]
        async with self._tasks:
            version = await namespaces.start(self._places.get(place.page))
            found = [entry["metadata"]["name"] for entry in await namespaces.outlines()]
            await self._check_access(found)
            self._pending.add(place.page)
            await self._forget_others({place.page} | {
                self._place(each, namespace).page for each in self._resources
                for namespace in (found if each.is_namespaced else (_EVERYWHERE,))})
            self._watch(_EVERYWHERE, elsewhere)
            for namespace in found:
                self._watch(namespace, self._inside())
            await namespaces.follow(version, partial(self._on_watching, place.page))

    def _inside(self) -> list[Watched]:
        return [each for each in self._resources if each.is_namespaced]

    async def _check_access(self, namespaces: Sequence[str]) -> None:
        if not self._record["skips_permissions_check"]:
            await resources.check_access(self._server, self._resources, namespaces)

    async def _forget_others(self, pages: set[str]) -> None:
        """Drop what an earlier spec watched, so that it begins anew if it comes back."""
        for page in self._places.keys() - pages:
            await self._emit.ledger.forget(page)

    def _place(self, watched: Watched, namespace: str) -> Place:
        return Place(self._home, watched.path(namespace), watched.api_version, watched.kind, watched.selector)

    def _collection(self, watched: Watched, namespace: str) -> Collection:
        return Collection(self._server, self._emit.ledger, self._place(watched, namespace),
                          partial(self._pass_on, watched.plural))

    def _watch(self, namespace: str, watched: Sequence[Watched]) -> None:
        """Follow resources in a namespace, each in a task."""
        self._running[namespace] = [self._tasks.create_task(self._follow(each, namespace))
                                    for each in watched]
        self._pending.update(self._place(each, namespace).page for each in watched)

    async def _follow(self, watched: Watched, namespace: str) -> None:
        collection, page = self._collection(watched, namespace), self._place(watched, namespace).page
        version = await collection.start(self._places.get(page))
        await collection.follow(version, partial(self._on_watching, page))

    def _on_watching(self, page: str) -> None:
        self._pending.discard(page)
        self._report()

    def _report(self) -> None:
        """Say what the object's status shows, once everything is watched."""
        if self._pending:
            return
        watched = sorted(self._running.keys() - {_EVERYWHERE}) if self._selector else list(self._running)
        self._emit.ready({
            "namespaces": watched,
            "ceAttributes": [{"type": type_, "source": self._server.url} for type_ in types(self._mode)]})

    async def _on_namespaces(self, changes: Sequence[Change]) -> None:
        """Namespaces came into the selection, or left it."""
        for change in changes:
            namespace = name(change.found)
            if change.what in (ADD, UPDATE) and namespace not in self._running:
                await self._enter(namespace)
            elif change.what == DELETE and namespace in self._running:
                await self._leave(namespace)
        self._report()

    async def _enter(self, namespace: str) -> None:
        """Whatever is in the namespace is new; its pages say so before it is written down itself."""
        for each in self._inside():
            page = self._place(each, namespace).page
            if page not in self._places:
                await self._emit.ledger.write(page, {}, EMPTY)
                self._places[page] = EMPTY
        self._watch(namespace, self._inside())

    async def _leave(self, namespace: str) -> None:
        tasks = self._running.pop(namespace)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for each in self._inside():
            page = self._place(each, namespace).page
            await self._collection(each, namespace).catch_up()
            await self._emit.ledger.forget(page)
            self._places.pop(page, None)
            self._pending.discard(page)

    async def _pass_on(self, plural: str, changes: Sequence[Change]) -> None:
        """Return once every change has been accepted by the sink, or given up."""
        events = [event for change in changes if is_owned_by(change.found, self._owner)
                  if self._passes(event := to_event(change, mode=self._mode, source=self._server.url,
                                                    plural=plural))]
        while events:
            accepted = await self._emit.in_order(events) if len(events) > 1 else 0
            if not accepted:
                await self._send(events[0])
            events = events[accepted or 1:]

    async def _send(self, event: Event) -> None:
        try:
            await self._emit(event)
        except Refused as refused:
            await self._emit.give_up(event, refused)


def _compiled(wanted: list[Any]) -> Callable[[Event], bool]:
    """The predicate of `spec.filters`. Raises NotReady."""
    try:
        passes = filters.everything_of(filters.compile_many(wanted, "spec.filters"))
    except filters.FilterInvalid as error:
        raise NotReady("FilterInvalid", str(error)) from error
    return lambda event: passes(Subject(event.attributes, event.data))
