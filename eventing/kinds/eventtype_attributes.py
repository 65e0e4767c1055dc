"""
EventType v1beta3: the same EventTypes as a list of attributes that their events have.

    stored, v1beta2              shown, v1beta3: spec.attributes
    type, source                 type, source, required
    schema                       schemadata, not required
                                 specversion and id, required
    broker                       reference, to that Broker, unless there is one
    schemaData                   not shown

Only v1beta2 is stored, as by Knative: of what is written the attributes `type`, `source` and `schemadata` are
kept, others are lost, with a warning; that of `specversion` is "1.0" in every event, and is no loss.

Source: knative.dev/eventing `pkg/apis/eventing/v1beta3`, and `v1beta2/eventtype_conversion.go`.
"""

from collections.abc import Mapping
from typing import Any

from eventing.control import field, resource
from eventing.control.field import FieldError
from eventing.control.kind import READY_COLUMNS, Column, Defaults, Kind, View, register
from eventing.control.resource import Resource
from eventing.control.schema import REFERENCE
from eventing.kinds.eventtype import EVENT_TYPE

_API_VERSION = "eventing.knative.dev/v1beta3"
_ALWAYS = ("type", "source", "specversion", "id")
_SPECVERSION = ("specversion", "1.0")
_KEPT = {"type": "type", "source": "source", "schemadata": "schema"}  # attribute -> field of v1beta2
_REFERENCE = {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker"}


def validate(eventtype: Resource, _old: Resource | None, _defaults: Defaults) -> list[FieldError]:
    """All attributes that every event has must be listed; the type has a value, as in the stored version."""
    listed = {each.get("name"): each for each in resource.spec(eventtype).get("attributes") or ()}
    missing = [name for name in _ALWAYS if name not in listed]
    errors = [field.missing_field(*missing)] if missing else []
    if "type" in listed and not listed["type"].get("value"):
        errors.append(field.missing_field("[type].value"))
    return field.via_field(field.via_field(errors, "attributes"), "spec")


def show(eventtype: Resource, _config: object) -> Resource:
    """A stored EventType as v1beta3 has it."""
    old = resource.spec(eventtype)
    spec: dict[str, Any] = {key: old[key] for key in ("reference", "description") if old.get(key)}
    if not old.get("reference") and old.get("broker"):
        spec["reference"] = {**_REFERENCE, "name": old["broker"]}
    attributes = [{"name": "specversion", "required": True}, {"name": "id", "required": True},
                  _attribute("type", old, is_required=True), _attribute("source", old, is_required=True)]
    if old.get("schema"):
        attributes.append(_attribute("schemadata", old, is_required=False))
    return {**eventtype, "apiVersion": _API_VERSION, "spec": {**spec, "attributes": attributes}}


def _attribute(name: str, old: Mapping[str, Any], *, is_required: bool) -> dict[str, Any]:
    value = old.get(_KEPT[name])
    return {"name": name, "required": is_required, **({"value": value} if value else {})}


def take(eventtype: Resource, admission: Defaults) -> Resource:
    """What is stored of an EventType that was written as v1beta3."""
    spec = resource.spec(eventtype)
    kept = {key: spec[key] for key in ("reference", "description") if spec.get(key)}
    for attribute in spec.get("attributes") or ():
        name, value = attribute.get("name"), attribute.get("value")
        if name in _KEPT and value:
            kept[_KEPT[name]] = value
        elif name not in (*_ALWAYS, *_KEPT) or (value and (name, value) != _SPECVERSION):
            admission.warn(f'attribute "{name}" is not kept: EventTypes are stored as v1beta2, which knows '
                           "the values of type, source and schemadata")
    return {**eventtype, "apiVersion": EVENT_TYPE.api_version, "spec": kept}


register(Kind(
    group=EVENT_TYPE.group, version="v1beta3", kind=EVENT_TYPE.kind, plural=EVENT_TYPE.plural,
    singular=EVENT_TYPE.singular, categories=EVENT_TYPE.categories,
    columns=(Column("Type", '.spec.attributes[?(@.name=="type")].value'),
             Column("Source", '.spec.attributes[?(@.name=="source")].value'),
             Column("Reference Name", ".spec.reference.name"),
             Column("Reference Kind", ".spec.reference.kind"), Column("Description", ".spec.description"),
             *READY_COLUMNS),
    validate=validate, view=View(EVENT_TYPE, show, take),
    fields={"spec": {"reference": REFERENCE, "description": str,
                     "attributes": [{"name": str, "required": bool, "value": str}]}},
))
