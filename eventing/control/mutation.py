"""
Mutating admission: what objects of one kind change about objects of others, each time these are stored.

A SinkBinding is why this is here: on Knative its webhook puts the sink into every program that it binds, so
that a program that is applied once more keeps it. What is registered runs before the object's defaults and
validation, on what somebody sent: it must take any JSON, and change nothing the second time.
"""

from collections.abc import Callable

from eventing.control import resource
from eventing.control.kind import Kind
from eventing.control.resource import Resource
from eventing.control.store import Store

Mutate = Callable[[Kind, Resource, Store], None]

_registered: list[Mutate] = []


def register(mutate: Mutate) -> Mutate:
    """Have *mutate* change every object, in place, before it is stored; returns it."""
    _registered.append(mutate)
    return mutate


def mutate(kind: Kind, new: Resource, store: Store) -> None:
    """Let everything that is registered change *new*, unless it is on its way out."""
    if resource.is_deleted(new):
        return
    for each in _registered:
        each(kind, new, store)
