"""
ApiServerSource, the kind: `sources.knative.dev/v1`, Knative's spec as it is.

Which API server it watches, Knative never says: it is the cluster's. Here annotations may name another one:

    clarion.dev/kubeconfig-secret     NAME or NAME/KEY (`kubeconfig` is the key): a Secret that holds one
    clarion.dev/kubeconfig            a kubeconfig's path, seen by the sources role; or `in-cluster`, where
                                      that role is a pod of the cluster
    clarion.dev/kubeconfig-context    which context of either; its current one unless given

With neither it is our own control API: the events are those of our own Services, Triggers, ConfigMaps ...
Who the kubeconfig's user is decides what may be watched; `serviceAccountName` is kept and means nothing here.

Condition SufficientPermissions says what that user may not; Knative's annotation
`features.knative.dev/apiserversource-skip-permissions-check: "true"` leaves the question out. Sources,
types and namespaces in the status are what the sources role reports; the empty name means all namespaces.
"""

import re
from collections.abc import Mapping
from typing import Any

from eventing.control import field, filters, resource, selector
from eventing.control.delivery import FEATURES
from eventing.control.field import FieldError
from eventing.control.kind import Defaults
from eventing.control.resource import Resource
from eventing.control.selector import SelectorInvalid
from sources.adapter import SecretKeyRef, source_kind
from sources.apiserver.event import REFERENCE, RESOURCE
from sources.apiserver.server import FORBIDDEN
from sources.source import CeAttributes

KUBECONFIG = "clarion.dev/kubeconfig"
KUBECONFIG_SECRET = "clarion.dev/kubeconfig-secret"  # noqa: S105  the name of an annotation
KUBECONFIG_CONTEXT = "clarion.dev/kubeconfig-context"
SKIP_PERMISSIONS_CHECK = "features.knative.dev/apiserversource-skip-permissions-check"
FILTERS_FLAG = "new-apiserversource-filters"
_SECRET = re.compile(r"(?P<name>[a-z0-9]([-a-z0-9.]*[a-z0-9])?)(/(?P<key>[-._a-zA-Z0-9]+))?")
_KEY = "kubeconfig"
_IN_CLUSTER = "in-cluster"
_SELECTOR = {"matchLabels": {"*": str}, "matchExpressions": [{"key": str, "operator": str, "values": [str]}]}
_FIELDS = {
    "resources": [{"apiVersion": str, "kind": str, "selector": _SELECTOR}],
    "owner": {"apiVersion": str, "kind": str}, "mode": str, "serviceAccountName": str,
    "namespaceSelector": _SELECTOR, "filters": filters.FILTERS,
}


def _default(apiserversource: Resource, old: Resource | None, defaults: Defaults) -> None:
    del old, defaults
    spec = apiserversource.setdefault("spec", {})
    if isinstance(spec, dict):
        spec["mode"] = spec.get("mode") or REFERENCE
        spec["serviceAccountName"] = spec.get("serviceAccountName") or "default"


def _validate(apiserversource: Resource, old: Resource | None, defaults: Defaults) -> list[FieldError]:
    del old
    spec = resource.spec(apiserversource)
    mode = spec.get("mode")
    errors = [] if mode in (REFERENCE, RESOURCE) else [field.invalid_value(mode, "mode")]
    errors += _validate_resources(spec.get("resources"))
    if spec.get("owner") is not None:
        errors += field.via_field(_validate_type(spec["owner"]), "owner")
    errors += field.via_field(_validate_selector(spec.get("namespaceSelector")), "namespaceSelector")
    errors += _validate_filters(spec.get("filters"), defaults)
    return field.via_field(errors, "spec") + _validate_annotations(resource.annotations(apiserversource))


def _validate_resources(wanted: Any) -> list[FieldError]:
    if not wanted:
        return [field.missing_field("resources")]
    if not isinstance(wanted, list):
        return [field.invalid_value(wanted, "resources", "expected a list")]
    errors = []
    for index, each in enumerate(wanted):
        wrong = _validate_type(each)
        if isinstance(each, Mapping):
            wrong += field.via_field(_validate_selector(each.get("selector")), "selector")
        errors += field.via_field(field.via_index(wrong, index), "resources")
    return errors


def _validate_type(given: Any) -> list[FieldError]:
    """An apiVersion and a kind."""
    if not isinstance(given, Mapping):
        return [field.invalid_value(given, "", "expected an object with apiVersion and kind")]
    errors, version = [], given.get("apiVersion")
    if not version:
        errors.append(field.missing_field("apiVersion"))
    elif not isinstance(version, str) or version.count("/") > 1:
        errors.append(field.invalid_value(version, "apiVersion"))
    if not str(given.get("kind") or "").strip():
        errors.append(field.missing_field("kind"))
    return errors


def _validate_selector(given: Any) -> list[FieldError]:
    if given is None:
        return []
    if not isinstance(given, Mapping):
        return [field.invalid_value(given, "", "expected matchLabels or matchExpressions")]
    try:
        selector.text(given)
    except SelectorInvalid as error:
        return [field.invalid_value(error, "")]
    return []


def _validate_filters(given: Any, defaults: Defaults) -> list[FieldError]:
    if given and defaults.config(*FEATURES).get(FILTERS_FLAG, "").lower() != "enabled":
        message = "Filters is not empty but the NewAPIServerFilters feature is disabled."
        return [field.generic(message, "filters")]
    return field.via_field(filters.validate_filters(given), "filters")


def _validate_annotations(annotations: Mapping[str, str]) -> list[FieldError]:
    errors = []
    path, secret = annotations.get(KUBECONFIG), annotations.get(KUBECONFIG_SECRET)
    if path is not None and secret is not None:
        errors.append(field.one_of_both(*(f"metadata.annotations[{each}]"
                                          for each in (KUBECONFIG, KUBECONFIG_SECRET))))
    if path is not None and path != _IN_CLUSTER and not path.startswith(("/", "~/")):
        errors.append(field.invalid_value(path, f"metadata.annotations[{KUBECONFIG}]",
                                          f"expected /PATH, ~/PATH or {_IN_CLUSTER}"))
    if secret is not None and not _SECRET.fullmatch(secret):
        errors.append(field.invalid_value(secret, f"metadata.annotations[{KUBECONFIG_SECRET}]",
                                          "expected the name of a Secret, or NAME/KEY"))
    return errors


def _secrets(apiserversource: Resource) -> dict[str, SecretKeyRef]:
    told = _SECRET.fullmatch(resource.annotations(apiserversource).get(KUBECONFIG_SECRET, ""))
    return {"kubeconfig": {"name": told["name"], "key": told["key"] or _KEY}} if told else {}


def _details(apiserversource: Resource) -> dict[str, Any]:
    annotations = resource.annotations(apiserversource)
    return {"namespace": resource.namespace(apiserversource), "kubeconfig": annotations.get(KUBECONFIG, ""),
            "context": annotations.get(KUBECONFIG_CONTEXT, ""),
            "skips_permissions_check": annotations.get(SKIP_PERMISSIONS_CHECK) == "true"}


def _ce_attributes(apiserversource: Resource) -> CeAttributes:
    """Only the sources role knows the server."""
    del apiserversource
    return []


KIND = source_kind(
    "ApiServerSource", columns=(), fields=_FIELDS, default=_default, validate=_validate, secrets=_secrets,
    details=_details, ce_attributes=_ce_attributes,
    conditions={"SufficientPermissions": frozenset({FORBIDDEN})},
    annotations=(KUBECONFIG, KUBECONFIG_SECRET, KUBECONFIG_CONTEXT, SKIP_PERMISSIONS_CHECK),
)
