"""
The template of a revision, which Services and Configurations share: defaults, errors, and its name.

    default(template, ...)        times, concurrency, container names, readiness probe, resources
    errors_of(template, ...)      paths are relative to the template
    name_change_errors(...)       whoever names a revision himself has to rename it when it changes

Pure. Source: Knative Serving's `pkg/apis/serving/v1/revision_{defaults,validation}.go`.
"""

from collections.abc import Mapping
from typing import Any

from eventing.control import field, resource
from eventing.control.field import FieldError
from eventing.control.kind import Defaults
from serving.objects import (
    metadata,
    names,
    podspec,
    probes,
    quantity,
    scale_annotations,
    security,
    settings,
    volumes,
)
from serving.objects.settings import Features, RevisionDefaults

_OWN = {"containerConcurrency", "timeoutSeconds", "responseStartTimeoutSeconds", "idleTimeoutSeconds"}
_QUEUE = "queue.sidecar.serving.knative.dev"
_QUEUE_QUANTITIES = tuple(f"{_QUEUE}/{kind}-resource-{side}"
                          for kind in ("cpu", "memory", "ephemeral-storage") for side in ("request", "limit"))
_PERCENTAGE = (f"{_QUEUE}/resource-percentage", f"{_QUEUE}/resourcePercentage")  # either spelling
_NETWORKING = "networking.knative.dev"
_NETWORKING_ANNOTATIONS = frozenset(f"{_NETWORKING}/{name}" for name in (
    "ingress.class", "ingress-class", "certificate.class", "certificate-class", "disableAutoTLS",
    "disable-auto-tls", "disable-external-domain-tls", "httpOption", "http-protocol"))
_LEAST_PERCENT, _MOST_PERCENT = 0.1, 100.0
# What annotations of a template may mean something, of Clarion's own and of the autoscaler's.
ANNOTATIONS = (names.ENTRY, names.PRELOAD, *scale_annotations.ANNOTATIONS)
_LOW_PORTS = 1024  # below, Linux wants a capability


def default(template: dict[str, Any], parent: str, admission: Defaults, *, is_new: bool) -> None:
    """Fill in the *template* of the object called *parent*, in place; *is_new*: that is being created."""
    if not isinstance(template.get("spec"), dict):
        template["spec"] = {}
    default_spec(template["spec"], parent, admission, is_new=is_new)


def default_spec(spec: dict[str, Any], parent: str, admission: Defaults, *, is_new: bool) -> None:
    """Fill in a revision's *spec*, in place."""
    defaults, features = settings.of_revisions(admission), settings.of_features(admission)
    timeout = spec["timeoutSeconds"] = spec.get("timeoutSeconds") or defaults.revision_timeout_seconds
    # Zero would mean no limit, and a limit that the whole request has anyway says nothing.
    for name, seconds in (("idleTimeoutSeconds", defaults.revision_idle_timeout_seconds),
                          ("responseStartTimeoutSeconds", defaults.revision_response_start_timeout_seconds)):
        if spec.get(name) is None and 0 < seconds < timeout:
            spec[name] = seconds
    if spec.get("containerConcurrency") is None:
        spec["containerConcurrency"] = defaults.container_concurrency
    containers, inits = list(spec.get("containers") or ()), list(spec.get("initContainers") or ())
    taken = {container.get("name") for container in (*containers, *inits)}
    _name(containers, settings.container_name(defaults.container_name_template, parent), taken)
    _name(inits, settings.container_name(defaults.init_container_name_template, parent), taken)
    for container in containers:
        _default_resources(container, defaults)
        probes.default_readiness(container, serves=len(containers) == 1 or bool(container.get("ports")))
        probes.default_grpc(container)
        volumes.default_mounts(container, spec.get("volumes") or ())
    for container in (*containers, *inits):
        _default_security(container, spec.get("securityContext") or {}, features)
    if is_new and spec.get("enableServiceLinks") is None and defaults.enable_service_links is not None:
        spec["enableServiceLinks"] = defaults.enable_service_links


def _name(containers: list[dict[str, Any]], base: str, taken: set[Any]) -> None:
    """Name the nameless: the base, or base-0, base-1, ... where there are several or it is taken."""
    suffix = 0
    for container in containers:
        if container.get("name"):
            continue
        name = base
        if len(containers) > 1 or name in taken:
            while (name := f"{base}-{suffix}") in taken:
                suffix += 1
            suffix += 1
        container["name"] = name


def _default_resources(container: dict[str, Any], defaults: RevisionDefaults) -> None:
    for side, given in (("requests", defaults.requests), ("limits", defaults.limits)):
        if given:
            resources = container.setdefault("resources", {})
            resources[side] = {**given, **(resources.get(side) or {})}
    container.setdefault("resources", {})


def _default_security(container: dict[str, Any], pod: Mapping[str, Any], features: Features) -> None:
    """The `restricted` profile of Kubernetes, where the feature secure-pod-defaults asks for it."""
    mode = features.value("secure-pod-defaults")
    if mode not in security.SECURED:
        return
    own = container.setdefault("securityContext", {})
    own.setdefault("allowPrivilegeEscalation", False)
    if not (pod.get("seccompProfile") or {}).get("type"):
        own["seccompProfile"] = {"type": "RuntimeDefault", **(own.get("seccompProfile") or {})}
    if own.get("capabilities") is None:
        own["capabilities"] = {"drop": ["ALL"]}
        if any((port.get("containerPort") or 0) < _LOW_PORTS for port in container.get("ports") or ()):
            own["capabilities"]["add"] = ["NET_BIND_SERVICE"]
    if mode == "enabled" and pod.get("runAsNonRoot") is None:
        own.setdefault("runAsNonRoot", True)


