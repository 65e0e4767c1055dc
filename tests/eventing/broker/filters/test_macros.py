"""CEL's macros: what is too much is refused or does not match, at once, and says so."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventing.broker import extent, macros
from eventing.broker.extent import Size
from eventing.broker.filters import FilterInvalid, cel
from eventing.broker.macros import Macros
from eventing.broker.matcher import Matcher
from eventing.broker.subject import Subject

ATTRIBUTES = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
UNIQUE = "data.items.all(i, data.items.exists_one(j, j.id == i.id))"
TEN = "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]"


def items(count):
    """Data of an event with so many items."""
    return json.dumps({"items": [{"id": number} for number in range(count)]}).encode()


def nested(depth):
    """Macros over ten numbers, so many deep."""
    text = "type == 'boom'"
    for number in range(depth):
        text = f"{TEN}.all(v{number}, {text})"
    return text


@pytest.mark.parametrize(("text", "depth"), [
    ("type == 'a'", 0),
    ("data.all == 3 && data.map.filter", 0),
    ("'data.all(x, y)' == type", 0),
    ("type == 'a\\'' || type == '.all(' || true", 0),
    ('type == r"\\" || [1].all(a, true) || type == ""', 1),
    ("data.all(a, data.b.exists(b, true)) && data.map(c, c) == []", 2),
    ("data.filter(a, true).map(b, b).exists(c, true)", 1),
    ("data.all(a, true) // .all(b, data.all(", 1),
    ("data . all ( a , a.exists_one\n(b, true))", 2),
    ('type == """ " .all( """ || data.all(a, true)', 1),
])
def test_depth(text, depth):
    """Macros are found where they are, and neither in texts nor in comments."""
    assert Macros(text).depth == depth


@pytest.mark.parametrize(("text", "says"), [
    (nested(7), "at 1:273: macros 7 deep, at most 3 may be in one another"),
    ("true ||\n " + nested(4), "at 2:"),
    ("[" + "1, " * 300 + "1].all(a, [" + "1, " * 300 + "1].all(b, a == b))", "steps by its own lists"),
    ("[1].map(a, [a, a])" + ".map(a, [a, a])" * 40 + " == []", "more than 100 times as long"),
    (r"type.matches(r'\w{1,64}@\w{1,64}')", "take too long to compile"),
    (r'type.matches("\\w{1,64}@\\w{1,64}")', "write [0-9] for"),
    ("['x'].map(a, a + a)" + ".map(a, a + a)" * 40 + " == []", "more than 100 times as long"),
])
def test_what_is_too_much_for_any_event_is_refused(text, says):
    """At once, with the position, and before anything is evaluated."""
    with pytest.raises(FilterInvalid) as refused:
        cel.Expression(text, "p")

    assert says in refused.value.message


