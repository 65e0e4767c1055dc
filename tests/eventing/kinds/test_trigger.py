"""Trigger: admission row by row, and the way to Ready."""

import pytest

from eventing.broker.filters import compile_filter
from eventing.control import resource

TRIGGER = "Trigger.eventing.knative.dev"
BROKER = """
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {name: default}
spec: SPEC
"""
GENERIC = {"retry": 0, "backoff_policy": "exponential", "backoff_s": 0.0, "timeout_s": None, "format": None}


def broker(spec="{}"):
    """A Broker, as YAML."""
    return BROKER.replace("SPEC", spec)


def trigger(spec="broker: default", annotations="{}", subscriber="{uri: 'http://127.0.0.1:9/'}"):
    """A Trigger, as YAML."""
    return f"""
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {{name: t, annotations: {annotations}}}
spec: {{{spec}, subscriber: {subscriber}}}
"""


def test_defaults(admit):
    """A Trigger gets an empty filter, its references a namespace, and a label that names its Broker."""
    made, errors, _ = admit(
        trigger(
            "broker: default, delivery: {deadLetterSink: {ref: {apiVersion: v1, kind: Service, name: d}}}",
            subscriber="{ref: {apiVersion: v1, kind: Service, name: s}}",
        )
    )

    assert errors == ""
    assert made["spec"]["filter"] == {}
    assert made["spec"]["subscriber"]["ref"]["namespace"] == "default"
    assert made["spec"]["delivery"]["deadLetterSink"]["ref"]["namespace"] == "default"
    assert resource.labels(made) == {"eventing.knative.dev/broker": "default"}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("broker: default", ""),
        ("filter: {}", "missing field(s): spec.broker"),
        ("brokerRef: {name: b, kind: Broker, apiVersion: eventing.knative.dev/v1}", ""),
        ("broker: a, brokerRef: {name: b}", "expected exactly one, got both: spec.broker, spec.brokerRef"),
        (
            "brokerRef: {name: b, namespace: other}",
            (
                "must not set the field(s): spec.namespace\n"
                "only name, apiVersion and kind are supported fields "
                "when feature.CrossNamespaceEventLinks is disabled"
            ),
        ),
        ("broker: default, filter: {attributes: {type: a, source: ''}}", ""),
        (
            "broker: default, filter: {attributes: {Type: a}}",
            (
                'invalid key name "Type": spec.filter.attributes\n'
                "Attribute name must start with a letter and can only contain lowercase alphanumeric"
            ),
        ),
        ("broker: default, filters: []", ""),
        ("broker: default, filters: [{}, {exact: {type: a}}, {not: {any: [{prefix: {type: b}}]}}]", ""),
        (
            "broker: default, filters: [{exact: {type: a}, suffix: {type: b}}]",
            "multiple dialects found, filters can have only one dialect set: spec.filters[0]",
        ),
        (
            "broker: default, filters: [{all: [{any: [{prefix: {1a: x}}]}]}]",
            (
                'invalid key name "1a": spec.filters[0].all[0].any[0].prefix\n'
                "Attribute name must start with a letter and can only contain lowercase alphanumeric"
            ),
        ),
        ("broker: default, filters: {exact: {}}", None),
        ("broker: default, filters: [{cesql: \"type LIKE 'order.%'\"}]", ""),
        ("broker: default, filters: [{not: {cesql: 'type ='}}]", None),
        ("broker: default, filters: [{cel: 'data.amount > 100'}]", ""),
        (
            "broker: default, filters: [{cel: 'true', cesql: 'TRUE'}]",
            "multiple dialects found, filters can have only one dialect set: spec.filters[0]",
        ),
        ("broker: default, delivery: {retry: -1}", ("invalid value: -1: spec.delivery.retry\n"
         "expected a whole number from 0 to 2147483647")),
        ("broker: default, delivery: {format: json}", ""),
    ],
)
def test_validation(admit, spec, expected):
    """What is wrong is said in Knative's words, with the path; several errors are all told."""
    errors = admit(trigger(spec))[1]

    if expected is None:
        assert errors.startswith("invalid value: ")
        assert "spec.filters" in errors
    else:
        assert errors == expected


