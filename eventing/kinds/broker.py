"""
Broker: where events of a namespace are accepted and kept.

    default      class and config and delivery from config-br-defaults (broker_defaults.py)
    validate     class is there and stays; spec stays but for `delivery`; how many partitions there are
                 (broker_partitions.py); what is kept and for how long (broker_keeping.py)
    reconcile    address, dead letter sink, and the projection `brokers`; the data plane does the rest

All classes of Knative (MTChannelBasedBroker, Kafka, KafkaNamespaced, RabbitMQBroker) are accepted and are
served alike: events live in our own store, so that a YAML written for any of them works.
"""

from collections.abc import Mapping
from typing import Any

from eventing.control import address, delivery, field, resource
from eventing.control.context import Context
from eventing.control.destination import validate_reference
from eventing.control.field import FieldError
from eventing.control.kind import AGE, READY_COLUMNS, Column, Defaults, Kind, register
from eventing.control.resource import FALSE, TRUE, Resource
from eventing.control.schema import DELIVERY, REFERENCE, Strict
from eventing.kinds import broker_defaults, broker_keeping, broker_partitions
from eventing.kinds.broker_defaults import BrokerDefaults

CLASS = "eventing.knative.dev/broker.class"

_CONDITIONS = ("IngressReady", "TriggerChannelReady", "FilterReady", "Addressable", "DeadLetterSinkResolved",
               "EventPoliciesReady")


def _defaults(defaults: Defaults) -> BrokerDefaults:
    """What config-br-defaults says now; the built-in default, with a warning, where that is not readable."""
    try:
        return broker_defaults.parse(defaults.config(broker_defaults.NAMESPACE, broker_defaults.NAME))
    except ValueError as error:
        defaults.warnings.append(f"{error}; the built-in defaults are used")
        return broker_defaults.parse({})


def default(broker: Resource, _old: Resource | None, defaults: Defaults) -> None:
    """Fill in class, config and delivery, in place; a `delivery` of its own gets no defaults merged in."""
    configured, namespace = _defaults(defaults), resource.namespace(broker)
    broker_class = resource.annotations(broker).get(CLASS) or configured.broker_class(namespace) or ""
    if broker_class:
        annotations = resource.annotations(broker)
        broker.setdefault("metadata", {})["annotations"] = {**annotations, CLASS: broker_class}
    spec = broker["spec"] = resource.spec(broker)
    # With a config of its own Knative takes that config's kind for the class, so the cluster's entry it is.
    explicit = (spec.get("config") or {}).get("kind")
    entry = configured.chosen(namespace, explicit or broker_class)
    if not spec.get("config") and (reference := broker_defaults.reference(entry)):
        spec["config"] = reference
    if spec.get("delivery") is None and (given := broker_defaults.delivery(entry)):
        spec["delivery"] = given
    if isinstance(spec.get("config"), dict) and not spec["config"].get("namespace"):
        spec["config"]["namespace"] = namespace
    delivery.default(spec.get("delivery"), namespace)


def validate(broker: Resource, old: Resource | None, defaults: Defaults) -> list[FieldError]:
    """What is wrong with a Broker, and with what changed since *old*."""
    errors: list[FieldError] = []
    if not resource.annotations(broker).get(CLASS):
        errors.append(field.missing_field(CLASS))
    spec, namespace = resource.spec(broker), resource.namespace(broker)
    config = spec.get("config")
    if config:
        wrong = validate_reference(config)
        if _defaults(defaults).keeps_namespace(namespace):
            wrong += _other_namespace(config, namespace)
        errors += field.via_field(wrong, "spec", "config")
    wrong = delivery.validate(spec.get("delivery"), defaults.config(*delivery.FEATURES))
    errors += field.via_field(wrong, "spec", "delivery")
    for doubt in delivery.doubts(spec.get("delivery")):
        defaults.warn(f"spec.delivery: {doubt}")
    errors += broker_partitions.validate(broker, old)
    errors += broker_keeping.validate(resource.annotations(broker))
    return errors + (_immutable(broker, old) if old else [])


