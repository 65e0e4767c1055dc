"""
Annotation `knative.dev/dependency`: a Trigger that is Ready only once another object is.

    no annotation                        DependencyReady True
    object does not exist                False, DependencyDoesNotExist
    its status is of an older spec       Unknown, GenerationNotEqual
    it has no Ready condition yet        Unknown, DependencyNotConfigured
    else                                 its own Ready: status, reason and message

Nothing here holds events back: they are delivered while the dependency is not Ready, as in Knative.
"""

import json
from collections.abc import Mapping
from typing import Any

from eventing.control import field, kind, resource
from eventing.control.context import Context
from eventing.control.field import FieldError
from eventing.control.resource import FALSE, TRUE, UNKNOWN, Resource

ANNOTATION = "knative.dev/dependency"
_CONDITION = "DependencyReady"


def _parse(text: str) -> Mapping[str, Any]:
    """The ObjectReference in *text*; ValueError if it is none."""
    reference = json.loads(text)
    if not isinstance(reference, Mapping):
        raise ValueError("expected an object: apiVersion, kind, name")  # noqa: TRY004  the text is wrong
    return reference


def validate(text: str, namespace: str) -> list[FieldError]:
    """What is wrong with the annotation's *text* on a Trigger in *namespace*; paths are relative to it."""
    try:
        reference = _parse(text)
    except ValueError as error:
        message = f"The provided annotation was not a corev1.ObjectReference: {json.dumps(text)}"
        return [FieldError(message, ("",), str(error))]
    errors: list[FieldError] = []
    if reference.get("namespace") and reference["namespace"] != namespace:
        message = f'Namespace must be empty or equal to the trigger namespace "{namespace}"'
        errors.append(field.generic(message, "namespace"))
    return errors + [field.missing_field(part) for part in ("kind", "name", "apiVersion")
                     if not reference.get(part)]


async def reconcile(trigger: Resource, context: Context) -> None:
    """Set DependencyReady of *trigger*, whose annotation was admitted."""
    text = resource.annotations(trigger).get(ANNOTATION)
    found = (TRUE, "", "") if text is None else await _readiness(trigger, _parse(text), context)
    resource.set_condition(resource.status(trigger), _CONDITION, *found, now=context.now)


async def _readiness(
    trigger: Resource, reference: Mapping[str, Any], context: Context
) -> tuple[str, str, str]:
    """Status, reason and message of DependencyReady."""
    known = kind.of(reference["apiVersion"], reference["kind"])
    if known is None:
        return (UNKNOWN, "ListerDoesNotExist",
                f'Failed to retrieve lister: no kind "{reference["kind"]}" in "{reference["apiVersion"]}"')
    name, namespace = reference["name"], resource.namespace(trigger)
    context.track(known, namespace, name)
    found = await context.get(known, namespace, name)
    if found is None:
        return (FALSE, "DependencyDoesNotExist",
                f'Dependency does not exist: {known.resource_name} "{name}" not found')
    status = found.get("status") or {}
    generation, observed = resource.generation(found), status.get("observedGeneration", 0)
    if generation != observed:
        message = (f"The dependency's metadata.generation, {generation}, is not equal to its "
                   f"status.observedGeneration, {observed}.")
        return UNKNOWN, "GenerationNotEqual", message
    ready = resource.condition(status, resource.READY)
    if ready is None:
        return UNKNOWN, "DependencyNotConfigured", "Dependency has not yet been reconciled."
    return ready["status"], ready.get("reason", ""), ready.get("message", "")
