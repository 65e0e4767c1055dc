"""
Trigger: which events of a Broker go to which subscriber.

    default      an empty filter, namespaces of references, the label that names the Broker
    validate     broker, filter, filters, subscriber, delivery, annotations; `broker` never changes
    reconcile    the projection `triggers`, and Ready only once every partition's owner matches it

Delivery is settled here, so that the data plane reads one record:

    Trigger has `delivery`       retry, backoff, timeout and format are its own, unset ones are zero
    it has none                  the Broker's
    dead letter sink, always     the Trigger's, else the Broker's

What cannot be resolved for the moment, a function that does not start or a Service that was not applied yet,
is projected all the same: events that match wait in retry, and become dead letters when no retry is left.
Knative skips them, since a Trigger that is not Ready has no Subscription; we promised that what was
accepted is not lost. A dead letter sink that is not known keeps its letters with the Trigger. A filter that
does not compile matches nothing, and what waits for its Trigger stays. Only a Trigger without a Broker is
taken from the data plane.

Source: knative.dev/eventing `pkg/apis/eventing/v1` and `pkg/reconciler/broker/trigger`.
"""

from collections.abc import Mapping
from typing import Any

from eventing.broker import flow
from eventing.broker.filters import FilterInvalid, compile_filter
from eventing.broker.flow import FlowInvalid, flow_of
from eventing.control import address, delivery, destination, field, filters, resource
from eventing.control.context import Context
from eventing.control.field import FieldError
from eventing.control.kind import AGE, READY_COLUMNS, Column, Defaults, Kind, register
from eventing.control.resource import FALSE, TRUE, UNKNOWN, Resource
from eventing.control.schema import DELIVERY, DESTINATION, REFERENCE, Strict
from eventing.kinds import broker as brokers
from eventing.kinds import broker_partitions, dependency

BROKER_LABEL = "eventing.knative.dev/broker"
_INJECTION = "eventing.knative.dev/injection"
_SPEC = Strict({"broker": str, "brokerRef": REFERENCE, "filter": filters.FILTER, "filters": filters.FILTERS,
                "subscriber": DESTINATION, "delivery": DELIVERY})
_OTHER_NAMESPACE = ("only name, apiVersion and kind are supported fields when "
                    "feature.CrossNamespaceEventLinks is disabled")
_INJECTION_WRONG = 'The provided injection annotation value can only be "enabled" or "disabled", not "{}"'
_INJECTION_ELSEWHERE = ("The provided injection annotation is only used for default broker, but non-default "
                        'broker specified here: "{}"')
_NO_OIDC = "authentication-oidc feature disabled"
_CONDITIONS = ("BrokerReady", "SubscriptionReady", "DependencyReady", "SubscriberResolved",
               "DeadLetterSinkResolved", "OIDCIdentityCreated")
_NEWS_S = 30.0  # older than that, it was told already
# What is projected for a filter that means nothing: it matches no event, and what waits already for the
# Trigger stays. Dropping the record would drop its retries and dead letters with it.
_NOTHING: dict[str, Any] = {"filter": {}, "filters": [{"cesql": "FALSE"}]}
# Annotations that mean something to the data plane.
_PASSED_ON = ("clarion.dev/", "kafka.eventing.knative.dev/", "rabbitmq.eventing.knative.dev/")


def broker_name(trigger: Resource) -> str:
    """Name of the Broker in the Trigger's namespace; "" where the Trigger names none."""
    spec = resource.spec(trigger)
    return spec.get("broker") or (spec.get("brokerRef") or {}).get("name") or ""


def default(trigger: Resource, _old: Resource | None, _defaults: Defaults) -> None:
    """Fill in what Knative does, in place."""
    spec, namespace = resource.spec(trigger), resource.namespace(trigger)
    trigger["spec"] = spec
    if spec.get("filter") is None:
        spec["filter"] = {}
    if isinstance(spec.get("subscriber"), dict):
        destination.default(spec["subscriber"], namespace)
    delivery.default(spec.get("delivery"), namespace)
    if spec.get("broker"):
        labels = {**resource.labels(trigger), BROKER_LABEL: spec["broker"]}
        trigger.setdefault("metadata", {})["labels"] = labels


