"""
What must go because its owner did: ownerReferences and the finalizers that Kubernetes' collector works on.

| the object | what is done |
|---|---|
| owned, and none of its owners exists | deleted |
| dying with `foregroundDeletion` | its dependents are deleted first, the same way; then it goes |
| dying with `orphan` | its dependents lose their reference to it; then it goes |

Owners are known by uid: a new object of the same name is another one. A reference to a kind that is not kept
here counts as alive, for nobody could tell.
"""

from eventing.control import resource
from eventing.control.kind import Kind, every, of
from eventing.control.lifecycle import FOREGROUND, ORPHAN
from eventing.control.mirror import Key
from eventing.control.objects import Objects
from eventing.control.resource import Resource, finalizers, owners, uid
from eventing.control.store import Store


def is_orphaned(store: Store, found: Resource) -> bool:
    """Whether *found* has owners and all of them are gone."""
    references = owners(found)
    return bool(references) and not any(
        of(ref["apiVersion"], ref["kind"]) is None or store.mirror.has_uid(ref["uid"]) for ref in references)


async def collect(objects: Objects, kind: Kind, dying: Resource) -> None:
    """Do the collector's part for an object that is being deleted; again after each dependent's change."""
    dependents = objects.store.mirror.children(uid(dying))
    if FOREGROUND in finalizers(dying):
        for key in dependents:
            await _delete(objects, key)
        if not objects.store.mirror.children(uid(dying)):
            await objects.finish(kind, dying, FOREGROUND)
    elif ORPHAN in finalizers(dying):
        for key in dependents:
            await _release(objects, key, uid(dying))
        await objects.finish(kind, dying, ORPHAN)


async def _delete(objects: Objects, key: Key) -> None:
    kind = _kind_of(key)
    found = objects.store.mirror.get(key)
    if kind is not None and found is not None and not resource.is_deleted(found):
        await objects.discard(kind, key.namespace, key.name, propagation="Foreground")


async def _release(objects: Objects, key: Key, owner: str) -> None:
    def without(found: Resource) -> Resource:
        found["metadata"]["ownerReferences"] = [ref for ref in owners(found) if ref.get("uid") != owner]
        return found

    kind = _kind_of(key)
    if kind is not None:
        await objects.patch(kind, key.namespace, key.name, without)


def _kind_of(key: Key) -> Kind | None:
    return next((kind for kind in every() if kind.resource_name == key.resource_name), None)
