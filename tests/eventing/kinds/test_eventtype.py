"""EventType: admission, the way to Ready, and those that are made of what roles have seen."""

import pytest

from eventing.broker import eventtypes
from eventing.control import resource
from eventing.control.api.table import table
from eventing.kinds import eventtype
from eventing.kinds.eventtype import EVENT_TYPE
from tests.objects import BROKER

KIND = "EventType.eventing.knative.dev"
EVENT = "Event"
TRIGGER = """
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: t}
spec: {broker: default, subscriber: {uri: 'http://127.0.0.1:9/'}}
"""
FLAG = """
apiVersion: v1
kind: ConfigMap
metadata: {name: config-features, namespace: knative-eventing}
data: {eventtype-auto-create: VALUE}
"""
REFERENCE = "{apiVersion: eventing.knative.dev/v1, kind: Broker, name: default}"


def text(spec, version="v1beta2"):
    """An EventType, as YAML."""
    return f"""
apiVersion: eventing.knative.dev/{version}
kind: EventType
metadata: {{name: placed}}
spec: {{{spec}}}
"""


@pytest.mark.parametrize(("spec", "expected"), [
    ("type: order.placed", ""),
    ("type: t, source: /s, schema: 'http://x/y', schemaData: '{}', broker: default, description: d", ""),
    ("source: /s", "missing field(s): spec.type"),
    ("type: ''", "missing field(s): spec.type"),
])
def test_validation(admit, spec, expected):
    """The type is all that Knative asks for."""
    assert admit(text(spec))[1] == expected


def test_defaults(admit):
    """A reference without a namespace is to the EventType's own."""
    made, _, _ = admit(text(f"type: t, reference: {REFERENCE}"))

    assert made["spec"]["reference"]["namespace"] == "default"


def test_the_old_version_is_warned_of(admit):
    """v1beta1 is taken, with the warning that Knative's API server gives."""
    _, errors, warnings = admit(text("type: t", version="v1beta1"))

    assert errors == ""
    assert "v1beta1 EventType is deprecated" in warnings[0]


@pytest.mark.parametrize(("spec", "status", "reason"), [
    ("type: t", "True", "ReferenceNotSet"),
    ("type: t, reference: {}", "True", "ReferenceNotSet"),
    (f"type: t, reference: {REFERENCE}", "False", "ResourceDoesNotExist"),
    ("type: t, reference: {apiVersion: example.com/v1, kind: Nothing, name: n}", "Unknown",
     "ReferenceGetFailed"),
])
async def test_reference(cluster, spec, status, reason):
    """ReferenceExists says whether what the type refers to is there."""
    await cluster.apply(text(spec))

    await cluster.until_condition(KIND, "placed", "ReferenceExists", status=status, reason=reason)
    await cluster.until_condition(KIND, "placed", "Ready", status=status)


async def test_a_reference_that_appears(cluster):
    """A Broker that comes later makes it Ready, and one that goes does the opposite."""
    await cluster.apply(text(f"type: t, reference: {REFERENCE}"))
    await cluster.until_condition(KIND, "placed", "Ready", status="False", reason="ResourceDoesNotExist")

    await cluster.apply(BROKER)
    await cluster.until_condition(KIND, "placed", "Ready", status="True")
    await cluster.delete("Broker.eventing.knative.dev", "default")
    await cluster.until_condition(KIND, "placed", "Ready", status="False", reason="ResourceDoesNotExist")


def test_columns():
    """`kubectl get eventtypes` prints what Knative's does."""
    shown = table(EVENT_TYPE, [], {}, now=0.0, include="None")

    assert [column["name"] for column in shown["columnDefinitions"]] == [
        "Name", "Type", "Source", "Schema", "Reference Name", "Reference Kind", "Description", "Ready",
        "Reason"]


def record(kind="Broker", name="default", type_="order.placed", source="/shop", schema=""):
    """What a role reports, and the name under which it does."""
    made = eventtypes.name_of(f"default/{name}", type_, source)
    return made, {"type": type_, "source": source, "schema": schema, "kind": kind, "name": name}


@pytest.fixture
async def open_cluster(cluster):
    """A control plane with a broker, a trigger, and the flag on."""
    await cluster.apply(BROKER)
    await cluster.apply(TRIGGER)
    await cluster.apply(FLAG.replace("VALUE", "Enabled"))
    return cluster


async def report(cluster, name, seen):
    """Report as a role does, and wait until the control plane has taken it."""
    await cluster.report(eventtypes.TABLE, f"default/{name}", seen)
    await cluster.until_projected(eventtypes.TABLE, lambda found: not found)


@pytest.mark.parametrize(("kind", "owner"), [("Broker", "default"), ("Trigger", "t")])
async def test_a_type_that_was_seen_becomes_an_object(open_cluster, kind, owner):
    """It has Knative's name, fields and owner, and is Ready."""
    name, seen = record(kind, owner, schema="http://example.com/order.json")
    await report(open_cluster, name, seen)

    made = open_cluster.get(KIND, name)
    assert made["spec"] == {
        "type": "order.placed", "source": "/shop", "schema": "http://example.com/order.json",
        "description": "Event Type auto-created by controller",
        "reference": {"apiVersion": "eventing.knative.dev/v1", "kind": kind, "name": owner,
                      "namespace": "default"}}
    assert resource.owners(made) == [{
        "apiVersion": "eventing.knative.dev/v1", "kind": kind, "name": owner,
        "uid": resource.uid(open_cluster.get(f"{kind}.eventing.knative.dev", owner))}]
    await open_cluster.until_condition(KIND, name, "Ready", status="True")


async def test_they_go_with_their_broker(open_cluster):
    """An EventType that was made is deleted when its Broker is."""
    name, seen = record()
    await report(open_cluster, name, seen)
    assert open_cluster.get(KIND, name)

    await open_cluster.delete("Broker.eventing.knative.dev", "default")
    await open_cluster.until(lambda: open_cluster.get(KIND, name) is None)


async def test_one_that_is_there_is_left_alone(open_cluster):
    """What a person wrote into it stays when its type is seen again."""
    name, seen = record()
    await report(open_cluster, name, seen)
    await open_cluster.plane.objects.patch(EVENT_TYPE, "default", name, lambda found: {
        **found, "spec": {**found["spec"], "description": "Somebody ordered something"}})

    await report(open_cluster, name, seen)
    assert open_cluster.get(KIND, name)["spec"]["description"] == "Somebody ordered something"


@pytest.mark.parametrize("seen", [record(name="none"), record("Trigger", "none")])
async def test_without_its_owner_nothing_is_made(open_cluster, seen):
    """A Broker that has gone since gets no EventTypes."""
    await report(open_cluster, *seen)

    assert open_cluster.get(KIND, seen[0]) is None


async def test_without_the_flag_nothing_is_made(cluster):
    """A report that comes when the flag is off again is thrown away."""
    await cluster.apply(BROKER)
    await cluster.apply(FLAG.replace("VALUE", "disabled"))
    name, seen = record()
    await report(cluster, name, seen)

    assert cluster.get(KIND, name) is None


async def test_their_number_is_bounded(open_cluster, monkeypatch):
    """Types without end fill no store: there is a limit, and an Event at the Broker that says so."""
    monkeypatch.setattr(eventtype, "OWNED_LIMIT", 2)
    for number in range(3):
        await report(open_cluster, *record(source=f"/sensors/{number}"))

    assert len(open_cluster.plane.store.list(EVENT_TYPE)) == 2
    events = open_cluster.plane.store.list(eventtype.kind.named(EVENT))
    assert "EventTypesLimit" in [event["reason"] for event in events]
