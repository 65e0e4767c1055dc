"""CEL's text as tokens, and fields written as indexes: the same verdict, without copies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventing.broker.filters import FilterInvalid, cel
from eventing.broker.tokens import Tokens, indexed

ATTRIBUTES = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
DATA = {"a": {"b": [{"c": 1, "in": 2}], "type": "x"}, "n": 1, "e": [], "z": None}


@pytest.mark.parametrize(("text", "written"), [
    ("data.a.b", 'data["a"]["b"]'),
    ("data.a . b // data.a", 'data["a"] ["b"] // data.a'),
    ("data.a.size() > 1", 'data["a"].size() > 1'),
    ("data.a.b[0].c == 1.5 && 'x.y' == type", 'data["a"]["b"][0]["c"] == 1.5 && \'x.y\' == type'),
    ("has(data.a)", "has(data.a)"),
    ("has(data.a.b) && data.c", 'has(data["a"].b) && data["c"]'),
    ("has((data.a.b))", 'has((data["a"].b))'),
    ("has(data[data.k.x].a)", 'has(data[data["k"]["x"]].a)'),
    ("data.has(x.y)", 'data.has(x["y"])'),
    ("data.e.exists(x, x.c in .y)", 'data["e"].exists(x, x["c"] in .y)'),
    ("{'a': 1}.a == [1].size()", '{\'a\': 1}["a"] == [1].size()'),
    ("f(x).y", 'f(x)["y"]'),
])
def test_indexed(text, written):
    """Fields become indexes, but for those that `has` asks for; functions and texts stay."""
    assert indexed(text) == written


def test_paths():
    """Names with points between them, up to what is no name."""
    tokens = Tokens("f(a.b.c + d.e[0].g + 1)")

    assert tokens.path_before(7) == ("a", "b", "c")
    assert tokens.path_from(8) == (("d", "e"), "[")
    assert tokens.path_before(16) == ()
    assert tokens.path_from(17) == ((), ")")


words = st.sampled_from([
    "data", "data.a", "data.a.b", "data.n", ".c", ".b", ".in", ".type", "[0]", "['a']", "has(", "size(", "(",
    ")", ".exists(x, ", "x", "x.c", ".size()", "==", "&&", "||", "!", "1", "1.5", "1e-5", "'a'", "?", ":",
    "+", "in", "null", "type", "nope", "nope.x", "[", "]", "{", "}", ",", "data.z", "data.e", "data.nope"])


def verdict(program):
    """What a program says of one event, or why it says nothing."""
    try:
        return program.execute({**ATTRIBUTES, "data": DATA}), ""
    except BaseException as error:  # noqa: BLE001  a panic in Rust is no Exception
        return None, cel._reason(error)


@given(st.lists(words, max_size=12))
def test_the_same_is_said(parts):
    """Of whatever compiles: the same value, or the same reason for none."""
    text = "".join(part if part[0] in ".[(" else f" {part}" for part in parts)
    try:
        cel.Expression(text, "p")
    except FilterInvalid:
        return
    library = cel._library()

    assert verdict(library.compile(indexed(text))) == verdict(library.compile(text))
