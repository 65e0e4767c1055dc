"""Why an event passes a filter or not: verdicts that agree with what delivers, and reasons."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventing.broker.explain import Verdict, explain
from eventing.broker.filters import FilterInvalid, compile_filter, visible
from eventing.broker.subject import Subject
from eventing.event import Event

EVENT = Event({"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.placed", "hop": "5",
               "datacontenttype": "application/json"}, b'{"amount": 120}')


def flat(verdicts):
    """All verdicts, those inside after the one that they are in."""
    return [each for verdict in verdicts for each in (verdict, *flat(verdict.parts))]


def reasons(spec):
    """Path, verdict and reason of every part."""
    return [(each.path, each.passes, each.reason) for each in flat(explain(spec, EVENT))]


@pytest.mark.parametrize(("element", "passes", "reason"), [
    ({"exact": {"type": "order.placed"}}, True, 'type is "order.placed"'),
    ({"exact": {"type": "x"}}, False, 'type is "order.placed"'),
    ({"prefix": {"color": "r"}}, False, "the event has no attribute color"),
    ({"suffix": {"source": "op"}}, True, 'source is "/shop"'),
    ({"cesql": "hop > 4"}, True, "the value is TRUE"),
    ({"cesql": "hop > 5"}, False, "the value is FALSE"),
    ({"cesql": "hop + 1"}, False, "the value is 6, not TRUE"),
    ({"cesql": "color = 'red'"}, False, "missingAttribute: the event has no attribute 'color'"),
    ({"cesql": "INT(type) > 1"}, False, "cast: "),
    ({"cel": "data.amount > 100"}, True, "the value is true"),
    ({"cel": "data.amount > 121"}, False, "the value is false"),
    ({"cel": "data.price > 100"}, False, "there is no field 'price'"),
    ({"cel": "data.amount"}, False, "the value is int, not true or false"),
    ({}, True, "an empty element says nothing"),
    ({"any": []}, True, "an empty list says nothing"),
    ({"not": {}}, True, "an empty element says nothing"),
    ({"not": {"any": [{}]}}, True, "what is inside says nothing"),
    ({"any": [{}]}, True, "what is inside says nothing"),
    ({"any": [{}, {"exact": {"type": "x"}}]}, False, "0 of 1 pass, one has to"),
    ({"cel": "data.lists.all(a, data.lists.all(b, true)) && data.n"}, False, "there is no field"),
])
def test_reasons(element, passes, reason):
    """Each dialect says what it found, an error too."""
    (verdict,) = explain({"filters": [element]}, EVENT)

    assert verdict.passes is passes
    assert verdict.reason.startswith(reason)


def test_what_is_inside():
    """Filters made of filters show each of their parts, with its path."""
    parts = [{"exact": {"type": "a", "hop": "5"}}, {"not": {"prefix": {"type": "order."}}}]
    spec = {"filters": [{"any": parts}]}

    assert reasons(spec) == [
        ("spec.filters[0].any", False, "0 of 2 pass, one has to"),
        ("spec.filters[0].any[0].exact", False, "1 of 2 pass, all have to"),
        ("spec.filters[0].any[0].exact.type", False, 'type is "order.placed"'),
        ("spec.filters[0].any[0].exact.hop", True, 'hop is "5"'),
        ("spec.filters[0].any[1].not", False, ""),
        ("spec.filters[0].any[1].not.prefix.type", True, 'type is "order.placed"')]


def test_attributes():
    """`filter.attributes`, key by key; "" wants any value."""
    assert explain({"filter": {"attributes": {"type": "x", "hop": "", "color": ""}}}, EVENT) == [
        Verdict("spec.filter.attributes.type", '"x"', False, 'type is "order.placed"'),
        Verdict("spec.filter.attributes.hop", "any value", True, 'hop is "5"'),
        Verdict("spec.filter.attributes.color", "any value", False, "the event has no attribute color")]


@pytest.mark.parametrize("spec", [{}, {"filter": {}}, {"filter": {"attributes": {}}, "filters": []}])
def test_without_a_filter(spec):
    """Nothing is judged, and everything passes."""
    assert explain(spec, EVENT) == []


def test_what_does_not_compile():
    """It is said as the Trigger's condition says it."""
    with pytest.raises(FilterInvalid, match=r"spec\.filters\[0\]\.cesql"):
        explain({"filters": [{"cesql": "type ="}]}, EVENT)


values = st.sampled_from(["order.", "order.placed", "/shop", "5", "x", "placed"])
pairs = st.dictionaries(st.sampled_from(["type", "source", "hop", "color", "schemaurl"]), values, min_size=1)
leaves = st.one_of(
    *(st.fixed_dictionaries({dialect: pairs}) for dialect in ("exact", "prefix", "suffix")),
    st.just({}), st.fixed_dictionaries({"cesql": st.sampled_from(["hop = 5", "color = 'x'", "TRUE", "hop"])}))
elements = st.recursive(leaves, lambda inner: st.one_of(
    st.fixed_dictionaries({"all": st.lists(inner, max_size=3)}),
    st.fixed_dictionaries({"any": st.lists(inner, max_size=3)}),
    st.fixed_dictionaries({"not": inner})), max_leaves=6)


wishes = st.dictionaries(st.sampled_from(["type", "hop"]), values | st.just(""))


@given(st.lists(elements, max_size=3), wishes)
def test_agrees_with_what_delivers(filters, attributes):
    """Whatever the filter: what is told is what the dispatcher would do."""
    spec = {"filters": filters, "filter": {"attributes": attributes}}
    delivers = compile_filter({"filters": filters, "filter": attributes})

    told = all(verdict.passes for verdict in explain(spec, EVENT))

    assert told is delivers(Subject(visible(EVENT.attributes), EVENT.data))
