"""
The control side of every source kind: one reconcile for all of them.

It resolves the sink, hands the spec to the sources role through the projection `sources`, and turns what the
role reports in `source-states` into Knative's conditions. What a kind adds is its validation, its columns
and the attributes of its events.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from eventing.control import address, destination, field, kind, resource
from eventing.control.context import Context
from eventing.control.field import FieldError
from eventing.control.kind import Kind
from eventing.control.resource import FALSE, TRUE, UNKNOWN, Resource
from sources.source import CeAttributes

_GROUP = "sources.knative.dev"
_EXTENSION_NAME = re.compile(r"[a-zA-Z0-9]+")
_DEPENDENTS = ("SinkProvided", "Deployed", "OIDCIdentityCreated")


def source_kind(
    name: str,
    *,
    version: str = "v1",
    columns: tuple[kind.Column, ...],
    default: kind.Default,
    validate: kind.Validate,
    ce_attributes: Callable[[Resource], CeAttributes],
) -> Kind:
    """Register the kind *name* of group sources.knative.dev; *columns* stand between Sink and Age."""

    async def reconcile(source: Resource, context: Context) -> None:
        await _reconcile(source, context, ce_attributes(source))

    async def finalize(source: Resource, context: Context) -> None:
        await context.project("sources", _record_name(source), None)
        await context.project("source-states", _record_name(source), None)

    def default_all(source: Resource, old: Resource | None, defaults: kind.Defaults) -> None:
        destination.default(resource.spec(source).get("sink"), resource.namespace(source))
        default(source, old, defaults)

    def validate_all(source: Resource, old: Resource | None, defaults: kind.Defaults) -> list[FieldError]:
        spec = resource.spec(source)
        errors = field.via_field(destination.validate(spec.get("sink")), "sink") + _validate_overrides(spec)
        return field.via_field(errors, "spec") + validate(source, old, defaults)

    return kind.register(Kind(
        group=_GROUP, version=version, kind=name, plural=f"{name.lower()}s", singular=name.lower(),
        categories=("all", "knative", "sources"),
        columns=(kind.Column("Sink", ".status.sinkUri"), *columns, kind.AGE, *kind.READY_COLUMNS),
        default=default_all, validate=validate_all, reconcile=reconcile, finalize=finalize,
        reports="source-states",
    ))


def _record_name(source: Resource) -> str:
    return f"{source['kind']}/{resource.namespace(source)}/{resource.name(source)}"


def _validate_overrides(spec: Mapping[str, Any]) -> list[FieldError]:
    extensions = (spec.get("ceOverrides") or {}).get("extensions") or {}
    errors = []
    for name in extensions:
        if not name:
            errors.append(field.invalid_key_name(name, "ceOverrides.extensions", "keys MUST NOT be empty"))
        elif not _EXTENSION_NAME.fullmatch(name):
            details = "keys are expected to be alphanumeric"
            errors.append(field.invalid_key_name(name, "ceOverrides.extensions", details))
    return errors


async def _reconcile(source: Resource, context: Context, attributes: CeAttributes) -> None:
    spec, status = resource.spec(source), resource.status(source)
    status["ceAttributes"] = attributes
    resource.set_condition(status, "OIDCIdentityCreated", TRUE, "authentication-oidc feature disabled",
                           now=context.now)
    sink = await _resolve_sink(source, context)
    if sink is None:
        await context.project("sources", _record_name(source), None)
        resource.set_condition(status, "Deployed", UNKNOWN, now=context.now)
    else:
        await context.project("sources", _record_name(source), {
            "uid": resource.uid(source), "generation": resource.generation(source), "spec": spec,
            "source": attributes[0]["source"] if attributes else "", "sink": sink,
            "extensions": (spec.get("ceOverrides") or {}).get("extensions") or {},
        })
        _set_deployed(source, context)
    resource.compute_ready(status, _DEPENDENTS, now=context.now)


async def _resolve_sink(source: Resource, context: Context) -> str | None:
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


def _set_deployed(source: Resource, context: Context) -> None:
    """Deployed is what the sources role last reported, if it was about this object as it is now."""
    status = resource.status(source)
    report = context.projected("source-states", _record_name(source)) or {}
    if report.get("uid") != resource.uid(source) or report.get("generation") != resource.generation(source):
        resource.set_condition(status, "Deployed", UNKNOWN, "SourceNotStarted",
                               "The sources role has not taken this source up yet.", now=context.now)
    elif report["ready"]:
        resource.set_condition(status, "Deployed", TRUE, now=context.now)
    else:
        resource.set_condition(status, "Deployed", FALSE, report["reason"], report["message"],
                               now=context.now)
