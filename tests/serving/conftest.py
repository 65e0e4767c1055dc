"""A control plane that reconciles the kinds of serving over a real Valkey, and what a test does to it."""

import asyncio
from contextlib import asynccontextmanager

import pytest
import yaml

import serving.kinds  # noqa: F401  registers them
from eventing import projection
from eventing.config import Config
from eventing.control import resource
from eventing.control.field import render
from eventing.control.kind import Defaults, of
from eventing.control.plane import Plane


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


@asynccontextmanager
async def _running(plane):
    stopping = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(plane.run(stopping))
        await plane.started.wait()
        try:
            yield
        finally:
            stopping.set()


@pytest.fixture
async def cluster(store):
    """A running control plane with nothing in it."""
    plane = Plane(Config(), store)
    async with _running(plane):
        yield Cluster(plane, store)


@pytest.fixture
def admit():
    """Default and validate an object; returns (object, errors as text, warnings)."""

    def run(text, old=None, configs=None):
        made = yaml.safe_load(text) if isinstance(text, str) else resource.clone(text)
        made["metadata"].setdefault("namespace", "default")
        kind = of(made["apiVersion"], made["kind"])
        defaults = Defaults(config=lambda _namespace, name: (configs or {}).get(name, {}), now=0.0)
        kind.default(made, old, defaults)
        return made, render(kind.validate(made, old, defaults)), defaults.warnings

    return run
