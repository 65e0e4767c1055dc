"""`cesql: "type LIKE 'order.%' AND INT(amount) > 100"` - an expression of CloudEvents SQL."""

from collections.abc import Mapping

from eventing import cesql as language
from eventing.broker.filters import FilterInvalid, Predicate, dialect
from eventing.broker.subject import Subject


@dialect("cesql", takes_subject=True)
def cesql(wanted: object, path: str) -> Predicate:
    """
    The value must be TRUE and there must be no error; a value of another type does not pass.

    A function that there is not is refused: whatever asks it never passes.
    """
    if not isinstance(wanted, str):
        raise FilterInvalid(path, "expected an expression in a string")
    try:
        expression = language.parse_known(wanted)
    except language.ParseError as error:
        raise FilterInvalid(path, f"{wanted}: {error}") from error
    return _telling(expression) if expression.may_be_long else expression.passes


def _telling(expression: language.Expression) -> Predicate:
    """The predicate of *expression*, which says of what events it takes too long."""
    def passes(attributes: Mapping[str, str]) -> bool:
        if isinstance(attributes, Subject) and (excess := expression.excess(attributes)):
            attributes.unjudged = excess
        return expression.passes(attributes)

    return passes
