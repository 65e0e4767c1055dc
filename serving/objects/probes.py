"""
Probes of a container: their defaults and what is wrong with them, in Knative's words.

A readiness probe with `periodSeconds: 0` (or none) is Knative's own: asked again and again until it passes
once, and every ten seconds from then on. Pure; who asks is `workers/vigil.py`. Source: Knative Serving's
`pkg/apis/serving/k8s_validation.go` and `v1/revision_defaults.go`.

Of another port than the serving one a worker can be asked where it is a program of its own and max-scale is
1: workers share the ports of this machine, so two of a revision cannot both listen there, and a function has
the socket that it is given. Otherwise it is asked at its serving port.
"""

from collections.abc import Mapping
from typing import Any

from eventing.control import field
from eventing.control.field import FieldError
from serving.objects.autoscaling import GROUP, INT32_MAX
from serving.objects.scale_annotations import spellings

HANDLERS = ("httpGet", "tcpSocket", "exec", "grpc")
DEFAULT_PORT = 8080
PORT_MAX = 65535  # a TCP port's 16 bits
# The least that a number may be: Kubernetes' bounds.
_LEAST = {"initialDelaySeconds": 0, "timeoutSeconds": 0, "periodSeconds": 0, "failureThreshold": 0}
_ENOUGH, _GRACE = "successThreshold", "terminationGracePeriodSeconds"
_HANDLER_FIELDS = {
    "httpGet": {"host", "path", "scheme", "httpHeaders", "port"},
    "tcpSocket": {"host", "port"},
    "exec": {"command"},
    "grpc": {"port", "service"},
}
_MAX_SCALE = tuple(f"{GROUP}/{spelling}" for spelling in spellings("max-scale"))
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


def asked(container: Mapping[str, Any], annotations: Mapping[str, str]) -> dict[str, Any]:
    """The probes of the serving *container* as its workers are asked: with no port but another one."""
    elsewhere = may_listen_elsewhere(container, annotations)
    found: dict[str, Any] = {}
    for name in ("startup", "readiness", "liveness"):
        probe = container.get(f"{name}Probe")
        found[name] = None if probe is None else {
            member: _with_port(value, container, elsewhere=elsewhere) if member in HANDLERS else value
            for member, value in probe.items() if value is not None}
    return found


def may_listen_elsewhere(container: Mapping[str, Any], annotations: Mapping[str, str]) -> bool:
    """Whether workers of *container*, by its revision's *annotations*, can be asked at another port."""
    return bool(container.get("command")) and any(annotations.get(key) == "1" for key in _MAX_SCALE)


def another_port(handler: Mapping[str, Any], container: Mapping[str, Any]) -> int | None:
    """The port of *handler* where it is not the one that *container* serves; names are that one's."""
    ports: list[Mapping[str, Any]] = container.get("ports") or [{}]
    port = handler.get("port")
    serving = ports[0].get("containerPort") or DEFAULT_PORT
    return port if isinstance(port, int) and port not in {0, serving} else None


def _with_port(handler: Mapping[str, Any], container: Mapping[str, Any], *,
               elsewhere: bool) -> dict[str, Any]:
    rest = {name: value for name, value in handler.items() if name != "port"}
    port = another_port(handler, container) if elsewhere else None
    return rest if port is None else {**rest, "port": port}


def validate(container: Mapping[str, Any], port_name: str | None) -> list[FieldError]:
    """What is wrong with the three probes; *port_name* is the serving port's, None in a sidecar."""
    errors: list[FieldError] = []
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(name)
        if probe is None:
            continue
        wrong = _probe(probe, port_name)
        wrong += _readiness(probe) if name == "readinessProbe" else _others(probe)
        errors += field.via_field(wrong, name)
    return errors


def _probe(probe: Mapping[str, Any], port_name: str | None) -> list[FieldError]:
    errors = not_allowed(probe, {*HANDLERS, *_LEAST, _ENOUGH, _GRACE})
    present = [name for name in HANDLERS if probe.get(name) is not None]
    for name in present:
        handler = probe[name]
        errors += field.via_field(not_allowed(handler, _HANDLER_FIELDS[name]), name)
        port = handler.get("port")
        if isinstance(port, int) and not 0 <= port <= PORT_MAX:
            errors.append(field.out_of_bounds(port, 0, PORT_MAX, f"{name}.port"))
        elif name in {"httpGet", "tcpSocket"}:
            errors += _port(port, f"{name}.port", port_name)
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
    least = {**_LEAST, _ENOUGH: 1}
    errors: list[FieldError] = []
    if not probe.get("periodSeconds"):
        errors += [field.generic(_DISALLOWED.format(name), name)
                   for name in ("failureThreshold", "timeoutSeconds") if probe.get(name)]
    else:
        least |= {"timeoutSeconds": 1, "failureThreshold": 1}
    return errors + _bounds(probe, least)


def _others(probe: Mapping[str, Any]) -> list[FieldError]:
    """Of a liveness and of a startup probe one answer is enough."""
    enough = probe.get(_ENOUGH) or 1
    errors = [] if enough == 1 else [field.invalid_value(enough, _ENOUGH, "must be 1")]
    return errors + _bounds(probe, _LEAST)


def _bounds(probe: Mapping[str, Any], least: Mapping[str, int]) -> list[FieldError]:
    """Complain of every number below *least* (absent ones are 0), and of those beyond 32 bits."""
    if probe.get(_GRACE) is not None:
        least = {**least, _GRACE: 1}
    return [field.out_of_bounds(probe.get(name) or 0, lowest, INT32_MAX, name)
            for name, lowest in least.items() if not lowest <= (probe.get(name) or 0) <= INT32_MAX]