def errors_of(
    template: Mapping[str, Any], parent: Mapping[str, Any], admission: Defaults
) -> list[FieldError]:
    """What is wrong with the *template* of *parent*; paths are relative to the template."""
    annotations = resource.annotations(template)
    wrong = annotation_errors(annotations, admission)
    wrong += metadata.duration_errors(annotations, names.PROGRESS_DEADLINE)
    wrong += [field.invalid_key_name(key, "") for key in annotations
              if key.startswith(_NETWORKING) and key not in _NETWORKING_ANNOTATIONS]
    return [*field.via_field(spec_errors(resource.spec(template), admission), "spec"),
            *field.via_field(wrong, "metadata", "annotations"),
            *_name_errors(template, parent)]


def insecure(template: Mapping[str, Any], admission: Defaults) -> list[FieldError]:
    """
    What Kubernetes allows a container that says nothing: warnings; paths are relative to the pod's spec.

    A function's bundle is no container, so its worker is not meant.
    """
    if settings.of_features(admission).value("secure-pod-defaults") in security.SECURED:
        return []
    pod = resource.spec(template)
    found: list[FieldError] = []
    for member in ("containers", "initContainers"):
        for index, container in enumerate(pod.get(member) or ()):
            if not (container.get("image") or "").startswith(podspec.BUNDLE):
                wrong = field.via_index(security.insecure(container, pod), index)
                found += field.via_field(wrong, member)
    return found


def spec_errors(spec: Mapping[str, Any], admission: Defaults) -> list[FieldError]:
    """What is wrong with a revision's *spec*."""
    defaults, features = settings.of_revisions(admission), settings.of_features(admission)
    errors = podspec.validate({key: value for key, value in spec.items() if key not in _OWN}, features)
    timeout, most = spec.get("timeoutSeconds") or 0, defaults.max_revision_timeout_seconds
    if not 0 <= timeout <= most:
        errors.append(field.out_of_bounds(timeout, 0, most, "timeoutSeconds"))
    concurrency, limit = spec.get("containerConcurrency"), defaults.container_concurrency_max_limit
    least = 0 if defaults.allow_container_concurrency_zero else 1
    if concurrency is not None and not least <= concurrency <= limit:
        errors.append(field.out_of_bounds(concurrency, least, limit, "containerConcurrency"))
    return errors


def annotation_errors(annotations: Mapping[str, str], admission: Defaults) -> list[FieldError]:
    """What is wrong with a revision's annotations; paths are the keys."""
    errors = scale_annotations.annotation_errors(annotations, settings.of_autoscaling(admission))
    percentage = names.first(annotations, _PERCENTAGE)
    if percentage is not None:
        admission.warnings.append("Queue proxy resource percentage annotation is deprecated. Please use the "
                                  "available annotations to explicitly set resource values per service")
        errors += _percentage_errors(*percentage)
    for key in _QUEUE_QUANTITIES:
        try:
            quantity.parse(annotations.get(key, "0"))
        except ValueError:
            errors.append(field.invalid_value(annotations[key], f"[{key}]"))
    return errors


def _percentage_errors(key: str, text: str) -> list[FieldError]:
    try:
        value = float(text)
    except ValueError:
        return [field.invalid_value(text, f"[{key}]")]
    if _LEAST_PERCENT <= value <= _MOST_PERCENT:
        return []
    least, most = f"{_LEAST_PERCENT:g}", f"{_MOST_PERCENT:g}"
    return [field.out_of_bounds(f"{value:g}", least, most, f"[{key}]")]


def _name_errors(template: Mapping[str, Any], parent: Mapping[str, Any]) -> list[FieldError]:
    """A name of one's own is a DNS label that begins with the parent's."""
    name, owner = resource.name(template), resource.name(parent)
    prefix = resource.meta(template).get("generateName") or ""
    if prefix and (wrong := names.not_dns_1035(prefix.rstrip("-"))):
        return [field.invalid_value(f"not a DNS 1035 label prefix: [{' '.join(wrong)}]",
                                    "metadata.generateName")]
    if not name:
        return []
    if wrong := names.not_dns_1035(name):
        return [field.invalid_value(f"not a DNS 1035 label: [{' '.join(wrong)}]", "metadata.name")]
    if not owner and resource.meta(parent).get("generateName"):
        return [field.disallowed_fields("metadata.name")]
    if not name.startswith(f"{owner}-"):
        return [field.invalid_value(f'"{name}" must have prefix "{owner}-"', "metadata.name")]
    return []


def name_change_errors(template: Mapping[str, Any], old: Mapping[str, Any]) -> list[FieldError]:
    """A template that was named and has changed needs another name: revisions do not change."""
    if not resource.name(template) or resource.name(template) != resource.name(old) or template == old:
        return []
    return [FieldError("Saw the following changes without a name change (-old +new)", ("metadata.name",),
                       field.short_diff(old, template, "*v1.RevisionTemplateSpec"))]
