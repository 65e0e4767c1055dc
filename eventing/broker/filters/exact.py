"""`exact: {type: com.example.order}` - each named attribute has exactly this value."""

from eventing.broker.filters import Predicate, attribute_values, dialect


@dialect("exact")
def exact(wanted: object, path: str) -> Predicate:
    """All must match, case matters; an absent attribute does not match."""
    pairs = list(attribute_values(wanted, path).items())
    return lambda attributes: all(attributes.get(name) == value for name, value in pairs)
