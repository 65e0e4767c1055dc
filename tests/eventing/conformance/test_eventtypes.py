"""EventTypes that are made of what is seen: Knative's experimental feature eventtype_autocreate."""

import json

import pytest

from eventing.broker.eventtypes import name_of
from tests.eventing.conformance.wire import replying

TYPES = "/apis/eventing.knative.dev/v1beta2/namespaces/default/eventtypes"


@pytest.fixture
def see(api, set_flags, send, until):
    """Turns the flag on, and sends events until their type, at *broker*, was noted; returns the path."""
    set_flags({"eventtype-auto-create": "enabled"})

    def run(broker, type_):
        path = f"{TYPES}/{name_of(f'default/{broker}', type_, '/s')}"

        def is_there():  # the flag reaches the ingress a moment after it was set
            send(broker, "1", type=type_)
            return api.call("GET", path)[0] == 200
        until(is_there, what=f"EventType of {type_}")
        return path
    return run


def test_types_at_a_broker(api, instance, see, broker, post):
    """An event's type appears in `clarion get eventtypes`, Ready, with what it was seen at."""
    path = see(broker, "com.example.first")
    found = api.until_ready(path)
    assert found["spec"]["reference"] == {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker",
                                          "name": broker, "namespace": "default"}

    lines = instance.clarion("get", "eventtypes").splitlines()
    assert lines[0].split()[:5] == ["NAME", "TYPE", "SOURCE", "REFERENCE", "NAME"]  # of v1beta3, the newest
    older = instance.clarion("get", "eventtypes.v1beta2.eventing.knative.dev").splitlines()
    assert older[0].split()[3] == "SCHEMA"
    (line,) = [each for each in lines if found["metadata"]["name"] in each]
    assert "com.example.first" in line
    assert broker in line
    assert "True" in line


def test_types_in_a_batch(api, see, broker, post, until):
    """Each event of a batch counts; its schema is told."""
    see(broker, "com.example.alone")
    batch = [{"specversion": "1.0", "id": "1", "type": "com.example.batch", "source": "/s",
              "dataschema": "http://example.com/s.json"}]
    assert post(broker, whole={"content-type": "application/cloudevents-batch+json"},
                body=json.dumps(batch).encode()).status == 202
    other = f"{TYPES}/{name_of(f'default/{broker}', 'com.example.batch', '/s')}"
    until(lambda: api.call("GET", other)[0] == 200, what="EventType of a batch")
    assert api.get(other)["spec"]["schema"] == "http://example.com/s.json"


def test_types_of_replies(api, see, make_trigger, broker, sink):
    """A reply's type is one of its Trigger, and of the Broker where it arrives."""
    sink.answer = replying(type="com.example.answer")
    path = make_trigger(broker, sink, filter={"attributes": {"type": "com.example.asked"}})
    trigger = path.rpartition("/")[2]
    wanted = [f"{TYPES}/{name_of(f'default/{name}', 'com.example.answer', '/reply')}"
              for name in (trigger, broker)]
    while any(api.call("GET", each)[0] != 200 for each in wanted):
        see(broker, "com.example.asked")

    assert [api.get(each)["spec"]["reference"]["kind"] for each in wanted] == ["Trigger", "Broker"]


def test_they_go_with_the_broker(api, see, broker, until):
    """Who deletes a Broker deletes what was seen there."""
    path = see(broker, "com.example.gone")
    assert api.call("DELETE", f"/apis/eventing.knative.dev/v1/namespaces/default/brokers/{broker}")[0] == 200

    until(lambda: api.call("GET", path)[0] == 404, what="end of the EventType")


def test_all_versions_are_served(api, broker):
    """v1beta1, which is deprecated, v1beta2 and v1beta3 are one object; the newest one comes first."""
    wish = {"apiVersion": "eventing.knative.dev/v1beta1", "kind": "EventType", "metadata": {"name": "old"},
            "spec": {"type": "t", "broker": broker}}
    status, _ = api.call("POST", TYPES.replace("v1beta2", "v1beta1"), wish)

    assert status == 201
    assert api.until_ready(f"{TYPES}/old")["spec"]["type"] == "t"
    assert api.get(f"{TYPES.replace('v1beta2', 'v1beta3')}/old")["spec"] == {
        "reference": {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "name": broker},
        "attributes": [{"name": "specversion", "required": True}, {"name": "id", "required": True},
                       {"name": "type", "required": True, "value": "t"},
                       {"name": "source", "required": True}]}
    served = [each["version"] for each in api.get("/apis/eventing.knative.dev")["versions"]]
    assert [each for each in served if each in {"v1", "v1beta1", "v1beta2", "v1beta3"}] == [
        "v1", "v1beta3", "v1beta2", "v1beta1"]


V1BETA3 = """
apiVersion: eventing.knative.dev/v1beta3
kind: EventType
metadata: {name: placed}
spec:
  description: an order
  attributes:
    - {name: type, required: true, value: order.placed}
    - {name: source, required: true, value: /shop}
    - {name: specversion, required: true, value: v1}
    - {name: id, required: true}
    - {name: schemadata, required: false, value: 'http://example.com/s'}
    - {name: subject, required: true, value: 'order/{id}'}
"""


def test_one_of_v1beta3_is_applied(api, instance):
    """Created, changed and deleted as v1beta3; read as v1beta2, which is stored; what is lost is said."""
    made = instance.run("apply", "-f", "-", stdin=V1BETA3)
    assert made.returncode == 0, made.stderr
    assert 'attribute "subject" is not kept' in made.stderr
    assert 'attribute "specversion" is not kept' in made.stderr
    made = instance.run("apply", "-f", "-", stdin=V1BETA3.replace("v1}", "'1.0'}"))
    assert "specversion" not in made.stderr
    wanted = {"type": "order.placed", "source": "/shop", "schema": "http://example.com/s",
              "description": "an order"}
    assert api.until_ready(f"{TYPES}/placed")["spec"] == wanted

    newer = f"{TYPES.replace('v1beta2', 'v1beta3')}/placed"
    shown = api.get(newer)
    assert (shown["apiVersion"], shown["status"]["conditions"][0]["status"]) == (
        "eventing.knative.dev/v1beta3", "True")
    again = instance.clarion("apply", "-f", "-", stdin=V1BETA3.replace("order.placed", "order.paid"))
    assert "configured" in again
    assert api.get(f"{TYPES}/placed")["spec"] == wanted | {"type": "order.paid"}
    assert api.get(newer)["metadata"]["generation"] == 2

    shown = api.get(newer)
    shown["status"]["annotations"] = {"a": "b"}
    shown["spec"] = {}
    assert api.call("PUT", f"{newer}/status", shown)[0] == 200
    assert api.get(f"{TYPES}/placed")["spec"]["type"] == "order.paid"

    assert api.call("DELETE", newer)[0] == 200
    assert api.call("GET", f"{TYPES}/placed")[0] == 404


def test_a_v1beta3_that_lacks_attributes_is_refused(instance):
    """Those that every event has are listed, in Knative's words; the type says which one it is."""
    lines = V1BETA3.splitlines()
    refused = instance.run("apply", "-f", "-", stdin="\n".join(
        line for line in lines if "name: id" not in line and "name: source" not in line))
    nameless = instance.run("apply", "-f", "-", stdin=V1BETA3.replace(", value: order.placed", ""))

    assert "missing field(s): spec.attributes.id, spec.attributes.source" in refused.stderr
    assert "missing field(s): spec.attributes[type].value" in nameless.stderr
