"""`suffix: {subject: .jpg}` - each named attribute ends with this."""

from eventing.broker.filters import Predicate, attribute_values, dialect


@dialect("suffix")
def suffix(wanted: object, path: str) -> Predicate:
    """All must match, case matters; an absent attribute does not match."""
    pairs = list(attribute_values(wanted, path).items())
    return lambda attributes: all(attributes.get(name, "").endswith(value) for name, value in pairs)
