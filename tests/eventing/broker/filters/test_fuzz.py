"""Whatever JSON stands where a filter should: it is refused with its path, or says yes or no of any event."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventing.broker.explain import explain
from eventing.broker.filters import DIALECTS, FilterInvalid, compile_filter, visible
from eventing.broker.matcher import Matcher
from eventing.broker.subject import Subject
from eventing.control import filters as admission
from eventing.event import Event

words = st.sampled_from([
    "type", "source", "'a'", '"b"', "1", "2147483647", "-", "(", ")", "[", "]", ",", "AND", "OR", "NOT",
    "LIKE", "'%a%_'", "IN", "EXISTS", "=", "!=", "<", "+", "/", "%", "INT", "BOOL", "LEFT", "SUBSTRING",
    "ABS", "TRUE", "data", ".", "has", "size", "in", "==", "&&", "||", "!", "?", ":", "null", "data.a",
    "data.b", "matches", "exists", "x", "timestamp", "duration", "1.5", "{", "}"])
expressions = st.lists(words, max_size=12).map(" ".join) | st.text(max_size=20)
names = st.sampled_from(["type", "source", "id", "time", "ext", "schemaurl", "Type", "1a", ""]) | \
    st.text(max_size=4)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
anything = st.recursive(
    scalars | expressions,
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from([*sorted(DIALECTS), "type", "x"]), inner, max_size=2), max_leaves=8)
leaves = st.one_of(
    st.fixed_dictionaries({"cesql": expressions}), st.fixed_dictionaries({"cel": expressions}),
    *(st.fixed_dictionaries({name: st.dictionaries(names, st.text("ab/", max_size=2), max_size=2)})
      for name in ("exact", "prefix", "suffix")), anything)
elements = st.recursive(leaves, lambda inner: st.one_of(
    st.fixed_dictionaries({"all": st.lists(inner, max_size=3)}),
    st.fixed_dictionaries({"any": st.lists(inner, max_size=3)}),
    st.fixed_dictionaries({"not": inner})), max_leaves=5)
events = st.builds(
    lambda more, data: Event({"specversion": "1.0", "id": "1", "source": "/s", "type": "a", **more}, data),
    st.dictionaries(st.sampled_from(["ext", "time", "schemaurl", "datacontenttype", "type"]),
                    st.text(max_size=6)),
    st.none() | st.binary(max_size=8) | st.sampled_from([b'{"a": 1, "b": "x"}', b"[1]", b'{"a": {"b": 1}}']))
MANY = settings(max_examples=80, deadline=None)


@given(st.lists(elements, max_size=3) | anything, events)
@MANY
def test_a_filter_is_refused_or_answers(filters, event):
    """The matcher and the explanation agree with the predicate, and nothing else is ever raised."""
    record = {"filters": filters, "filter": {}}
    try:
        passes = compile_filter(record)(Subject(visible(event.attributes), event.data))
    except FilterInvalid:
        with pytest.raises(FilterInvalid, match=r"spec\.filters"):
            Matcher().put("t", record)
        return
    matcher = Matcher()
    matcher.put("t", record)

    assert passes in (True, False)
    assert matcher.match(event.attributes, event.data) == (["t"] if passes else [])
    assert all(verdict.passes for verdict in explain(record, event)) is passes


@given(anything | st.lists(elements, max_size=3))
@MANY
def test_admission_of_any_json(filters):
    """What the API is sent is complained about or not; what it takes besides, the condition refuses."""
    try:
        errors = admission.validate_filters(filters)
    except (TypeError, AttributeError, KeyError, ValueError, IndexError):
        return  # a field of the wrong JSON type: admission makes a 400 of it
    assert all(str(error) for error in errors)
