"""eventing/cesql: the specification's tables, row by row, and whatever anybody types."""

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventing import cesql

EVENT = {"specversion": "1.0", "id": "7", "source": "/shop", "type": "order.placed", "hop": "5", "ttl": "10",
         "flag": True, "count": 3, "blank": ""}


def rows(text):
    """Parameters of each line `expression -> value` or `expression -> value !error`; values are Python's."""
    found = []
    for line in text.strip().splitlines():
        expression, _, outcome = line.rpartition(" -> ")
        value, _, error = outcome.partition(" !")
        found.append(pytest.param(expression.strip(), ast.literal_eval(value), error or None,
                                  id=expression.strip()))
    return found


# Section by section of the CloudEvents SQL specification 1.0.0; after the arrow the value, after ! the error.
TABLE = """
TRUE -> True
'it''s' -> "it's"
"a\\"b" -> 'a"b'
'a\\b' -> 'a\\\\b'
-2147483648 -> -2147483648
type -> 'order.placed'
TYPE -> 'order.placed'
flag -> True
count -> 3
subject -> False !missingAttribute
EXISTS subject -> False
EXISTS id -> True
NOT EXISTS subject -> True
NOT flag -> False
NOT 'false' -> True
-count -> -3
-(-2147483648) -> 0 !math
-hop -> -5
-'x' -> 0 !cast
1 + 2 * 3 -> 7
(1 + 2) * 3 -> 9
2-1 -> 1
7 / 2 -> 3
-7 / 2 -> -3
7 % -2 -> 1
-7 % 2 -> -1
1 / 0 -> 0 !math
1 % 0 -> 0 !math
2147483647 + 1 -> 0 !math
1 / subject -> 0 !missingAttribute
count < 4 -> True
hop < ttl -> True
hop >= 6 -> False
'a' < 1 -> False !cast
hop = 5 -> True
hop = '5' -> True
hop != 5 -> False
hop <> 6 -> True
flag = 'true' -> True
type = 5 -> False !cast
TRUE = "TRUE" -> False
subject = '' -> False !missingAttribute
TRUE AND 'true' -> True
FALSE AND (1 / 0 = 0) -> False
TRUE OR (1 / 0 = 0) -> True
TRUE XOR TRUE -> False
FALSE XOR TRUE -> True
TRUE OR FALSE AND FALSE -> False
type LIKE 'order.%' -> True
type LIKE 'order_placed' -> True
type LIKE 'Order.%' -> False
type NOT LIKE '%.paid' -> True
'50%' LIKE '50\\%' -> True
'50 kg' LIKE '50\\%' -> False
count LIKE '_' -> True
type IN ('a', 'order.placed') -> True
count IN ('3', 4) -> True
count NOT IN (1, 2) -> True
count IN ('x') -> False !cast
LENGTH(type) -> 12
LENGTH('') -> 0
CONCAT() -> ''
CONCAT('a', 1, TRUE) -> 'a1true'
CONCAT_WS(',', 'a', 'b') -> 'a,b'
CONCAT_WS(',') -> ''
CONCAT_WS() -> False !missingFunction
upper(type) -> 'ORDER.PLACED'
LOWER('AbC') -> 'abc'
TRIM('\u2003 a b ') -> 'a b'
LEFT('abc', 2) -> 'ab'
LEFT('abc', -1) -> 'abc' !functionEvaluation
RIGHT('abc', 0) -> ''
RIGHT('abc', 9) -> 'abc'
RIGHT('abc', -1) -> 'abc' !functionEvaluation
LENGTH(LEFT('abc', -1)) -> 0 !functionEvaluation
SUBSTRING('abcdef', 2) -> 'bcdef'
SUBSTRING('abcdef', -3, 2) -> 'de'
SUBSTRING('abcdef', 0) -> ''
SUBSTRING('abcdef', 7) -> '' !functionEvaluation
SUBSTRING('abcdef', 2, -1) -> '' !functionEvaluation
ABS(-4) -> 4
ABS(-2147483648) -> 2147483647 !math
INT('+12') -> 12
INT('2147483648') -> 0 !cast
INT(TRUE) -> 1
BOOL(0) -> False
BOOL('yes') -> False !cast
STRING(-1) -> '-1'
IS_INT(hop) -> True
IS_BOOL(hop) -> False
NOPE(1) -> False !missingFunction
LENGTH('a', 'b') -> False !missingFunction
"""


@pytest.mark.parametrize(("expression", "value", "error"), rows(TABLE))
def test_evaluation(expression, value, error):
    """An expression has the value and the error that the specification gives it."""
    outcome = cesql.parse(expression).evaluate(EVENT)

    assert (value, type(value), error) == (outcome.value, type(outcome.value), outcome.error)
    assert bool(outcome.reason) == bool(error)


@pytest.mark.parametrize(("expression", "position"), [
    ("", 1), ("1 +", 4), ("(1", 3), ("ABC(", 5), ("id LIKE type", 9), ("id LIKE 1", 9), ("1 IN ()", 7),
    ("EXISTS 'id'", 8), ("2147483648", 1), ("'open", 1), ("id = 'a' 'b'", 10), ("a # b", 3),
    ("my_ext = 1", 1), ("+ 1", 1), ("L33T(1)", 1), ("AND", 1),
])
def test_parse_error(expression, position):
    """What is no expression is refused with the position of what is wrong, counted from 1."""
    with pytest.raises(cesql.ParseError) as refused:
        cesql.parse(expression)

    assert refused.value.position + 1 == position
    assert str(refused.value).endswith(f"at position {position}")


