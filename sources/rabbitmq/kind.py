"""
RabbitmqSource, the kind: `sources.knative.dev/v1alpha1`, whose spec never changes (Knative's rule).

Where the server is stands in a Secret: `connectionSecret.name`, or for a RabbitmqCluster of the cluster
operator the Secret that the operator makes, `NAME-default-user`. `user` and `password`, each a
`secretKeyRef`, go before what that Secret says. Exchange and queue that were declared stay when the object is
deleted: they may hold messages.
"""

from collections.abc import Mapping
from typing import Any

from eventing.control import field, resource
from eventing.control.field import FieldError
from eventing.control.kind import Column, Defaults
from eventing.control.resource import Resource
from eventing.control.schema import ANY
from sources.adapter import SECRET_VALUE, SecretKeyRef, source_kind
from sources.rabbitmq import topology
from sources.rabbitmq.message import EVENT_TYPE
from sources.source import CeAttributes

_MAX_PARALLELISM = 1000  # Knative's bound
_SECRET_KEYS = ("port", "username", "password")
_FIELDS = {
    "rabbitmqClusterReference": {"name": str, "namespace": str, "connectionSecret": {"name": str}},
    "rabbitmqResourcesConfig": {"queueName": str, "exchangeName": str, "vhost": str, "parallelism": int,
                                "predeclared": bool},
    "exchangeConfig": {"name": str, "type": str, "durable": bool, "autoDelete": bool},
    "queueConfig": {"name": str, "type": str, "durable": bool, "autoDelete": bool, "exclusive": bool,
                    "routingKey": str, "routingKeys": [str], "arguments": ANY},
    "user": SECRET_VALUE, "password": SECRET_VALUE, "serviceAccountName": str, "adapterContainerName": str,
}

# Which reasons are about which condition; others are about the whole (Deployed).
_CONDITIONS = {
    "SecretReady": frozenset({"SecretNotFound", "SecretInvalid", "AuthenticationFailed"}),
    "ExchangeReady": frozenset({"ExchangeFailed", "QueueFailed"}),
}


def _default(rabbitmqsource: Resource, old: Resource | None, defaults: Defaults) -> None:
    del old, defaults
    config = resource.spec(rabbitmqsource).get("rabbitmqResourcesConfig")
    if isinstance(config, dict):
        config.setdefault("vhost", "/")
        config.setdefault("parallelism", 1)
        config.setdefault("predeclared", False)


def _validate(rabbitmqsource: Resource, old: Resource | None, defaults: Defaults) -> list[FieldError]:
    del defaults
    spec = resource.spec(rabbitmqsource)
    if old is not None and (errors := _immutable(old, spec)):
        return errors
    if not isinstance(spec.get("rabbitmqResourcesConfig"), Mapping):
        return [*_reference_errors(spec), field.missing_field("spec.rabbitmqResourcesConfig")]
    return _reference_errors(spec) + _resources_errors(spec) + _options_errors(spec)


def _immutable(old: Resource, spec: Mapping[str, Any]) -> list[FieldError]:
    return field.immutable(resource.spec(old), spec, "v1alpha1.RabbitmqSourceSpec", "spec")


def _reference_errors(spec: Mapping[str, Any]) -> list[FieldError]:
    reference = spec.get("rabbitmqClusterReference")
    if not isinstance(reference, Mapping):
        return [field.missing_field("spec.rabbitmqClusterReference")]
    secret = (reference.get("connectionSecret") or {}).get("name")
    if reference.get("name") and secret:
        message = ("rabbitmqClusterReference.name and rabbitmqClusterReference.connectionSecret "
                   "must not be set simultaneously")
        return [field.generic(message, "spec.rabbitmqClusterReference")]
    if not reference.get("name") and not secret:
        return [field.missing_field("spec.rabbitmqClusterReference.connectionSecret.name")]
    return []


def _resources_errors(spec: Mapping[str, Any]) -> list[FieldError]:
    config, _, _ = topology.blocks(spec)
    errors = []
    parallelism = config.get("parallelism")
    if not isinstance(parallelism, int) or not 1 <= parallelism <= _MAX_PARALLELISM:
        path = "rabbitmqResourcesConfig.Parallelism"  # without spec, with a capital: as Knative has it
        errors.append(field.out_of_bounds(parallelism, 1, _MAX_PARALLELISM, path))
    if not config.get("predeclared") and not topology.exchange_name(spec):
        message = "Name of exchange must be provided when spec.predeclared is false"
        errors.append(field.generic(message, "spec, rabbitmqResourcesConfig, name"))
    if not topology.queue_name(spec):
        errors.append(field.missing_field("spec.rabbitmqResourcesConfig.queueName"))
    return errors


def _options_errors(spec: Mapping[str, Any]) -> list[FieldError]:
    config, exchange, queue = topology.blocks(spec)
    errors = []
    for given, known, path in ((exchange.get("type"), topology.EXCHANGE_TYPES, "spec.exchangeConfig.type"),
                               (queue.get("type"), topology.QUEUE_TYPES, "spec.queueConfig.type")):
        if given and given not in known:
            errors.append(field.invalid_value(given, path, f"expected one of {', '.join(known)}"))
    names = ((exchange, "exchangeConfig", "exchangeName"), (queue, "queueConfig", "queueName"))
    for block, name, key in names:
        if block.get("name") and config.get(key) and block["name"] != config[key]:
            errors.append(field.one_of_both(f"spec.{name}.name", f"spec.rabbitmqResourcesConfig.{key}"))
    return errors


def _secrets(rabbitmqsource: Resource) -> dict[str, SecretKeyRef]:
    spec = resource.spec(rabbitmqsource)
    reference = spec["rabbitmqClusterReference"]
    own = (reference.get("connectionSecret") or {}).get("name")
    secret, where = (own, "uri") if own else (f"{reference['name']}-default-user", "host")
    refs: dict[str, SecretKeyRef] = {key: {"name": secret, "key": key, "optional": True}
                                     for key in _SECRET_KEYS}
    refs[where] = {"name": secret, "key": where}
    for name, key in (("user", "username"), ("password", "password")):
        if ref := (spec.get(name) or {}).get("secretKeyRef"):
            refs[key] = ref
    return refs


def _ce_attributes(rabbitmqsource: Resource) -> CeAttributes:
    namespace, name = resource.namespace(rabbitmqsource), resource.name(rabbitmqsource)
    queue = topology.queue_name(resource.spec(rabbitmqsource))
    return [{"type": EVENT_TYPE,
             "source": f"/apis/v1/namespaces/{namespace}/rabbitmqsources/{name}#{queue}"}]


KIND = source_kind(
    "RabbitmqSource", version="v1alpha1",
    columns=(Column("Queue", ".spec.rabbitmqResourcesConfig.queueName"),),
    fields=_FIELDS, default=_default, validate=_validate, ce_attributes=_ce_attributes, secrets=_secrets,
    conditions=_CONDITIONS,
)
