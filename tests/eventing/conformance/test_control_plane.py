"""Knative's control plane: what Brokers, Triggers and their status must be. A test a clause (clauses.md)."""

import json

import pytest

from tests.eventing.conformance.wire import BROKERS, FAST, TRIGGERS

REFUSED = 400
DLS = {"deadLetterSink": {"uri": "http://127.0.0.1:9/dead"}, **FAST}
URL = {"uri": "http://127.0.0.1:9/"}


def test_a_broker_has_an_address_that_takes_events(api, broker, post):
    """CP-B1, CP-B3, CP-D5, CP-E1: a Ready Broker has a whole URL, and what is posted there is accepted."""
    url = api.get(f"{BROKERS}/{broker}")["status"]["address"]["url"]

    assert url.startswith("http://")
    assert post("/" + url.split("/", 3)[3]).status == 202


def test_a_dead_letter_sink_is_resolved(api, make_broker, make_trigger):
    """CP-B5, CP-T6: Ready means that the URL of the dead letter sink stands in the status."""
    broker = make_broker(delivery=DLS)
    inherits, own = make_trigger(broker, URL), make_trigger(broker, URL, delivery={
        "deadLetterSink": {"ref": {"apiVersion": "v1", "kind": "Service", "name": "d"}}})

    assert api.get(f"{BROKERS}/{broker}")["status"]["deadLetterSinkUri"] == "http://127.0.0.1:9/dead"
    assert api.get(inherits)["status"]["deadLetterSinkUri"] == "http://127.0.0.1:9/dead"
    assert api.get(own)["status"]["deadLetterSinkUri"] == "http://d.default.svc.cluster.local"


def test_the_class_is_defaulted_and_stays(api, broker):
    """CP-B6, CP-B7: a Broker without a class gets one; it cannot be changed."""
    path = f"{BROKERS}/{broker}"
    name = "eventing.knative.dev/broker.class"
    assert api.get(path)["metadata"]["annotations"][name] == "MTChannelBasedBroker"

    status, refused = api.patch(path, {"metadata": {"annotations": {name: "Kafka"}}})

    assert status == REFUSED
    assert "Immutable annotations changed (-old +new): annotations" in refused["message"]


def test_a_brokers_config_stays(api, broker):
    """CP-B8: `spec.config` cannot be changed."""
    change = {"spec": {"config": {"name": "other"}}}
    status, refused = api.patch(f"{BROKERS}/{broker}", change)

    assert status == REFUSED
    assert "Immutable fields changed (-old +new): spec" in refused["message"]


def test_a_broker_without_delivery_has_the_defaults(api, broker):
    """Feature DefaultDeliverySpec: what config-br-defaults says is written into the Broker."""
    assert api.get(f"{BROKERS}/{broker}")["spec"]["delivery"] == {
        "retry": 10, "backoffPolicy": "exponential", "backoffDelay": "PT0.2S"}


def test_a_trigger_may_come_before_its_broker(api, make_trigger, until):
    """CP-B2, CP-T1: without its Broker a Trigger is not Ready, and says why; it is once there is one."""
    path = api.create(TRIGGERS, "early", {"broker": "late", "subscriber": URL})
    told = api.until_condition(path, "Ready", "False", "BrokerDoesNotExist")
    assert told["message"].startswith('Broker "late" does not exist')

    api.create(BROKERS, "late", {})
    api.until_ready(path)
    assert api.call("DELETE", f"{BROKERS}/late")[0] == 200
    api.until_condition(path, "Ready", "False", "BrokerDoesNotExist")


def test_a_subscriber_is_resolved(api, broker, make_trigger):
    """CP-T2, CP-D1, CP-D2, CP-D3: an object's address, a core Service's name, a path relative to either."""
    ref = {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "name": broker}
    service = {"apiVersion": "v1", "kind": "Service", "name": "shop"}
    address = api.get(f"{BROKERS}/{broker}")["status"]["address"]["url"]

    found = [api.get(make_trigger(broker, subscriber))["status"]["subscriberUri"] for subscriber in (
        {"ref": ref}, {"ref": service}, {"ref": service, "uri": "/orders"}, {"ref": ref, "uri": "/a/b"})]

    assert found == [address, "http://shop.default.svc.cluster.local",
                     "http://shop.default.svc.cluster.local/orders",
                     address.rsplit("/", 2)[0] + "/a/b"]


