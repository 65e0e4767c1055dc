"""Broker: defaults, admission, and what it tells people and the data plane."""

import asyncio
import time

import pytest

from eventing.control import resource

CLASS = "eventing.knative.dev/broker.class"
DEFAULT_DELIVERY = {"retry": 10, "backoffPolicy": "exponential", "backoffDelay": "PT0.2S"}
DEFAULT_CONFIG = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "name": "config-br-default-channel",
    "namespace": "knative-eventing",
}


def broker(spec="{}", annotations="{}", name="default"):
    """A Broker, as YAML."""
    return f"""
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {{name: {name}, annotations: {annotations}}}
spec: {spec}
"""


def br_defaults(text):
    """A config-br-defaults, as `admit` takes it."""
    return {"config-br-defaults": {"default-br-config": text}}


def test_built_in_defaults(admit):
    """A Broker that says nothing has the class, config and delivery that Knative ships."""
    made, errors, warnings = admit(broker())

    assert made["spec"] == {"config": DEFAULT_CONFIG, "delivery": DEFAULT_DELIVERY}
    assert resource.annotations(made) == {CLASS: "MTChannelBasedBroker"}
    assert (errors, warnings) == ("", [])


def test_own_delivery_gets_no_defaults(admit):
    """A delivery of one's own is not merged with the default one."""
    made, _, _ = admit(broker("{delivery: {timeout: PT5S}}"))

    assert made["spec"]["delivery"] == {"timeout": "PT5S"}


def test_namespace_defaults(admit):
    """The namespace's defaults come before the cluster's; the class decides which of them."""
    configs = br_defaults("""
clusterDefault:
  brokerClass: MTChannelBasedBroker
  apiVersion: v1
  kind: ConfigMap
  name: cluster
  brokerClasses:
    Kafka: {apiVersion: v1, kind: ConfigMap, name: kafka, namespace: k, delivery: {retry: 3, timeout: PT1S}}
namespaceDefaults:
  default: {brokerClass: RabbitMQBroker, apiVersion: v1, kind: ConfigMap, name: mine, delivery: {retry: 7}}
""")
    mine, _, _ = admit(broker(), configs=configs)
    kafka, _, _ = admit(broker(annotations=f"{{{CLASS}: Kafka}}"), configs=configs)
    other, _, _ = admit(
        broker().replace("{name: default", "{namespace: other, name: default"), configs=configs
    )

    assert resource.annotations(mine)[CLASS] == "RabbitMQBroker"
    assert mine["spec"]["config"] == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": "mine",
        "namespace": "default",
    }
    assert mine["spec"]["delivery"] == {"retry": 7}
    assert kafka["spec"]["config"]["name"] == "kafka"
    assert kafka["spec"]["delivery"] == {"retry": 3}
    assert resource.annotations(other)[CLASS] == "MTChannelBasedBroker"
    assert "delivery" not in other["spec"]


def test_unreadable_defaults(admit):
    """A config-br-defaults that is no YAML is told as a warning, and the built-in defaults are used."""
    made, errors, warnings = admit(broker(), configs=br_defaults("{"))

    assert made["spec"]["delivery"] == DEFAULT_DELIVERY
    assert errors == ""
    assert "config-br-defaults: default-br-config is no YAML" in warnings[0]


