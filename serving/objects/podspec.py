"""
The pod of a revision: which of Kubernetes' fields may be set, and what they may say, in Knative's words.

Paths are relative to the pod's spec. Pure; fields that Knative hides behind a feature are judged by
`config-features`. What of it a worker on this machine honours is read in `workload.py`, `probes.py` and
`mounting.py`; the rest is judged all the same, so that a YAML that is good here is good on Knative.
Source: Knative Serving's `pkg/apis/serving/{k8s_validation,fieldmask}.go`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from eventing.control import field
from eventing.control.field import FieldError
from serving.objects import names, probes, quantity, security, volumes
from serving.objects.probes import not_allowed
from serving.objects.settings import Features

# Knative's own: queue-proxy's ports, the autoscaler's and the profiler's. A YAML that uses them fails there.
_RESERVED_PORTS = {8008, 8012, 8013, 8022, 9090, 9091}
_RESERVED_ENV = {"PORT", "K_SERVICE", "K_CONFIGURATION", "K_REVISION"}
_PORT_NAMES = {"", "h2c", "http1"}

_POD = {"serviceAccountName", "containers", "volumes", "imagePullSecrets", "enableServiceLinks"}
# Fields of a pod that a feature allows: field -> feature.
_FEATURED = {
    "affinity": "affinity", "topologySpreadConstraints": "topologyspreadconstraints",
    "hostAliases": "hostaliases",
    "nodeSelector": "nodeselector", "runtimeClassName": "runtimeclassname", "tolerations": "tolerations",
    "shareProcessNamespace": "shareprocessnamespace",
    "priorityClassName": "priorityclassname", "schedulerName": "schedulername",
    "initContainers": "init-containers", "dnsPolicy": "dnspolicy", "dnsConfig": "dnsconfig",
    "hostIPC": "hostipc",
    "hostPID": "hostpid", "hostNetwork": "hostnetwork",
}
_CONTAINER = {
    "name", "args", "command", "env", "workingDir", "envFrom", "image", "imagePullPolicy", "livenessProbe",
    "ports",
    "readinessProbe", "resources", "securityContext", "startupProbe", "terminationMessagePath",
    "terminationMessagePolicy", "volumeMounts",
}
NEGATIVE = "must be greater than or equal to 0"  # Kubernetes' words
_INIT_DISALLOWED = ("livenessProbe", "readinessProbe", "startupProbe", "lifecycle")
# registry (with a dot, a port, or localhost), repository, tag and digest, each where it belongs.
_IMAGE = re.compile(
    r"(?:[A-Za-z0-9.\-]+(?::\d+)?/)?[a-z0-9_./\-]{1,255}(?::[A-Za-z0-9_.\-]{1,128})?(?:@[a-z0-9]+:[0-9a-f]{64})?")
BUNDLE = "func://"  # Clarion's own: a function's code


def validate(pod: Mapping[str, Any], features: Features) -> list[FieldError]:
    """What is wrong with *pod*, the spec of a revision without Knative's own fields."""
    allowed = _POD | {name for name, feature in _FEATURED.items()
                      if features.allowed(f"kubernetes.podspec-{feature}")}
    if security.is_allowed_to_pods(features):
        allowed.add("securityContext")
    errors = not_allowed(pod, allowed)
    errors += field.via_field(security.of_pod(pod.get("securityContext"), features), "securityContext")
    containers, inits = list(pod.get("containers") or ()), list(pod.get("initContainers") or ())
    mounted = {mount.get("name", "") for container in (*containers, *inits)
               for mount in container.get("volumeMounts") or ()}
    found = list(pod.get("volumes") or ())
    errors += field.via_field(volumes.validate(found, mounted, features), "volumes")
    by_name = {volume.get("name") or "": volume for volume in found}
    errors += _init_containers(inits, {each.get("name") for each in containers}, by_name, features)
    return [*errors, *_ports_of_all(containers), *_containers(containers, by_name, features),
            *_service_account(pod.get("serviceAccountName") or "")]


def _service_account(name: str) -> list[FieldError]:
    wrong = names.not_dns_1123_subdomain(name) if name else []
    return [field.invalid_value(name, "serviceAccountName", each) for each in wrong]


def _init_containers(inits: list[Mapping[str, Any]], taken: set[Any], by_name: Mapping[str, Any],
                     features: Features) -> list[FieldError]:
    if inits and not features.enabled("kubernetes.podspec-init-containers"):
        return [field.generic("pod spec support for init-containers is off, but found "
                              f"{len(inits)} init containers", "")]
    errors: list[FieldError] = []
    for index, container in enumerate(inits):
        name = container.get("name") or ""
        wrong = [field.generic(f'duplicate container name "{name}"', "name")] if name in taken else []
        wrong += [field.generic("field not allowed in an init container", disallowed)
                  for disallowed in _INIT_DISALLOWED if container.get(disallowed)]
        wrong += _container(container, by_name, features, _RESERVED_ENV - {"PORT"})
        errors += field.via_field(field.via_index(wrong, index), "initContainers")
    return errors


def _ports_of_all(containers: list[Mapping[str, Any]]) -> list[FieldError]:
    """One port in all containers together; with more than one container it has to be there."""
    count = sum(len(container.get("ports") or ()) for container in containers)
    if count == 0 and len(containers) > 1:
        return [field.missing_field("containers[*].ports")]
    if count > 1:
        return [FieldError("more than one container port is set", ("containers[*].ports",),
                           "Only a single port is allowed across all containers")]
    return []


