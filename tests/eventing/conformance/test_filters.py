"""Filters over the wire: Knative's features of both filter fields, a matrix each (clauses.md)."""

import itertools

import pytest

from tests.eventing.conformance.wire import TRIGGERS

SQL = {"cesql": "type LIKE 'com.sql.%'"}
NOT = {"not": {"cesql": "type LIKE '%.type' OR type LIKE 'o%'"}}
ANY = {"any": [{"exact": {"type": "exact.type"}}, {"prefix": {"type": "prefix."}},
               {"suffix": {"type": ".suffix"}}, NOT, SQL]}

# Feature, or trap -> filters, and the types of events that they pick.
DIALECTS = {
    "ExactFilter": ([{"exact": {"type": "a.b", "source": "/s"}}], {"a.b"}),
    "PrefixFilter": ([{"prefix": {"type": "a.", "source": "/"}}], {"a.b", "a.c"}),
    "SuffixFilter": ([{"suffix": {"type": ".b", "source": "s"}}], {"a.b", "x.b"}),
    "CloudEventsSQLFilter": ([{"cesql": "type LIKE 'a.%' AND source = '/s'"}], {"a.b", "a.c"}),
    "AnyFilterMultipleExact": ([{"any": [{"exact": {"type": "a.b"}}, {"exact": {"type": "y"}}]}],
                               {"a.b", "y"}),
    "AllFilterFeature": ([{"all": [{"exact": {"source": "/s"}}, {"prefix": {"type": "a"}},
                                   {"suffix": {"type": "b"}}, {"cesql": "type LIKE '%.%'"}]}], {"a.b"}),
    "MultipleFilters": ([{"prefix": {"type": "a."}}, {"suffix": {"type": ".b"}}], {"a.b"}),
    "not, and an empty element": ([{"not": {"prefix": {"type": "a."}}}, {}], {"x.b", "y"}),
    "MissingAttributes: exact": ([{"exact": {"absent": "x"}}], set()),
    "MissingAttributes: prefix": ([{"prefix": {"absent": "x"}}], set()),
    "MissingAttributes: suffix": ([{"suffix": {"absent": "x"}}], set()),
    "MissingAttributes: cesql": ([{"cesql": "absent = 'x'"}], set()),
    "MissingAttributes: cel": ([{"cel": "absent == 'x'"}], set()),
    "trap 8: a value that is no Boolean does not pass": ([{"cesql": "1"}], set()),
    "data": ([{"cel": "data.n > 1"}], {"a.c"}),
}


def test_dialects(broker, make_trigger, post, make_sink):
    """Every dialect picks the events that it says, and no others: the features above, and trap 8."""
    sinks = {name: make_sink() for name in (*DIALECTS, "every")}
    for name, (filters, _) in DIALECTS.items():
        make_trigger(broker, sinks[name], filters=filters)
    make_trigger(broker, sinks["every"])
    data = {"a.b": b'{"n": 1}', "a.c": b'{"n": 2}', "x.b": b"{}", "y": b""}
    for type_, body in data.items():
        assert post(broker, {"ce-id": type_, "ce-type": type_}, body).status == 202

    sinks["every"].until(*data)
    for name, (_, gets) in DIALECTS.items():
        sinks[name].until(*gets)


def test_any_of_all_dialects(broker, make_trigger, send, make_sink):
    """AnyFilterFeature: one element of each dialect, of which one has to pass."""
    sink, every = make_sink(), make_sink()
    make_trigger(broker, sink, filters=[ANY])
    make_trigger(broker, every)
    types = ("exact.type", "prefix.type", "x.suffix", "com.sql.type", "unlike", "other.type")
    for type_ in types:
        send(broker, type_, type=type_)

    every.until(*types)
    sink.until(*types[:-1])


