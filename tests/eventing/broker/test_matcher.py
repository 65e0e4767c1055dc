"""The matcher agrees with the obvious one, whatever is added, changed and removed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventing.broker.filters import FilterInvalid, compile_filter
from eventing.broker.matcher import Matcher

NAMES = st.sampled_from(["type", "source", "subject", "schemaurl", "dataschema"])
VALUES = st.text(alphabet="ab.", min_size=1, max_size=4)
PAIRS = st.dictionaries(NAMES, VALUES, min_size=1, max_size=3)
LEAVES = st.one_of(
    st.just({}),
    *(PAIRS.map(lambda pairs, kind=kind: {kind: pairs}) for kind in ("exact", "prefix", "suffix")),
)
ELEMENTS = st.recursive(LEAVES, lambda inner: st.one_of(
    st.lists(inner, max_size=3).map(lambda elements: {"all": elements}),
    st.lists(inner, max_size=3).map(lambda elements: {"any": elements}),
    inner.map(lambda element: {"not": element}),
), max_leaves=5)
RECORDS = st.fixed_dictionaries({
    "filter": st.dictionaries(NAMES, st.one_of(st.just(""), VALUES), max_size=3),
    "filters": st.lists(ELEMENTS, max_size=2),
})
EVENTS = st.dictionaries(st.sampled_from(["type", "source", "subject", "dataschema"]), VALUES)
STEPS = st.lists(st.tuples(st.integers(0, 7), st.one_of(st.none(), RECORDS)), max_size=20)


@given(steps=STEPS, events=st.lists(EVENTS, min_size=1, max_size=5))
def test_agrees_with_the_obvious_matcher(steps, events):
    """After any history of triggers, exactly those whose filter passes are matched, each once."""
    matcher, obvious = Matcher(), {}
    for key, record in steps:
        if record is None:
            matcher.remove(key)
            obvious.pop(key, None)
        else:
            matcher.put(key, record)
            obvious[key] = compile_filter(record)

    for event in events:
        assert sorted(key for key, passes in obvious.items() if passes(event)) == sorted(matcher.match(event))


def test_asks_only_what_hangs_on_the_events_own_values():
    """Of 10,000 triggers on other types, prefixes and suffixes none is evaluated."""
    matcher = Matcher()
    for index in range(10_000):
        kind = ("exact", "prefix", "suffix")[index % 3]
        matcher.put(index, {"filters": [{kind: {"type": f"{index:05}.order.{index:05}"}}]})
    matcher.put("mine", {"filter": {"type": "mine", "source": "/a"}})

    event = {"type": "mine", "source": "/a"}

    assert matcher.match(event) == ["mine"]
    assert sum(len(bucket) for bucket in matcher._buckets(event)) == 1  # what it evaluates, as it sees it
    assert repr(matcher) == "<Matcher [10001 triggers | 0 loose]>"


def test_hangs_where_least_hangs():
    """A thousand triggers that share a source and differ by type are told apart by type."""
    matcher = Matcher()
    for index in range(1000):
        matcher.put(index, {"filter": {"source": "/same", "type": f"t{index}"}})

    assert matcher.match({"source": "/same", "type": "t7"}) == [7]
    assert sum(len(bucket) for bucket in matcher._buckets({"source": "/same", "type": "t7"})) <= 2


def test_an_invalid_filter_changes_nothing():
    """A change that does not compile leaves the trigger as it was."""
    matcher = Matcher()
    matcher.put("a", {"filter": {"type": "x"}})

    with pytest.raises(FilterInvalid):
        matcher.put("a", {"filters": [{"exact": {}}]})

    assert matcher.match({"type": "x"}) == ["a"]


def test_leaves_nothing_behind():
    """When all triggers are gone the index is as empty as it was."""
    matcher = Matcher()
    for kind in ("exact", "prefix", "suffix"):
        matcher.put(kind, {"filters": [{kind: {"type": "abc"}}]})
    for kind in ("exact", "prefix", "suffix"):
        matcher.remove(kind)

    assert vars(matcher) == vars(Matcher())


def test_one_attribute_whatever_the_version():
    """`schemaurl` of CloudEvents 0.3 and `dataschema` of 1.0 are the same to a filter, by either name."""
    matcher = Matcher()
    for name in ("schemaurl", "dataschema"):
        matcher.put(name, {"filter": {name: "http://s"}})

    for event in ({"schemaurl": "http://s"}, {"dataschema": "http://s"}):
        assert sorted(matcher.match(event)) == ["dataschema", "schemaurl"]


def test_a_mistake_with_one_filter_does_not_cost_the_others_the_event(monkeypatch):
    """Whatever a filter raises, it does not match, that is told, and all others are asked."""
    def broken(_attributes):
        raise ZeroDivisionError("ours")

    told = []
    matcher = Matcher(lambda key, reason: told.append((key, reason)))
    for name in "abc":
        with monkeypatch.context() as patch:
            if name == "b":
                patch.setattr("eventing.broker.matcher.compile_filter", lambda _record: broken)
            matcher.put(name, {"filters": [{"any": [{"exact": {"type": "t"}}]}]})

    assert matcher.match({"type": "t"}) == ["a", "c"]
    assert told == [("b", "ZeroDivisionError: ours")]