def _containers(
    containers: list[Mapping[str, Any]], by_name: Mapping[str, Any], features: Features
) -> list[FieldError]:
    if not containers:
        return [field.missing_field("containers")]
    if len(containers) > 1 and not features.enabled("multi-container"):
        return [field.generic(f"multi-container is off, but found {len(containers)} containers", "")]
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, container in enumerate(containers):
        name = container.get("name") or ""
        wrong = [field.generic(f'duplicate container name "{name}"', "name")] if name in seen else []
        seen.add(name)
        if len(containers) == 1 or container.get("ports"):
            port = (container.get("ports") or [{}])[0]
            wrong += probes.validate(container, port.get("name") or "http")
            wrong += _container(container, by_name, features, _RESERVED_ENV)
        else:
            wrong += _sidecar_probes(container, features)
            wrong += _container(container, by_name, features, _RESERVED_ENV - {"PORT"})
        errors += field.via_field(field.via_index(wrong, index), "containers")
    return errors


def _sidecar_probes(container: Mapping[str, Any], features: Features) -> list[FieldError]:
    if features.enabled("multi-container-probing"):
        return probes.validate(container, None)
    return [error for name in ("livenessProbe", "readinessProbe", "startupProbe")
            for error in field.via_field(not_allowed(container.get(name) or {}, set()), name)]


def _container(
    container: Mapping[str, Any], by_name: Mapping[str, Any], features: Features, reserved_env: set[str]
) -> list[FieldError]:
    """What is wrong with one container, but for its probes."""
    if not container:
        return [field.missing_field("")]
    errors = not_allowed(container, _CONTAINER)
    if container.get("name") == "queue-proxy":
        errors.append(field.generic('"queue-proxy" is a reserved container name', "name"))
    errors += field.via_field(_env(container.get("env") or [], features, reserved_env), "env")
    errors += field.via_field(_env_from(container.get("envFrom") or []), "envFrom")
    errors += _image(container.get("image") or "")
    errors += field.via_field(_port(container.get("ports") or []), "ports")
    errors += field.via_field(_resources(container.get("resources") or {}), "resources")
    wrong = security.of_container(container.get("securityContext"), features)
    errors += field.via_field(wrong, "securityContext")
    policy = container.get("terminationMessagePolicy") or ""
    if policy not in {"File", "FallbackToLogsOnError", ""}:
        errors.append(field.invalid_value(policy, "terminationMessagePolicy"))
    mounts = volumes.validate_mounts(list(container.get("volumeMounts") or ()), by_name, features)
    return errors + field.via_field(mounts, "volumeMounts")


def _resources(resources: Mapping[str, Any]) -> list[FieldError]:
    return not_allowed(resources, {"limits", "requests"}) + [
        field.invalid_value(amount, path, NEGATIVE) for path, amount in negatives(resources)]


def negatives(resources: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Path and value of limits and requests below zero; that they are quantities was seen to (shape.py)."""
    for side in ("limits", "requests"):
        for name, amount in (resources.get(side) or {}).items():
            if amount is not None and quantity.parse(amount) < 0:
                yield f"{side}[{name}]", amount


def _image(image: str) -> list[FieldError]:
    if not image:
        return [field.missing_field("image")]
    if image.startswith(BUNDLE) or _IMAGE.fullmatch(image):
        return []
    return [FieldError("Failed to parse image reference", ("image",),
                       f'image: "{image}", error: could not parse reference: {image}')]


def _env(env: list[Mapping[str, Any]], features: Features, reserved: set[str]) -> list[FieldError]:
    sources = {"configMapKeyRef", "secretKeyRef"}
    if features.allowed("kubernetes.podspec-fieldref"):
        sources |= {"fieldRef", "resourceFieldRef"}
    errors: list[FieldError] = []
    for index, variable in enumerate(env):
        name = variable.get("name") or ""
        wrong = not_allowed(variable, {"name", "value", "valueFrom"})
        if not name:
            wrong.append(field.missing_field("name"))
        elif name in reserved:
            wrong.append(field.generic(f'"{name}" is a reserved environment variable', "name"))
        wrong += field.via_field(not_allowed(variable.get("valueFrom") or {}, sources), "valueFrom")
        errors += field.via_index(wrong, index)
    return errors


def _env_from(sources: list[Mapping[str, Any]]) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, source in enumerate(sources):
        wrong = not_allowed(source, {"prefix", "configMapRef", "secretRef"})
        present = [name for name in ("configMapRef", "secretRef") if source.get(name) is not None]
        if len(present) > 1:
            wrong.append(field.one_of_both(*present))
        elif not present:
            wrong.append(field.one_of_neither("configMapRef", "secretRef"))
        errors += field.via_index(wrong, index)
    return errors


def _port(ports: list[Mapping[str, Any]]) -> list[FieldError]:
    """What is wrong with the one port of a container."""
    if not ports:
        return []
    port, number = ports[0], ports[0].get("containerPort") or 0
    errors = not_allowed(port, {"containerPort", "name", "protocol"})
    if number in _RESERVED_PORTS:
        errors.append(field.invalid_value(f"{number} is a reserved port", "containerPort",
                                          f"{number} is a reserved port, please use a different value"))
    if not 0 <= number <= probes.PORT_MAX:
        errors.append(field.out_of_bounds(number, 0, probes.PORT_MAX, "containerPort"))
    if (port.get("protocol") or "TCP") != "TCP":
        errors.append(field.invalid_value(port["protocol"], "protocol"))
    if (port.get("name") or "") not in _PORT_NAMES:
        errors.append(FieldError(f"Port name {port['name']} is not allowed", ("",),
                                 "Name must be empty, or one of: 'h2c', 'http1'"))
    return errors
