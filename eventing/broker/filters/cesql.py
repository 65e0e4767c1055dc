"""`cesql: "type LIKE 'order.%' AND INT(amount) > 100"` - an expression of CloudEvents SQL."""

from eventing import cesql as language
from eventing.broker.filters import FilterInvalid, Predicate, dialect


@dialect("cesql")
def cesql(wanted: object, path: str) -> Predicate:
    """
    The value must be TRUE and there must be no error; a value of another type does not pass.

    A function that there is not is refused: whatever asks it never passes.
    """
    if not isinstance(wanted, str):
        raise FilterInvalid(path, "expected an expression in a string")
    try:
        return language.parse_known(wanted).passes
    except language.ParseError as error:
        raise FilterInvalid(path, f"{wanted}: {error}") from error
