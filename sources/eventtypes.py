"""
The EventTypes of a source: one for each `status.ceAttributes`, behind Knative's flag `eventtype-auto-create`.

Only of a source whose sink is an object: the EventType refers to that (Knative's source controller). What
the source emits no more is deleted, and the end of the source is theirs. Without the flag nothing is done.
"""

import hashlib
from typing import Any

from eventing.broker.eventtypes import is_enabled
from eventing.control import resource
from eventing.control.context import Context
from eventing.control.delivery import FEATURES
from eventing.control.resource import Resource
from sources.source import CeAttributes

SOURCE_LABEL = "eventing.knative.dev/sourceName"

_KIND = "EventType.eventing.knative.dev"
_API_VERSION = "eventing.knative.dev/v1beta2"


async def reconcile(source: Resource, attributes: CeAttributes, context: Context) -> None:
    """Have an EventType for each of *attributes*, what *source* writes into its events, and no other."""
    if not is_enabled(context.config_data(*FEATURES)):
        return
    sink = resource.spec(source)["sink"].get("ref")
    wanted = {} if not sink else {_name(source, each): each for each in attributes if each["type"]}
    namespace, label = resource.namespace(source), {SOURCE_LABEL: resource.name(source)}
    for found in await context.list(_KIND, namespace, f"{SOURCE_LABEL}={resource.name(source)}"):
        if resource.is_controlled_by(found, source) and resource.name(found) not in wanted:
            await context.delete(_KIND, namespace, resource.name(found))
    for name, each in wanted.items():
        spec: dict[str, Any] = {**each, "reference": sink}
        await context.apply({"apiVersion": _API_VERSION, "kind": "EventType", "spec": spec,
                             "metadata": {"name": name, "namespace": namespace, "labels": label}}, source)


def _name(source: Resource, attributes: dict[str, str]) -> str:
    """Knative's: no schema is known here."""
    text = f"{attributes['type']}{attributes['source']}{resource.uid(source)}"
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