def validate(trigger: Resource, old: Resource | None, defaults: Defaults) -> list[FieldError]:
    """What is wrong with a Trigger, and with what changed since *old*."""
    spec = resource.spec(trigger)
    errors = _broker_errors(spec)
    errors += field.via_field(filters.validate_filter(spec.get("filter")), "filter")
    errors += field.via_field(filters.validate_filters(spec.get("filters")), "filters")
    errors += field.via_field(destination.validate(spec.get("subscriber")), "subscriber")
    wrong = delivery.validate(spec.get("delivery"), defaults.config(*delivery.FEATURES))
    errors += field.via_field(wrong, "delivery")
    errors = field.via_field(errors, "spec") + _annotation_errors(trigger)
    for doubt in delivery.doubts(spec.get("delivery")):
        defaults.warn(f"spec.delivery: {doubt}")
    if _is_loop(trigger):
        defaults.warn(f'spec.subscriber: it is the Trigger\'s own Broker "{broker_name(trigger)}", so every '
                      "event that the Trigger wants comes back to it, without end")
    before = resource.spec(old).get("broker", "") if old else spec.get("broker", "")
    if before != spec.get("broker", ""):
        details = f'{{string}}:\n\t-: "{before}"\n\t+: "{spec.get("broker", "")}"'
        errors.append(FieldError("Immutable fields changed (-old +new)", ("spec", "broker"), details))
    return errors


def _is_loop(trigger: Resource) -> bool:
    """Whether what the Trigger wants is sent to its own Broker."""
    subscriber = resource.spec(trigger).get("subscriber")
    namespace = resource.namespace(trigger)
    target = address.reference_of(subscriber, namespace) if isinstance(subscriber, Mapping) else None
    return (target is not None and target.kind == "Broker"
            and target.api_version.startswith("eventing.knative.dev/")
            and (target.namespace, target.name) == (namespace, broker_name(trigger)))


def _broker_errors(spec: Mapping[str, Any]) -> list[FieldError]:
    """One of `broker` and `brokerRef`, which stays in the Trigger's namespace."""
    reference = spec.get("brokerRef")
    errors: list[FieldError] = []
    if not spec.get("broker") and not reference:
        errors.append(field.missing_field("broker"))
    elif spec.get("broker") and reference:
        errors.append(field.one_of_both("broker", "brokerRef"))
    if isinstance(reference, Mapping) and reference.get("namespace"):
        errors.append(FieldError("must not set the field(s)", ("namespace",), _OTHER_NAMESPACE))
    return errors


def _annotation_errors(trigger: Resource) -> list[FieldError]:
    annotations = resource.annotations(trigger)
    errors: list[FieldError] = []
    if dependency.ANNOTATION in annotations:
        wrong = dependency.validate(annotations[dependency.ANNOTATION], resource.namespace(trigger))
        errors += field.via_field(wrong, f"metadata.annotations[{dependency.ANNOTATION}]")
    injection, broker = annotations.get(_INJECTION), resource.spec(trigger).get("broker", "")
    path = f"metadata.annotations[{_INJECTION}]"
    if injection is not None and injection not in {"enabled", "disabled"}:
        errors.append(field.generic(_INJECTION_WRONG.format(injection), path))
    elif injection is not None and broker != "default":
        errors.append(field.generic(_INJECTION_ELSEWHERE.format(broker), path))
    try:
        flow_of(annotations)
    except FlowInvalid as error:
        path = f"metadata.annotations[{error.annotation}]"
        errors.append(field.invalid_value(error.value, path, f"expected {error.allowed}"))
    return errors


