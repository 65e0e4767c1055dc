"""`prefix: {type: com.example.}` - each named attribute starts with this."""

from eventing.broker.filters import Predicate, attribute_values, dialect


@dialect("prefix")
def prefix(wanted: object, path: str) -> Predicate:
    """All must match, case matters; an absent attribute does not match."""
    pairs = list(attribute_values(wanted, path).items())
    return lambda attributes: all(attributes.get(name, "").startswith(value) for name, value in pairs)
