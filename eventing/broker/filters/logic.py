"""`all: [...]`, `any: [...]`, `not: {...}` - filters made of filters."""

from eventing.broker.filters import Predicate, compile_many, compile_one, dialect, everything_of


@dialect("all")
def all_of(elements: object, path: str) -> Predicate:
    """Every one must pass; of none, all do."""
    return everything_of(compile_many(elements, path))


@dialect("any")
def any_of(elements: object, path: str) -> Predicate:
    """One must pass; an empty list says nothing and lets all pass, as an absent filter does."""
    predicates = compile_many(elements, path)
    if not predicates:
        return lambda _attributes: True
    return lambda attributes: any(predicate(attributes) for predicate in predicates)


@dialect("not")
def not_of(element: object, path: str) -> Predicate:
    """
    Must not pass.

    `not: {}` lets all pass: an empty element says nothing, so there is nothing to negate (Knative).
    """
    predicate = compile_one(element, path)
    if not element:
        return predicate
    return lambda attributes: not predicate(attributes)
