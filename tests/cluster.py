"""A control plane by itself, with all kinds but sources: told in YAML, read as the data plane reads it."""

import asyncio
from contextlib import asynccontextmanager

import yaml

import eventing.kinds
import serving.kinds
from eventing import projection
from eventing.control import resource
from eventing.control.kind import of

# Importing these registered their kinds.
KINDS = (eventing.kinds, serving.kinds)


@asynccontextmanager
async def running(plane):
    """Run a Plane; stops it in order at the end."""
    stopping = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(plane.run(stopping))
        await plane.started.wait()
        try:
            yield plane
        finally:
            stopping.set()


class Cluster:
    """A running control plane."""

    def __init__(self, plane, store):
        self.plane = plane
        self.server = store
        self.config = plane.config

    async def apply(self, text):
        """Create or replace the objects in a YAML text, in namespace default unless they say otherwise."""
        stored = [await self._put(wish) for wish in yaml.safe_load_all(text)]
        return stored[-1]

    async def _put(self, wish):
        kind = of(wish["apiVersion"], wish["kind"])
        where = wish["metadata"].setdefault("namespace", "default")
        if self.plane.store.get(kind, where, wish["metadata"]["name"]) is None:
            return await self.plane.objects.create(kind, where, wish)
        return await self.plane.objects.update(wish)

    async def delete(self, kind, name, namespace="default"):
        """Delete one object; `kind` as in `Broker.eventing.knative.dev`."""
        await self.plane.objects.delete(_kind(kind), namespace, name)

    def get(self, kind, name, namespace="default"):
        """One object as it is stored, or None."""
        return self.plane.store.get(_kind(kind), namespace, name)

    async def until(self, condition):
        """Wait for the first true answer of *condition*, a function, and return it."""
        async with asyncio.timeout(10):
            while not (found := condition()):
                await asyncio.sleep(0.01)
        return found

    async def until_condition(self, kind, name, type_, *, status, reason=None, namespace="default"):
        """Wait until that condition has that status (and reason); returns the condition."""

        def found():
            stored = self.get(kind, name, namespace) or {}
            each = resource.condition(stored.get("status") or {}, type_) or {}
            is_it = each.get("status") == status and (reason is None or each.get("reason", "") == reason)
            is_current = (stored.get("status") or {}).get("observedGeneration") == resource.generation(stored)
            return each if is_it and is_current else None

        return await self.until(found)

    async def report(self, table, name, record):
        """Write a projection as the data plane does."""
        await projection.write(self.server, table, name, record)

    async def projected(self, table):
        """A projection as the data plane reads it."""
        return await projection.read(self.server, table)

    async def until_projected(self, table, condition):
        """Wait until *condition* of the whole table is true; returns the table."""
        async with asyncio.timeout(10):
            while not condition(found := await self.projected(table)):
                await asyncio.sleep(0.01)
        return found


def _kind(full_name):
    name, _, group = full_name.partition(".")
    return of(f"{group}/v1" if group else "v1", name)
