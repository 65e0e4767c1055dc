"""KafkaSink, the kind: admission in Knative's words, its conditions, and everything that can send to it."""

import urllib.request
import uuid

import confluent_kafka
import pytest

from sources.kafka import sink

assert sink.KIND  # importing it registered the kind, before the control plane of these tests is made

OBJECT = {"apiVersion": "eventing.knative.dev/v1alpha1", "kind": "KafkaSink", "metadata": {"name": "out"}}
SPEC = {"topic": "t", "bootstrapServers": ["b:9092"]}


def made(**spec):
    """A KafkaSink."""
    return {**OBJECT, "metadata": {"name": "out"}, "spec": {**SPEC, **spec}}


@pytest.mark.parametrize(("spec", "message"), [
    ({}, ""),
    ({"contentMode": "structured", "numPartitions": 3, "replicationFactor": 1}, ""),
    ({"auth": {"secret": {"ref": {"name": "s"}}}}, ""),
    ({"topic": ""}, "invalid value: : spec.topic"),
    ({"bootstrapServers": []}, "invalid value: []: spec.bootstrapServers"),
    ({"bootstrapServers": ["b:9092", ""]}, "invalid value: : spec.bootstrapServers[1]"),
    ({"numPartitions": 0, "replicationFactor": 0},
     "invalid value: 0: spec.numPartitions, spec.replicationFactor"),
    ({"contentMode": "xml"}, "invalid value: xml: spec.contentMode"),
    ({"auth": {"secret": {}}}, "invalid value: : spec.auth.secret.ref.name"),
])
def test_admission(admit, spec, message):
    """A KafkaSink is refused in the words that Knative uses; the content mode is binary unless it is said."""
    sink, errors, _ = admit(made(**spec))

    assert errors == message
    assert sink["spec"]["contentMode"] == spec.get("contentMode", "binary")


def test_immutable(admit):
    """What a topic is does not change; how it is reached and written does."""
    old, _, _ = admit(made(numPartitions=1, replicationFactor=1))

    assert admit(made(topic="u", numPartitions=2), old)[1] == (
        "Immutable field updated: spec.numPartitions, spec.replicationFactor, spec.topic")
    assert admit(made(numPartitions=1, replicationFactor=1, contentMode="structured",
                      bootstrapServers=["other:9092"]), old)[1] == ""


def conditions(cluster):
    """Status of each condition of the sink."""
    found = cluster.get("KafkaSink.eventing.knative.dev", "out")["status"]["conditions"]
    return {each["type"]: each["status"] for each in found}


TEXT = """
apiVersion: eventing.knative.dev/v1alpha1
kind: KafkaSink
metadata: {name: out}
spec:
  topic: t
  bootstrapServers: ["b:9092"]
  auth: {secret: {ref: {name: kafka}}}
"""
SECRET = """
apiVersion: v1
kind: Secret
metadata: {name: kafka}
stringData: {protocol: SASL_PLAINTEXT, user: alice, password: wonder}
"""


async def test_conditions(cluster):
    """From a missing Secret to Ready, in Knative's conditions; secrets are in no record but their own."""
    kind = "KafkaSink.eventing.knative.dev"
    await cluster.apply(TEXT)
    missing = await cluster.until_condition(kind, "out", "TopicReady", status="False",
                                            reason="SecretNotFound")
    assert 'secret "kafka" not found' in missing["message"]
    assert (await cluster.projected("sources"))["KafkaSink/default/out"]["problem"] == missing["message"]

    await cluster.apply(SECRET)
    table = await cluster.until_projected(
        "sources", lambda table: "problem" not in table["KafkaSink/default/out"])
    record = table["KafkaSink/default/out"]
    assert "wonder" not in str(record)
    assert (await cluster.projected("source-secrets"))["KafkaSink/default/out"]["password"] == "wonder"
    await cluster.until_condition(kind, "out", "Ready", status="Unknown")

    state = {"uid": record["uid"], "generation": record["generation"], "ready": False,
             "reason": "BrokerUnreachable", "message": "b:9092"}
    await cluster.report("source-states", "KafkaSink/default/out", state)
    await cluster.until_condition(kind, "out", "Ready", status="False", reason="BrokerUnreachable")

    await cluster.report("source-states", "KafkaSink/default/out",
                         {**state, "ready": True, "reason": "", "message": ""})
    await cluster.until_condition(kind, "out", "Ready", status="True")
    assert set(conditions(cluster)) == {
        "Ready", "Addressable", "DataPlaneAvailable", "TopicReady", "ProbeSucceeded", "ConfigMapUpdated",
        "EventPoliciesReady"}
    status = cluster.get(kind, "out")["status"]
    assert status["address"]["url"] == (
        "http://kafka-sink-ingress.knative-eventing.svc.cluster.local/default/out")
    assert status["annotations"] == {"eventing.knative.dev/topic.owner": "external"}

    await cluster.delete(kind, "out")
    await cluster.until_projected("sources", lambda table: not table)


OBJECTS = """
apiVersion: eventing.knative.dev/v1alpha1
kind: KafkaSink
metadata: {name: NAME}
spec: {topic: NAME, bootstrapServers: [KAFKA], numPartitions: 2, replicationFactor: 1}
---
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {name: NAME}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: NAME-subscriber}
spec:
  broker: NAME
  filter: {attributes: {type: delivered}}
  subscriber: {ref: {apiVersion: eventing.knative.dev/v1alpha1, kind: KafkaSink, name: NAME}}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: NAME-dead}
spec:
  broker: NAME
  filter: {attributes: {type: dead}}
  subscriber: {uri: "http://127.0.0.1:1/"}
  delivery:
    retry: 0
    deadLetterSink: {ref: {apiVersion: eventing.knative.dev/v1alpha1, kind: KafkaSink, name: NAME}}
---
apiVersion: sources.knative.dev/v1
kind: PingSource
metadata: {name: NAME}
spec:
  schedule: "* * * * * *"
  sink: {ref: {apiVersion: eventing.knative.dev/v1alpha1, kind: KafkaSink, name: NAME}}
"""


def test_everybody_sends_to_it(instance, kafka, until):
    """It is a Trigger's subscriber, a dead letter sink, a source's sink, and has a door at the data port."""
    name = f"out-{uuid.uuid4().hex[:8]}"
    instance.clarion("apply", "-f", "-", stdin=OBJECTS.replace("NAME", name).replace("KAFKA", kafka.plain))
    for each in (["kafkasink", name], ["trigger", f"{name}-subscriber"], ["trigger", f"{name}-dead"]):
        until(lambda each=each: "True" in instance.clarion("get", *each).split(), what=f"Ready {each}")

    for type_ in ("delivered", "dead"):
        assert instance.publish(type_, type_, {}, broker=f"default/{name}") == 202
    headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-type": "posted", "ce-source": "/s",
               "host": "kafka-sink-ingress.knative-eventing.localhost"}
    request = urllib.request.Request(f"{instance.data_url}/default/{name}", b"x", headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 202

    types = set()
    consumer = confluent_kafka.Consumer({"bootstrap.servers": kafka.plain, "group.id": name,
                                         "auto.offset.reset": "earliest", "log_level": 0})
    consumer.subscribe([name])

    def all_types():
        for record in consumer.consume(100, timeout=0.2):
            types.add(dict(record.headers() or ()).get("ce_type"))
        return types >= {b"delivered", b"dead", b"posted", b"dev.knative.sources.ping"}

    until(all_types, what="record of every sender")
    consumer.close()
    for kind in ("pingsource", "broker", "kafkasink"):
        instance.clarion("delete", kind, name)
