"""
Resources in Redis: one hash of objects, one counter, one log of changes; keys in eventing/keys.py.

Every write is one server-side script: it checks the version that the writer had read, takes the next number
of the one counter, stores the object and logs the change. So resourceVersion is global, strictly increasing
and without gaps, and the log tells from its oldest entry whether a watch can be resumed. Reads are answered
from a mirror in memory that follows the log; a process sees its own writes at once.

This module does not know what a valid object is, who may change what, or what a kind does.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import orjson
import redis.asyncio
import redis.exceptions
import structlog

from eventing import keys
from eventing.control import failure, selector
from eventing.control.kind import Kind
from eventing.control.mirror import ADDED, DELETED, MODIFIED, Change, Key, Mirror, dump
from eventing.control.resource import Resource, Resources, labels, name, namespace, resource_version
from eventing.control.watching import Watch
from eventing.errors import ClarionError

__all__ = ["ADDED", "DELETED", "MODIFIED", "Change", "Key", "Store", "StoreLost", "key_of"]

log = structlog.get_logger(__name__)

# How many changes a watch can be late: 4,096 objects of 1.5 KiB are 6 MB. Kubernetes keeps 5 minutes' worth.
LOG_ENTRIES = 4096

# One call a second costs 0.04 % of a core. Below redis-py's socket timeout of 5 s, which would end the read
# as an error.
_BLOCK_MS = 1000
_RECONNECT_S = 0.2  # Valkey restarts in about 50 ms; five tries a second cost nothing
_READ_AT_ONCE = 256  # entries; 400 kB at a time, and the loop stays free
_SCAN_AT_ONCE = 500  # objects a step of the first load

_AWAY = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError)
# One that becomes a replica ends every read that waits, and is asked again as one that is away.
_REFUSED = redis.exceptions.ResponseError


_Logged = tuple[bytes, dict[bytes, bytes]]  # one entry of the log as Redis gives it: id and fields
_Streams = list[tuple[bytes, list[_Logged]]]


class StoreLost(ClarionError):
    """Redis came back with less than it had acknowledged; only a fresh start sees what is left."""


def key_of(kind: Kind, resource: Resource) -> Key:
    """Key of a resource of that kind."""
    return Key(kind.resource_name, namespace(resource) if kind.namespaced else "", name(resource))


class Store:
    """All resources of one Redis, as one process sees them."""

    def __init__(self, server: redis.asyncio.Redis) -> None:
        """Use *server*; nothing is read before `load`."""
        self._server = server
        self._write = server.register_script((Path(__file__).parent / "scripts" / "write.lua").read_text())
        self.mirror = Mirror()
        self.loaded = asyncio.Event()
        self._told = 0  # the last version that watchers were told about
        self._watches: set[Watch] = set()
        self._listeners: list[Callable[[Change], None]] = []

    def __repr__(self) -> str:
        """What is held and who watches."""
        return f"<Store {self.mirror!r} [{len(self._watches)} watches]>"

    # Reads.

    @property
    def version(self) -> int:
        """The resourceVersion up to which reads are complete."""
        return self.mirror.version

    def get(self, kind: Kind, namespace_: str, name_: str) -> Resource | None:
        """A copy of one object, or None."""
        found = self.mirror.get(Key(kind.stored.resource_name, namespace_ if kind.namespaced else "", name_))
        return None if found is None else self.shown(kind, found)

    def shown(self, kind: Kind, found: Resource) -> Resource:
        """What an object that is stored looks like to whoever asked for *kind*."""
        return found if kind.view is None else kind.view.show(found, self.config)

    def select(self, kind: Kind, namespace_: str | None, passes: Callable[[Mapping[str, str]], bool],
               after: tuple[str, str] = ("", "")) -> Iterator[Resource]:
        """Copies of the objects whose labels pass, by namespace and name, those after *after*."""
        if kind.view is None:
            yield from self.mirror.select(kind.resource_name, namespace_, passes, after)
            return
        for found in self.mirror.select(kind.stored.resource_name, namespace_, lambda _: True, after):
            shown = self.shown(kind, found)
            if passes(labels(shown)):
                yield shown

    def list(self, kind: Kind, namespace_: str | None = None, *, labels: str | None = None,
             fields: str | None = None) -> Resources:
        """Copies of the objects that both selectors pass, by namespace and name."""
        passes = selector.fields(fields)
        found = self.select(kind, namespace_ or None, selector.labels(labels))
        return [resource for resource in found if passes(resource)]

    def config(self, namespace_: str, name_: str) -> Mapping[str, str]:
        """Data of a ConfigMap; empty when absent."""
        found = self.mirror.get(Key("configmaps", namespace_, name_))
        return (found or {}).get("data") or {}

    # Writes.

    async def put(self, kind: Kind, new: Resource, old: Resource | None, *,
                  needs: Key | None = None) -> Resource:
        """
        Store *new* if the stored version is still *old*'s (None: there is none); returns it with its version.

        Raises Failure: 409 Conflict or AlreadyExists; 404 when object *needs* does not exist.
        """
        raw = dump(new)
        before = labels(old) if old is not None and labels(old) != labels(new) else None
        type_ = MODIFIED if old is not None else ADDED
        return await self._change(kind, Change(type_, key_of(kind, new), 0, raw, before), old, needs)

    async def remove(self, kind: Kind, old: Resource) -> Resource:
        """Delete *old* if it is still the stored version; returns it with the deletion's. Raises 409."""
        return await self._change(kind, Change(DELETED, key_of(kind, old), 0, dump(old)), old, None)

    async def _change(self, kind: Kind, wish: Change, old: Resource | None, needs: Key | None) -> Resource:
        before = b"" if wish.labels_before is None else orjson.dumps(wish.labels_before)
        done, version = await self._write(
            keys=[keys.OBJECTS, keys.OBJECT_VERSION, keys.OBJECT_LOG],
            args=[keys.object_field(*wish.key), resource_version(old) if old is not None else "0", wish.raw,
                  wish.type, before, LOG_ENTRIES, keys.object_field(*needs) if needs else ""])
        if done < 0 and needs is not None:
            raise failure.Failure(404, "NotFound", f'{needs.resource_name} "{needs.name}" not found',
                                  {"name": needs.name, "kind": needs.resource_name})
        if not done:
            raise self._refusal(kind, wish.key.name, old, version)
        change = Change(wish.type, wish.key, version, wish.raw, wish.labels_before)
        self.mirror.apply(change)
        return change.resource()

    def _refusal(self, kind: Kind, name_: str, old: Resource | None, stored: int) -> failure.Failure:
        if old is None:
            return failure.already_exists(kind, name_)
        return failure.conflict(kind, name_) if stored else failure.not_found(kind, name_)

    # Following.

    def listen(self, listener: Callable[[Change], None]) -> None:
        """Call *listener* with every change from now on; it must be quick and not raise."""
        self._listeners.append(listener)

    @contextmanager
    def watching(self) -> Iterator[Watch]:
        """A Watch that gets every change from now on."""
        watch = Watch()
        self._watches.add(watch)
        try:
            yield watch
        finally:
            self._watches.discard(watch)

    async def since(self, version: int) -> AsyncIterator[Change]:
        """Logged changes after *version*, to the log's end; Failure 410 when some are not kept any more."""
        newest = int(await self._server.get(keys.OBJECT_VERSION) or 0)
        if version > newest:
            raise failure.expired(version, newest)  # a version of another life of this store
        last = version
        while True:
            answer = await self._server.xrange(keys.OBJECT_LOG, f"({last}-0", "+", count=_READ_AT_ONCE)
            entries = cast("list[_Logged]", answer)
            if not entries:
                if last < newest:
                    raise failure.expired(version, newest)
                return
            for change in map(_parsed, entries):
                if change.version != last + 1:
                    raise failure.expired(version, change.version)
                last = change.version
                yield change

    def end_watches(self) -> None:
        """End all watches, so that a server can stop."""
        for watch in self._watches:
            watch.end()

    async def load(self) -> None:
        """Read everything there is; changes meanwhile are read again from the log by `run`."""
        version = int(await self._server.get(keys.OBJECT_VERSION) or 0)
        async for field, value in self._server.hscan_iter(keys.OBJECTS, count=_SCAN_AT_ONCE):
            number, _, raw = value.partition(b" ")
            self.mirror.apply(Change(ADDED, Key(*keys.object_parts(field.decode())), int(number), raw))
        self.mirror.start(version)
        self._told = version
        self.loaded.set()

    async def run(self) -> None:
        """Load, then follow the log until cancelled; survives a Redis that goes away and comes back."""
        told = ""
        while True:
            try:
                if self.loaded.is_set():
                    await self._check_survived()
                else:
                    await self.load()
                while True:
                    await self._follow()
            except _AWAY:
                told = ""
            except _REFUSED as error:
                if str(error) != told:
                    log.warning("the store refuses; it is asked again", error=str(error))
                    told = str(error)
            await asyncio.sleep(_RECONNECT_S)

    async def _check_survived(self) -> None:
        version = int(await self._server.get(keys.OBJECT_VERSION) or 0)
        if version < self.version:
            raise StoreLost(f"Redis is at version {version}, but had acknowledged {self.version}")

    async def _follow(self) -> None:
        answer = await self._server.xread({keys.OBJECT_LOG: f"{self._told}-0"}, count=_READ_AT_ONCE,
                                          block=_BLOCK_MS)
        for _, entries in cast("_Streams", answer or ()):
            for change in map(_parsed, entries):
                self._tell(change)

    def _tell(self, change: Change) -> None:
        if change.version != self._told + 1:
            raise StoreLost(f"the log goes on at {change.version} after {self._told}: read everything again")
        self._told = change.version
        self.mirror.apply(change)
        for listener in self._listeners:
            listener(change)
        for watch in tuple(self._watches):
            watch.offer(change)


def _parsed(entry: _Logged) -> Change:
    id_, fields = entry
    before = fields[b"l"]
    return Change(fields[b"t"].decode(), Key(*keys.object_parts(fields[b"f"].decode())),
                  int(id_.partition(b"-")[0]), fields[b"o"], orjson.loads(before) if before else None)