def test_retries_without_a_pause(admit):
    """A Trigger whose retries do not wait is taken, with a warning."""
    _, errors, warnings = admit(trigger("broker: default, delivery: {retry: 3, backoffDelay: PT2S}"))

    assert errors == ""
    assert any(warning.startswith("spec.delivery: without both") for warning in warnings)


@pytest.mark.parametrize(("subscriber", "is_warned"), [
    ("{ref: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: default}}", True),
    ("{ref: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: default, namespace: default}}", True),
    ("{ref: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: default, namespace: other}}", False),
    ("{ref: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: other}}", False),
    ("{ref: {apiVersion: v1, kind: Service, name: default}}", False),
])
def test_a_loop(admit, subscriber, is_warned):
    """A Trigger that sends a Broker's events back to it is warned of: they come again without end."""
    _, errors, warnings = admit(trigger(subscriber=subscriber))

    assert errors == ""
    assert any("without end" in warning for warning in warnings) is is_warned


@pytest.mark.parametrize(
    ("subscriber", "expected"),
    [
        ("{}", "expected at least one, got none: spec.subscriber.ref, spec.subscriber.uri"),
        (
            "{ref: {kind: Service}}",
            "missing field(s): spec.subscriber.ref.apiVersion, spec.subscriber.ref.name",
        ),
        (
            "{ref: {apiVersion: v1, kind: Service, name: s}, uri: 'http://x/'}",
            (
                "Absolute URI is not allowed when Ref or [apiVersion, kind, name] is present: "
                "spec.subscriber.ref, spec.subscriber.uri, spec.subscriber[apiVersion, kind, name]"
            ),
        ),
        ("{ref: {apiVersion: v1, kind: Service, name: s}, uri: /path}", ""),
    ],
)
def test_subscriber(admit, subscriber, expected):
    """A subscriber is a reference, a URI, or a reference and a path."""
    assert admit(trigger(subscriber=subscriber))[1] == expected


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        ("""'{"kind":"PingSource","name":"p","apiVersion":"sources.knative.dev/v1"}'""", ""),
        ("""'{"kind":"PingSource"}'""", "missing field(s): PATH.apiVersion, PATH.name"),
        (
            """'{"kind":"a","name":"p","apiVersion":"v1","namespace":"other"}'""",
            'Namespace must be empty or equal to the trigger namespace "default": PATH.namespace',
        ),
        (
            "'x'",
            (
                'The provided annotation was not a corev1.ObjectReference: "x": PATH\n'
                "Expecting value: line 1 column 1 (char 0)"
            ),
        ),
    ],
)
def test_dependency_annotation(admit, annotation, expected):
    """The dependency is a reference in the Trigger's namespace."""
    errors = admit(trigger(annotations=f"{{knative.dev/dependency: {annotation}}}"))[1]

    assert errors == expected.replace("PATH", "metadata.annotations[knative.dev/dependency]")


@pytest.mark.parametrize(
    ("spec", "value", "expected"),
    [
        ("broker: default", "enabled", ""),
        (
            "broker: default",
            "on",
            'The provided injection annotation value can only be "enabled" or "disabled", not "on": PATH',
        ),
        (
            "broker: other",
            "enabled",
            (
                "The provided injection annotation is only used for default broker, but non-default broker "
                'specified here: "other": PATH'
            ),
        ),
    ],
)
def test_injection_annotation(admit, spec, value, expected):
    """The injection annotation is known, and means the default Broker."""
    errors = admit(trigger(spec, f'{{eventing.knative.dev/injection: "{value}"}}'))[1]

    assert errors == expected.replace("PATH", "metadata.annotations[eventing.knative.dev/injection]")


def test_broker_stays(admit):
    """A Trigger cannot move to another Broker."""
    old, _, _ = admit(trigger())

    assert admit(trigger("broker: other"), old=old)[1] == (
        'Immutable fields changed (-old +new): broker, spec\n{string}:\n\t-: "default"\n\t+: "other"'
    )


async def acknowledge(cluster, partition=0):
    """Report, as the partition's owner, that it matches the Trigger as it is now."""
    found = cluster.get(TRIGGER, "t")
    record = {"uid": resource.uid(found), "generation": resource.generation(found)}
    await cluster.report("lanes", f"default/t/{partition}", record)


