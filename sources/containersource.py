"""
ContainerSource: a program of one's own that sends events to K_SINK, kept running.

It is a Deployment (`NAME-deployment`) that runs the program, and a SinkBinding (`NAME-sinkbinding`) that
tells it the sink; both belong to the ContainerSource and go with it. The Deployment is made once the sink has
an address, so that no program starts without one.

Conditions: SinkBindingReady, ReceiveAdapterReady (the Deployment is Available), Ready.

Source: Knative's pkg/apis/sources/v1/container_*.go, pkg/reconciler/containersource.
"""

from typing import Any

from eventing.control import destination, field, resource
from eventing.control.context import Context
from eventing.control.field import FieldError
from eventing.control.kind import AGE, READY_COLUMNS, Column, Defaults, Kind, register
from eventing.control.pod import POD
from eventing.control.resource import TRUE, UNKNOWN, Resource
from eventing.control.schema import METADATA, Strict
from sources.adapter import SOURCE_SPEC, validate_overrides

_LABEL = "sources.knative.dev/source"
_NAME_LABEL = "sources.knative.dev/containerSource"
_CONDITIONS = ("SinkBindingReady", "ReceiveAdapterReady")
# Of the SinkBinding's status: what every source says, but for what is about the SinkBinding itself.
_OWN_STATUS = ("conditions", "observedGeneration")


def _default(source: Resource, old: Resource | None, defaults: Defaults) -> None:
    del old, defaults
    spec = resource.spec(source)
    destination.default(spec.get("sink"), resource.namespace(source))
    for index, container in enumerate(_containers(source)):
        if not container.get("name"):
            container["name"] = f"{resource.name(source)}-{index}"


def _containers(source: Resource) -> list[dict[str, Any]]:
    pod = (resource.spec(source).get("template") or {}).get("spec") or {}
    return pod.get("containers") or []


def _validate(source: Resource, old: Resource | None, defaults: Defaults) -> list[FieldError]:
    del old, defaults
    spec = resource.spec(source)
    errors = field.via_field(destination.validate(spec.get("sink")), "sink") + validate_overrides(spec)
    containers = _containers(source)
    if not containers:
        errors.append(field.missing_field("containers"))
    for index, container in enumerate(containers):
        missing = [field.missing_field(name) for name in ("name", "image") if not container.get(name)]
        errors += field.via_field(missing, "containers", f"[{index}]")
    return field.via_field(errors, "spec")  # as on Knative, without `template.spec`


async def _reconcile(source: Resource, context: Context) -> None:
    status, now = resource.status(source), context.now
    binding = await context.apply(_binding(source), source)
    bound = resource.status(binding)
    for name in [name for name in status if name not in _OWN_STATUS]:
        del status[name]
    status.update({name: value for name, value in bound.items() if name not in _OWN_STATUS})
    _propagate(status, "SinkBindingReady", resource.condition(bound, "Ready"), now)
    deployment = _deployment(source)
    namespace, name = resource.namespace(source), deployment["metadata"]["name"]
    is_there = await context.get("Deployment.apps", namespace, name) is not None
    running: dict[str, Any] = {}
    if is_there or bound.get("sinkUri"):
        running = resource.status(await context.apply(deployment, source))
    available = resource.condition(running, "Available")
    _propagate(status, "ReceiveAdapterReady", available or {
        "status": UNKNOWN, "reason": "DeploymentUnavailable",
        "message": f"The Deployment '{name}' is unavailable."}, now)
    resource.compute_ready(status, _CONDITIONS, now=now)


def _propagate(status: dict[str, Any], type_: str, found: Any, now: float) -> None:
    """Condition *type_* is what *found*, a child's condition, says."""
    found = found or {"status": UNKNOWN}
    if found["status"] == TRUE:
        resource.set_condition(status, type_, TRUE, now=now)
    else:
        resource.set_condition(status, type_, found["status"], found.get("reason", ""),
                               found.get("message", ""), now=now)


def _binding(source: Resource) -> Resource:
    spec = resource.spec(source)
    return {
        "apiVersion": "sources.knative.dev/v1", "kind": "SinkBinding",
        "metadata": _metadata(source, "sinkbinding"),
        "spec": {
            **{name: spec[name] for name in SOURCE_SPEC if name in spec},
            "subject": {"apiVersion": "apps/v1", "kind": "Deployment",
                        "namespace": resource.namespace(source),
                        "name": _metadata(source, "deployment")["name"]},
        },
    }


def _deployment(source: Resource) -> Resource:
    template = resource.spec(source)["template"]
    about = template.get("metadata") or {}
    labels = _labels(source)
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": _metadata(source, "deployment"),
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {**template,
                         "metadata": {**about, "labels": {**(about.get("labels") or {}), **labels}}},
        },
    }


def _metadata(source: Resource, suffix: str) -> dict[str, Any]:
    name = resource.child_name(resource.name(source), f"-{suffix}")
    return {"namespace": resource.namespace(source), "name": name, "labels": _labels(source)}


def _labels(source: Resource) -> dict[str, str]:
    return {_LABEL: "container-source-controller", _NAME_LABEL: resource.name(source)}


KIND = register(Kind(
    group="sources.knative.dev", version="v1", kind="ContainerSource", plural="containersources",
    singular="containersource", categories=("all", "knative", "sources"),
    columns=(Column("Sink", ".status.sinkUri"), AGE, *READY_COLUMNS),
    default=_default, validate=_validate, reconcile=_reconcile,
    fields={"spec": {**SOURCE_SPEC, "template": Strict({"metadata": METADATA, "spec": POD})}},
    annotations={"metadata": ()},
))
