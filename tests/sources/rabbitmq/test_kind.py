"""RabbitmqSource, the kind: admission in Knative's words, its Secret, its conditions."""

import asyncio
import base64

import pytest

from eventing import projection
from eventing.control import resource
from eventing.control.core import SECRET
from sources.rabbitmq import topology
from sources.rabbitmq.kind import KIND

CONFIG = {"queueName": "orders", "exchangeName": "shop"}
SPEC = {"rabbitmqClusterReference": {"connectionSecret": {"name": "mq"}}, "rabbitmqResourcesConfig": CONFIG,
        "sink": {"uri": "http://sink.example/"}}
NAME = "RabbitmqSource/default/orders"
BOTH = ("rabbitmqClusterReference.name and rabbitmqClusterReference.connectionSecret must not be set "
        "simultaneously: spec.rabbitmqClusterReference")


def source(**spec):
    """A RabbitmqSource with these fields of its spec; None leaves one out."""
    made = {key: value for key, value in {**SPEC, **spec}.items() if value is not None}
    return {"apiVersion": "sources.knative.dev/v1alpha1", "kind": "RabbitmqSource",
            "metadata": {"name": "orders", "namespace": "default"}, "spec": made}


@pytest.mark.parametrize(("spec", "message"), [
    ({}, ""),
    ({"rabbitmqResourcesConfig": None}, "missing field(s): spec.rabbitmqResourcesConfig"),
    ({"rabbitmqClusterReference": None}, "missing field(s): spec.rabbitmqClusterReference"),
    ({"rabbitmqClusterReference": {"name": "a"}}, ""),
    ({"rabbitmqClusterReference": {"name": "a", "connectionSecret": {"name": "b"}}}, BOTH),
    ({"rabbitmqResourcesConfig": {**CONFIG, "parallelism": 0}},
     "expected 1 <= 0 <= 1000: rabbitmqResourcesConfig.Parallelism"),
    ({"rabbitmqResourcesConfig": {**CONFIG, "parallelism": 1001}},
     "expected 1 <= 1001 <= 1000: rabbitmqResourcesConfig.Parallelism"),
    ({"rabbitmqResourcesConfig": {"queueName": "q"}},
     "Name of exchange must be provided when spec.predeclared is false: spec, rabbitmqResourcesConfig, name"),
    ({"rabbitmqResourcesConfig": {"queueName": "q", "predeclared": True}}, ""),
    ({"rabbitmqResourcesConfig": {"exchangeName": "x"}},
     "missing field(s): spec.rabbitmqResourcesConfig.queueName"),
    ({"exchangeConfig": {"type": "x"}},
     "invalid value: x: spec.exchangeConfig.type\nexpected one of direct, fanout, headers, topic"),
    ({"queueConfig": {"name": "other"}},
     "expected exactly one, got both: spec.queueConfig.name, spec.rabbitmqResourcesConfig.queueName"),
    ({"delivery": {"retry": 5, "backoffPolicy": "linear", "backoffDelay": "PT1S"}}, ""),
    ({"delivery": {"backoffDelay": "1s"}}, ("invalid value: 1s: spec.delivery.backoffDelay\n"
                                           "expected a period as ISO 8601 writes it: PT5S, PT0.5S, PT2M")),
    ({"sink": None}, "expected at least one, got none: spec.sink.ref, spec.sink.uri"),
])
def test_admission(admit, spec, message):
    """A RabbitmqSource is refused in the words that Knative uses, and not where Knative takes it."""
    assert admit(source(**spec))[1] == message


def test_defaults(admit):
    """Knative's defaults are filled in."""
    made, _, _ = admit(source())

    assert made["spec"]["rabbitmqResourcesConfig"] == {
        **CONFIG, "vhost": "/", "parallelism": 1, "predeclared": False}


def test_immutable(admit):
    """The spec never changes."""
    before, _, _ = admit(source())

    _, errors, _ = admit(source(rabbitmqResourcesConfig={**CONFIG, "parallelism": 2}), old=before)

    assert errors.splitlines()[0] == "Immutable fields changed (-old +new): spec"
    assert admit(source(), old=before)[1] == ""


@pytest.mark.parametrize(("spec", "expected"), [
    ({}, ("headers", "quorum", ("",))),
    ({"exchangeConfig": {"type": "topic"}}, ("topic", "quorum", ("#",))),
    ({"exchangeConfig": {"type": "direct"}, "queueConfig": {"routingKey": "a"}},
     ("direct", "quorum", ("a",))),
    ({"queueConfig": {"routingKeys": ["a", "b"], "autoDelete": True}}, ("headers", "classic", ("a", "b"))),
])
def test_topology(spec, expected):
    """What is declared: a quorum queue on a headers exchange, unless told otherwise."""
    found = topology.of({**SPEC, **spec})

    assert (found.exchange_type, found.queue_arguments["x-queue-type"], found.routing_keys) == expected


async def conditions(plane, expected):
    """Wait until the conditions of the source are *expected*, (status, reason) by type."""
    seen = {}
    try:
        async with asyncio.timeout(10):
            while True:
                status = (plane.store.get(KIND, "default", "orders") or {}).get("status") or {}
                found = {type_: resource.condition(status, type_) or {} for type_ in expected}
                seen = {type_: (each.get("status"), each.get("reason", "")) for type_, each in found.items()}
                if seen == expected:
                    return status
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(seen) from None


async def test_way_to_ready(plane, store):
    """Each condition says what is missing; the Secret reaches nobody but the role that needs it."""
    await plane.objects.create(KIND, "default", source())
    await conditions(plane, {"SecretReady": ("False", "SecretNotFound"), "ExchangeReady": ("Unknown", ""),
                             "Ready": ("False", "SecretNotFound")})

    uri = base64.b64encode(b"amqp://u:s3cret@mq.example").decode()
    secret = {"metadata": {"name": "mq"}, "type": "Opaque", "data": {"uri": uri}}
    await plane.objects.create(SECRET, "default", secret)
    await conditions(plane, {"Ready": ("Unknown", "SourceNotStarted")})
    record = (await projection.read(store, "sources"))[NAME]
    assert record["source"] == "/apis/v1/namespaces/default/rabbitmqsources/orders#orders"
    assert "s3cret" not in str(record)

    state = {"uid": record["uid"], "generation": record["generation"], "ready": False, "message": "no queue"}
    await projection.write(store, "source-states", NAME, {**state, "reason": "QueueFailed"})
    await conditions(plane, {"SecretReady": ("True", ""), "ExchangeReady": ("False", "QueueFailed"),
                             "Deployed": ("False", "QueueFailed")})
    await projection.write(store, "source-states", NAME, {**state, "reason": "ConnectionFailed"})
    await conditions(plane, {"ExchangeReady": ("Unknown", ""), "Ready": ("False", "ConnectionFailed")})
    await projection.write(store, "source-states", NAME, {**state, "ready": True, "reason": ""})
    await conditions(plane, {"SinkProvided": ("True", ""), "SecretReady": ("True", ""),
                             "ExchangeReady": ("True", ""), "Deployed": ("True", ""), "Ready": ("True", "")})


