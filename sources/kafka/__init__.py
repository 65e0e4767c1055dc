"""
KafkaSource: an event for each record of some topics. (KafkaSink, the other way round, is sink.py's affair.)

    record -> event (event.py) -> POST to the sink -> accepted -> its offset may be committed (lane.py)

A crash repeats what was in flight and loses nothing; what the sink refuses for good goes to
`delivery.deadLetterSink`, or is skipped with a log line and a count, and never stops its partition. How
records are read side by side is member.py's affair, what is done beside that scout.py's.

    spec.ordering ordered     (the default) the next record of a partition waits until this one is accepted
    spec.ordering unordered   many at once; offsets are committed in order all the same
    spec.consumers            members of the group, all in this process; 0 pauses the source

Secrets (`spec.net.sasl`, `spec.net.tls`) are read by reference; see connection.py. OAUTHBEARER is not
offered. Knative's `ordered` and `unordered`, its fields, words and events:
knative.dev/eventing-kafka-broker, KafkaSource.
"""

import json
import uuid
from typing import Any

from eventing.control import field, resource
from eventing.control.field import FieldError
from eventing.control.kind import Column, Defaults, Kind
from eventing.control.resource import Resource
from eventing.projection import Record
from sources.adapter import SECRET_VALUE, source_kind
from sources.kafka import connection, sink
from sources.kafka.event import EVENT_TYPE, KEY_TYPES
from sources.source import CeAttributes, Emit, NotReady, secrets_of, source, spec_of

__all__ = ["KIND", "kafka", "sink"]

KEY_TYPE_LABEL = "kafkasources.sources.knative.dev/key-type"
_OFFSETS = ("earliest", "latest")
_ORDERINGS = ("ordered", "unordered")
_FIELDS = {
    "bootstrapServers": [str], "topics": [str], "consumers": int, "consumerGroup": str, "initialOffset": str,
    "ordering": str,
    "net": {"sasl": {"enable": bool, **dict.fromkeys(("user", "password", "type", "tokenProvider", "roleARN"),
                                                     SECRET_VALUE)},
            "tls": {"enable": bool, **dict.fromkeys(("cert", "key", "caCert"), SECRET_VALUE)}},
}


@source("KafkaSource")
async def kafka(record: Record, emit: Emit) -> None:
    """Emit an event for each record, for ever."""
    spec = spec_of(record)
    if spec["consumers"] == 0:
        emit.ready()
        return
    try:
        from sources.kafka.consumer import consume  # noqa: PLC0415  needs aiokafka, an extra
        from sources.kafka.member import Settings  # noqa: PLC0415  likewise
    except ImportError as error:
        raise NotReady("ClientMissing", "KafkaSource needs aiokafka: pip install 'clarion[kafka]'") from error
    settings = Settings(
        connection=connection.arguments(spec, secrets_of(record)), topics=list(spec["topics"]),
        group=spec["consumerGroup"], is_ordered=spec["ordering"] == "ordered",
        source=record["source"].partition("#")[0], key_type=record["key_type"])
    await consume(settings, spec["consumers"], spec["initialOffset"], emit)


def _default(kafkasource: Resource, old: Resource | None, defaults: Defaults) -> None:
    del defaults
    spec = kafkasource.setdefault("spec", {})
    if not isinstance(spec, dict):
        return
    if not spec.get("consumerGroup"):
        before = resource.spec(old).get("consumerGroup") if old is not None else None
        spec["consumerGroup"] = before or f"knative-kafka-source-{uuid.uuid4()}"
    spec.setdefault("initialOffset", "latest")
    spec.setdefault("ordering", "ordered")
    if spec.get("consumers") is None:
        spec["consumers"] = 1
    net = spec.setdefault("net", {})
    if isinstance(net, dict):
        net.setdefault("sasl", {})
        net.setdefault("tls", {})


def _validate(kafkasource: Resource, old: Resource | None, defaults: Defaults) -> list[FieldError]:
    del defaults
    spec = resource.spec(kafkasource)
    errors = [field.missing_field(name) for name in ("bootstrapServers", "topics") if not spec.get(name)]
    for name in ("bootstrapServers", "topics"):
        errors += connection.validate_texts(spec.get(name) or [], name)
    for name, allowed in (("initialOffset", _OFFSETS), ("ordering", _ORDERINGS)):
        if spec.get(name) not in allowed:
            errors.append(field.invalid_value(spec.get(name), name))
    consumers = spec.get("consumers")
    if isinstance(consumers, bool) or not isinstance(consumers, int) or consumers < 0:
        errors.append(field.invalid_value(consumers, "consumers"))
    errors += _validate_net(spec.get("net") or {})
    if old is not None:
        before, after = ({"consumerGroup": resource.spec(each).get("consumerGroup")}
                         for each in (old, kafkasource))
        errors += field.immutable(before, after, "v1.KafkaSourceSpec", "consumerGroup")
    errors = field.via_field(errors, "spec")
    key_type = resource.labels(kafkasource).get(KEY_TYPE_LABEL, KEY_TYPES[0])
    if key_type not in KEY_TYPES:
        errors.append(field.invalid_value(key_type, f"metadata.labels.{KEY_TYPE_LABEL}"))
    return errors


def _validate_net(net: Any) -> list[FieldError]:
    """What is in use must say which Secret and which key of it."""
    if not isinstance(net, dict):
        return [field.invalid_value(net, "net")]
    errors = []
    for part, member in connection.SECRETS.values():
        section = net.get(part)
        if section is not None and not isinstance(section, dict):
            errors.append(field.invalid_value(section, f"net.{part}"))
            continue
        given = (section or {}).get(member)
        ref = given.get("secretKeyRef") if isinstance(given, dict) else given
        if ref is None:
            continue
        path = f"net.{part}.{member}.secretKeyRef"
        if not isinstance(ref, dict):
            errors.append(field.invalid_value(ref, path))
        else:
            errors += [field.missing_field(f"{path}.{name}") for name in ("name", "key") if not ref.get(name)]
    return errors


def _ce_attributes(kafkasource: Resource) -> CeAttributes:
    where = f"/apis/v1/namespaces/{resource.namespace(kafkasource)}/kafkasources/{resource.name(kafkasource)}"
    topics = resource.spec(kafkasource)["topics"]
    return [{"type": EVENT_TYPE, "source": f"{where}#{topic}"} for topic in topics]


def _details(kafkasource: Resource) -> dict[str, Any]:
    return {"key_type": resource.labels(kafkasource).get(KEY_TYPE_LABEL, KEY_TYPES[0])}


def _list_column(name: str, member: str) -> Column:
    """A list of texts, printed as Kubernetes prints one."""
    return Column(name, lambda kafkasource: json.dumps(resource.spec(kafkasource).get(member)))


def _register(version: str) -> Kind:
    return source_kind(
        "KafkaSource", version=version, running="ConsumerGroup",
        columns=(_list_column("Topics", "topics"), _list_column("BootstrapServers", "bootstrapServers")),
        fields=_FIELDS, default=_default, validate=_validate, ce_attributes=_ce_attributes, details=_details,
        secrets=lambda kafkasource: connection.secret_refs(resource.spec(kafkasource)))


# Both versions are the same; the last one is what references and `kubectl` without a version mean.
_register("v1beta1")
KIND = _register("v1")
