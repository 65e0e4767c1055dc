"""
KafkaSink, the kind: a topic that events can be sent to, `eventing.knative.dev/v1alpha1`.

    spec.topic, spec.bootstrapServers
    spec.contentMode              binary (the default) or structured
    spec.numPartitions and        both: the topic is created if there is none. Else it is somebody else's
    spec.replicationFactor        (`status.annotations`, topic.owner), and is waited for
    spec.auth.secret.ref.name     how to connect: connection.py draws the keys of that Secret

A topic stays when its KafkaSink is deleted, where Knative deletes those that it created: it has records.
Fields, words and conditions: knative.dev/eventing-kafka-broker, KafkaSink.
"""

from typing import Any

from eventing.control import field, resource
from eventing.control.context import Context
from eventing.control.field import FieldError
from eventing.control.kind import AGE, READY_COLUMNS, Column, Defaults, Kind, register
from eventing.control.resource import FALSE, TRUE, UNKNOWN, Resource
from eventing.projection import Record
from sources import adapter
from sources.kafka import connection
from sources.kafka.record import BINARY, MODES
from sources.sink import Door, sink
from sources.source import NotReady, secrets_of, spec_of

_OWNER = "eventing.knative.dev/topic.owner"
_CONDITIONS = ("Addressable", "DataPlaneAvailable", "TopicReady", "ConfigMapUpdated", "ProbeSucceeded",
               "EventPoliciesReady")
_IMMUTABLE = ("topic", "replicationFactor", "numPartitions")
_FIELDS = {"topic": str, "bootstrapServers": [str], "numPartitions": int, "replicationFactor": int,
           "contentMode": str, "auth": {"secret": {"ref": {"name": str}}}}


@sink("KafkaSink")
async def kafkasink(record: Record, door: Door) -> None:
    """Write events to a topic, for ever."""
    if problem := record.get("problem"):
        raise NotReady("SecretNotFound", problem)
    try:
        from sources.kafka.producer import Settings, produce  # noqa: PLC0415  needs aiokafka, an extra
    except ImportError as error:
        raise NotReady("ClientMissing", "KafkaSink needs aiokafka: pip install 'clarion[kafka]'") from error
    spec = spec_of(record)
    await produce(Settings(
        connection=connection.of_secret(spec["bootstrapServers"], secrets_of(record)), topic=spec["topic"],
        mode=spec["contentMode"], partitions=spec.get("numPartitions"),
        replication_factor=spec.get("replicationFactor")), door)


def _default(kafkasink_: Resource, old: Resource | None, defaults: Defaults) -> None:
    del old, defaults
    spec = kafkasink_.setdefault("spec", {})
    if isinstance(spec, dict) and not spec.get("contentMode"):
        spec["contentMode"] = BINARY


def _validate(kafkasink_: Resource, old: Resource | None, defaults: Defaults) -> list[FieldError]:
    del defaults
    spec = resource.spec(kafkasink_)
    errors = []
    if spec.get("contentMode") not in MODES:
        errors.append(field.invalid_value(spec.get("contentMode"), "contentMode"))
    servers = spec.get("bootstrapServers") or []
    if not servers:
        errors.append(field.invalid_value(servers, "bootstrapServers"))
    errors += connection.validate_texts(servers, "bootstrapServers")
    if not spec.get("topic"):
        errors.append(field.invalid_value("", "topic"))
    for name in ("replicationFactor", "numPartitions"):
        count = spec.get(name)
        if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count <= 0):
            errors.append(field.invalid_value(count, name))
    if spec.get("auth") and not _secret_name(spec):
        errors.append(field.invalid_value("", "auth.secret.ref.name"))
    if old is not None:
        errors += [FieldError("Immutable field updated", (name,)) for name in _IMMUTABLE
                   if spec.get(name) != resource.spec(old).get(name)]
    return field.via_field(errors, "spec")


def _secret_name(spec: dict[str, Any]) -> str:
    try:
        return str(spec["auth"]["secret"]["ref"]["name"] or "")
    except (KeyError, TypeError):
        return ""


async def _reconcile(kafkasink_: Resource, context: Context) -> None:
    """Tell the sources role of the topic, and people its address."""
    status, spec, now = resource.status(kafkasink_), resource.spec(kafkasink_), context.now
    resource.initialize_conditions(status, _CONDITIONS, now=now)
    where = f"{resource.namespace(kafkasink_)}/{resource.name(kafkasink_)}"
    status["address"] = {"name": "http", "url": f"http://{context.config.sink_hosts[-1]}/{where}"}
    is_ours = spec.get("numPartitions") is not None and spec.get("replicationFactor") is not None
    status["annotations"] = {_OWNER: "kafkasink-controller" if is_ours else "external"}
    for type_ in ("Addressable", "ConfigMapUpdated"):
        resource.set_condition(status, type_, TRUE, now=now)
    resource.set_condition(status, "EventPoliciesReady", TRUE, "OIDCDisabled",
                           'Feature "authentication-oidc" must be enabled to support Authorization', now=now)
    name = _secret_name(spec)
    refs = {key: {"name": name, "key": key, "optional": key != connection.PROTOCOL}
            for key in connection.SECRET_KEYS} if name else {}
    record = {"uid": resource.uid(kafkasink_), "generation": resource.generation(kafkasink_), "spec": spec}
    try:
        secrets, versions = await adapter.read_secrets(kafkasink_, context, refs)
    except adapter.Unavailable as why:
        # The role has to know the sink all the same: who sends to it is told to come again, and why.
        await context.project("sources", adapter.record_name(kafkasink_), {**record, "problem": str(why)})
        resource.set_condition(status, "TopicReady", FALSE, "SecretNotFound", str(why), now=now)
    else:
        await context.project("source-secrets", adapter.record_name(kafkasink_), secrets or None)
        await context.project("sources", adapter.record_name(kafkasink_),
                              {**record, "secret_versions": versions})
        adapter.set_running(kafkasink_, context, "TopicReady")
    _follow(status, now)
    resource.compute_ready(status, _CONDITIONS, now=now)


def _follow(status: dict[str, Any], now: float) -> None:
    """Whoever reports that the topic is there, or is not, is there; and has looked."""
    state = resource.condition_status(status, "TopicReady")
    resource.set_condition(status, "DataPlaneAvailable", UNKNOWN if state == UNKNOWN else TRUE, now=now)
    resource.set_condition(status, "ProbeSucceeded", TRUE if state == TRUE else UNKNOWN, now=now)


KIND = register(Kind(
    group="eventing.knative.dev", version="v1alpha1", kind="KafkaSink", plural="kafkasinks",
    singular="kafkasink", categories=("all", "knative", "eventing", "sink"),
    columns=(Column("URL", ".status.address.url"), AGE, *READY_COLUMNS), default=_default, validate=_validate,
    reconcile=_reconcile, finalize=adapter.forget, reports="source-states", fields={"spec": _FIELDS},
    annotations={"metadata": ()},
))