@pytest.mark.parametrize(("filters", "gets"), [
    pytest.param([], "a", id="FilterAttributeWithEmptyFilters: an empty list keeps filter in force"),
    pytest.param([{"exact": {"type": "b"}}], "b", id="FiltersOverrideAttributeFilter"),
])
def test_filters_and_filter(broker, make_trigger, send, make_sink, *, filters, gets):
    """Trap 9: which of the two fields counts."""
    sink, every = make_sink(), make_sink()
    make_trigger(broker, sink, filters=filters, filter={"attributes": {"type": "a"}})
    make_trigger(broker, every)
    for type_ in "ab":
        send(broker, type_, type=type_)

    every.until("a", "b")
    sink.until(gets)


def test_types_and_sources(broker, make_trigger, send, make_sink):
    """ManyTriggers, case 1: four Triggers over type and source, four events."""
    wishes = list(itertools.product(("", "t1"), ("", "/s1")))
    sinks = [make_sink() for _ in wishes]
    for sink, (type_, source) in zip(sinks, wishes, strict=True):
        make_trigger(broker, sink, filter={"attributes": {"type": type_, "source": source}})
    events = list(itertools.product(("t1", "t2"), ("/s1", "/s2")))
    for type_, source in events:
        send(broker, type_ + source, type=type_, source=source)

    for sink, (type_, source) in zip(sinks, wishes, strict=True):
        sink.until(*(each + where for each, where in events
                     if type_ in ("", each) and source in ("", where)))


def test_extensions(broker, make_trigger, send, make_sink):
    """ManyTriggers, case 2, CP-T10, trap 6: each key must be there and equal; "" is any value."""
    wishes = [{"ext": "v1"}, {"ext": ""}, {"ext": "v1", "more": "m"}, {"ext": "V1"}, {"subject": ""},
              {"time": ""}, {"more": "m"}, {}]
    sinks = [make_sink() for _ in wishes]
    for sink, wish in zip(sinks, wishes, strict=True):
        make_trigger(broker, sink, filter={"attributes": wish})
    events = {"none": {}, "one": {"ext": "v1"}, "other": {"ext": "v2"}, "both": {"ext": "v1", "more": "m"}}
    for id_, extensions in events.items():
        send(broker, id_, **extensions)

    for sink, wish in zip(reversed(sinks), reversed(wishes), strict=True):
        sink.until(*(id_ for id_, has in events.items()
                     if all(has.get(key) and value in ("", has[key]) for key, value in wish.items())))


@pytest.mark.parametrize(("filters", "says"), [
    ([{"exact": {"type": "a"}, "suffix": {"type": "b"}}],
     "multiple dialects found, filters can have only one dialect set: spec.filters[0]"),
    ([{"exact": {"Type": "a"}}], 'invalid key name "Type": spec.filters[0].exact'),
    ([{"cesql": "type ="}], "invalid value: type =: spec.filters[0].cesql"),
    ([{"any": [{"not": {"cesql": "("}}]}], "spec.filters[0].any[0].not.cesql"),
    ([{"exakt": {"type": "a"}}], 'unknown field "exakt": spec.filters[0].exakt'),
    ({"exact": {"type": "a"}}, "spec.filters"),
])
def test_what_is_no_filter(api, broker, filters, says):
    """Traps 8, 16, 19: a filter that means nothing is refused with its path."""
    wish = {"apiVersion": "eventing.knative.dev/v1", "kind": "Trigger", "metadata": {"name": "no"}, "spec": {
        "broker": broker, "subscriber": {"uri": "http://127.0.0.1:9"}, "filters": filters}}
    status, refused = api.call("POST", TRIGGERS, wish)

    assert status in (400, 422)  # the webhook's refusal, or the schema's: a map where a list belongs
    assert says in refused["message"]


def test_an_empty_value_is_no_filter(api, broker, send, make_trigger, make_sink):
    """Trap 7: it is admitted, as Knative admits it; the Trigger is not Ready, and nothing gets through."""
    sink, every = make_sink(), make_sink()
    make_trigger(broker, every)
    path = api.create(TRIGGERS, "hollow", {"broker": broker, "subscriber": {"uri": sink.url},
                                           "filters": [{"exact": {"type": ""}}]})
    told = api.until_condition(path, "Ready", "False", "FilterInvalid")
    assert "spec.filters[0].exact.type" in told["message"]

    send(broker, "1")
    every.until("1")
    assert sink.ids == []
