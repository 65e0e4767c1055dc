"""
Probes of a container: their defaults and what is wrong with them, in Knative's words.

A readiness probe with `periodSeconds: 0` (or none) is Knative's own: asked again and again until it passes
once. Pure; who runs the probes is `local.py`'s business. Source: Knative Serving's
`pkg/apis/serving/k8s_validation.go` and `v1/revision_defaults.go`.
"""

from collections.abc import Mapping
from typing import Any

from eventing.control import field
from eventing.control.field import FieldError

HANDLERS = ("httpGet", "tcpSocket", "exec", "grpc")
_TIMES = {"initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold",
          "terminationGracePeriodSeconds"}
_HANDLER_FIELDS = {
    "httpGet": {"host", "path", "scheme", "httpHeaders", "port"},
    "tcpSocket": {"host", "port"},
    "exec": {"command"},
    "grpc": {"port", "service"},
}
_INT32_MAX = 2**31 - 1
_DISALLOWED = "{} is disallowed when periodSeconds is zero"


def not_allowed(value: Mapping[str, Any], allowed: set[str]) -> list[FieldError]:
    """Complain, once, of all members of *value* that are set and not *allowed*."""
    wrong = sorted(name for name, member in value.items() if name not in allowed and member not in _UNSET)
    return [field.disallowed_fields(*wrong)] if wrong else []


_UNSET: tuple[Any, ...] = (None, False, "", 0, [], {})  # what Go cannot tell from absent


def default_readiness(container: dict[str, Any], *, serves: bool) -> None:
    """Fill in the readiness probe, in place; only the container that *serves* gets one that it has not."""
    probe = container.get("readinessProbe")
    if probe is None:
        if not serves:
            return
        probe = container["readinessProbe"] = {}
    if serves and not any(name in probe for name in HANDLERS):
        probe["tcpSocket"] = {}
    if not probe.get("successThreshold"):
        probe["successThreshold"] = 1
    if probe.get("periodSeconds"):
        probe["failureThreshold"] = probe.get("failureThreshold") or 3  # Kubernetes' own defaults
        probe["timeoutSeconds"] = probe.get("timeoutSeconds") or 1


def default_grpc(container: dict[str, Any]) -> None:
    """Let every gRPC probe name a service, the empty one if it names none; in place."""
    for name in ("readinessProbe", "livenessProbe", "startupProbe"):
        probe = container.get(name) or {}
        if isinstance(probe.get("grpc"), dict):
            probe["grpc"].setdefault("service", "")


def validate(container: Mapping[str, Any], port_name: str | None) -> list[FieldError]:
    """What is wrong with the three probes; *port_name* is the serving port's, None in a sidecar."""
    errors: list[FieldError] = []
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(name)
        if probe is None:
            continue
        wrong = _probe(probe, port_name)
        if name == "readinessProbe":
            wrong += _readiness(probe)
        errors += field.via_field(wrong, name)
    return errors


def _probe(probe: Mapping[str, Any], port_name: str | None) -> list[FieldError]:
    errors = not_allowed(probe, {*HANDLERS, *_TIMES})
    present = [name for name in HANDLERS if probe.get(name) is not None]
    for name in present:
        handler = probe[name]
        errors += field.via_field(not_allowed(handler, _HANDLER_FIELDS[name]), name)
        if name in {"httpGet", "tcpSocket"}:
            errors += _port(handler.get("port"), f"{name}.port", port_name)
    if not present:
        errors.append(field.one_of_neither(*HANDLERS))
    elif len(present) > 1:
        errors.append(field.one_of_both(*("gRPC" if name == "grpc" else name for name in present)))
    return errors


def _port(port: Any, path: str, port_name: str | None) -> list[FieldError]:
    """A port by name has to be the serving port's; a sidecar's probe has to name one."""
    if port_name is None:
        return [] if port else [field.invalid_value(port or 0, path, "Probe port must be specified")]
    if isinstance(port, str) and port and port != port_name:
        return [field.invalid_value(port, path, "Probe port must match container port")]
    return []


def _readiness(probe: Mapping[str, Any]) -> list[FieldError]:
    least = {"periodSeconds": 0, "initialDelaySeconds": 0, "successThreshold": 1}
    errors: list[FieldError] = []
    if not probe.get("periodSeconds"):
        errors += [field.generic(_DISALLOWED.format(name), name)
                   for name in ("failureThreshold", "timeoutSeconds") if probe.get(name)]
    else:
        least |= {"timeoutSeconds": 1, "failureThreshold": 1}
    return errors + [field.out_of_bounds(probe.get(name) or 0, lowest, _INT32_MAX, name)
                     for name, lowest in least.items() if (probe.get(name) or 0) < lowest]