@pytest.mark.parametrize(("text", "size", "is_too_much"), [
    ("data.items.exists(i, i.sku == 'A1')", Size(5000, 10_000, 100_000), False),
    (UNIQUE, Size(50, 150, 100_000), False),
    (UNIQUE, Size(6000, 12_000, 100_000), True),
    ("data.orders.all(o, o.lines.all(l, l.n > 0))", Size(500, 4500, 100_000), False),
    ("data.orders.all(o, o.lines.all(l, data.orders.all(x, x.n != l.n)))", Size(500, 4500, 100_000), True),
    ("data.orders.all(o, data.lines.all(l, l.n > 0))", Size(500, 4500, 100_000), True),
    ("[data.a, data.a].all(o, o.all(l, l.n > 0))", Size(500, 4500, 100_000), True),
    ("(data.a + data.a + data.a).all(o, data.b.all(p, true))", Size(80, 160, 100_000), True),
    ("data.wanted.all(w, w in data.have)", Size(6000, 12_000, 100_000), True),
    ("data.items.exists(i, i.price + i.tax > 100)", Size(1000, 3000, 100_000), False),
    ("data.items.map(i, i + data.text) == []", Size(5000, 10_000, 100_000), True),
    ("data.items.exists(i, i.name.matches('^a'))", Size(200, 3000, 100_000), False),
    ("data.items.exists(i, data.text.matches('^a'))", Size(900, 2000, 100_000), True),
    ("data.items.exists(i, i.name.matches('^a{1,50}$'))", Size(200, 3000, 100_000), False),
    ("data.items.exists(i, i.name.matches(r'^\\w{1,50}$'))", Size(20, 300, 100_000), True),
    ("data.items.exists(i, i.name.contains('a'))", Size(5000, 10_000, 1_000_000), False),
    ("data.items.exists(i, data.text.contains('a'))", Size(5000, 10_000, 1_000_000), True),
    ("data.orders.all(o, o.lines.all(l, l.n.contains('x')))", Size(500, 4500, 1_000_000), False),
    ("data.items.exists(i, i.sku in ['A1', 'A2'])", Size(5000, 10_000, 100_000), False),
    ("data.rules.exists(i, type.matches(i))", Size(20, 300, 100_000), True),
    ("data.items.map(i, i.name).exists(n, n == 'x')", Size(300, 3000, 100_000), False),
    ("data.items.map(i, i.name).exists(n, n == 'x')", Size(3000, 30_000, 100_000), True),
    ("data.all(k, data.x.all(data, data.all(o, true)))", Size(300, 1000, 100_000), True),
    ("data.items.exists(i, i.qty * i.price + 5 > 100)", Size(5000, 15_000, 1_000_000), False),
    ("data.items.exists(i, i.name + '-' + i.sku == 'x-y')", Size(5000, 15_000, 1_000_000), False),
    ("data.items.exists(i, i.name + data.s + data.s == 'x')", Size(5000, 15_000, 1_000_000), True),
    ("data.items.exists(i, size(" + "i + " * 270 + "i) > 0)", Size(20, 40, 1_000_000), True),
    ("data.items.exists(i, size(i.a) + size(i.b) > 3)", Size(5000, 15_000, 1_000_000), False),
    ("data.items.exists(i, i.sku == data.wanted)", Size(5000, 15_000, 1_000_000), False),
    ("data.items.exists(i, data.a == data.b)", Size(5000, 15_000, 1_000_000), True),
])
def test_steps(text, size, is_too_much):
    """What belongs to each other's lists counts once; what does not, multiplies."""
    assert bool(Macros(text).excess(size)) is is_too_much


@pytest.mark.parametrize(("text", "length_bytes", "is_too_much"), [
    ("data.a == data.b", 1_000_000, False),
    ("data.a == data.b || " * 20 + "true", 1_000_000, True),
    ("data.a == 1 && 'x' != data.b && data.c == -1 && data.d == true || " * 20 + "true", 1_000_000, False),
    ("1 in data.a || " * 20 + "true", 1_000_000, True),
    ("type in ['a', 'b'] || " * 20 + "true", 1_000_000, False),
    ("data.t.contains('a') || " * 5 + "true", 1_000_000, False),
    ("data.t.contains('a') || " * 20 + "true", 1_000_000, True),
])
def test_without_macros(text, length_bytes, is_too_much):
    """What goes through all of the data counts, what looks at one value does not; nor does small data."""
    found = Macros(text)

    assert found.depth == 0
    assert bool(found.excess(Size(100_000, 100_000, length_bytes))) is is_too_much
    assert not found.needs_size(4000)
    assert found.needs_size(length_bytes) or not is_too_much


def test_a_large_event_says_that_it_is():
    """Where nothing else would tell why it does not match."""
    expression = cel.Expression("data.items == data.items || " * 60 + "true", "p")

    assert expression.verdict(Subject(ATTRIBUTES, items(20_000))) == (
        False, f"{len(items(20_000)) + 7} bytes: more than {macros.STEPS_MOST} steps")


def test_size():
    """Of all that is in the data."""
    assert extent.size_of({"data": {"a": [1, 2, [3, 4, 5, 6]], "b": {"c": []}}}, 40)[:3] == (4, 10, 40)
    assert extent.size_of({}, 4)[:3] == extent.size_of({"data": "text"}, 4)[:3] == (0, 0, 4)


def test_an_event_that_would_take_too_long_does_not_match_and_says_why():
    """Six thousand items would be 36 million comparisons, which nothing could stop."""
    expression = cel.Expression(UNIQUE, "p")

    assert expression.verdict(Subject(ATTRIBUTES, items(30))) == (True, "")
    assert expression.verdict(Subject(ATTRIBUTES, items(6000))) == (
        False, f"6000 elements, macros 2 deep: more than {macros.STEPS_MOST} steps")


