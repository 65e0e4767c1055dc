"""
The core group's kinds that a single machine needs: Namespace, ConfigMap, Secret and Event.

A ConfigMap of `knative-serving` or `knative-eventing` is projected as `configs`, for the data plane. A
namespace that is deleted takes its content along, and goes when that has gone. A Secret is stored and given
back, and nothing here ever prints one.
"""

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from eventing.control import failure, resource, settings
from eventing.control.context import Context, NotYet
from eventing.control.field import FieldError
from eventing.control.kind import AGE, NAME, Column, Defaults, Kind, every, register
from eventing.control.resource import Resource

SYSTEM_NAMESPACES = frozenset({"knative-serving", "knative-eventing"})

# A key may become the name of a file, so it is checked as Kubernetes' `validation.IsConfigMapKey` does.
_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_KEY_BYTES = 253
_KEY_WRONG = ("a valid config key must consist of alphanumeric characters, '-', '_' or '.' "
              "(e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', "
              f"regex used for validation is '{_KEY.pattern}')")

# Between two looks at a namespace that is being emptied; each look deletes all that is there.
_EMPTYING_S = 0.1


def _default_namespace(new: Resource, _old: Resource | None, _defaults: Defaults) -> None:
    new.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
    resource.status(new).setdefault("phase", "Active")
    new["metadata"]["labels"] = {**resource.labels(new), "kubernetes.io/metadata.name": resource.name(new)}


async def _empty_namespace(dying: Resource, context: Context) -> None:
    namespaces = NAMESPACE, "", resource.name(dying)
    if resource.status(dying).get("phase") != "Terminating":
        dying["status"]["phase"] = "Terminating"
        await context.objects.patch_status(*namespaces, lambda _: dying)
        raise NotYet(0)
    kinds = {kind.resource_name: kind for kind in every()}
    for key in context.store.mirror.every_key(resource.name(dying)):
        if key.resource_name in kinds:
            await context.delete(kinds[key.resource_name], key.namespace, key.name)
    if context.store.mirror.every_key(resource.name(dying)):
        raise NotYet(_EMPTYING_S)


def _default_config_map(new: Resource, _old: Resource | None, _defaults: Defaults) -> None:
    _check_texts(new, "ConfigMap", "data", "binaryData")
    _check_encoded(new, "ConfigMap", "binaryData", instead="data")


def _validate_config_map(new: Resource, _old: Resource | None, defaults: Defaults) -> list[FieldError]:
    """Settings that cannot be used are refused as Knative's config webhook does it."""
    _check_keys(new, CONFIG_MAP, "data", "binaryData")
    where = resource.namespace(new), resource.name(new)
    data = new.get("data") or {}
    if wrong := settings.problem(*where, data):
        home = where[0].removeprefix("knative-")
        raise failure.bad_request(f'admission webhook "config.webhook.{home}.knative.dev" denied the '
                                  f"request: validation failed: {wrong}")
    for warning in settings.unread(*where, data):
        defaults.warn(warning)
    return []


def _default_secret(new: Resource, _old: Resource | None, _defaults: Defaults) -> None:
    _check_texts(new, "Secret", "data", "stringData")
    _check_encoded(new, "Secret", "data", instead="stringData")
    plain = new.pop("stringData", None) or {}
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in plain.items()}
    if encoded:
        new["data"] = {**(new.get("data") or {}), **encoded}
    new.setdefault("type", "Opaque")


def _validate_secret(new: Resource, _old: Resource | None, _defaults: Defaults) -> list[FieldError]:
    _check_keys(new, SECRET, "data")
    return []


def _check_keys(new: Resource, kind: Kind, *fields: str) -> None:
    """Failure 422, in Kubernetes' words, for keys that no file could be called."""
    causes = [(f"{field}[{key}]", f"Invalid value: {json.dumps(key, ensure_ascii=False)}: {wrong}",
               "FieldValueInvalid")
              for field in fields for key in sorted(new.get(field) or {}) for wrong in _wrong_with_key(key)]
    if causes:
        raise failure.invalid(kind, resource.name(new), causes)


