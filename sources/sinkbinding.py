"""
SinkBinding: tells programs that run already where to send their events (K_SINK).

    subject          becomes
    -------          -------
    a Service        a new Revision with K_SINK, as from any other change of its template
    a Deployment     its processes are started anew with it

Programs are bound as they are stored (a mutating webhook on Knative, here control/mutation.py), so one that
is applied once more keeps its sink; those that were there before are bound when the SinkBinding is
reconciled, and again whenever the sink's address changes. While the sink has none (its Broker is gone) they
keep the last one: a program without K_SINK could only fail. Deleting it takes out what it put in.

Conditions: SinkProvided; SinkBindingAvailable (False: `SubjectMissing`, `SubjectUnavailable`,
`BindingFailed`); OIDCIdentityCreated, OIDCTokenSecretCreated and TrustBundlePropagated, which concern
features that are off. Subjects of kinds that do not run here (Job, StatefulSet ..) are `SubjectUnavailable`.

Source: Knative's pkg/apis/sources/v1/sinkbinding_*.go, knative.dev/pkg/webhook/psbinding.
"""

import re

from eventing.control import address, destination, field, garbage, lifecycle, mutation, resource, selector
from eventing.control.context import Context
from eventing.control.failure import Failure
from eventing.control.field import FieldError
from eventing.control.kind import AGE, READY_COLUMNS, Column, Defaults, Kind, of, register
from eventing.control.resource import FALSE, TRUE, UNKNOWN, Resource, Resources
from eventing.control.store import Store
from eventing.errors import ClarionError
from sources import injection
from sources.adapter import SOURCE_SPEC, resolve_sink, validate_overrides

_OFF = "authentication-oidc feature disabled"
_CONFLICT = 409  # somebody changed the subject at this moment: both look again

_QUALIFIED = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Kubernetes' own words (apimachinery's util/validation).
_NOT_QUALIFIED = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')")
_NO_IDENTIFIER = (
    "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric "
    "characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is "
    "'[A-Za-z_][A-Za-z0-9_]*')")
_SUBJECT = {"apiVersion": str, "kind": str, "namespace": str, "name": str,
            "selector": {"matchLabels": {"*": str},
                         "matchExpressions": [{"key": str, "operator": str, "values": [str]}]}}


class _Unavailable(ClarionError):
    """There is nothing to bind; `reason` is one CamelCase word."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def _default(binding: Resource, old: Resource | None, defaults: Defaults) -> None:
    del old, defaults
    spec, namespace = resource.spec(binding), resource.namespace(binding)
    destination.default(spec.get("sink"), namespace)
    subject = spec.get("subject")
    if isinstance(subject, dict) and not subject.get("namespace"):
        subject["namespace"] = namespace


def _validate(binding: Resource, old: Resource | None, defaults: Defaults) -> list[FieldError]:
    del old, defaults
    spec = resource.spec(binding)
    subject = spec.get("subject") or {}
    errors = field.via_field(_validate_subject(subject), "subject") + validate_overrides(spec)
    errors += field.via_field(destination.validate(spec.get("sink")), "sink")
    if subject.get("namespace") and subject["namespace"] != resource.namespace(binding):
        errors.append(field.invalid_value(subject["namespace"], "subject.namespace"))
    return field.via_field(errors, "spec")


def _validate_subject(subject: Resource) -> list[FieldError]:
    """What is wrong with a Reference of knative.dev/pkg/tracker; paths are relative to it."""
    errors = []
    for part, wrong in (("apiVersion", _not_qualified), ("kind", _no_identifier),
                        ("namespace", lifecycle.not_a_label)):
        if not subject.get(part):
            errors.append(field.missing_field(part))
        elif complaint := wrong(subject[part]):
            errors.append(field.invalid_value(complaint, part))
    labels, name = subject.get("selector"), subject.get("name")
    if labels is not None and name:
        errors.append(field.one_of_both("name", "selector"))
    elif labels is not None:
        try:
            selector.text(labels)
        except selector.SelectorInvalid as error:
            errors.append(field.invalid_value(error, "selector"))
    elif not name:
        errors.append(field.one_of_neither("name", "selector"))
    elif complaint := lifecycle.not_a_label(name):
        errors.append(field.invalid_value(complaint, "name"))
    return errors


def _not_qualified(text: str) -> str:
    return "" if _QUALIFIED.fullmatch(text) else _NOT_QUALIFIED


def _no_identifier(text: str) -> str:
    return "" if _IDENTIFIER.fullmatch(text) else _NO_IDENTIFIER


def _bind_stored(kind: Kind, program: Resource, store: Store) -> None:
    """Bind *program* as it is stored; it keeps the sink that it had when its SinkBinding's has no address."""
    if not injection.is_program(program):
        return
    for binding in store.list(KIND, resource.namespace(program)):
        if resource.is_deleted(binding) or not injection.means(binding, kind, program):
            continue
        spec = resource.spec(binding)
        try:
            sink = address.resolve(spec["sink"], resource.namespace(binding), store.get)
        except address.Unresolved:
            before = store.get(kind, resource.namespace(program), resource.name(program)) or {}
            had = injection.present(before)
            if had and not injection.present(program):
                injection.put(program, had)
            continue
        injection.put(program, injection.variables(spec, sink))


