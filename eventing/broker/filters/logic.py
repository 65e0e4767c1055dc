"""`all: [...]`, `any: [...]`, `not: {...}` - filters made of filters."""

from eventing.broker.filters import Predicate, compile_many, compile_one, dialect, everything_of, unsaid


@dialect("all")
def all_of(elements: object, path: str) -> Predicate:
    """Every one must pass; a list without one that says something says nothing."""
    return everything_of(compile_many(elements, path))


@dialect("any")
def any_of(elements: object, path: str) -> Predicate:
    """One must pass; a list without one that says something says nothing, and lets all pass."""
    predicates = compile_many(elements, path)
    if not predicates:
        return unsaid
    return lambda attributes: any(predicate(attributes) for predicate in predicates)


@dialect("not")
def not_of(element: object, path: str) -> Predicate:
    """
    Must not pass.

    `not: {}` lets all pass: what says nothing gives nothing to negate (Knative).
    """
    predicate = compile_one(element, path)
    if predicate is unsaid:
        return unsaid
    return lambda attributes: not predicate(attributes)
