"""A Trigger's annotations of order and flow control: read at admission, and passed on."""

import pytest

TRIGGER = """
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata:
  name: t
  annotations: {{{annotation}: {value!r}}}
spec: {{broker: default, subscriber: {{uri: 'http://127.0.0.1:9/'}}}}
"""


@pytest.mark.parametrize(("annotation", "value", "expected"), [
    ("kafka.eventing.knative.dev/delivery.order", "sorted", "expected ordered or unordered"),
    ("rabbitmq.eventing.knative.dev/parallelism", "0", "expected a whole number from 1 to 1000"),
    ("clarion.dev/rate", "fast", "expected a number and a unit, such as 100/s, 30/m or 5/h"),
])
def test_refused(admit, annotation, value, expected):
    """A value that means nothing is refused with the annotation's path and what is allowed."""
    errors = admit(TRIGGER.format(annotation=annotation, value=value))[1]

    assert errors == f"invalid value: {value}: metadata.annotations[{annotation}]\n{expected}"


@pytest.mark.parametrize(("annotation", "value"), [
    ("kafka.eventing.knative.dev/delivery.order", "ordered"),
    ("rabbitmq.eventing.knative.dev/parallelism", "1"),
    ("clarion.dev/batch", "50,200ms"),
])
def test_admitted(admit, annotation, value):
    """What users of other brokers write is taken as they write it."""
    assert admit(TRIGGER.format(annotation=annotation, value=value))[1] == ""


async def test_ready_once_every_partition_matches(cluster):
    """The owner of each partition of the Broker has to say so."""
    await cluster.apply("""
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {name: default, annotations: {clarion.dev/partitions: '2'}}
spec: {}
""")
    stored = await cluster.apply(TRIGGER.format(annotation="clarion.dev/concurrency", value="1"))
    await cluster.until_projected("triggers", lambda table: "default/t" in table)
    lane = {"uid": stored["metadata"]["uid"], "generation": stored["metadata"]["generation"]}
    await cluster.report("lanes", "default/t/0", lane)
    await cluster.until_condition("Trigger.eventing.knative.dev", "t", "SubscriptionReady", status="Unknown")
    await cluster.report("lanes", "default/t/1", lane)
    await cluster.until_condition("Trigger.eventing.knative.dev", "t", "Ready", status="True")