async def _reconcile(binding: Resource, context: Context) -> None:
    status, now = resource.status(binding), context.now
    resource.set_condition(status, "OIDCIdentityCreated", TRUE, _OFF, now=now)
    resource.set_condition(status, "OIDCTokenSecretCreated", TRUE, _OFF, now=now)
    resource.set_condition(status, "TrustBundlePropagated", TRUE, now=now)
    if await resolve_sink(binding, context) is None:
        resource.set_condition(status, "SinkBindingAvailable", UNKNOWN, now=now)
    else:
        try:
            for kind, program in _programs(binding, context):
                _bind_stored(kind, program, context.store)
                await _store(program, context)
        except _Unavailable as why:
            resource.set_condition(status, "SinkBindingAvailable", FALSE, why.reason, str(why), now=now)
        else:
            resource.set_condition(status, "SinkBindingAvailable", TRUE, now=now)
    resource.compute_ready(status, ("SinkBindingAvailable", "SinkProvided", "OIDCIdentityCreated",
                                    "OIDCTokenSecretCreated", "TrustBundlePropagated"), now=now)


def _programs(binding: Resource, context: Context) -> list[tuple[Kind, Resource]]:
    """Copies of what *binding* binds, with their kind; raises _Unavailable."""
    subject, namespace = resource.spec(binding)["subject"], resource.namespace(binding)
    kind = of(subject["apiVersion"], subject["kind"])
    if kind is None:
        raise _Unavailable("SubjectUnavailable", f'no {subject["kind"]} ({subject["apiVersion"]}) runs here; '
                           "bind a Deployment (apps/v1) or a Service (serving.knative.dev/v1)")
    found: Resources
    if subject.get("name"):
        context.track(kind, namespace, subject["name"])
        named = context.store.get(kind, namespace, subject["name"])
        if named is None:
            raise _Unavailable("SubjectMissing", f'{kind.resource_name} "{subject["name"]}" not found')
        if not injection.is_program(named):
            raise _Unavailable("SubjectUnavailable", f"a {kind.kind} has no containers that could be bound")
        found = [named]
    else:
        found = context.store.list(kind, namespace)
    return [(kind, each) for each in found
            if not resource.is_deleted(each) and injection.means(binding, kind, each)]


async def _store(program: Resource, context: Context) -> None:
    try:
        await context.update(program)
    except Failure as refused:
        if refused.status == _CONFLICT:
            raise
        raise _Unavailable("BindingFailed", str(refused)) from refused


async def _finalize(binding: Resource, context: Context) -> None:
    """Take out what was put in; a program that goes with this SinkBinding's owner is left to end as it is."""
    try:
        programs = _programs(binding, context)
    except _Unavailable:
        return
    for _, program in programs:
        if garbage.is_orphaned(context.store, program):
            continue
        injection.put(program, {})
        try:
            await _store(program, context)
        except _Unavailable as refused:
            await context.event(binding, "Warning", refused.reason, str(refused))


KIND = register(Kind(
    group="sources.knative.dev", version="v1", kind="SinkBinding", plural="sinkbindings",
    singular="sinkbinding", categories=("all", "knative", "sources", "bindings"),
    columns=(Column("Sink", ".status.sinkUri"), AGE, *READY_COLUMNS),
    default=_default, validate=_validate, reconcile=_reconcile, finalize=_finalize,
    fields={"spec": {**SOURCE_SPEC, "subject": _SUBJECT}}, annotations={"metadata": ()},
))
mutation.register(_bind_stored)