async def reconcile(trigger: Resource, context: Context) -> None:
    """Make the data plane match this Trigger, and say how far that is."""
    status, now = resource.status(trigger), context.now
    resource.initialize_conditions(status, _CONDITIONS, now=now)
    resource.set_condition(status, "OIDCIdentityCreated", TRUE, _NO_OIDC, now=now)
    broker = await _broker(trigger, context)
    await dependency.reconcile(trigger, context)
    if broker is None:
        await context.project("triggers", _member(trigger), None)
    else:
        await _subscribe(trigger, broker, context)
    resource.compute_ready(status, _CONDITIONS, now=now)


async def _broker(trigger: Resource, context: Context) -> Resource | None:
    """The Broker, its readiness told as BrokerReady; None if there is none."""
    status, now, name = resource.status(trigger), context.now, broker_name(trigger)
    context.track(brokers.BROKER, resource.namespace(trigger), name)
    broker = await context.get(brokers.BROKER, resource.namespace(trigger), name)
    if broker is None:
        resource.set_condition(status, "BrokerReady", FALSE, "BrokerDoesNotExist",
                               f'Broker "{name}" does not exist in namespace {resource.namespace(trigger)}',
                               now=now)
        return None
    ready = resource.condition(broker.get("status") or {}, resource.READY)
    if ready is None:
        resource.set_condition(status, "BrokerReady", UNKNOWN, "BrokerNotConfigured",
                               "Broker has not yet been reconciled.", now=now)
    elif ready["status"] == TRUE:
        resource.set_condition(status, "BrokerReady", TRUE, now=now)
    else:
        resource.set_condition(status, "BrokerReady", ready["status"], ready.get("reason", ""),
                               ready.get("message", ""), now=now)
    return broker


def _filter(trigger: Resource) -> dict[str, Any]:
    spec = resource.spec(trigger)
    attributes = (spec.get("filter") or {}).get("attributes")
    return {"filter": attributes or {}, "filters": spec.get("filters") or []}


def _filter_problem(trigger: Resource) -> str:
    """Where and why the filter means nothing; "" if it compiles."""
    try:
        compile_filter(_filter(trigger))
    except FilterInvalid as invalid:
        return str(invalid)
    return ""


async def _subscribe(trigger: Resource, broker: Resource, context: Context) -> None:
    """Resolve the addresses, project, and report the lanes."""
    subscriber = await _subscriber(trigger, context)
    dead_letter_url = await _dead_letter_sink(trigger, broker, context)
    spec, problem = resource.spec(trigger), _filter_problem(trigger)
    chosen = spec["delivery"] if spec.get("delivery") is not None else resource.spec(broker).get("delivery")
    await context.project("triggers", _member(trigger), {
        "uid": resource.uid(trigger),
        "generation": resource.generation(trigger),
        "broker": f"{resource.namespace(broker)}/{resource.name(broker)}",
        **(_NOTHING if problem else _filter(trigger)),
        "subscriber": subscriber or "",
        "delivery": delivery.record(chosen, dead_letter_url),
        "annotations": {key: value for key, value in resource.annotations(trigger).items()
                        if key.startswith(_PASSED_ON)},
    })
    if problem:
        resource.set_condition(
            resource.status(trigger), "SubscriptionReady", FALSE, "FilterInvalid",
            f"{problem}; no event is delivered to this Trigger until its filter is corrected",
            now=context.now)
    else:
        partitions = broker_partitions.partitions(broker)
        _report_lanes(trigger, partitions, context)
        await _report_letters(trigger, partitions, context)


async def _subscriber(trigger: Resource, context: Context) -> str | None:
    status, now = resource.status(trigger), context.now
    try:
        url = await context.resolve(resource.spec(trigger)["subscriber"], resource.namespace(trigger))
    except address.Unresolved as unresolved:
        status.pop("subscriberUri", None)
        resource.set_condition(status, "SubscriberResolved", FALSE, "Unable to get the Subscriber's URI",
                               unresolved.message, now=now)
        return None
    status["subscriberUri"] = url
    resource.set_condition(status, "SubscriberResolved", TRUE, now=now)
    return url