def _wrong_with_key(key: str) -> Iterator[str]:
    if len(key.encode()) > _KEY_BYTES:
        yield f"must be no more than {_KEY_BYTES} characters"
    if not _KEY.fullmatch(key):
        yield _KEY_WRONG
    if key in {".", ".."}:
        yield f"must not be '{key}'"
    elif key.startswith(".."):
        yield "must not start with '..'"


def _check_texts(new: Resource, kind: str, *fields: str) -> None:
    """Kubernetes decodes into maps of strings: YAML's unquoted numbers and booleans are errors."""
    for field in fields:
        found = new.get(field)
        is_right = isinstance(found, dict) and all(isinstance(text, str) for text in found.values())
        if found is not None and not is_right:
            raise failure.bad_request(
                f'{kind} in version "v1" cannot be handled as a {kind}: json: cannot unmarshal into Go '
                f"struct field {kind}.{field} of type string: quote the values")


def _check_encoded(new: Resource, kind: str, field: str, *, instead: str) -> None:
    """Kubernetes decodes into bytes, as Go does: lines may be broken, and anything else is an error."""
    for key, text in (new.get(field) or {}).items():
        try:
            base64.b64decode(text.replace("\r", "").replace("\n", ""), validate=True)
        except ValueError as error:
            raise failure.bad_request(
                f'{kind} in version "v1" cannot be handled as a {kind}: illegal base64 data in '
                f"{field}[{key}]: plain text goes into {instead}") from error


async def _project_config(found: Resource, context: Context) -> None:
    if resource.namespace(found) in SYSTEM_NAMESPACES:
        where = f"{resource.namespace(found)}/{resource.name(found)}"
        await context.project("configs", where, found.get("data") or {})


async def _unproject_config(found: Resource, context: Context) -> None:
    if resource.namespace(found) in SYSTEM_NAMESPACES:
        await context.project("configs", f"{resource.namespace(found)}/{resource.name(found)}", None)


def _count_data(found: Resource) -> Any:
    return len(found.get("data") or {}) + len(found.get("binaryData") or {})


def _last_seen(event: Resource) -> Any:
    when = event.get("lastTimestamp") or event.get("eventTime")
    return when or resource.meta(event).get("creationTimestamp")


def _about(event: Resource) -> Any:
    ref = event.get("involvedObject") or {}
    return f'{ref.get("kind", "").lower()}/{ref.get("name", "")}'


NAMESPACE = register(Kind(
    group="", version="v1", kind="Namespace", plural="namespaces", singular="namespace", short_names=("ns",),
    namespaced=False, columns=(Column("Status", ".status.phase"), AGE),
    default=_default_namespace, finalize=_empty_namespace, fields={"spec": {"finalizers": [str]}}))

CONFIG_MAP = register(Kind(
    group="", version="v1", kind="ConfigMap", plural="configmaps", singular="configmap", short_names=("cm",),
    columns=(Column("Data", _count_data, "integer"), AGE), has_status=False,
    default=_default_config_map, validate=_validate_config_map, reconcile=_project_config,
    finalize=_unproject_config,
    fields={"data": {"*": str}, "binaryData": {"*": str}, "immutable": bool}))

SECRET = register(Kind(
    group="", version="v1", kind="Secret", plural="secrets", singular="secret", has_status=False,
    columns=(Column("Type", ".type"), Column("Data", _count_data, "integer"), AGE), default=_default_secret,
    validate=_validate_secret,
    fields={"data": {"*": str}, "stringData": {"*": str}, "type": str, "immutable": bool}))

EVENT = register(Kind(
    group="", version="v1", kind="Event", plural="events", singular="event", short_names=("ev",),
    has_status=False,
    columns=(Column("Last Seen", _last_seen, "date"), Column("Type", ".type"), Column("Reason", ".reason"),
             Column("Object", _about), Column("Message", ".message"),
             Column("Count", ".count", "integer", priority=1), replace(NAME, priority=1))))
