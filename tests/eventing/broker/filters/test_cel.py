"""Dialect cel: attributes and data, what does not pass and why, and what is refused."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventing.broker.filters import FilterInvalid, cel, compile_filter, take_subject
from eventing.broker.matcher import Matcher
from eventing.broker.subject import Subject

ATTRIBUTES = {"specversion": "1.0", "id": "1", "source": "/s", "type": "order.placed", "hop": "5",
              "time": "2026-01-31T12:00:00Z", "datacontenttype": "application/json"}
DATA = b'{"amount": 120.5, "n": 3, "items": [{"sku": "A1"}], "note": null}'


def verdict(text, attributes=ATTRIBUTES, data=DATA):
    """What an expression says of an event."""
    return cel.Expression(text, "p").verdict(Subject(attributes, data))


@pytest.mark.parametrize(("text", "expected"), [
    ('data.amount > 100 && type.startsWith("order.")', True),
    ("data.amount > 121", False),
    ("data.n == 3 && data.n > 2.5", True),
    ("int(hop) > 4", True),
    ('data.items.exists(item, item.sku == "A1")', True),
    ('data["n"] in [1, 2, 3]', True),
    ("data.note == null", True),
    ("has(data.missing)", False),
    ("!has(data.missing)", True),
    ("data.missing > 1 || data.n == 3", True),
    ('timestamp(time) > timestamp("2026-01-01T00:00:00Z")', True),
    ('type.matches("^order")', True),
])
def test_values(text, expected):
    """An event passes when the expression is true of its attributes and data."""
    assert verdict(text) == (expected, "")


@pytest.mark.parametrize(("text", "data", "reason"), [
    ("data.missing > 1", DATA, "there is no field 'missing'"),
    ("data.n > 'x'", DATA, "the types do not fit"),
    ("data.items[7].sku == 'A1'", DATA, "index out of bounds"),
    ("color == 'red'", DATA, "the event has no attribute color"),
    ("data.items.contains(3)", DATA, "not there for a value of that type; for a list write VALUE in LIST"),
    ("data.n.matches(data.note)", DATA, "matches is not there"),
    ("type.matches(data.p)", b'{"p": "("}', "error: unclosed group"),
    ("data.n", DATA, "the value is int, not true or false"),
    ("data.n / 0 == 1", DATA, "division by zero"),
    ("data.n == 3", b"not json", "the event has no JSON data"),
    ("data.n == 3", None, "the event has no JSON data"),
])
def test_what_cannot_be_evaluated_does_not_pass_and_says_why(text, data, reason):
    """A missing field is no error: the event is not wanted, for a reason that can be told."""
    passes, why = verdict(text, data=data)

    assert not passes
    assert reason in why


def test_data_of_another_type_is_no_variable():
    """Only JSON data is looked into."""
    assert verdict("data.n == 3", {**ATTRIBUTES, "datacontenttype": "text/plain"})[0] is False


@pytest.mark.parametrize(("wanted", "says"), [
    ("data.amount >", "data.amount >: at 1:14: mismatched input"),
    ("a &&& b", "at 1:5:"),
    ("type.starts('x')", "at 1:6: there is no function starts"),
    ("true ||\n type.matches('(')", "at 2:15: no pattern that matches knows: unclosed group"),
    ("x" * 2001, "longer than 2000 characters"),
    ("(" * 900 + "1" + ")" * 900, r"at 1:|cannot be compiled"),
    ("1", "1: the same for every event: the value is int, not true or false"),
    ("1 / 0 == 1", "the same for every event: division by zero"),
    ("", "expected an expression in a string"),
    (5, "expected an expression in a string"),
])
def test_what_does_not_compile_is_refused_with_its_position(wanted, says):
    """It never becomes a filter that lets everything through, or nothing."""
    with pytest.raises(FilterInvalid, match=says) as error:
        compile_filter({"filters": [{"not": {"cel": wanted}}]})

    assert error.value.path == "spec.filters[0].not.cel"


def test_data_is_parsed_once_however_many_triggers_ask(monkeypatch):
    """A hundred filters on data parse it once an event, and none parses it when nobody asks."""
    parsed = []
    loads = cel.orjson.loads
    monkeypatch.setattr(cel.orjson, "loads", lambda text: parsed.append(text) or loads(text))
    matcher = Matcher()
    matcher.put("plain", {"filter": {"type": "order.placed"}})
    assert matcher.match(ATTRIBUTES, DATA) == ["plain"]
    assert parsed == []
    for number in range(100):
        matcher.put(number, {"filters": [{"any": [{"cel": f"data.n == {number % 4}"}]}]})

    assert sorted(matcher.match(ATTRIBUTES, DATA), key=str) == sorted([*range(3, 100, 4), "plain"], key=str)
    assert parsed == [DATA]
    for number in range(100):
        matcher.remove(number)
    matcher.match(ATTRIBUTES, DATA)
    assert parsed == [DATA]


def test_who_takes_a_subject():
    """Wherever it stands, the dialect is seen."""
    assert take_subject([{"all": [{"exact": {"a": "b"}}, {"not": {"cel": "true"}}]}])
    assert not take_subject([{"exact": {"a": "b"}}, {"any": [{"prefix": {"a": "b"}}]}])
    assert not take_subject(None)


@pytest.mark.parametrize("text", [
    "1" + "+1" * 999, "!" * 1996 + "true", "-" * 1999 + "1", "x" + ".x" * 999, "true" + "&&true" * 332,
    "[" * 999, "x" + "[0]" * 666, "true" + "?true:true" * 199,
])
def test_the_largest_expressions_end_no_process(text):
    """Within the limit nothing that anybody nests takes the interpreter down."""
    program = ("import contextlib, sys\nfrom eventing.broker.filters import FilterInvalid, cel\n"
               "with contextlib.suppress(FilterInvalid):\n"
               "    cel.Expression(sys.argv[1], 'p').verdict({'x': '1'})")

    assert subprocess.run([sys.executable, "-c", program, text], check=False, timeout=20).returncode == 0


@given(st.text(alphabet="data.n x0123\"'()[]{}&|!<>=+-*/?:,\\\n\0é", max_size=40))
def test_whatever_anybody_types_is_a_verdict_or_refused(text):
    """There is no third outcome."""
    try:
        passes, reason = verdict(text)
    except FilterInvalid:
        return
    assert isinstance(passes, bool)
    assert not (passes and reason)


def test_nobody_pays_who_does_not_ask():
    """The library is imported with the first expression, not with the dialects."""
    program = "import sys\nimport eventing.broker.matcher\nprint('cel' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert done.stdout == b"False\n"