async def _dead_letter_sink(
    trigger: Resource, broker: Resource, context: Context
) -> str | None:
    """The URL of the dead letter sink, the Trigger's or the Broker's; None where none is set or known."""
    status, now = resource.status(trigger), context.now
    status.pop("deadLetterSinkUri", None)
    own = (resource.spec(trigger).get("delivery") or {}).get("deadLetterSink")
    brokers_own = (resource.spec(broker).get("delivery") or {}).get("deadLetterSink")
    if not own and not brokers_own:
        resource.set_condition(status, "DeadLetterSinkResolved", TRUE, *delivery.NO_SINK, now=now)
        return None
    url: str | None = (broker.get("status") or {}).get("deadLetterSinkUri")
    reason, message = f"Broker {resource.name(broker)} didn't set status.deadLetterSinkURI", ""
    if own:
        reason = delivery.SINK_UNRESOLVED
        try:
            url = await context.resolve(own, resource.namespace(trigger))
        except address.Unresolved as unresolved:
            url, message = None, unresolved.message
    if url is None:
        resource.set_condition(status, "DeadLetterSinkResolved", FALSE, reason, message, now=now)
        return None
    status["deadLetterSinkUri"] = url
    resource.set_condition(status, "DeadLetterSinkResolved", TRUE, now=now)
    return url


def _report_lanes(trigger: Resource, partitions: int, context: Context) -> None:
    """SubscriptionReady is True once the owner of every partition matches this very generation."""
    wanted = {"uid": resource.uid(trigger), "generation": resource.generation(trigger)}
    lanes = (context.projected("lanes", f"{_member(trigger)}/{index}") or {} for index in range(partitions))
    is_matched = all({key: lane.get(key) for key in wanted} == wanted for lane in lanes)
    status, now = resource.status(trigger), context.now
    if is_matched:
        resource.set_condition(status, "SubscriptionReady", TRUE, now=now)
    else:
        resource.set_condition(status, "SubscriptionReady", UNKNOWN, "SubscriptionNotConfigured",
                               "Subscription has not yet been reconciled.", now=now)


async def _report_letters(trigger: Resource, partitions: int, context: Context) -> None:
    """Make an Event of what owners of partitions gave up a moment ago: they tell it once a minute."""
    for index in range(partitions):
        said = (context.projected("lanes", f"{_member(trigger)}/{index}") or {}).get("given_up")
        if said and 0 <= context.now - said["when"] < _NEWS_S:
            await context.event(
                trigger, "Warning", "EventGivenUp",
                f"an event was given up after attempt {said['attempts']}: {said['reason']}; "
                f"clarion dead list {resource.name(trigger)} -n {resource.namespace(trigger)}")


async def finalize(trigger: Resource, context: Context) -> None:
    """Forget the Trigger on the data plane."""
    await context.project("triggers", _member(trigger), None)


def _member(trigger: Resource) -> str:
    return f"{resource.namespace(trigger)}/{resource.name(trigger)}"


TRIGGER = register(Kind(
    group="eventing.knative.dev", version="v1", kind="Trigger", plural="triggers", singular="trigger",
    categories=("all", "knative", "eventing"),
    columns=(Column("Broker", ".spec.broker"), Column("Subscriber_URI", ".status.subscriberUri"), AGE,
             *READY_COLUMNS),
    default=default, validate=validate, reconcile=reconcile, finalize=finalize, reports="lanes",
    fields={"spec": _SPEC},
    annotations={"metadata": (flow.ON_POISON, flow.CONCURRENCY, flow.CONCURRENCY_KEY, flow.RATE, flow.BATCH,
                              flow.MAX_AGE)},
))
