"""
Watches: one JSON object a line, from a resourceVersion on, for as long as the client stays.

| resourceVersion | what comes |
|---|---|
| none or 0 | an ADDED for every object there is, then what changes |
| N | everything that changed after N, from the log; 410 when the log does not reach back that far |
| any, with sendInitialEvents | as with none, and a bookmark between the two (kubectl 1.36 lists so) |

A change of labels can bring an object into a selection or take it out: the watch then hears ADDED or DELETED.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import orjson

from eventing.control import selector
from eventing.control.api.options import Options
from eventing.control.api.path import Target
from eventing.control.failure import Failure
from eventing.control.resource import Resource, labels
from eventing.control.store import ADDED, DELETED, Change, Store
from eventing.control.watching import Watch

# Kubernetes sends one about every minute.
_BOOKMARK_S = 60.0
_BOOKMARK = "BOOKMARK"
_INITIAL_END = {"k8s.io/initial-events-end": "true"}

Shape = Callable[[Resource], Any]  # an object as the client asked to see it: itself, or a table of one row


class Selection:
    """Which changes a watch shows, and as what."""

    def __init__(self, store: Store, target: Target, options: Options) -> None:
        """Compile the selectors; SelectorInvalid when they do not parse."""
        self._store = store
        self._target = target
        self._resource_name = target.kind.stored.resource_name
        self._passes_labels = selector.labels(options.labels)
        self._passes_fields = selector.fields(options.fields)

    def seen(self, change: Change) -> tuple[str, Resource] | None:
        """ADDED, MODIFIED or DELETED as this watch sees it, and what; None where it is not its business."""
        key, target = change.key, self._target
        if key.resource_name != self._resource_name or target.namespace not in ("", key.namespace):
            return None
        found = self._store.shown(target.kind, change.resource())
        if target.name not in ("", key.name) or not self._passes_fields(found):
            return None
        type_ = self._type_of(change, found)
        return None if type_ is None else (type_, found)

    def _type_of(self, change: Change, found: Resource) -> str | None:
        is_in = self._passes_labels(labels(found))
        was_in = is_in if change.labels_before is None else self._passes_labels(self._before(change))
        if change.type == DELETED or (was_in and not is_in):
            return DELETED if was_in else None
        if not is_in:
            return None
        return change.type if was_in else ADDED

    def _before(self, change: Change) -> Mapping[str, str]:
        """The labels that the object had, as this watch sees them."""
        before = change.resource()
        before["metadata"]["labels"] = dict(change.labels_before or {})
        return labels(self._store.shown(self._target.kind, before))

    def bookmark(self, version: int, **annotations: str) -> Resource:
        """An object that says nothing but how far the watch is."""
        kind = self._target.kind
        noted = {"annotations": annotations} if annotations else {}
        return {"kind": kind.kind, "apiVersion": kind.api_version,
                "metadata": {"resourceVersion": str(version), "creationTimestamp": None, **noted}}


def existing(store: Store, target: Target, options: Options) -> list[Resource]:
    """What a watch without a version starts with."""
    found = store.list(target.kind, target.namespace, labels=options.labels, fields=options.fields)
    return [one for one in found if target.name in ("", one["metadata"]["name"])]


async def lines(store: Store, target: Target, options: Options, shape: Shape) -> AsyncIterator[bytes]:
    """
    The lines of one watch.

    The first item is always empty: once it has come the watch is established, and what is wrong with the
    request (410, a bad selector) has been raised. Later trouble becomes an ERROR line.
    """
    selection = Selection(store, target, options)
    with store.watching() as watch:
        last = 0 if options.wants_initial else int(options.resource_version or 0)
        is_anew = not last
        if last:
            replayed = [change async for change in store.since(last)]
        else:
            last, replayed = store.version, []
            initial = existing(store, target, options)
        yield b""
        if is_anew:
            for found in initial:
                yield _line(ADDED, shape(found))
        if options.wants_initial:
            yield _line(_BOOKMARK, selection.bookmark(last, **_INITIAL_END))
        try:
            async for type_, found in _follow(watch, selection, options, last, replayed):
                yield _line(type_, found if type_ == _BOOKMARK else shape(found))
        except Failure as failed:
            yield _line("ERROR", failed.as_status())


async def _follow(watch: Watch, selection: Selection, options: Options, last: int,
                  changes: list[Change]) -> AsyncIterator[tuple[str, Resource]]:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + options.timeout_s
    bookmark_at = loop.time() + _BOOKMARK_S if options.wants_bookmarks else deadline
    while True:
        for change in changes:
            if change.version <= last:
                continue  # replayed from the log already
            last = change.version
            found = selection.seen(change)
            if found is not None:
                yield found
        now = loop.time()
        if options.wants_bookmarks and (now >= bookmark_at or now >= deadline):
            bookmark_at = now + _BOOKMARK_S
            yield _BOOKMARK, selection.bookmark(last)
        if now >= deadline or (watch.is_over and not changes):
            return
        changes = await watch.next(max(0.0, min(bookmark_at, deadline) - now))


def _line(type_: str, found: Any) -> bytes:
    return orjson.dumps({"type": type_, "object": found}, option=orjson.OPT_APPEND_NEWLINE)
