"""
The control side of every source kind: one reconcile for all of them.

It resolves the sink, hands the spec to the sources role through the projection `sources`, and turns what the
role reports in `source-states` into Knative's conditions. What a kind adds is its validation, its columns,
the attributes of its events, and perhaps secrets and what else its coroutine must know.

Secrets are read here, by `secretKeyRef`, and reach the sources role in a table of their own; no record,
condition or log line has their values. A source is started again when one of its Secrets changes.
"""

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from eventing import keys
from eventing.control import address, delivery, destination, field, kind, resource
from eventing.control.context import Context
from eventing.control.field import FieldError
from eventing.control.kind import Kind
from eventing.control.resource import FALSE, TRUE, UNKNOWN, Resource
from eventing.control.schema import DELIVERY, DESTINATION, Shape
from eventing.errors import ClarionError
from eventing.projection import Record
from sources import eventtypes
from sources.source import CeAttributes

_GROUP = "sources.knative.dev"
SINK_ACCEPTING = "SinkAccepting"  # ours: there while the sink takes no events
_EXTENSION_NAME = re.compile(r"[a-zA-Z0-9]+")

# Knative's SourceSpec: what every source has, and what binds a sink to a program.
SOURCE_SPEC = {"sink": DESTINATION, "ceOverrides": {"extensions": {"*": str}}}

# How a spec refers to a value in a Secret.
SECRET_VALUE = {"secretKeyRef": {"name": str, "key": str, "optional": bool}}

# What a `secretKeyRef` says: name, key, perhaps optional.
SecretKeyRef = Mapping[str, Any]


class Unavailable(ClarionError):
    """A Secret, or the key in it, is not there."""


def _nothing(_object: Resource) -> dict[str, Any]:
    return {}


@dataclass(frozen=True, kw_only=True)
class _Adapter:
    """What one kind adds; see `source_kind`."""

    ce_attributes: Callable[[Resource], CeAttributes]
    secrets: Callable[[Resource], Mapping[str, SecretKeyRef]]
    details: Callable[[Resource], Mapping[str, Any]]
    running: str
    conditions: Mapping[str, frozenset[str]]
    own_default: kind.Default
    own_validate: kind.Validate

    def default(self, source: Resource, old: Resource | None, defaults: kind.Defaults) -> None:
        """Fill in what all sources have, then what is the kind's."""
        spec, namespace = resource.spec(source), resource.namespace(source)
        destination.default(spec.get("sink"), namespace)
        delivery.default(spec.get("delivery"), namespace)
        self.own_default(source, old, defaults)

    def validate(self, source: Resource, old: Resource | None, defaults: kind.Defaults) -> list[FieldError]:
        """What is wrong with what all sources have, and with what is the kind's."""
        spec = resource.spec(source)
        errors = field.via_field(destination.validate(spec.get("sink")), "sink") + validate_overrides(spec)
        wrong = delivery.validate(spec.get("delivery"), defaults.config(*delivery.FEATURES))
        errors += field.via_field(wrong, "delivery")
        return field.via_field(errors, "spec") + self.own_validate(source, old, defaults)

    async def reconcile(self, source: Resource, context: Context) -> None:
        """Tell the sources role of the object, and the object what that role reports."""
        await _reconcile(source, context, self)

    async def finalize(self, source: Resource, context: Context) -> None:
        """Forget the object."""
        await forget(source, context)


