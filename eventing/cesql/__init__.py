"""
CESQL 1.0, the CloudEvents SQL expression language: text -> expression -> value and error.

    expression = cesql.parse("type LIKE 'order.%' AND INT(amount) > 100")
    value, error = expression.evaluate(event.attributes)

Every expression has a value; an error stands beside it (section 3.3). Evaluation fails fast (section
4.1): at the first error the value is the zero of the expression's type. A filter passes only on TRUE without
an error (section 1.2), which is what `passes` says.

Where the specification, its grammar and its conformance kit disagree, we do as the kit does, and say so. What
would take too long, attributes being so long, is an error of kind generic (effort.py).
"""

from collections.abc import Mapping
from typing import NamedTuple

from eventing.cesql import evaluate, functions, syntax, tree
from eventing.cesql.effort import NS_FREE, Effort
from eventing.cesql.syntax import ParseError
from eventing.cesql.values import EvaluationError, Value

__all__ = ["Expression", "Outcome", "ParseError", "parse", "parse_known"]


class Outcome(NamedTuple):
    """What an evaluation gave; `error` is one of the specification's kinds, `reason` a sentence."""

    value: Value
    error: str | None = None
    reason: str = ""


class Expression:
    """A compiled expression; safe to share and to evaluate any number of times."""

    def __init__(self, text: str) -> None:
        """Compile *text*; raise ParseError with the position of what is wrong."""
        self.text = text
        root = syntax.parse(text)
        self.calls = tree.calls(root)
        self._zero = evaluate.zero(root)
        self._evaluate = evaluate.build(root, is_root=True)
        effort = Effort(root)
        self.may_be_long = effort.ns > NS_FREE
        self.excess = effort.excess  # why an event of some attributes would take too long; "" if it would not
        if self.may_be_long:
            self._evaluate = _sparing(effort, self._evaluate)

    def __repr__(self) -> str:
        """The text."""
        return f"<Expression {self.text}>"

    def evaluate(self, attributes: Mapping[str, Value]) -> Outcome:
        """Value and error for an event's attributes; absent ones are not in the mapping."""
        try:
            return Outcome(self._evaluate(attributes))
        except EvaluationError as error:
            value = self._zero if error.value is None else error.value
            return Outcome(value, error.kind, error.reason)

    def passes(self, attributes: Mapping[str, Value]) -> bool:
        """Whether an event with these attributes passes a filter of this expression."""
        try:
            return self._evaluate(attributes) is True
        except EvaluationError:
            return False


def _sparing(effort: Effort, inner: evaluate.Evaluate) -> evaluate.Evaluate:
    """*inner*, but an error at once where that would take too long."""
    def evaluate_or_not(attributes: Mapping[str, Value]) -> Value:
        if excess := effort.excess(attributes):
            raise EvaluationError("generic", excess)
        return inner(attributes)  # type: ignore[no-any-return]

    return evaluate_or_not


def parse(text: str) -> Expression:
    """Compile *text*; raise ParseError with the position of what is wrong."""
    return Expression(text)


def parse_known(text: str) -> Expression:
    """
    Compile *text*, which is to be asked of many events; raise ParseError for an unknown function, too.

    The specification makes that an error of each evaluation (section 3.5), so `parse` takes it.
    """
    expression = Expression(text)
    for call in expression.calls:
        count = len(call.arguments)
        if functions.find(call.name, count) is None:
            reason = f"there is no function {call.name} of {count} argument{'' if count == 1 else 's'}"
            raise ParseError(reason, call.position)
    return expression
