"""What CEL's macros walk: counted before, from the event's own lists, and never too low."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventing.broker import extent
from eventing.broker.filters import cel
from eventing.broker.macros import Macros
from eventing.broker.subject import Subject

ATTRIBUTES = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
FEW = {"items": [{"ok": True, "tags": ["x"], "name": "A1"}], "wanted": ["A1"], "samples": list(range(5000))}
MANY = [{"id": number, "sku": f"A{number}", "tags": ["a", "b"]} for number in range(3000)]


@pytest.mark.parametrize("text", [
    "size(data.items.filter(i, i.ok)) > 0",
    "size(data.items.map(i, i.name)) > 0",
    'data.items.filter(i, i.ok).exists(j, j.tags.exists(t, t == "x"))',
    'data.items.filter(i, i.name.contains("A")).map(i, i.tags).exists(j, "x" in j)',
    'data.items.exists(i, data["items"].exists(j, j.tags.exists(t, t == "x")))',
    'data.items[0].tags.exists(t, data.items.all(i, i.tags[0] == "x"))',
    "data.items.exists(i, data.items.exists(j, data.items.exists(k, i.name in data.wanted)))",
    "!data.samples.exists(s, s < 0) && data.items.exists_one(i, true)",
])
def test_a_long_list_that_no_macro_walks_does_not_count(text):
    """What an event has beside decides nothing."""
    assert cel.Expression(text, "p").verdict(Subject(ATTRIBUTES, json.dumps(FEW).encode())) == (True, "")


@pytest.mark.parametrize("text", [
    "data.items.exists(i, i.id == 2999)",
    "data.items.all(i, i.tags.exists(t, t == 'b'))",
    "data.items.exists(i, i.sku.startsWith('A29') && i.tags[1] == 'b')",
    "data.items.exists_one(i, i.sku == 'A7')",
])
def test_simple_macros_over_thousands(text):
    """They match events of a few thousand elements."""
    data = json.dumps({"items": MANY}).encode()

    assert cel.Expression(text, "p").verdict(Subject(ATTRIBUTES, data)) == (True, "")


def test_what_a_filter_keeps_is_copied_and_counts():
    """The library copies all that a filter has kept, with what is in it, at each element: too long."""
    expression = cel.Expression("size(data.items.filter(i, i.id >= 0)) > 0", "p")

    passes, reason = expression.verdict(Subject(ATTRIBUTES, json.dumps({"items": MANY}).encode()))

    assert (passes, reason) == (False, "3000 elements, macros 1 deep: more than 100000 steps")


class Node:
    """A macro: on a path of *root*, perhaps over a filter or map; *inside* are those in its parentheses."""

    def __init__(self, root, path, chain, inside):
        self.root, self.path, self.chain, self.inside = root, path, chain, inside

    def text(self, numbers, variables):
        """In CEL; roots are numbers of *variables* around it, innermost first, modulo their number."""
        root = variables[self.root % len(variables)]
        self.variable, self.source = f"v{next(numbers)}", root
        self.is_exact = root in {"data", variables[0]}
        made = {"": "", "filter": f".filter({self.variable}, true)",
                "map": f".map({self.variable}, {self.variable}.a)"}[self.chain]
        inner = [each.text(numbers, [self.variable, *variables]) for each in self.inside]
        path = "".join(f".{name}" if name in "ab" else name for name in self.path)
        return f"{root}{path}{made}.all({self.variable}, {' && '.join([*inner, 'true'])})"

    def nodes(self):
        """Itself and all inside, in the order of their parentheses, and whether each is counted exactly."""
        return [self, *itertools.chain.from_iterable(each.nodes() for each in self.inside)]

    def walk(self, variables, counts):
        """Count what is walked, with nothing left out."""
        elements = _elements(_at(variables[self.source], self.path))
        if self.chain:
            counts[self, "chain"] = counts.get((self, "chain"), 0) + len(elements)
        if self.chain == "map":
            elements = [_at(each, "a") for each in elements]
        counts[self] = counts.get(self, 0) + len(elements)
        for element in elements:
            for each in self.inside:
                each.walk({**variables, self.variable: element}, counts)


def _at(found, path):
    for name in path:
        if name in "ab":
            found = found.get(name) if isinstance(found, dict) else None
        else:
            found = found[0] if isinstance(found, list) and found else None
    return found


def _elements(found):
    return list(found) if isinstance(found, list | dict) else []


NAMES = st.sampled_from("ab")
DATA = st.dictionaries(NAMES, st.recursive(
    st.integers(0, 3), lambda inner: st.lists(inner, max_size=5) | st.dictionaries(NAMES, inner),
    max_leaves=30))
PATH = st.lists(st.sampled_from(["a", "b", "[0]"]), max_size=2).filter(lambda path: path[:1] != ["[0]"])


def _nodes(depth):
    inside = st.lists(_nodes(depth - 1), max_size=2) if depth else st.just([])
    return st.builds(Node, st.integers(0, 5), PATH, st.sampled_from(["", "", "filter", "map"]), inside)


@given(_nodes(2), DATA)
def test_no_count_is_too_low_and_paths_are_counted_exactly(node, data):
    """Whatever is walked inside of what; exactly, where macros are on the event's or a neighbour's."""
    text = node.text(itertools.count(), ["data"])
    counts = {}
    node.walk({"data": data}, counts)
    size = extent.size_of({"data": data}, len(json.dumps(data)))
    expected = []
    for each in node.nodes():
        expected += [counts.get((each, "chain"), 0)] * bool(each.chain) + [counts.get(each, 0)]

    found = Macros(text).times(size)

    assert len(found) == len(expected), text
    assert all(most >= walked for most, walked in zip(found, expected, strict=True)), (text, found, expected)
    if all(each.is_exact for each in node.nodes()):
        assert found == expected, text