def source_kind(
    name: str, *, version: str = "v1", columns: tuple[kind.Column, ...], fields: Mapping[str, Shape],
    default: kind.Default, validate: kind.Validate, ce_attributes: Callable[[Resource], CeAttributes],
    secrets: Callable[[Resource], Mapping[str, SecretKeyRef]] = _nothing,
    details: Callable[[Resource], Mapping[str, Any]] = _nothing, running: str = "Deployed",
    conditions: Mapping[str, frozenset[str]] | None = None, annotations: tuple[str, ...] = (),
) -> Kind:
    """
    Register the kind *name* of group sources.knative.dev.

    Args:
        name: as in `PingSource`.
        version: of the API; a kind may be registered in several.
        columns: those between Sink and Age.
        fields: shapes of what the spec has beside `sink`, `ceOverrides` and `delivery`.
        default: fills in what the kind adds to `sink` and `delivery`.
        validate: what is wrong beyond `sink`, `ceOverrides` and `delivery`.
        ce_attributes: `type` and `source` of the events; the first one's `source` is in the record. Empty
            where only the sources role knows them: it reports them.
        secrets: each secretKeyRef of the object, by the name under which the coroutine finds the value.
        details: what else the record must have.
        running: the condition that says what the sources role reports.
        conditions: the kind's own on the way to *running*, in that order, each with the reasons that are its.
        annotations: those that mean something.
    """
    adapter = _Adapter(ce_attributes=ce_attributes, secrets=secrets, details=details, running=running,
                       conditions=conditions or {}, own_default=default, own_validate=validate)
    return kind.register(Kind(
        group=_GROUP, version=version, kind=name, plural=f"{name.lower()}s", singular=name.lower(),
        categories=("all", "knative", "sources"),
        columns=(kind.Column("Sink", ".status.sinkUri"), *columns, kind.AGE, *kind.READY_COLUMNS),
        default=adapter.default, validate=adapter.validate, reconcile=adapter.reconcile,
        finalize=adapter.finalize, reports="source-states",
        fields={"spec": {**SOURCE_SPEC, "delivery": DELIVERY, **fields}},
        annotations={"metadata": annotations},
    ))


def record_name(source: Resource) -> str:
    """Under which name the sources role knows an object."""
    return f"{source['kind']}/{resource.namespace(source)}/{resource.name(source)}"


async def forget(source: Resource, context: Context) -> None:
    """Have the sources role stop what it runs for an object that is deleted."""
    for table in ("sources", "source-secrets", "source-states"):
        await context.project(table, record_name(source), None)
    uid = resource.uid(source)
    await context.erase(keys.source_place(uid), keys.source_pages(uid), keys.source_ledger(uid))


def validate_overrides(spec: Mapping[str, Any]) -> list[FieldError]:
    """What is wrong with `ceOverrides`; paths are relative to *spec*."""
    extensions = (spec.get("ceOverrides") or {}).get("extensions") or {}
    errors = []
    for name in extensions:
        if not name:
            errors.append(field.invalid_key_name(name, "ceOverrides.extensions", "keys MUST NOT be empty"))
        elif not _EXTENSION_NAME.fullmatch(name):
            details = "keys are expected to be alphanumeric"
            errors.append(field.invalid_key_name(name, "ceOverrides.extensions", details))
    return errors


async def _reconcile(source: Resource, context: Context, adapter: _Adapter) -> None:
    status = resource.status(source)
    status.update(_reported(source, context).get("status") or {})
    if attributes := adapter.ce_attributes(source):
        status["ceAttributes"] = attributes
    status.setdefault("ceAttributes", [])
    await eventtypes.reconcile(source, status["ceAttributes"], context)
    resource.set_condition(status, "OIDCIdentityCreated", TRUE, "authentication-oidc feature disabled",
                           now=context.now)
    sink = await resolve_sink(source, context)
    if sink is None:
        await context.project("sources", record_name(source), None)
        resource.set_condition(status, adapter.running, UNKNOWN, now=context.now)
        resource.remove_condition(status, SINK_ACCEPTING)
    else:
        await _hand_over(source, context, adapter, sink)
    _set_own(status, adapter, context.now)
    dependents = ("SinkProvided", adapter.running, "OIDCIdentityCreated", *adapter.conditions)
    resource.compute_ready(status, dependents, now=context.now)


async def resolve_sink(source: Resource, context: Context) -> str | None:
    """The URL of `spec.sink`, which the status gets with condition SinkProvided; None while there is none."""
    status = resource.status(source)
    try:
        sink = await context.resolve(resource.spec(source)["sink"], resource.namespace(source))
    except address.Unresolved as unresolved:
        status.pop("sinkUri", None)
        resource.set_condition(status, "SinkProvided", FALSE, unresolved.reason, unresolved.message,
                               now=context.now)
        return None
    status["sinkUri"] = sink
    resource.set_condition(status, "SinkProvided", TRUE, now=context.now)
    return sink