async def test_becomes_ready_once_all_partitions_match(cluster):
    """Ready comes when the last partition says that it matches this generation, and goes with a new one."""
    annotated = broker().replace(
        "{name: default}", "{name: default, annotations: {clarion.dev/partitions: '2'}}"
    )
    await cluster.apply(annotated)
    await cluster.apply(trigger())
    waiting = await cluster.until_condition(TRIGGER, "t", "SubscriptionReady", status="Unknown")
    assert waiting["reason"] == "SubscriptionNotConfigured"
    await cluster.until_projected("triggers", lambda table: "default/t" in table)
    await acknowledge(cluster, 0)
    await acknowledge(cluster, 1)
    await cluster.until_condition(TRIGGER, "t", "Ready", status="True")

    status = cluster.get(TRIGGER, "t")["status"]
    assert status["subscriberUri"] == "http://127.0.0.1:9/"
    assert [c["type"] for c in status["conditions"]] == [
        "BrokerReady",
        "DeadLetterSinkResolved",
        "DependencyReady",
        "OIDCIdentityCreated",
        "Ready",
        "SubscriberResolved",
        "SubscriptionReady",
    ]

    await cluster.apply(trigger("broker: default, filter: {attributes: {type: x}}"))
    await cluster.until_condition(TRIGGER, "t", "Ready", status="Unknown")
    await acknowledge(cluster, 0)
    await acknowledge(cluster, 1)
    await cluster.until_condition(TRIGGER, "t", "Ready", status="True")


async def test_projection(cluster):
    """The data plane gets filter, subscriber and delivery, settled; nothing else of the Trigger."""
    await cluster.apply(broker())
    stored = await cluster.apply(
        trigger(
            "broker: default, filter: {attributes: {type: a}}, filters: [{exact: {type: b}}]",
            "{clarion.dev/order: partitionkey, note: x}",
        )
    )
    table = await cluster.until_projected("triggers", lambda table: "default/t" in table)

    assert table["default/t"] == {
        "uid": resource.uid(stored),
        "generation": 1,
        "broker": "default/default",
        "filter": {"type": "a"},
        "filters": [{"exact": {"type": "b"}}],
        "subscriber": "http://127.0.0.1:9/",
        "annotations": {"clarion.dev/order": "partitionkey"},
        "delivery": {**GENERIC, "retry": 10, "backoff_s": 0.2, "dead_letter_url": None},
    }


@pytest.mark.parametrize(
    ("brokers", "triggers", "expected"),
    [
        ("{delivery: {retry: 3}}", None, {"retry": 3, "dead_letter_url": None}),
        ("{delivery: {retry: 3}}", "{}", {"retry": 0, "dead_letter_url": None}),
        ("{delivery: {retry: 3}}", "{timeout: PT5S}", {"timeout_s": 5.0, "dead_letter_url": None}),
        (
            "{delivery: {retry: 3, deadLetterSink: {uri: 'http://b/'}}}",
            "{retry: 1}",
            {"retry": 1, "dead_letter_url": "http://b/"},
        ),
        (
            "{delivery: {retry: 3, deadLetterSink: {uri: 'http://b/'}}}",
            "{deadLetterSink: {uri: 'http://t/'}}",
            {"dead_letter_url": "http://t/"},
        ),
        (
            "{delivery: {retry: 3, deadLetterSink: {uri: 'http://b/'}}}",
            None,
            {"retry": 3, "dead_letter_url": "http://b/"},
        ),
    ],
)
async def test_precedence_of_delivery(cluster, brokers, triggers, expected):
    """A Trigger's delivery replaces the Broker's whole, but for the dead letter sink, which falls back."""
    await cluster.apply(broker(brokers))
    await cluster.apply(trigger("broker: default" + (f", delivery: {triggers}" if triggers else "")))
    # The Broker may not have told its own sink yet when the Trigger is first looked at.
    await cluster.until_condition(TRIGGER, "t", "DeadLetterSinkResolved", status="True")
    table = await cluster.projected("triggers")

    assert table["default/t"]["delivery"] == {**GENERIC, **expected}
    assert cluster.get(TRIGGER, "t")["status"].get("deadLetterSinkUri") == expected["dead_letter_url"]


