"""PingSource, the kind: admission in Knative's words, and its way to Ready."""

import asyncio

import pytest

from eventing import projection
from eventing.control import resource
from eventing.control.field import render
from eventing.control.kind import Defaults
from sources.ping import KIND, OLDER

SINK = {"uri": "http://sink.example/"}
PARTS = "[apiVersion, kind, name]"


def refusal(spec, config=None):
    """What admission says of a PingSource with this spec, defaults filled in; "" if nothing."""
    source = {"apiVersion": "sources.knative.dev/v1", "kind": "PingSource", "spec": {"sink": SINK, **spec},
              "metadata": {"name": "tick", "namespace": "default"}}
    defaults = Defaults(config=lambda *_: config or {}, now=0.0)
    KIND.default(source, None, defaults)
    return render(KIND.validate(source, None, defaults))


@pytest.mark.parametrize(("spec", "message"), [
    ({}, ""),
    ({"schedule": "* * * *"}, "invalid value: expected 5 to 6 fields, found 4: [* * * *]: spec.schedule"),
    ({"schedule": "@every 1m"}, "invalid value: unsupported descriptor @every: spec.schedule"),
    ({"timezone": "Mars"},
     "invalid value: provided bad location Mars: unknown time zone Mars: spec.timezone"),
    ({"data": "a", "dataBase64": "YQ=="}, "expected exactly one, got both: spec.data, spec.dataBase64"),
    ({"dataBase64": "YQ=*"}, "invalid value: illegal base64 data at input byte 2: spec.dataBase64"),
    ({"contentType": "application/json", "data": "[1]"},
     "invalid value: json: cannot unmarshal array into Go value of type map[string]interface {}: spec.data"),
    ({"contentType": "application/json", "data": '{"a": 1}'}, ""),
    ({"contentType": "text/plain", "data": "[1"}, ""),
    ({"sink": None}, "expected at least one, got none: spec.sink.ref, spec.sink.uri"),
    ({"sink": {"uri": "/relative"}},
     f"invalid value: Relative URI is not allowed when Ref and {PARTS} is absent: spec.sink.uri"),
    ({"sink": {"ref": {"kind": "Broker", "apiVersion": "eventing.knative.dev/v1"}}},
     "missing field(s): spec.sink.ref.name"),
    ({"ceOverrides": {"extensions": {"x-y": "1"}}},
     'invalid key name "x-y": spec.ceOverrides.extensions\nkeys are expected to be alphanumeric'),
])
def test_admission(spec, message):
    """A PingSource is refused in the words that Knative uses, and not where Knative takes it."""
    assert refusal(spec) == message


def test_missed():
    """The annotation about missed ticks has three values."""
    source = {"apiVersion": "sources.knative.dev/v1", "kind": "PingSource", "spec": {"sink": SINK}}
    refused = {}
    for missed in ("skip", "once", "all", "some"):
        source["metadata"] = {"name": "tick", "annotations": {"clarion.dev/missed": missed}}
        defaults = Defaults(config=lambda *_: {}, now=0.0)
        KIND.default(source, None, defaults)
        refused[missed] = render(KIND.validate(source, None, defaults))

    assert refused == {"skip": "", "once": "", "all": "", "some": (
        "invalid value: some: metadata.annotations[clarion.dev/missed]\nexpected skip, once or all")}


def test_size_limit():
    """Data over config-ping-defaults' limit is refused."""
    assert refusal({"data": "12345"}, {"data-max-size": "4"}) == (
        "invalid value: the data length of 5 bytes exceeds limit set at 4.: spec.data")


async def test_v1beta2_is_taken_with_a_warning(plane):
    """Knative serves it still: what is written as one version is read as either."""
    admission = Defaults(config=lambda *_: {}, now=0.0)
    await plane.objects.create(OLDER, "default", {
        "apiVersion": "sources.knative.dev/v1beta2", "kind": "PingSource", "metadata": {"name": "tick"},
        "spec": {"sink": SINK}}, admission)

    assert "migrate to sources.knative.dev/v1 PingSource" in admission.warnings[0]
    for kind in (KIND, OLDER):
        found = plane.store.get(kind, "default", "tick")
        assert (found["apiVersion"], found["spec"]["schedule"]) == (kind.api_version, "* * * * *")


async def settled(plane, condition):
    """The PingSource `tick` once *condition* holds of its status."""
    async with asyncio.timeout(10):
        while True:
            found = plane.store.get(KIND, "default", "tick")
            if found is not None and condition(found.get("status") or {}):
                return found
            await asyncio.sleep(0.01)


async def test_way_to_ready(plane, store):
    """It says what is missing: first its sink, then the role that runs it; then it is Ready."""
    broker = {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "name": "gone"}
    await plane.objects.create(KIND, "default", {
        "metadata": {"name": "tick"}, "spec": {"schedule": "@hourly", "sink": {"ref": broker}}})
    found = await settled(plane, lambda status: resource.condition_status(status, "SinkProvided") == "False")
    assert resource.condition(found["status"], "Ready")["reason"] == "NotFound"

    found["spec"]["sink"] = SINK
    await plane.objects.update(found)
    found = await settled(plane, lambda status: status.get("sinkUri"))
    assert resource.condition(found["status"], "Ready")["reason"] == "SourceNotStarted"
    record = (await projection.read(store, "sources"))["PingSource/default/tick"]
    assert (record["sink"], record["source"]) == (
        "http://sink.example/", "/apis/v1/namespaces/default/pingsources/tick")

    state = {"uid": record["uid"], "generation": record["generation"], "ready": True}
    await projection.write(store, "source-states", "PingSource/default/tick", state)
    await settled(plane, lambda status: resource.condition_status(status, "Ready") == "True")

    await projection.write(store, "source-states", "PingSource/default/tick", {**state, "sink": "it is full"})
    found = await settled(plane, lambda status: resource.condition_status(status, "SinkAccepting") == "False")
    accepting = resource.condition(found["status"], "SinkAccepting")
    assert (accepting["severity"], accepting["message"]) == ("Info", "it is full")
    assert resource.condition_status(found["status"], "Ready") == "True"
    await projection.write(store, "source-states", "PingSource/default/tick", state)
    await settled(plane, lambda status: resource.condition(status, "SinkAccepting") is None)

    await plane.objects.delete(KIND, "default", "tick")
    async with asyncio.timeout(10):
        while await projection.read(store, "sources") or await projection.read(store, "source-states"):
            await asyncio.sleep(0.01)