@pytest.mark.parametrize(("expression", "passes"), [
    ("type = 'order.placed'", True), ("type", False), ("count", False), ("1", False),
    ("subject = 'x'", False), ("flag", True), ("NOT 10", False), ("blank = ''", True),
])
def test_filter(expression, passes):
    """Only TRUE without an error passes; no other value and no error ever does."""
    assert cesql.parse(expression).passes(EVENT) is passes


@pytest.mark.parametrize("text", [
    pytest.param("(" * 5000 + "1" + ")" * 5000, id="parentheses"),
    pytest.param("1" + " + 1" * 5000, id="a sum"),
    pytest.param("id" + " LIKE 'a'" * 5000, id="LIKE after LIKE"),
    pytest.param("(" * 49 + "1" + " + 1) " * 49 + " + 1" * 140, id="sums in parentheses"),
])
def test_nesting_is_bounded(text):
    """A filter nested beyond reason is refused, and exhausts nothing."""
    with pytest.raises(cesql.ParseError, match="nested deeper"):
        cesql.parse(text)


def test_a_long_choice_is_no_nesting():
    """Thousands of alternatives are a filter like any other."""
    expression = cesql.parse(" OR ".join(f"type = 't{number}'" for number in range(5000)))

    assert expression.passes({"type": "t4999"})
    assert not expression.passes({"type": "t5000"})


@given(st.lists(st.tuples(st.sampled_from(["AND", "OR", "XOR"]), st.booleans()), min_size=1, max_size=6),
       st.booleans())
def test_logic_goes_from_left_to_right(steps, first):
    """AND, OR and XOR bind alike, whatever their number; what need not be looked at may be an error."""
    value, text = first, str(first)
    for operator, operand in steps:
        decides = (operator, value) in {("AND", False), ("OR", True)}
        text += f" {operator} {'INT(id) = 1' if decides else operand}"
        if not decides:
            value = operand if operator != "XOR" else value is not operand

    assert cesql.parse(text).evaluate({"id": "no number"}) == (value, None, "")


def likes(text, pattern):
    """LIKE, as slowly as one can say it."""
    if not pattern:
        return not text
    if pattern[0] == "%":
        return any(likes(text[start:], pattern[1:]) for start in range(len(text) + 1))
    return bool(text) and pattern[0] in ("_", text[0]) and likes(text[1:], pattern[1:])


@given(st.text("ab", max_size=8), st.text("ab_%", max_size=8))
def test_like_is_what_it_says(text, pattern):
    """Whatever the pattern: the same as trying all there is."""
    assert cesql.parse(f"subject LIKE '{pattern}'").passes({"subject": text}) is likes(text, pattern)


@pytest.mark.timeout(10)
def test_like_takes_no_time():
    """Many `%` against a long value: no evaluation that a dispatcher would never return from."""
    expression = cesql.parse("subject LIKE '" + "%a" * 30 + "%b'")

    assert not expression.passes({"subject": "a" * 10_000})


words = st.sampled_from(["1", "'a%'", "id", "nope", "TRUE", "AND", "OR", "NOT", "=", "<", "+", "-", "/", "(",
                         ")", "IN", "LIKE", "EXISTS", "LEFT", "CONCAT", ",", "2147483647", '"', "\\"])


@given(st.one_of(st.text(max_size=40), st.lists(words, max_size=15).map(" ".join)))
def test_anything_is_an_expression_or_refused(text):
    """Whatever is typed is refused as a whole or has one of the three types, and nothing else is raised."""
    try:
        expression = cesql.parse(text)
    except cesql.ParseError:
        return
    assert type(expression.evaluate(EVENT).value) in {str, int, bool}


LONG = "x" * 900_000


@pytest.mark.parametrize(("text", "is_too_much"), [
    ("LENGTH(CONCAT(" + ", ".join(["subject"] * 1500) + ")) > 0", True),
    ("LENGTH(CONCAT(" + ", ".join(["subject"] * 20) + ")) > 0", False),
    ("LENGTH(" + "CONCAT(subject, " * 20 + "subject" + ")" * 20 + ") > 0", True),
    ("LENGTH(CONCAT_WS(subject" + ", 'a'" * 200 + ")) > 0", True),
    ("LOWER(subject) = 'a' OR " * 200 + "TRUE", True),
    ("subject LIKE '%a%b%' OR " * 20 + "TRUE", True),
    ("subject LIKE '%" + "x" * 500 + "y%'", True),
    ("subject LIKE '%a%'", False),
    (("type LIKE '%" + "x" * 500 + "y%' OR ") * 20 + "EXISTS subject", False),
    ("subject = 'a' OR subject LIKE 'a%' OR " * 30 + "TRUE", False),
    ("subject IN ('a', 'b') OR " * 500 + "TRUE", False),
    ("IS_INT(subject) OR IS_BOOL(subject) OR " * 500 + "TRUE", False),
])
def test_what_would_take_too_long_is_an_error(text, is_too_much):
    """An event whose attribute is as long as it can be does not hold up others; a usual one is judged."""
    expression = cesql.parse(text)

    assert (expression.evaluate({**EVENT, "subject": LONG}).error == "generic") is is_too_much
    assert expression.passes({**EVENT, "subject": LONG}) is False or not is_too_much
    assert expression.evaluate({**EVENT, "subject": "x" * 50}).error is None


@pytest.mark.parametrize("digits", ["9" * 5000, "0" * 5000 + "1", "-" + "9" * 900_000, LONG])
def test_a_number_of_any_length_is_judged(digits):
    """What does not fit is a cast error, which does not repeat all of it."""
    for text in ("INT(subject) > 0", "subject > 0", "BOOL(subject)"):
        outcome = cesql.parse(text).evaluate({**EVENT, "subject": digits})
        assert outcome.error == "cast"
        assert len(outcome.reason) < 100
    assert cesql.parse("IS_INT(subject)").evaluate({**EVENT, "subject": digits}).value is False