async def test_missing_broker(cluster):
    """Without its Broker a Trigger is not Ready; it becomes so when the Broker appears, without an edit."""
    await cluster.apply(trigger())
    failed = await cluster.until_condition(TRIGGER, "t", "Ready", status="False")
    assert (failed["reason"], failed["message"]) == (
        "BrokerDoesNotExist", 'Broker "default" does not exist in namespace default')
    assert await cluster.projected("triggers") == {}

    await cluster.apply(broker())
    await cluster.until_projected("triggers", lambda table: "default/t" in table)
    await acknowledge(cluster)
    await cluster.until_condition(TRIGGER, "t", "Ready", status="True")


async def test_filter_that_does_not_compile(cluster):
    """A filter that means nothing lets no event pass, drops nothing that waits, and says where and why."""
    await cluster.apply(broker())
    await cluster.apply(trigger())
    await cluster.until_projected("triggers", lambda table: "default/t" in table)
    await cluster.apply(trigger("broker: default, filters: [{exact: {type: ''}}]"))
    failed = await cluster.until_condition(TRIGGER, "t", "Ready", status="False")

    assert failed["reason"] == "FilterInvalid"
    assert failed["message"] == (
        "expected a non-empty string: spec.filters[0].exact.type; no event is delivered to this Trigger "
        "until its filter is corrected"
    )
    table = await cluster.until_projected("triggers", lambda table: table["default/t"]["generation"] > 1)
    assert not compile_filter(table["default/t"])({"type": "any", "source": "/s", "id": "1"})


async def test_cel_that_does_not_compile(cluster):
    """An expression over data that means nothing is told with the position of what is wrong."""
    await cluster.apply(broker())
    await cluster.apply(trigger("broker: default, filters: [{cel: 'data.amount > '}]"))
    failed = await cluster.until_condition(TRIGGER, "t", "Ready", status="False")

    assert failed["reason"] == "FilterInvalid"
    assert "at 1:15: mismatched input '<EOF>'" in failed["message"]
    assert "spec.filters[0].cel" in failed["message"]


async def test_subscriber_that_goes_and_comes(cluster):
    """A subscriber that is not there is told, its events wait, and its address is followed when it comes."""
    other = broker().replace("name: default", "name: other")
    await cluster.apply(broker())
    await cluster.apply(
        trigger(subscriber="{ref: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: other}}")
    )
    failed = await cluster.until_condition(TRIGGER, "t", "SubscriberResolved", status="False")
    assert failed["reason"] == "Unable to get the Subscriber's URI"
    assert 'brokers.eventing.knative.dev "other" not found' in failed["message"]
    assert (await cluster.projected("triggers"))["default/t"]["subscriber"] == ""

    await cluster.apply(other)
    await cluster.until_condition(TRIGGER, "t", "SubscriberResolved", status="True")
    url = f"{cluster.config.data_url}/default/other"
    assert (await cluster.projected("triggers"))["default/t"]["subscriber"] == url

    await cluster.delete("Broker.eventing.knative.dev", "other")
    await cluster.until_condition(TRIGGER, "t", "SubscriberResolved", status="False")
    assert "subscriberUri" not in cluster.get(TRIGGER, "t")["status"]
    assert (await cluster.projected("triggers"))["default/t"]["subscriber"] == ""


async def test_dependency(cluster):
    """A Trigger is Ready only once what it depends on is."""
    reference = """'{"kind":"Broker","name":"other","apiVersion":"eventing.knative.dev/v1"}'"""
    await cluster.apply(broker())
    await cluster.apply(trigger(annotations=f"{{knative.dev/dependency: {reference}}}"))
    await cluster.until_projected("triggers", lambda table: "default/t" in table)
    await acknowledge(cluster)
    failed = await cluster.until_condition(TRIGGER, "t", "Ready", status="False")
    assert failed["reason"] == "DependencyDoesNotExist"
    assert failed["message"] == 'Dependency does not exist: brokers.eventing.knative.dev "other" not found'

    await cluster.apply(broker().replace("name: default", "name: other"))
    await cluster.until_condition(TRIGGER, "t", "Ready", status="True")


async def test_delete(cluster):
    """A Trigger that is deleted is forgotten by the data plane."""
    await cluster.apply(broker())
    await cluster.apply(trigger())
    await cluster.until_projected("triggers", lambda table: "default/t" in table)
    await cluster.delete(TRIGGER, "t")

    await cluster.until(lambda: cluster.get(TRIGGER, "t") is None)
    assert await cluster.projected("triggers") == {}
