"""
The verbs of the API on stored objects: create, update, patch, status, delete, apply.

Here meet the rules of lifecycle.py, a kind's defaults and validation, and the store's optimistic writes. The
REST API and the reconcilers both come through here, so neither can store what the other could not.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from eventing.control import failure, lifecycle, mutation, occurrence, resource
from eventing.control.admission import admit, known, stored
from eventing.control.failure import Failure
from eventing.control.kind import Defaults, Kind, named, of
from eventing.control.resource import Resource, is_deleted, meta, name, namespace
from eventing.control.store import Key, Store

log = structlog.get_logger(__name__)

# Attempts at a write without a resourceVersion before the conflict is the client's: as many as kubectl's own.
_ATTEMPTS = 5

# Namespaces that exist from the start and stay; Kubernetes says the same of the first and the last.
LASTING_NAMESPACES = ("default", "knative-eventing", "knative-serving", "kube-system")

Change = Callable[[Resource], Any]


class NotOwned(Exception):
    """An object that a reconciler wants to own belongs to somebody else; the message names both."""


class Objects:
    """Objects of all kinds, with admission."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        """Keep objects in *store*, stamped by *clock* (Unix time)."""
        self.store = store
        self._clock = clock

    def admission(self, *, is_dry_run: bool = False, unknown_fields: str = "Warn") -> Defaults:
        """What one request's admission may look at; collects its warnings."""
        return Defaults(config=self.store.config, now=self._clock(), is_dry_run=is_dry_run,
                        unknown_fields=unknown_fields)

    async def create(self, kind: Kind, namespace_: str, wish: Resource,
                     admission: Defaults | None = None) -> Resource:
        """Store a new object; Failure 400, 404 (its namespace), 403, 409 or 422."""
        admission = admission or self.admission()
        if kind.view is not None:
            wish = _taken(kind, wish, admission)
            return self.store.shown(kind, await self.create(kind.stored, namespace_, wish, admission))
        right = known(kind, lifecycle.check_shape(kind, wish), admission)
        new = lifecycle.born(kind, right, namespace=namespace_, now=admission.now)
        home = self._home(kind, namespace_, name(new))
        mutation.mutate(kind, new, self.store)
        admit(kind, new, None, admission)
        lifecycle.check(kind, new)
        if self.store.get(kind, namespace_, name(new)) is not None:
            raise failure.already_exists(kind, name(new))
        if admission.is_dry_run:
            return new
        return await self.store.put(kind, new, None, needs=home)

    def _home(self, kind: Kind, namespace_: str, name_: str) -> Key | None:
        """The namespace that a new object needs; Failure when there is none, or it is going."""
        namespaces = named("Namespace")
        if not kind.namespaced or namespaces is None:
            return None
        home = self.store.get(namespaces, "", namespace_)
        if home is None:
            raise failure.not_found(namespaces, namespace_)
        if is_deleted(home):
            why = f"unable to create new content in namespace {namespace_} because it is being terminated"
            raise failure.forbidden(kind, name_, why)
        return Key(namespaces.resource_name, "", namespace_)

    def existing(self, kind: Kind, namespace_: str, name_: str) -> Resource:
        """One object; Failure 404."""
        found = self.store.get(kind, namespace_, name_)
        if found is None:
            raise failure.not_found(kind, name_)
        return found

    async def update(self, wish: Resource, admission: Defaults | None = None) -> Resource:
        """Replace an object by *wish*; Failure 409 if it carries a version that is not the stored one."""
        kind = _kind_of(wish)
        return await self.patch(kind, namespace(wish), name(wish), lambda _: wish, admission)

    async def patch(self, kind: Kind, namespace_: str, name_: str, change: Change,
                    admission: Defaults | None = None) -> Resource:
        """Replace an object by what *change* makes of a copy of it; again when somebody else was faster."""
        admission = admission or self.admission()
        if kind.view is not None:
            through = self._through(kind, change, admission)
            changed = await self.patch(kind.stored, namespace_, name_, through, admission)
            return self.store.shown(kind, changed)

        def revise(old: Resource, wish: Resource) -> Resource:
            new = lifecycle.revised(kind, old, known(kind, wish, admission))
            mutation.mutate(kind, new, self.store)
            admit(kind, new, old, admission)
            return lifecycle.counted(kind, old, new)

        return await self._change(Key(kind.resource_name, namespace_, name_), kind, change, revise, admission)

    async def patch_status(self, kind: Kind, namespace_: str, name_: str, change: Change,
                           admission: Defaults | None = None) -> Resource:
        """Replace the status of an object by the one that *change* makes; nothing else changes."""
        admission = admission or self.admission()
        if kind.view is not None:
            changed = await self.patch_status(kind.stored, namespace_, name_,
                                              lambda old: self._with_status(kind, old, change), admission)
            return self.store.shown(kind, changed)
        key = Key(kind.resource_name, namespace_, name_)
        return await self._change(key, kind, change, lifecycle.restatused, admission)

    def _through(self, kind: Kind, change: Change, admission: Defaults) -> Change:
        """What *change*, of an object as *kind* shows it, makes of one that is stored."""
        return lambda old: _taken(kind, change(self.store.shown(kind, old)), admission)

    def _with_status(self, kind: Kind, old: Resource, change: Change) -> Resource:
        """*old*, which is stored, with metadata and status as *change* makes them of what *kind* shows."""
        wish = lifecycle.check_shape(kind, change(self.store.shown(kind, resource.clone(old))))
        spec = {key: value for key, value in old.items() if key != "status"}
        return {**spec, **{key: wish[key] for key in ("metadata", "status") if key in wish}}

    async def _change(self, key: Key, kind: Kind, change: Change,
                      revise: Callable[[Resource, Resource], Resource], admission: Defaults) -> Resource:
        name_ = key.name
        for attempt in range(1, _ATTEMPTS + 1):
            old = stored(kind, self.existing(kind, key.namespace, name_))
            wish = lifecycle.check_shape(kind, change(resource.clone(old)))
            wanted = resource.resource_version(wish)
            if wanted and wanted != resource.resource_version(old):
                raise failure.conflict(kind, name_)
            uid = resource.uid(wish)
            if uid and uid != resource.uid(old):
                raise failure.conflict(kind, name_, _precondition("UID", uid, resource.uid(old)))
            new = revise(old, wish)
            if new == old or admission.is_dry_run:
                return new
            try:
                return await self._put(kind, new, old)
            except Failure as refused:
                # The wish is made anew from what is stored now; one with a version of its own fails there.
                if refused.reason != "Conflict" or attempt == _ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

    async def _put(self, kind: Kind, new: Resource, old: Resource) -> Resource:
        if is_deleted(new) and not resource.finalizers(new):
            return await self.store.remove(kind, new)
        return await self.store.put(kind, new, old)

    async def delete(self, kind: Kind, namespace_: str, name_: str, *, propagation: str | None = None,
                     preconditions: Mapping[str, str] | None = None, is_dry_run: bool = False) -> Resource:
        """
        Delete an object, or mark it where finalizers have work to do first; returns it as it is then.

        *propagation* is Background (also None), Foreground or Orphan; *preconditions* may name `uid` and
        `resourceVersion`. Failure 404, 403 or 409.
        """
        kind = kind.stored
        if kind.full_name == "Namespace" and name_ in LASTING_NAMESPACES:
            raise failure.forbidden(kind, name_, "this namespace may not be deleted")
        for attempt in range(1, _ATTEMPTS + 1):
            old = self.existing(kind, namespace_, name_)
            _check_preconditions(kind, old, preconditions or {})
            new = lifecycle.condemned(old, propagation=propagation, now=self._clock())
            if is_dry_run or new == old:
                return new
            try:
                if not resource.finalizers(new):
                    return await self.store.remove(kind, old)
                return await self.store.put(kind, new, old)
            except Failure as refused:
                if refused.reason != "Conflict" or attempt == _ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

    async def discard(self, kind: Kind, namespace_: str, name_: str, *,
                      propagation: str | None = None) -> None:
        """Delete an object if it is there."""
        try:
            await self.delete(kind, namespace_, name_, propagation=propagation)
        except Failure as refused:
            if refused.status != 404:  # noqa: PLR2004  gone is what was wanted
                raise

    async def finish(self, kind: Kind, old: Resource, finalizer: str) -> None:
        """Say that *finalizer*'s work on *old* is done; the last one lets it go."""
        new = lifecycle.without_finalizer(old, finalizer)
        if new != old:
            await self._put(kind, new, old)

    async def apply(self, child: Resource, owner: Resource) -> Resource:
        """Create *child*, owned by *owner*, or overwrite what drifted; NotOwned if another controls it."""
        kind = _kind_of(child)
        told = {key: value for key, value in meta(child).items() if key != "resourceVersion"}
        wish = {**child, "metadata": {**told, "ownerReferences": [resource.controller_reference(owner)]}}
        if self.store.get(kind, namespace(child), name(child)) is None:
            return await self.create(kind, namespace(child), wish)

        def overwrite(old: Resource) -> Resource:
            if not resource.is_controlled_by(old, owner):
                raise NotOwned(f'{owner["kind"]}: "{name(owner)}" does not own {kind.kind}: "{name(child)}"')
            kept = {key: meta(old)[key] for key in ("finalizers", "resourceVersion") if key in meta(old)}
            return {**wish, "metadata": {**wish["metadata"], **kept}}

        return await self.patch(kind, namespace(child), name(child), overwrite)

    async def record_event(self, about: Mapping[str, str], type_: str, reason: str, message: str) -> None:
        """Store a core/v1 Event about an object, or count one more of the same."""
        events = named("Event")
        if events is None:
            return
        now = self._clock()
        home = about.get("namespace") or "default"
        note = occurrence.Note(type_, reason, message)
        name_ = occurrence.name_of(about, note)
        old = self.store.get(events, home, name_)
        try:
            if old is None:
                await self.create(events, home, occurrence.first(about, note, name_, now))
            elif occurrence.is_worth_counting(old, now):
                await self.patch(events, home, name_, lambda found: occurrence.repeated(found, now))
        except Failure as refused:
            log.info("event_not_recorded", about=about.get("name"), reason=reason, because=str(refused))


def _taken(kind: Kind, wish: Any, admission: Defaults) -> Resource:
    """What is to be stored of *wish*, an object as *kind* shows it; Failure 400 where that cannot be."""
    assert kind.view is not None
    assert kind.view.take is not None
    right = known(kind, lifecycle.check_shape(kind, wish), admission)
    admit(kind, right, None, admission)
    return kind.view.take(right, admission)


def _kind_of(wish: Resource) -> Kind:
    kind = of(wish.get("apiVersion", ""), wish.get("kind", ""))
    if kind is None:
        raise failure.unknown_path()
    return kind


def _check_preconditions(kind: Kind, old: Resource, wanted: Mapping[str, str]) -> None:
    for field, word in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        if wanted.get(field) and wanted[field] != meta(old).get(field):
            why = _precondition(word, wanted[field], meta(old).get(field, ""))
            raise failure.conflict(kind, name(old), why)


def _precondition(word: str, wanted: str, stored: str) -> str:
    return f"Precondition failed: {word} in precondition: {wanted}, {word} in object meta: {stored}"
