"""
The loop that makes the world like the objects.

Level-triggered: a key is all that is queued, and whoever takes it looks at what is stored now. One object is
reconciled by one task at a time, different ones at once. An object is queued

1. at the start, once;
2. when it changes, unless that was our own write of its status;
3. when a child of its own changes or goes (ownerReferences), or its owner goes;
4. when something it tracks appears, changes or goes (`Context.track`, `Context.resolve`);
5. when another role reports on it (`Kind.reports`);
6. when it asked to be (`Context.requeue`), or later and later after it failed.

Status is written only when it differs, together with observedGeneration, so a world at rest writes nothing.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from functools import partial

import redis.asyncio
import redis.exceptions
import structlog

from eventing.config import Config
from eventing.control import garbage, occurrence, resource
from eventing.control.context import Context, NotYet
from eventing.control.failure import Failure
from eventing.control.kind import Kind, every, named
from eventing.control.lifecycle import with_finalizer
from eventing.control.mirror import DELETED, Change, Key
from eventing.control.objects import Objects
from eventing.control.queue import Queue
from eventing.control.reports import Reports
from eventing.control.resource import Resource
from eventing.control.store import key_of

log = structlog.get_logger(__name__)

# Reconcilers wait for Redis (about 1 ms a write), not for each other; more than this only queues there.
_AT_ONCE = 32

# A reconciler that takes longer is stuck on something that it should have asked to be woken for.
_ATTEMPT_S = 30.0

_SWEEP_S = 60.0  # between two looks for Events that are past their time; reads memory only


class Reconciler:
    """Queue, trackers and tasks of all kinds that reconcile."""

    def __init__(self, *, config: Config, objects: Objects, server: redis.asyncio.Redis,
                 clock: Callable[[], float] = time.time) -> None:
        """Watch the store of *objects*; nothing runs before `run`."""
        self.queue = Queue()
        self.reports = Reports(server, self.wake)
        self._config = config
        self._objects = objects
        self._store = objects.store
        self._clock = clock
        self._kinds = {kind.resource_name: kind for kind in every() if kind.view is None}
        self._tracks: dict[Key, set[Key]] = {}  # object -> what it tracks
        self._trackers: dict[Key, set[Key]] = {}  # the same, backwards
        self._own_writes: dict[Key, int] = {}  # the version that our last status write made
        self._writing: dict[Key, set[int]] = {}  # status writes under way: versions that came meanwhile
        self._woken = asyncio.Event()
        self._running = 0
        self._store.listen(self._changed)

    def __repr__(self) -> str:
        """What is queued and tracked."""
        return f"<Reconciler {self.queue!r} [{len(self._trackers)} tracked]>"

    def wake(self, key: Key) -> None:
        """Reconcile that object soon."""
        self._ask(key, 0.0)

    async def run(self, stopping: asyncio.Event) -> None:
        """
        Reconcile everything once, then what changes; returns after *stopping* once what runs is done.

        May be cancelled, and run again later.
        """
        await self.reports.loaded.wait()
        self.reports.begin_anew()
        for key in self._store.mirror.every_key():
            self.wake(key)
        async with asyncio.TaskGroup() as tasks:
            sweeping = tasks.create_task(self._sweep())
            stop = tasks.create_task(self._wake_at_end(stopping))
            while not stopping.is_set():
                self._start_due(tasks)
                await self._wait()
            sweeping.cancel()
            stop.cancel()

    async def _wake_at_end(self, stopping: asyncio.Event) -> None:
        await stopping.wait()
        self._woken.set()

    def _start_due(self, tasks: asyncio.TaskGroup) -> None:
        now = asyncio.get_running_loop().time()
        while self._running < _AT_ONCE and (key := self.queue.take(now)) is not None:
            self._running += 1
            tasks.create_task(self._attempt(key))

    async def _wait(self) -> None:
        due = self.queue.next_due() if self._running < _AT_ONCE else None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(due):
                await self._woken.wait()
        self._woken.clear()

    def _ask(self, key: Key, after_s: float) -> None:
        self.queue.add(key, asyncio.get_running_loop().time() + after_s)
        self._woken.set()

    # What a change queues.

    def _changed(self, change: Change) -> None:
        found = change.resource()
        if change.key in self._writing:
            self._writing[change.key].add(change.version)  # ours or not? known when the write returns
        elif self._own_writes.pop(change.key, None) != change.version:
            self.wake(change.key)
        for ref in resource.owners(found):
            owner = self._store.mirror.key_of(ref["uid"])
            if owner is not None:
                self.wake(owner)
        if change.type == DELETED:
            for child in self._store.mirror.children(resource.uid(found)):
                self.wake(child)
        for tracker in self._trackers.get(change.key, ()):
            self.wake(tracker)

    def _track(self, key: Key, target: Key) -> None:
        """Wake *key* when *target* changes; at once: no change may fall between reading and remembering."""
        self._trackers.setdefault(target, set()).add(key)
        self._tracks.setdefault(key, set()).add(target)

    def _forget_all_but(self, key: Key, tracked: set[Key]) -> None:
        for target in self._tracks.pop(key, set()) - tracked:
            trackers = self._trackers[target]
            trackers.discard(key)
            if not trackers:
                del self._trackers[target]
        if tracked:
            self._tracks[key] = tracked

    # One attempt.

    async def _attempt(self, key: Key) -> None:
        context = Context(config=self._config, objects=self._objects, reports=self.reports, now=self._clock(),
                          on_track=partial(self._track, key))
        try:
            async with asyncio.timeout(_ATTEMPT_S):
                await self._reconcile(key, context)
        except asyncio.CancelledError:  # whoever reconciles next begins with everything
            self.queue.done(key)
            self._running -= 1
            raise
        except NotYet as unfinished:
            self.queue.done(key)
            self._ask(key, unfinished.after_s)
        except Exception as error:  # noqa: BLE001  whatever a reconciler does, the loop goes on
            self._failed(key, error)  # and it keeps what it tracked: it may not have come that far this time
        else:
            self._forget_all_but(key, context.tracked)
            self.queue.done(key)
            if context.requeue_after_s is not None:
                self._ask(key, context.requeue_after_s)
        self._running -= 1
        self._woken.set()

    def _failed(self, key: Key, error: Exception) -> None:
        wait_s = self.queue.failed(key, asyncio.get_running_loop().time())
        about = {**key._asdict(), "again_in_s": wait_s}
        if isinstance(error, (Failure, redis.exceptions.RedisError, OSError)):
            log.debug("reconcile_again", **about, error=repr(error))  # a race, or Redis is away: it passes
        else:
            log.warning("reconcile_failed", **about, exc_info=error)

    async def _reconcile(self, key: Key, context: Context) -> None:
        kind = self._kinds.get(key.resource_name)
        found = self._store.mirror.get(key)
        if kind is None or found is None:
            if kind is not None and kind.appear is not None:
                await kind.appear(key.namespace, key.name, context)
            return
        if garbage.is_orphaned(self._store, found) and not resource.is_deleted(found):
            await self._objects.discard(kind, key.namespace, key.name)
        elif resource.is_deleted(found):
            await self._finalize(kind, found, context)
        elif kind.reconcile is not None:
            if kind.finalize is not None and kind.finalizer not in resource.finalizers(found):
                found = await self._objects.patch(kind, key.namespace, key.name,
                                                  lambda stored: with_finalizer(kind, stored))
            new = resource.clone(found)
            try:
                await kind.reconcile(new, context)
            finally:  # what was found out is told also when reconciling failed half-way
                await self._store_status(kind, found, new)

    async def _finalize(self, kind: Kind, dying: Resource, context: Context) -> None:
        if kind.finalize is not None and kind.finalizer in resource.finalizers(dying):
            await kind.finalize(resource.clone(dying), context)
            await self._objects.finish(kind, dying, kind.finalizer)
        else:
            await garbage.collect(self._objects, kind, dying)

    async def _store_status(self, kind: Kind, found: Resource, new: Resource) -> None:
        if not kind.has_status:
            return
        status = resource.status(new)
        if "conditions" in status or "observedGeneration" in status:
            status["observedGeneration"] = resource.generation(found)
        if status == found.get("status", {}):
            return
        key = key_of(kind, found)
        came = self._writing[key] = set[int]()
        try:
            stored = await self._objects.patch_status(kind, key.namespace, key.name,
                                                      lambda _: {**found, "status": status})
            version = int(resource.resource_version(stored))
            if version not in came:
                self._own_writes[key] = version
            came.discard(version)
        finally:
            del self._writing[key]
            if came:
                self.wake(key)

    # Events are kept for an hour.

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            events = named("Event")
            if events is None:
                continue
            with contextlib.suppress(redis.exceptions.RedisError, OSError, Failure):
                for event in self._store.list(events):
                    if self._clock() - occurrence.last_seen(event) > occurrence.KEPT_S:
                        await self._objects.discard(events, resource.namespace(event), resource.name(event))