@pytest.mark.parametrize(
    ("spec", "annotations", "expected"),
    [
        ("{config: {kind: ConfigMap}}", "{}", "missing field(s): spec.config.apiVersion, spec.config.name"),
        ("{delivery: {retry: -1}}", "{}", ("invalid value: -1: spec.delivery.retry\n"
         "expected a whole number from 0 to 2147483647")),
        (
            "{delivery: {deadLetterSink: {}}}",
            "{}",
            (
                "expected at least one, got none: spec.delivery.deadLetterSink.ref, "
                "spec.delivery.deadLetterSink.uri"
            ),
        ),
        ("{}", '{clarion.dev/partitions: "4"}', ""),
        (
            "{}",
            '{clarion.dev/partitions: "0"}',
            (
                "invalid value: 0: metadata.annotations[clarion.dev/partitions]\n"
                "expected a whole number from 1 to 1024"
            ),
        ),
        ("{}", '{clarion.dev/dedup-window: 10m, clarion.dev/retention: "7d, 512Mi"}', ""),
        ("{}", "{clarion.dev/dedup-window: PT10M, clarion.dev/retention: 2Gi}", ""),
        (
            "{}",
            "{clarion.dev/dedup-window: soon}",
            (
                "invalid value: soon: metadata.annotations[clarion.dev/dedup-window]\n"
                '"soon" is no duration, such as 30s, 10m, 7d or PT10M'
            ),
        ),
        (
            "{}",
            "{clarion.dev/dedup-window: 8d}",
            "invalid value: 8d: metadata.annotations[clarion.dev/dedup-window]\nexpected at most 7d",
        ),
        (
            "{}",
            "{clarion.dev/retention: 7 days}",
            (
                "invalid value: 7 days: metadata.annotations[clarion.dev/retention]\n"
                '"7 days" is no duration, such as 30s, 10m, 7d or PT10M, and no size, such as 512Mi or 2Gi'
            ),
        ),
        (
            "{}",
            '{clarion.dev/retention: "7d, 8d"}',
            (
                "invalid value: 7d, 8d: metadata.annotations[clarion.dev/retention]\n"
                "expected one duration and one size"
            ),
        ),
        *(
            (
                "{}",
                f'{{clarion.dev/retention: "{text}"}}',
                (
                    f"invalid value: {text}: metadata.annotations[clarion.dev/retention]\n"
                    "expected a duration, a size or both, such as 7d, 512Mi"
                ),
            )
            for text in (",", "7d,", ",7d")
        ),
        (
            "{}",
            "{clarion.dev/retention: 1Ki}",
            "invalid value: 1Ki: metadata.annotations[clarion.dev/retention]\nexpected a size of 1Mi or more",
        ),
        (
            "{}",
            "{clarion.dev/partitions: many}",
            (
                "invalid value: many: metadata.annotations[clarion.dev/partitions]\n"
                "expected a whole number from 1 to 1024"
            ),
        ),
    ],
)
def test_validation(admit, spec, annotations, expected):
    """What is wrong is said in Knative's words, with the path."""
    assert admit(broker(spec, annotations))[1] == expected


def test_class_is_wanted(admit):
    """Without any default a Broker has to name its class."""
    errors = admit(broker(), configs=br_defaults("namespaceDefaults: {}"))[1]

    assert errors == f"missing field(s): {CLASS}"


def test_config_of_another_namespace(admit):
    """Where it is forbidden, spec.config has to be in the Broker's namespace."""
    configs = br_defaults("clusterDefault: {brokerClass: x, disallowDifferentNamespaceConfig: true}")
    spec = "{config: {apiVersion: v1, kind: ConfigMap, name: a, namespace: other}}"
    errors = admit(broker(spec), configs=configs)[1]

    assert errors == (
        "mismatched namespaces: spec.config.namespace\n"
        'parent namespace: "default" does not match ref: "other"'
    )
    assert admit(broker(spec))[1] == ""


@pytest.mark.parametrize(
    ("spec", "annotations", "expected"),
    [
        ("{delivery: {retry: 1}}", '{clarion.dev/partitions: "2"}', ""),
        ("{}", '{clarion.dev/partitions: "6"}', ""),
        (
            "{}",
            '{clarion.dev/partitions: "3"}',
            (
                "invalid value: 3: metadata.annotations[clarion.dev/partitions]\n"
                "there are 2: expected a multiple of that, such as 4, so that ordered Triggers keep the "
                "order of each key"
            ),
        ),
        (
            "{config: {apiVersion: v1, kind: ConfigMap, name: b}}",
            '{clarion.dev/partitions: "2"}',
            (
                "Immutable fields changed (-old +new): spec\n"
                '{v1.BrokerSpec}.Config.Name:\n\t-: "config-br-default-channel"\n\t+: "b"\n'
                '{v1.BrokerSpec}.Config.Namespace:\n\t-: "knative-eventing"\n\t+: "default"'
            ),
        ),
        (
            "{}",
            f'{{{CLASS}: Kafka, clarion.dev/partitions: "2"}}',
            (
                "Immutable annotations changed (-old +new): annotations\n"
                '{string}:\n\t-: "MTChannelBasedBroker"\n\t+: "Kafka"'
            ),
        ),
        (
            "{}",
            '{clarion.dev/partitions: "1"}',
            (
                "invalid value: 1: metadata.annotations[clarion.dev/partitions]\n"
                "partitions may be added but not taken away: there are 2"
            ),
        ),
        (
            "{}",
            "{}",
            (
                "invalid value: 1: metadata.annotations[clarion.dev/partitions]\n"
                "partitions may be added but not taken away: there are 2"
            ),
        ),
    ],
)
def test_what_may_change(admit, spec, annotations, expected):
    """Delivery may change and partitions may be multiplied; class and config stay."""
    old, _, _ = admit(broker(annotations='{clarion.dev/partitions: "2"}'))

    assert admit(broker(spec, annotations), old=old)[1] == expected


