"""Where Knative's specification, documents and code disagree: what docs/choices.md says of it."""

import datetime as dt

import pytest

from tests.eventing.conformance.wire import BROKERS, TRIGGERS

URI = {"uri": "http://127.0.0.1:9"}
TYPES = {"exact": {"type": "a"}, "suffix": {"type": "b"}}
REF = {"apiVersion": "v1", "kind": "Service", "name": "s"}


@pytest.mark.parametrize("path", [
    "/apis/sinks.knative.dev/v1alpha1/namespaces/default/jobsinks",
    "/apis/eventing.knative.dev/v1alpha1/namespaces/default/requestreplies",
])
def test_kinds_that_are_not_served(api, path):
    """Trap 13: a kind that is not here is a 404 of the API, and never an object that does nothing."""
    status, answer = api.call("POST", path, {"metadata": {"name": "x"}})

    assert (status, answer["reason"]) == (404, "NotFound")


@pytest.mark.parametrize(("spec", "says"), [
    pytest.param({"filters": [TYPES]}, "multiple dialects found, filters can have only one dialect set",
                 id="triggers/README.md: two dialects in one element"),
    pytest.param({"filters": TYPES}, "spec.filters", id="triggers/README.md: filters as a map"),
    pytest.param({"filter": {"subscriber": {"ref": REF}}, "subscriber": None},
                 'json: unknown field "subscriber": spec.filter.subscriber',
                 id="triggers/README.md, job-sink.md: a subscriber within the filter"),
])
def test_samples_that_knative_refuses(api, broker, spec, says):
    """Trap 19: samples of Knative's documents that its webhook refuses are refused here, with the path."""
    wish = {"broker": broker, "subscriber": URI, **spec}
    status, refused = api.call("POST", TRIGGERS, {
        "apiVersion": "eventing.knative.dev/v1", "kind": "Trigger", "metadata": {"name": "sample"},
        "spec": {key: value for key, value in wish.items() if value is not None}})

    assert status in (400, 422)  # the webhook's refusal, or the schema's
    assert says in refused["message"]


def test_kinds_have_capitals(api):
    """Trap 19: `kind: broker` of the specification's test plan is refused, as kubectl refuses it."""
    status, refused = api.call("POST", BROKERS, {
        "apiVersion": "eventing.knative.dev/v1", "kind": "broker", "metadata": {"name": "small"}})

    assert status == 400
    assert "the kind in the data does not match the path" in refused["message"]


def test_a_producers_own_stamps(broker, make_trigger, post, make_sink):
    """Trap 21: its knativearrivaltime is overwritten; its knativebrokerttl counts, down to a refusal."""
    sink = make_sink()
    make_trigger(broker, sink)
    before = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1)
    stamps = {"ce-knativearrivaltime": "2001-01-01T00:00:00Z", "ce-knativebrokerttl": "2"}

    assert post(broker, stamps).status == 202
    assert post(broker, stamps | {"ce-knativebrokerttl": "1"}).status == 400
    assert post(broker, stamps | {"ce-knativebrokerttl": "many", "ce-id": "2"}).status == 202

    arrived = [dt.datetime.fromisoformat(each.headers["ce-knativearrivaltime"]) for each in sink.wait(2)]
    assert all(when >= before for when in arrived)
    sink.until("1", "2")


def test_typed_extensions_are_their_text(broker, make_trigger, post, make_sink):
    """A Boolean or number in JSON equals its canonical text in every filter; Knative's legacy one says no."""
    sinks = [make_sink() for _ in range(3)]
    for sink, spec in zip(sinks, ({"filter": {"attributes": {"flag": "true", "n": "5"}}},
                                  {"filters": [{"exact": {"flag": "true", "n": "5"}}]},
                                  {"filters": [{"cesql": "flag = TRUE AND n > 4"}]}), strict=True):
        make_trigger(broker, sink, **spec)
    body = b'{"specversion":"1.0","id":"1","source":"/","type":"t","flag":true,"n":5}'
    assert post(broker, whole={"content-type": "application/cloudevents+json"}, body=body).status == 202

    for sink in sinks:
        sink.until("1")


def test_a_query_is_no_part_of_the_name(broker, post):
    """Knative takes `?x` for a part of the Broker's name; here a query string is ignored."""
    assert post(f"/default/{broker}?x=1").status == 202