def test_a_subscriber_that_cannot_be_resolved(api, broker):
    """CP-T3, CP-T4, CP-T5, CP-D4: not Ready, a condition that says why, and no URI in the status."""
    ref = {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "name": "nowhere"}
    path = api.create(TRIGGERS, "unresolved", {"broker": broker, "subscriber": {"ref": ref}})

    told = api.until_condition(path, "SubscriberResolved", "False")
    assert api.condition(path)["status"] == "False"
    assert told["reason"]
    assert "nowhere" in told["message"]
    assert "subscriberUri" not in api.get(path)["status"]


def test_a_triggers_broker_stays_and_the_rest_may_change(api, make_broker, make_trigger, send, make_sink):
    """CP-T7, CP-T8: `spec.broker` is immutable; filter and subscriber are not, and take effect once Ready."""
    first, second = make_broker(), make_broker()
    before, after = make_sink(), make_sink()
    path = make_trigger(first, before, filter={"attributes": {"type": "a"}})

    status, refused = api.patch(path, {"spec": {"broker": second}})
    assert status == REFUSED
    assert "Immutable fields changed (-old +new): broker, spec" in refused["message"]

    change = {"filter": {"attributes": {"type": "b"}}, "subscriber": {"uri": after.url}}
    assert api.patch(path, {"spec": change})[0] == 200
    api.until_ready(path)
    send(first, "1", type="a")
    send(first, "2", type="b")
    after.until("2")
    assert before.ids == []


def test_ready_means_that_nothing_is_missed(broker, make_trigger, send, sink):
    """CP-B4, CP-T9: every event that is accepted after a Trigger became Ready is delivered."""
    make_trigger(broker, sink)
    ids = [str(number) for number in range(50)]
    send(broker, *ids)

    sink.until(*ids)


@pytest.mark.parametrize(("spec", "missing"), [
    ({"subscriber": URL}, "missing field(s): spec.broker"),
    ({"broker": "b"}, "expected at least one, got none: spec.subscriber.ref, spec.subscriber.uri"),
])
def test_what_a_trigger_needs(api, spec, missing):
    """CP-T11, CP-00: broker and subscriber are required, and asked for."""
    wish = {"apiVersion": "eventing.knative.dev/v1", "kind": "Trigger", "metadata": {"name": "x"},
            "spec": spec}
    status, refused = api.call("POST", TRIGGERS, wish)

    assert status == REFUSED
    assert refused["message"] == ('admission webhook "validation.webhook.eventing.knative.dev" denied the '
                                  f"request: validation failed: {missing}")


def test_names_of_filter_attributes(api, broker, make_trigger):
    """Feature ControlPlaneTrigger_With(In)ValidFilters: names that are valid are kept, others refused."""
    valid = ("source", "id", "specversion", "type", "subject", "time", "datacontenttype", "dataschema", "aaa",
             "c1d2e3", "abcdefghijklmnopqrst")
    wanted = {"attributes": dict.fromkeys(valid, "x")}
    path = make_trigger(broker, URL, filter=wanted)
    assert api.get(path)["spec"]["filter"] == wanted

    for name in ("SOURCE", "Source", "souRce", "s pace s", "s_pace_s", "s-pace-s", "123", "\N{GRINNING FACE}",
                 "!@#$%^&*()-_=+", "`[]{};'\\:\"|,./<>?"):
        status, refused = api.patch(path, {"spec": {"filter": {"attributes": {name: "x"}}}})
        assert status == REFUSED, name
        assert f"invalid key name {json.dumps(name, ensure_ascii=False)}: spec.filter" in refused["message"]