async def _hand_over(source: Resource, context: Context, adapter: _Adapter, sink: str) -> None:
    """Project the source for the role that runs it, and say what that role reports."""
    spec, status, name = resource.spec(source), resource.status(source), record_name(source)
    attributes = adapter.ce_attributes(source)
    try:
        secrets, versions = await read_secrets(source, context, adapter.secrets(source))
        patience = await _delivery(source, context)
    except (Unavailable, address.Unresolved) as why:
        reason = why.reason if isinstance(why, address.Unresolved) else "SecretNotFound"
        await context.project("sources", name, None)
        resource.set_condition(status, adapter.running, FALSE, reason, str(why), now=context.now)
        return
    await context.project("source-secrets", name, secrets or None)
    await context.project("sources", name, {
        "uid": resource.uid(source), "generation": resource.generation(source), "spec": spec,
        "source": attributes[0]["source"] if attributes else "", "sink": sink,
        "extensions": (spec.get("ceOverrides") or {}).get("extensions") or {},
        "delivery": patience, "secret_versions": versions, **adapter.details(source),
    })
    set_running(source, context, adapter.running)


async def read_secrets(source: Resource, context: Context,
                        refs: Mapping[str, SecretKeyRef]) -> tuple[dict[str, str], list[str]]:
    """Values by name, and the versions of the Secrets they are from; raises Unavailable."""
    values, versions, namespace = {}, {}, resource.namespace(source)
    for name, ref in refs.items():
        context.track("Secret", namespace, ref["name"])
        found = await context.get("Secret", namespace, ref["name"])
        encoded = ((found or {}).get("data") or {}).get(ref["key"])
        if found is not None:
            versions[ref["name"]] = resource.resource_version(found)
        if encoded is not None:
            values[name] = base64.b64decode(encoded).decode(errors="replace")
        elif not ref.get("optional"):
            what = f'secret "{ref["name"]}" not found' if found is None else \
                f'secret "{ref["name"]}" has no key "{ref["key"]}"'
            raise Unavailable(f"failed to get {name}: {what} in namespace {namespace}")
    return values, [f"{name}={version}" for name, version in sorted(versions.items())]


async def _delivery(source: Resource, context: Context) -> dict[str, Any] | None:
    """DELIVERY of eventing/keys.py; without a `retry` the sink is asked without end. Raises Unresolved."""
    given = resource.spec(source).get("delivery")
    if not given:
        return None
    sink = given.get("deadLetterSink")
    url = await context.resolve(sink, resource.namespace(source)) if sink else None
    return {**delivery.record(given, url), "retry": given.get("retry")}


def _reported(source: Resource, context: Context) -> Record:
    """What the sources role last reported of this object as it is now; empty if nothing."""
    report = context.projected("source-states", record_name(source)) or {}
    is_current = (report.get("uid") == resource.uid(source)
                  and report.get("generation") == resource.generation(source))
    return report if is_current else {}


def set_running(source: Resource, context: Context, condition: str) -> None:
    """The condition is what the sources role last reported."""
    status, report = resource.status(source), _reported(source, context)
    if not report:
        resource.set_condition(status, condition, UNKNOWN, "SourceNotStarted",
                               "The sources role has not taken this source up yet.", now=context.now)
    elif report["ready"]:
        resource.set_condition(status, condition, TRUE, now=context.now)
    else:
        resource.set_condition(status, condition, FALSE, report["reason"], report["message"],
                               now=context.now)
    if problem := report.get("sink"):
        # Ready as on Knative, whose sources do not say it at all: the source works, and goes on trying.
        resource.set_condition(status, SINK_ACCEPTING, FALSE, "SinkRefuses", problem, now=context.now,
                               severity="Info")
    else:
        resource.remove_condition(status, SINK_ACCEPTING)


def _set_own(status: dict[str, Any], adapter: _Adapter, now: float) -> None:
    """The kind's own conditions, from the reason of the running one: those before its own hold."""
    running = resource.condition(status, adapter.running) or {}
    reason, message = running.get("reason", ""), running.get("message", "")
    failed = next((name for name, reasons in adapter.conditions.items() if reason in reasons), None)
    state = TRUE if failed or running.get("status") == TRUE else UNKNOWN
    for name in adapter.conditions:
        if name == failed:
            resource.set_condition(status, name, FALSE, reason, message, now=now)
            state = UNKNOWN
        else:
            resource.set_condition(status, name, state, now=now)