async def test_becomes_ready(cluster):
    """A Broker is Ready with an address, and the data plane learns its partitions and delivery."""
    stored = await cluster.apply(broker(annotations='{clarion.dev/partitions: "2"}'))
    await cluster.until_condition("Broker.eventing.knative.dev", "default", "Ready", status="True")

    status = cluster.get("Broker.eventing.knative.dev", "default")["status"]
    assert status["address"] == {"name": "http", "url": f"{cluster.config.data_url}/default/default"}
    assert {c["type"]: (c["status"], c.get("reason", "")) for c in status["conditions"]} == {
        "Addressable": ("True", ""),
        "DeadLetterSinkResolved": ("True", "DeadLetterSinkNotConfigured"),
        "EventPoliciesReady": ("True", "OIDCDisabled"),
        "FilterReady": ("True", ""),
        "IngressReady": ("True", ""),
        "Ready": ("True", ""),
        "TriggerChannelReady": ("True", ""),
    }
    assert await cluster.projected("brokers") == {
        "default/default": {
            "uid": resource.uid(stored),
            "partitions": 2,
            "delivery": {
                "retry": 10,
                "backoff_policy": "exponential",
                "backoff_s": 0.2,
                "timeout_s": None,
                "dead_letter_url": None,
                "format": None,
            },
                "dedup_window_s": 0.0,
                "retention_s": None,
                "retention_bytes": None,
        }
    }


async def test_dead_letter_sink(cluster):
    """A dead letter sink that is not there yet is told, and found when it appears."""
    ref = "{ref: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: dead}}"
    await cluster.apply(broker(f"{{delivery: {{deadLetterSink: {ref}}}}}"))
    failed = await cluster.until_condition("Broker.eventing.knative.dev", "default", "Ready", status="False")
    assert failed["reason"] == "Unable to get the dead letter sink's URI"
    assert 'brokers.eventing.knative.dev "dead" not found' in failed["message"]

    await cluster.apply(broker(name="dead"))
    await cluster.until_condition("Broker.eventing.knative.dev", "default", "Ready", status="True")
    url = f"{cluster.config.data_url}/default/dead"
    assert cluster.get("Broker.eventing.knative.dev", "default")["status"]["deadLetterSinkUri"] == url
    assert (await cluster.projected("brokers"))["default/default"]["delivery"]["dead_letter_url"] == url


async def test_delete(cluster):
    """A Broker that is deleted is forgotten by the data plane."""
    await cluster.apply(broker())
    await cluster.until_condition("Broker.eventing.knative.dev", "default", "Ready", status="True")
    await cluster.delete("Broker.eventing.knative.dev", "default")

    await cluster.until(lambda: cluster.get("Broker.eventing.knative.dev", "default") is None)
    assert await cluster.projected("brokers") == {}


async def test_when_partitions_were_added_is_remembered(cluster):
    """Status and data plane say how many there were until when; what changes besides leaves that as it is."""
    async def told():
        record = (await cluster.projected("brokers"))["default/default"]
        status = cluster.get("Broker.eventing.knative.dev", "default")["status"]
        return record["partitions"], record.get("partitions_since"), status["annotations"]

    await cluster.apply(broker(annotations='{clarion.dev/partitions: "2"}'))
    await cluster.until_condition("Broker.eventing.knative.dev", "default", "Ready", status="True")
    assert await told() == (2, None, {"clarion.dev/partitions-since": "2:0"})

    began_ms = int(time.time() * 1000)
    await cluster.apply(broker(annotations='{clarion.dev/partitions: "4"}'))
    async with asyncio.timeout(10):
        while (await told())[0] != 4 or ",4:" not in (await told())[2]["clarion.dev/partitions-since"]:
            await asyncio.sleep(0.01)
    _, since, said = await told()
    assert [number for number, _ in since] == [2, 4]
    assert since[0][1] == 0
    assert began_ms <= since[1][1] <= time.time() * 1000
    assert said == {"clarion.dev/partitions-since": f"2:0,4:{since[1][1]}"}

    await cluster.apply(broker(annotations='{clarion.dev/partitions: "4", clarion.dev/retention: 1h}'))
    async with asyncio.timeout(10):
        while (await cluster.projected("brokers"))["default/default"]["retention_s"] is None:
            await asyncio.sleep(0.01)
    assert await told() == (4, since, said)