def test_defaults_of_a_trigger(api, broker, make_trigger):
    """Features Defaulting_Filter and _SubscriberNamespace: an empty filter, the Trigger's namespace."""
    ref = {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "name": broker}
    spec = api.get(make_trigger(broker, {"ref": ref}))["spec"]

    assert spec["filter"] == {}
    assert spec["subscriber"]["ref"]["namespace"] == "default"


def test_a_dependency_is_waited_for(api, broker, sink, send):
    """Feature TriggerDependencyAnnotation: not Ready before that object is there, and Ready with it."""
    annotation = '{"kind":"PingSource","name":"tick","apiVersion":"sources.knative.dev/v1"}'
    path = api.create(TRIGGERS, "dependent", {"broker": broker, "subscriber": {"uri": sink.url}},
                      annotations={"knative.dev/dependency": annotation})
    api.until_condition(path, "Ready", "False", "DependencyDoesNotExist")

    api.create("/apis/sources.knative.dev/v1/namespaces/default/pingsources", "tick", {
        "schedule": "0 0 1 1 *", "sink": {"ref": {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker",
                                                  "name": broker}}})
    api.until_ready(path)
    send(broker, "1")
    sink.until("1")


def test_a_subscriber_with_any_scheme_is_admitted(api, broker, make_trigger):
    """Feature SourceToSinkWithDLQ: `bad://uri` is admitted, and the Trigger Ready; its events fail."""
    make_trigger(broker, "bad://uri")


def test_the_server_owns_the_status(api, broker, make_trigger):
    """CP-R3: a write of the object leaves the status alone, and a write of the status everything else."""
    path = make_trigger(broker, URL)
    before = api.get(path)
    status, after = api.call("PUT", path, {**before, "status": {"subscriberUri": "http://mine"}})

    assert status == 200
    assert after["status"] == before["status"]


@pytest.mark.parametrize("kind", ["broker", "trigger", "broken"])
def test_conditions(api, broker, make_trigger, kind):
    """CP-R4, ES-1 to ES-5: types are unique, Ready is there and follows from the rest, False has a reason."""
    if kind == "broken":
        path = f"{TRIGGERS}/broken"
        if api.call("GET", path)[0] != 200:
            api.create(TRIGGERS, "broken", {"broker": "nothing", "subscriber": URL})
        api.until_condition(path, "Ready", "False")
    else:
        path = f"{BROKERS}/{broker}" if kind == "broker" else make_trigger(broker, URL)
    found = api.get(path)
    conditions = {each["type"]: each for each in found["status"]["conditions"]}

    assert found["status"]["observedGeneration"] == found["metadata"]["generation"]
    assert len(conditions) == len(found["status"]["conditions"])
    assert conditions["Ready"].get("severity", "") == ""
    others = {each["status"] for type_, each in conditions.items() if type_ != "Ready"}
    worst = next(status for status in ("False", "Unknown", "True") if status in others)
    assert conditions["Ready"]["status"] == worst
    assert all(each["reason"] for each in conditions.values() if each["status"] == "False")


def test_every_field_of_the_schema_is_taken(api, sink, make_broker, make_trigger):
    """CP-R1, CP-R2, CP-R5: all fields are accepted and kept, and none beyond them is asked for."""
    destination = {"ref": {"apiVersion": "v1", "kind": "Service", "name": "s", "namespace": "other"},
                   "uri": "/x", "CACerts": "c", "audience": "a"}
    delivery = {"deadLetterSink": destination, "retry": 3, "backoffPolicy": "linear", "backoffDelay": "PT1S",
                "timeout": "PT5S"}
    broker = make_broker(config={"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "namespace": "n"},
                         delivery=delivery)
    path = make_trigger(broker, destination, filter={"attributes": {"type": "t"}},
                        filters=[{"cesql": "TRUE"}], delivery={**delivery, "format": "json"})

    assert api.get(f"{BROKERS}/{broker}")["spec"]["delivery"] == delivery
    kept = api.get(path)["spec"]
    assert (kept["subscriber"], kept["delivery"]["format"]) == (destination, "json")