def _other_namespace(reference: Mapping[str, Any], namespace: str) -> list[FieldError]:
    wanted = reference.get("namespace")
    if not wanted or wanted == namespace:
        return []
    details = f'parent namespace: "{namespace}" does not match ref: "{wanted}"'
    return [FieldError("mismatched namespaces", ("namespace",), details)]


def _immutable(broker: Resource, old: Resource) -> list[FieldError]:
    """All of spec but `delivery`, and the class."""
    before, after = ({key: value for key, value in resource.spec(each).items() if key != "delivery"}
                     for each in (old, broker))
    if errors := field.immutable(before, after, "v1.BrokerSpec", "spec"):
        return errors
    was, is_now = (resource.annotations(each).get(CLASS, "") for each in (old, broker))
    if was == is_now:
        return []
    return [FieldError("Immutable annotations changed (-old +new)", ("annotations",),
                       f'{{string}}:\n\t-: "{was}"\n\t+: "{is_now}"')]


async def reconcile(broker: Resource, context: Context) -> None:
    """Tell the data plane of this Broker, and people its address."""
    status, now = resource.status(broker), context.now
    resource.initialize_conditions(status, _CONDITIONS, now=now)
    for type_ in ("IngressReady", "TriggerChannelReady", "FilterReady"):
        resource.set_condition(status, type_, TRUE, now=now)
    status["address"] = {"name": "http", "url": _url(broker, context)}
    resource.set_condition(status, "Addressable", TRUE, now=now)
    resource.set_condition(status, "EventPoliciesReady", TRUE, "OIDCDisabled",
                           'Feature "authentication-oidc" must be enabled to support Authorization', now=now)
    url = await _dead_letter_sink(broker, context)
    since = broker_partitions.note(broker, now)
    await context.project("brokers", _member(broker), {
        "uid": resource.uid(broker),
        "partitions": broker_partitions.partitions(broker),
        **({"partitions_since": since} if len(since) > 1 else {}),
        "delivery": delivery.record(resource.spec(broker).get("delivery"), url),
        **broker_keeping.record(resource.annotations(broker)),
    })
    resource.compute_ready(status, _CONDITIONS, now=now)


async def _dead_letter_sink(broker: Resource, context: Context) -> str | None:
    """URL of the dead letter sink, told in the status; None if there is none or it cannot be resolved."""
    status, now = resource.status(broker), context.now
    sink = (resource.spec(broker).get("delivery") or {}).get("deadLetterSink")
    if not sink:
        status.pop("deadLetterSinkUri", None)
        resource.set_condition(status, "DeadLetterSinkResolved", TRUE, *delivery.NO_SINK, now=now)
        return None
    try:
        url = await context.resolve(sink, resource.namespace(broker))
    except address.Unresolved as unresolved:
        status.pop("deadLetterSinkUri", None)
        resource.set_condition(status, "DeadLetterSinkResolved", FALSE, delivery.SINK_UNRESOLVED,
                               unresolved.message, now=now)
        return None
    status["deadLetterSinkUri"] = url
    resource.set_condition(status, "DeadLetterSinkResolved", TRUE, now=now)
    return url


async def finalize(broker: Resource, context: Context) -> None:
    """Forget the Broker on the data plane: its ingress answers 404 from now on."""
    await context.project("brokers", _member(broker), None)


def _member(broker: Resource) -> str:
    return f"{resource.namespace(broker)}/{resource.name(broker)}"


def _url(broker: Resource, context: Context) -> str:
    return f"{context.config.data_url}/{_member(broker)}"


BROKER = register(Kind(
    group="eventing.knative.dev", version="v1", kind="Broker", plural="brokers", singular="broker",
    categories=("all", "knative", "eventing"),
    columns=(Column("URL", ".status.address.url"), AGE, *READY_COLUMNS,
             Column("Class", lambda broker: resource.annotations(broker).get(CLASS), priority=1)),
    default=default, validate=validate, reconcile=reconcile, finalize=finalize,
    fields={"spec": {"config": Strict(REFERENCE), "delivery": DELIVERY}},
    annotations={"metadata": (broker_partitions.PARTITIONS, broker_keeping.DEDUP_WINDOW,
                              broker_keeping.RETENTION)},
))
