"""
EventType: a type of event that can be consumed somewhere; what people browse, and nothing filters by it.

    validate     spec.type is there (Knative checks nothing else)
    reconcile    ReferenceExists: whether spec.reference exists; True where none is set
    appear       a role has seen a type for the first time (broker/eventtypes.py): the object is made, owned
                 by the Broker or Trigger where it was seen, so that it goes with that

Behind the flag `eventtype-auto-create`. An owner gets at most OWNED_LIMIT of them: types and sources may be
without end (an id in the source), and a list that long is read by nobody. Versions v1beta1 and v1beta2 have
the same fields; v1beta2 is the one that is stored, and v1beta3 a view of it (eventtype_attributes.py).

Source: knative.dev/eventing `pkg/apis/eventing/v1beta2`, `pkg/eventtype`, `pkg/reconciler/eventtype`.
"""

import functools

from eventing.broker import eventtypes
from eventing.control import field, kind, resource
from eventing.control.context import Context
from eventing.control.delivery import FEATURES
from eventing.control.failure import Failure
from eventing.control.field import FieldError
from eventing.control.kind import READY_COLUMNS, Column, Defaults, Kind, register
from eventing.control.resource import FALSE, TRUE, UNKNOWN, Resource
from eventing.control.schema import REFERENCE

OWNED_LIMIT = 1000
DESCRIPTION = "Event Type auto-created by controller"

_GROUP = "eventing.knative.dev"
_OWNERS = "eventing.knative.dev/v1"  # of Brokers and Triggers
_CONDITIONS = ("ReferenceExists",)
_CONFLICT = 409
_DEPRECATED = ("eventing.knative.dev/v1beta1 EventType is deprecated; see "
               "https://knative.dev/docs/eventing/event-registry/ for instructions to migrate to "
               "eventing.knative.dev/v1beta2 EventType")


def default(eventtype: Resource, _old: Resource | None, defaults: Defaults) -> None:
    """A reference is to the EventType's own namespace unless it says otherwise."""
    if eventtype.get("apiVersion") == f"{_GROUP}/v1beta1":
        defaults.warn(_DEPRECATED)
    reference = resource.spec(eventtype).get("reference")
    if isinstance(reference, dict) and reference and not reference.get("namespace"):
        reference["namespace"] = resource.namespace(eventtype)


def validate(eventtype: Resource, _old: Resource | None, _defaults: Defaults) -> list[FieldError]:
    """What is wrong with an EventType."""
    if resource.spec(eventtype).get("type"):
        return []
    return field.via_field([field.missing_field("type")], "spec")


async def reconcile(eventtype: Resource, context: Context) -> None:
    """Say whether what the type refers to exists."""
    status, now = resource.status(eventtype), context.now
    resource.initialize_conditions(status, _CONDITIONS, now=now)
    found = await _reference(eventtype, context)
    resource.set_condition(status, "ReferenceExists", *found, now=now)
    resource.compute_ready(status, _CONDITIONS, now=now)
    # It is there already; whoever saw an event of it need not be heard.
    await context.forget(eventtypes.TABLE, _member(resource.namespace(eventtype), resource.name(eventtype)))


async def _reference(eventtype: Resource, context: Context) -> tuple[str, str, str]:
    """Status, reason and message of ReferenceExists."""
    reference = resource.spec(eventtype).get("reference") or {}
    if not any(reference.get(part) for part in ("kind", "name", "apiVersion")):
        return TRUE, "ReferenceNotSet", "spec.reference is not set"
    known = kind.of(reference.get("apiVersion") or "", reference.get("kind") or "")
    if known is None:
        missing = f'no matches for kind "{reference.get("kind")}" in version "{reference.get("apiVersion")}"'
        return UNKNOWN, "ReferenceGetFailed", f"Failed to get reference: {missing}"
    namespace = reference.get("namespace") or resource.namespace(eventtype)
    context.track(known, namespace, reference.get("name") or "")
    if await context.get(known, namespace, reference.get("name") or "") is None:
        return FALSE, "ResourceDoesNotExist", "Resource in spec.reference does not exist"
    return TRUE, "", ""


async def appear(namespace: str, name: str, context: Context) -> None:
    """Make the EventType that a role has seen an event of, unless the flag is off or its owner is gone."""
    record = context.projected(eventtypes.TABLE, _member(namespace, name))
    if record is None:
        return
    features = context.store.config(*FEATURES)
    owner = await context.get(f"{record['kind']}.{_GROUP}", namespace, record["name"])
    if owner is not None and not resource.is_deleted(owner) and eventtypes.is_enabled(features):
        if len(context.store.mirror.children(resource.uid(owner))) >= OWNED_LIMIT:
            told = f"there are {OWNED_LIMIT} EventTypes of this {record['kind']}; no more are made"
            await context.event(owner, "Warning", "EventTypesLimit", told)
        else:
            await _create(namespace, name, record, owner, context)
    await context.forget(eventtypes.TABLE, _member(namespace, name))


async def _create(
    namespace: str, name: str, record: dict[str, str], owner: Resource, context: Context
) -> None:
    about = {"apiVersion": _OWNERS, "kind": record["kind"], "name": record["name"]}
    spec = {"type": record["type"], "source": record["source"], "schema": record["schema"],
            "reference": {**about, "namespace": namespace}, "description": DESCRIPTION}
    wish = {"metadata": {"name": name, "ownerReferences": [{**about, "uid": resource.uid(owner)}]},
            "spec": {key: value for key, value in spec.items() if value}}
    try:
        await context.objects.create(EVENT_TYPE, namespace, wish)
    except Failure as refused:
        if refused.status != _CONFLICT:  # somebody else made it: as well
            raise


def _member(namespace: str, name: str) -> str:
    return f"{namespace}/{name}"


_kind = functools.partial(
    Kind,
    group=_GROUP, kind="EventType", plural="eventtypes", singular="eventtype",
    categories=("all", "knative", "eventing"),
    columns=(Column("Type", ".spec.type"), Column("Source", ".spec.source"), Column("Schema", ".spec.schema"),
             Column("Reference Name", ".spec.reference.name"),
             Column("Reference Kind", ".spec.reference.kind"), Column("Description", ".spec.description"),
             *READY_COLUMNS),
    default=default, validate=validate, reconcile=reconcile, appear=appear, reports=eventtypes.TABLE,
    fields={"spec": {"type": str, "source": str, "schema": str, "schemaData": str, "broker": str,
                     "reference": REFERENCE, "description": str}},
)

# The last one is what references and commands without a version mean.
register(_kind(version="v1beta1"))
EVENT_TYPE = register(_kind(version="v1beta2"))