def test_the_matcher_tells_which_trigger_could_not_look():
    """Only that one, and only of such an event."""
    told = []
    matcher = Matcher(lambda key, reason: told.append((key, reason)))
    matcher.put("slow", {"filters": [{"any": [{"cel": UNIQUE}]}]})
    matcher.put("quick", {"filters": [{"cel": "data.items.exists(i, i.id == 3)"}]})

    assert sorted(matcher.match(ATTRIBUTES, items(10))) == ["quick", "slow"]
    assert told == []
    assert matcher.match(ATTRIBUTES, items(1000)) == ["quick"]
    assert [key for key, _ in told] == ["slow"]


def test_no_data_is_walked_where_no_macro_asks(monkeypatch):
    """And once an event where some do."""
    walked = []
    size_of = extent.size_of
    monkeypatch.setattr(extent, "size_of", lambda *given: walked.append(1) or size_of(*given))
    matcher = Matcher()
    matcher.put("plain", {"filters": [{"cel": "data.items == []"}]})
    matcher.match(ATTRIBUTES, items(3))
    assert walked == []

    for number in range(5):
        matcher.put(number, {"filters": [{"cel": f"data.items.exists(i, i.id == {number})"}]})
    assert sorted(matcher.match(ATTRIBUTES, items(3))) == [0, 1, 2]
    assert walked == [1]


@given(st.text(alphabet="data.mpl()[]{},+ inx'\"\\r/\n", max_size=60))
def test_any_text_is_read(text):
    """Whether it is an expression or not."""
    found = Macros(text)

    assert isinstance(found.complaint(), str)
    assert isinstance(found.excess(Size(3, 5, 9)), str)


BIG = {"s": "x" * 900_000, "l": [1] * 200_000, "n": 3, "m": {"n": 1.5}, "w": "A1", "few": [1, 2]}


@pytest.mark.parametrize(("text", "is_too_much"), [
    ("size(" + "data.s + " * 200 + "data.s) > 0", True),
    ("size(" + "data.s + " * 40 + "data.s) > 0", True),
    ("size(" + "subject + " * 40 + "subject) > 0", True),
    ("size(data.s + data.s) > 0", False),
    ("size(" + "data.l + " * 20 + "data.l) > 0", True),
    ("size(data.l + data.l) > 0", False),
    ("data.n" + " + data.n + data.m.n" * 50 + " > 0", False),
    ("'a' + data.w + '-' + data.w == 'x'", False),
    (" || ".join(["[data.l][0][0] == 7"] * 20), True),
    (" || ".join(["{'a': data.l}.a[0] == 7"] * 20), True),
    (" || ".join(["data.l[0] == 7 || [data.n, 1][0] == 7 || data.w in ['a', subject]"] * 20), False),
    ("data.l.exists(i, data.l == data.l)", True),
    ("[data.s].exists(s, size(" + "s + " * 40 + "s) > 0)", True),
])
def test_what_the_event_has_there_decides(text, is_too_much):
    """Numbers cost nothing in the largest event, and copies of what is large do, wherever it is."""
    subject = Subject({**ATTRIBUTES, "subject": "x" * 900_000}, json.dumps(BIG).encode())

    assert ("steps" in cel.Expression(text, "p").verdict(subject)[1]) is is_too_much


@pytest.mark.parametrize("text", [
    "data.items.exists(i, i.id + data.shipping > 800)",
    "data.items.exists(i, i.sku == data.prefix + '1')",
    "data.items.exists(i, size(data.prefix) == i.id)",
    "data.items.all(i, i.id < data.shipping || has(data.prefix))",
])
def test_what_people_write_matches_in_events_of_a_thousand_items(text):
    """A plain name is as large as what is there, not as the event."""
    data = {"shipping": 5000, "prefix": "A1", "more": ["x" * 50] * 1000,
            "items": [{"id": number, "sku": f"A1{number}", "name": "x" * 40} for number in range(1000)]}

    assert cel.Expression(text, "p").verdict(Subject(ATTRIBUTES, json.dumps(data).encode())) == (True, "")
