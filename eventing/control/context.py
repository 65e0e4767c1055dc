"""
What a reconciler may use: the objects, the projections, the clock it was given, and ways to be asked again.

One Context is made for one reconciliation of one object and dies with it. It remembers what was tracked
and when to come back; the loop in reconcile.py acts on that afterwards.
"""

from collections.abc import Callable, Mapping
from typing import Any

from eventing.config import Config
from eventing.control import address, resource
from eventing.control.kind import Kind, named, of
from eventing.control.objects import Objects
from eventing.control.reports import Reports
from eventing.control.resource import Resource, Resources
from eventing.control.store import Key, Store
from eventing.projection import Record


class NotYet(Exception):
    """Raised by a reconciler or finalizer that waits for something; asked again without back-off."""

    def __init__(self, after_s: float) -> None:
        """Come back in *after_s* seconds, or when something it tracks changes."""
        super().__init__(f"not yet; again in {after_s} s")
        self.after_s = after_s


class Context:
    """The surroundings of one reconciliation."""

    def __init__(self, *, config: Config, objects: Objects, reports: Reports, now: float,
                 on_track: Callable[[Key], None]) -> None:
        """Look at the world at *now*, a Unix time."""
        self.config = config
        self.objects = objects
        self.now = now
        self.tracked: set[Key] = set()
        self.requeue_after_s: float | None = None
        self._reports = reports
        self._on_track = on_track

    @property
    def store(self) -> Store:
        """All resources; read only: changes go through `apply`, `update` and `delete`."""
        return self.objects.store

    async def get(self, kind: Kind | str, namespace: str, name: str) -> Resource | None:
        """A copy of one object, or None. *kind* may be a name: `Broker.eventing.knative.dev`, `ConfigMap`."""
        return self.store.get(_kind(kind), namespace, name)

    async def list(self, kind: Kind | str, namespace: str | None = None,
                   label_selector: str | None = None) -> Resources:
        """Copies of all objects of a kind, in one namespace or in all, that a selector (`a=b,c!=d`) picks."""
        return self.store.list(_kind(kind), namespace, labels=label_selector)

    async def apply(self, child: Resource, owner: Resource) -> Resource:
        """
        Create *child*, or bring it back to what is said here, with *owner* as its controller.

        Fields that *child* names are overwritten where they drifted, labels and annotations it does not name
        are dropped; its status is left alone. Raises NotOwned when an object of that name belongs to another.
        """
        return await self.objects.apply(child, owner)

    async def update(self, changed: Resource) -> Resource:
        """Store *changed*, read before by `get`; Failure 409 when somebody was faster (let it out)."""
        return await self.objects.update(changed)

    async def delete(self, kind: Kind | str, namespace: str, name: str) -> None:
        """Delete one object; nothing happens if it is gone already."""
        await self.objects.discard(_kind(kind), namespace, name)

    async def project(self, table: str, name: str, record: Mapping[str, Any] | None) -> None:
        """Write a projection (None deletes it); no write at all when it is there already."""
        await self._reports.write(table, name, record)

    async def written(self, table: str, prefix: str) -> set[str]:
        """The names that begin with *prefix* of what `project` has written into *table*."""
        return {name for name in await self._reports.written(table) if name.startswith(prefix)}

    def projected(self, table: str, name: str) -> Record | None:
        """What another role reported in a table that some kind `reports`."""
        return self._reports.reported(table, name)

    async def forget(self, table: str, name: str) -> None:
        """Delete what another role reported, once it has been acted on; nothing happens if it is gone."""
        await self._reports.forget(table, name)

    async def erase(self, *keys: str) -> None:
        """Delete keys in which another role keeps something for this object."""
        await self._reports.erase(keys)

    async def resolve(self, destination: Mapping[str, Any], namespace: str) -> str:
        """
        The URL of a Destination; tracks what it refers to, so that a change there reconciles this object.

        Raises address.Unresolved(reason, message); the object is asked again when the target changes.
        """
        target = address.reference_of(destination, namespace)
        if target is not None:
            kind = of(target.api_version, target.kind)
            if kind is not None:
                self.track(kind, target.namespace, target.name)
        return address.resolve(destination, namespace, self.store.get)

    def config_data(self, namespace: str, name: str) -> Mapping[str, str]:
        """Data of a ConfigMap, empty when absent; tracked."""
        self.track("ConfigMap", namespace, name)
        return self.store.config(namespace, name)

    def track(self, kind: Kind | str, namespace: str, name: str) -> None:
        """Reconcile this object again whenever that one appears, changes or goes."""
        target = Key(_kind(kind).resource_name, namespace, name)
        self.tracked.add(target)
        self._on_track(target)

    def requeue(self, after_s: float) -> None:
        """Reconcile this object again in *after_s* seconds; the earliest wish wins."""
        self.requeue_after_s = after_s if self.requeue_after_s is None else min(after_s, self.requeue_after_s)

    async def event(self, about: Resource, type_: str, reason: str, message: str) -> None:
        """Record a core/v1 Event (*type_*: Normal or Warning); a repeated one is counted, not added."""
        await self.objects.record_event(resource.reference(about), type_, reason, message)


def _kind(kind: Kind | str) -> Kind:
    if isinstance(kind, Kind):
        return kind
    found = named(kind)
    if found is None:
        raise LookupError(f"no kind is called {kind!r}: say Kind.group, as in Broker.eventing.knative.dev")
    return found
