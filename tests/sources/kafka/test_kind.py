"""KafkaSource, the kind: admission in Knative's words, its conditions, and where secrets do not appear."""

import asyncio
import json

import pytest

from eventing import projection
from eventing.control import resource
from eventing.control.kind import lookup
from sources.kafka import KIND

SINK = {"uri": "http://sink.example/"}
SPEC = {"bootstrapServers": ["b:9092"], "topics": ["t", "u"], "sink": SINK}
NAME = "KafkaSource/default/k"


def source(spec, **metadata):
    """A KafkaSource with this spec beside what it must have."""
    return {"apiVersion": KIND.api_version, "kind": "KafkaSource", "metadata": {"name": "k", **metadata},
            "spec": {**SPEC, **spec}}


@pytest.mark.parametrize(("spec", "message"), [
    ({}, ""),
    ({"bootstrapServers": []}, "missing field(s): spec.bootstrapServers"),
    ({"topics": None}, "missing field(s): spec.topics"),
    ({"topics": "t"}, "invalid value: t: spec.topics"),
    ({"topics": ["t", 7, ""]}, "invalid value: : spec.topics[2]\ninvalid value: 7: spec.topics[1]"),
    ({"initialOffset": "newest"}, "invalid value: newest: spec.initialOffset"),
    ({"ordering": "random"}, "invalid value: random: spec.ordering"),
    ({"consumers": -1}, "invalid value: -1: spec.consumers"),
    ({"sink": None}, "expected at least one, got none: spec.sink.ref, spec.sink.uri"),
    ({"delivery": {"retry": -1}}, ("invalid value: -1: spec.delivery.retry\n"
                                  "expected a whole number from 0 to 2147483647")),
    ({"net": {"sasl": {"enable": True, "user": {"secretKeyRef": {"name": "s"}}}}},
     "missing field(s): spec.net.sasl.user.secretKeyRef.key"),
    ({"net": {"tls": {"caCert": "text"}}}, "invalid value: text: spec.net.tls.caCert.secretKeyRef"),
])
def test_admission(admit, spec, message):
    """A KafkaSource is refused in the words that Knative uses."""
    assert admit(source(spec))[1] == message


def test_key_type(admit):
    """A key type that does not exist is refused at its label."""
    label = "kafkasources.sources.knative.dev/key-type"

    _, errors, _ = admit(source({}, labels={label: "double"}))

    assert errors == f"invalid value: double: metadata.labels.{label}"


def test_defaults(admit):
    """What is left out gets Knative's defaults; the made-up consumer group stays over an update."""
    made, _, _ = admit(source({}))
    spec = made["spec"]

    again, errors, _ = admit(source({}), made)
    changed = admit(source({"consumerGroup": "mine"}), made)[1]

    assert spec["consumerGroup"].startswith("knative-kafka-source-")
    assert (spec["initialOffset"], spec["ordering"], spec["consumers"]) == ("latest", "ordered", 1)
    assert (again["spec"]["consumerGroup"], errors) == (spec["consumerGroup"], "")
    assert changed.startswith("Immutable fields changed (-old +new): spec.consumerGroup")


def test_both_versions():
    """The API has the kind as v1beta1 and as v1, with the same objects behind."""
    kinds = [lookup("sources.knative.dev", version, "kafkasources") for version in ("v1beta1", "v1")]

    assert len({kind.resource_name for kind in kinds if kind is not None}) == 1
    assert None not in kinds


async def condition(plane, type_, status):
    """That condition of the KafkaSource, once it has that status; its Ready, too."""
    async with asyncio.timeout(10):
        while True:
            stored = (plane.store.get(KIND, "default", "k") or {}).get("status") or {}
            found = resource.condition(stored, type_) or {}
            if found.get("status") == status:
                return found
            await asyncio.sleep(0.01)


async def test_secrets_and_conditions(plane, store):
    """A missing Secret is named; its values reach the sources role, in a table of their own, and only it."""
    ref = {"secretKeyRef": {"name": "kafka", "key": "pw"}}
    await plane.objects.create(KIND, "default", source({"net": {"sasl": {
        "enable": True, "user": ref, "password": ref, "type": {"secretKeyRef": {
            "name": "other", "key": "type", "optional": True}}}}}))
    found = await condition(plane, "ConsumerGroup", "False")
    assert (found["reason"], found["message"]) == (
        "SecretNotFound", 'failed to get user: secret "kafka" not found in namespace default')

    await plane.objects.create(lookup("", "v1", "secrets"), "default", {
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "kafka"}, "stringData": {"pw": "hunter2"}})
    found = await condition(plane, "ConsumerGroup", "Unknown")
    assert found["reason"] == "SourceNotStarted"

    record = (await projection.read(store, "sources"))[NAME]
    secrets = await projection.read(store, "source-secrets")
    assert secrets == {NAME: {"user": "hunter2", "password": "hunter2"}}
    assert "hunter2" not in json.dumps([record, plane.store.get(KIND, "default", "k")])
    assert record["source"] == "/apis/v1/namespaces/default/kafkasources/k#t"

    state = {"uid": record["uid"], "generation": record["generation"], "ready": False,
             "reason": "BrokerUnreachable", "message": "b:9092: no route"}
    await projection.write(store, "source-states", NAME, state)
    found = await condition(plane, "Ready", "False")
    assert (found["reason"], found["message"]) == ("BrokerUnreachable", "b:9092: no route")


async def test_changed_secret_starts_the_source_again(plane, store):
    """A new password reaches the role: the record that it follows changes."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "kafka"},
              "stringData": {"pw": "old"}}
    await plane.objects.create(lookup("", "v1", "secrets"), "default", secret)
    ref = {"secretKeyRef": {"name": "kafka", "key": "pw"}}
    await plane.objects.create(KIND, "default", source({"net": {"sasl": {"enable": True, "password": ref}}}))
    await condition(plane, "ConsumerGroup", "Unknown")
    before = (await projection.read(store, "sources"))[NAME]

    await plane.objects.update({**secret, "metadata": {"name": "kafka", "namespace": "default"},
                                "stringData": {"pw": "new"}})

    async with asyncio.timeout(10):
        while (after := (await projection.read(store, "sources"))[NAME]) == before:
            await asyncio.sleep(0.01)
    assert after["secret_versions"] != before["secret_versions"]
    assert (await projection.read(store, "source-secrets"))[NAME] == {"password": "new"}
