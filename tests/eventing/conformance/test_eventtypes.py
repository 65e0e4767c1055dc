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
    assert lines[0].split()[:4] == ["NAME", "TYPE", "SOURCE", "SCHEMA"]
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


def test_both_versions_are_served(api, broker):
    """v1beta1, which is deprecated, and v1beta2 are one object; the newer one comes first."""
    wish = {"apiVersion": "eventing.knative.dev/v1beta1", "kind": "EventType", "metadata": {"name": "old"},
            "spec": {"type": "t", "broker": broker}}
    status, _ = api.call("POST", TYPES.replace("v1beta2", "v1beta1"), wish)

    assert status == 201
    assert api.until_ready(f"{TYPES}/old")["spec"]["type"] == "t"
    served = [each["version"] for each in api.get("/apis/eventing.knative.dev")["versions"]]
    assert served.index("v1") < served.index("v1beta2") < served.index("v1beta1")
