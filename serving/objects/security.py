"""
Security contexts of a pod and of its containers: what may be said, and what is unsafe to leave unsaid.

Paths are relative to the pod's spec, or to the container. Pure, in Knative's words; what a worker makes of
user, group and runAsNonRoot is read in `workload.py`. Source: Knative Serving's
`pkg/apis/serving/{k8s_validation,fieldmask}.go`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from eventing.control import field
from eventing.control.field import FieldError
from serving.objects.probes import not_allowed
from serving.objects.settings import Features

SECURED = frozenset({"enabled", "allowrootbounded"})  # modes of the feature secure-pod-defaults

_CONTAINER = {"capabilities", "readOnlyRootFilesystem", "runAsUser", "runAsGroup", "runAsNonRoot",
              "allowPrivilegeEscalation", "seccompProfile", "privileged"}
_POD = {"runAsUser", "runAsGroup", "runAsNonRoot", "fsGroup", "supplementalGroups", "seccompProfile"}
_OPT_OUTS = {"RuntimeDefault", "Unconfined"}  # profiles that a pod may name where its defaults are secure
_ID_LIMIT = 2**31 - 1  # user and group ids
_INSECURE = "Kubernetes default value is insecure, Knative may default this to secure in a future release"


def of_container(security: Mapping[str, Any] | None, features: Features) -> list[FieldError]:
    """What is wrong with the securityContext of a container."""
    if not security:
        return []
    errors = not_allowed(security, _CONTAINER)
    if security.get("privileged"):
        errors.append(field.disallowed_fields("privileged"))
    capabilities, allowed = security.get("capabilities") or {}, {"drop"}
    is_bounded = (features.value("secure-pod-defaults") in SECURED
                  and capabilities.get("add") == ["NET_BIND_SERVICE"])
    if features.enabled("kubernetes.containerspec-addcapabilities") or is_bounded:
        allowed.add("add")
    errors += field.via_field(not_allowed(capabilities, allowed), "capabilities")
    return errors + _ids(security, "runAsUser", "runAsGroup")


def is_allowed_to_pods(features: Features) -> bool:
    """Whether a pod may have a securityContext at all; `of_pod` says what may be in it."""
    return features.allowed("kubernetes.podspec-securitycontext") or features.allowed("secure-pod-defaults")


def of_pod(security: Mapping[str, Any] | None, features: Features) -> list[FieldError]:
    """What is wrong with the securityContext of a pod."""
    if not security:
        return []
    allowed = _POD if features.allowed("kubernetes.podspec-securitycontext") else set()
    profile = (security.get("seccompProfile") or {}).get("type")
    if features.value("secure-pod-defaults") in SECURED and profile in _OPT_OUTS:
        allowed = allowed | {"seccompProfile"}
    errors = not_allowed(security, allowed) + _ids(security, "runAsUser", "runAsGroup", "fsGroup")
    for index, group in enumerate(security.get("supplementalGroups") or ()):
        if not 0 <= group <= _ID_LIMIT:
            errors.append(field.out_of_bounds(group, 0, _ID_LIMIT, f"supplementalGroups[{index}]"))
    return errors


def _ids(security: Mapping[str, Any], *names: str) -> list[FieldError]:
    return [field.out_of_bounds(security[name], 0, _ID_LIMIT, name) for name in names
            if security.get(name) is not None and not 0 <= security[name] <= _ID_LIMIT]


def insecure(container: Mapping[str, Any], pod: Mapping[str, Any]) -> list[FieldError]:
    """Fields of a container's securityContext whose default is Kubernetes' and not a safe one."""
    own, all_ = container.get("securityContext") or {}, pod.get("securityContext") or {}
    return field.via_field(_unsaid(own, all_), "securityContext")


def _unsaid(own: Mapping[str, Any], all_: Mapping[str, Any]) -> Iterator[FieldError]:
    if own.get("runAsNonRoot") is None and all_.get("runAsNonRoot") is None:
        yield field.generic(_INSECURE, "runAsNonRoot")
    if own.get("allowPrivilegeEscalation") is None:
        yield field.generic(_INSECURE, "allowPrivilegeEscalation")
    profiles = [each.get("seccompProfile") for each in (own, all_)]
    if profiles == [None, None]:
        yield field.generic(_INSECURE, "seccompProfile")
    elif not any((profile or {}).get("type") for profile in profiles):
        yield field.generic(_INSECURE, "seccompProfile.type")
    drop = (own.get("capabilities") or {}).get("drop")
    if own.get("capabilities") is None:
        yield field.generic(_INSECURE, "capabilities")
    elif drop is None:
        yield field.generic(_INSECURE, "capabilities.drop")
    elif drop[:1] == ["all"]:  # it does nothing
        yield field.invalid_value("all", "capabilities.drop", "Must be spelled as 'ALL'")
