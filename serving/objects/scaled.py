"""
What Knative keeps beside a Revision to scale it, as far as it can be read off the Revision itself. Pure.

    PodAutoscaler REVISION        how many workers there are and shall be, and why
    Metric REVISION               over which times the load is measured
    ServerlessService REVISION    who takes the requests: always the activator, as on Knative while a
                                  revision is at zero, or has little capacity to spare

Nothing is stored for them: each is made when somebody looks (`Kind.view`), so a thousand Revisions at zero
cost what they cost without. They are for people and their tools; the serving role goes by table `revisions`.
Unlike Knative's they refer to no Deployment, as there is none: what is scaled are the Revision's workers. And
there is no HorizontalPodAutoscaler for class HPA: what its condition ScalingActive would say, the
PodAutoscaler does.
Sources: Knative Serving's `pkg/apis/autoscaling/v1alpha1`, `pkg/reconciler/{revision,autoscaling}/resources`
and `pkg/reconciler/serverlessservice`.
"""

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from eventing.control import resource
from eventing.control.kind import READY_COLUMNS, Column, Kind, View, register
from eventing.control.resource import FALSE, TRUE, UNKNOWN, Resource
from serving import duration
from serving.objects import autoscaling, horizontal, names, scale_annotations, settings, workload
from serving.objects.revision import REVISION

_SCALING, _NETWORKING = "autoscaling.internal.knative.dev", "networking.internal.knative.dev"
_UNCOPIED_LABELS = frozenset({names.ROUTING_STATE})
_UNCOPIED_ANNOTATIONS = frozenset({names.ROUTES, names.ROUTING_STATE_MODIFIED, names.LAST_PINNED,
                                   names.NO_GC})
_REACHABILITY = {"active": "Reachable", "reserve": "Unreachable"}
_SCALER_CONDITIONS = ("Active", "ScaleTargetInitialized", "SKSReady")
_NO_BACKENDS = "K8s Service is not ready"  # Knative's words
_ACTIVATORS = 1  # the one in the serving role
_SCALING_ACTIVE = "ScalingActive"
_MEASURED = (TRUE, "ValidMetricFound", "the HPA was able to successfully calculate a replica count from {}")

Config = Callable[[str, str], Mapping[str, str]]
Status = dict[str, Any]


def pod_autoscaler(revision: Resource, config: Config) -> Resource:
    """The PodAutoscaler of *revision*."""
    state = resource.labels(revision).get(names.ROUTING_STATE, "")
    spec = {"containerConcurrency": resource.spec(revision).get("containerConcurrency") or 0,
            "scaleTargetRef": _target(revision), "protocolType": _protocol(revision),
            "reachability": _REACHABILITY.get(state, "")}
    found, now = resource.status(revision), _changed_at(revision)
    status: Status = {"serviceName": resource.name(revision), "metricsServiceName": _private(revision)}
    for ours, theirs in (("desiredScale", "desiredReplicas"), ("actualScale", "actualReplicas")):
        if theirs in found:
            status[ours] = found[theirs]
    active = resource.condition(found, "Active") or {}
    resource.set_condition(status, "Active", active.get("status", UNKNOWN), active.get("reason", ""),
                           active.get("message", ""), now=now)
    # It came with the first worker, and later failures of the code leave it as it was.
    is_initialized = resource.condition_status(found, "ResourcesAvailable") == TRUE
    resource.set_condition(status, "ScaleTargetInitialized", TRUE if is_initialized else UNKNOWN, now=now)
    _set_backed(status, "SKSReady", "NotReady", found, now)
    usual, written = _autoscaler(config), resource.annotations(revision)
    _set_measured(status, revision, usual, now)
    resource.compute_ready(status, _SCALER_CONDITIONS, now=now)
    made = _made(POD_AUTOSCALER, revision, REVISION, spec, status)
    resource.meta(made)["annotations"] = {
        f"{autoscaling.GROUP}/class": horizontal.class_of(written, usual),
        f"{autoscaling.GROUP}/metric": horizontal.metric(written, usual), **resource.annotations(made)}
    return made


def _set_measured(status: Status, revision: Resource, usual: autoscaling.Settings, now: float) -> None:
    """Of class HPA: whether what it asks for can be measured here. It makes nothing unready."""
    annotations = resource.annotations(revision)
    if not horizontal.is_asked(annotations, usual):
        return
    trouble = horizontal.trouble(annotations, workload.serving_container(resource.spec(revision)), usual)
    metric = horizontal.goal(annotations, usual).metric
    said = (FALSE, *trouble) if trouble else (*_MEASURED[:2], _MEASURED[2].format(metric))
    resource.set_condition(status, _SCALING_ACTIVE, *said, now=now, severity="Info")


def metric(revision: Resource, config: Config) -> Resource:
    """The Metric of *revision*; the windows are in nanoseconds, as Go writes durations."""
    stable_s, panic_s = scale_annotations.windows(resource.annotations(revision), _autoscaler(config))
    spec = {"stableWindow": round(stable_s * duration.SECOND_NS),
            "panicWindow": round(panic_s * duration.SECOND_NS), "scrapeTarget": _private(revision)}
    status: Status = {}
    resource.compute_ready(status, (), now=_changed_at(revision))
    return _made(METRIC, revision, POD_AUTOSCALER, spec, status)


def serverless_service(revision: Resource, _config: Config) -> Resource:
    """The ServerlessService of *revision*."""
    now = _changed_at(revision)
    spec = {"mode": "Proxy", "objectRef": _target(revision), "protocolType": _protocol(revision),
            "numActivators": _ACTIVATORS}
    status: Status = {"serviceName": resource.name(revision), "privateServiceName": _private(revision)}
    resource.set_condition(status, "ActivatorEndpointsPopulated", TRUE, "ActivatorEndpointsPopulated",
                           "Revision is backed by Activator", now=now, severity="Info")
    _set_backed(status, "EndpointsPopulated", "NoHealthyBackends", resource.status(revision), now)
    resource.compute_ready(status, ("EndpointsPopulated",), now=now)
    return _made(SERVERLESS_SERVICE, revision, POD_AUTOSCALER, spec, status)


def _set_backed(status: Status, type_: str, reason: str, found: Status, now: float) -> None:
    """Whether a worker is there to answer."""
    backed = (TRUE,) if found.get("actualReplicas") else (UNKNOWN, reason, _NO_BACKENDS)
    resource.set_condition(status, type_, *backed, now=now)


def _made(kind: Kind, revision: Resource, owner: Kind, spec: Resource, status: Status) -> Resource:
    """The object, with metadata that follow from those of *revision*."""
    about, name = resource.meta(revision), resource.name(revision)
    labels = {key: value for key, value in resource.labels(revision).items() if key not in _UNCOPIED_LABELS}
    annotations = {key: value for key, value in resource.annotations(revision).items()
                   if key not in _UNCOPIED_ANNOTATIONS}
    kept = {key: about[key] for key in ("namespace", "resourceVersion", "creationTimestamp",
                                        "deletionTimestamp") if key in about}
    owned_by = {"apiVersion": owner.api_version, "kind": owner.kind,
                "metadata": {"name": name, "uid": _uid(owner, revision)}}
    return {
        "apiVersion": kind.api_version, "kind": kind.kind,
        "metadata": {
            "name": name, **kept, "uid": _uid(kind, revision), "generation": 1,
            "labels": {"app": name, **labels, names.REVISION: name,
                       names.REVISION_UID: resource.uid(revision)},
            "annotations": annotations, "ownerReferences": [resource.controller_reference(owned_by)],
        },
        "spec": spec, "status": {"observedGeneration": 1, **status},
    }


def _uid(kind: Kind, revision: Resource) -> str:
    """Always the same one for the same Revision."""
    uid = resource.uid(revision)
    return uid if kind is REVISION else str(uuid.uuid5(uuid.NAMESPACE_OID, f"{uid}/{kind.full_name}"))


def _target(revision: Resource) -> dict[str, str]:
    return {"apiVersion": names.API_VERSION, "kind": "Revision", "name": resource.name(revision)}


def _private(revision: Resource) -> str:
    return resource.child_name(resource.name(revision), "-private")


def _protocol(revision: Resource) -> str:
    ports: list[Mapping[str, Any]] = workload.serving_container(resource.spec(revision)).get("ports") or [{}]
    return "h2c" if ports[0].get("name") == "h2c" else "http1"


def _changed_at(revision: Resource) -> float:
    """When the Revision's conditions changed last, Unix time; where it has none, when it was made."""
    times = [each["lastTransitionTime"] for each in resource.status(revision).get("conditions") or ()
             if each.get("lastTransitionTime")]
    return resource.unix(max(times, default=resource.meta(revision).get("creationTimestamp")
                             or "1970-01-01T00:00:00Z"))


def _autoscaler(config: Config) -> autoscaling.Settings:
    try:
        return autoscaling.settings(config(settings.NAMESPACE, "config-autoscaler"))
    except ValueError:  # stored by an older version; whoever scales does not go by it either
        return autoscaling.settings({})


POD_AUTOSCALER = register(Kind(
    group=_SCALING, version="v1alpha1", kind="PodAutoscaler", plural="podautoscalers",
    singular="podautoscaler", short_names=("kpa", "pa"), categories=("knative-internal", "autoscaling"),
    columns=(Column("DesiredScale", ".status.desiredScale", "integer"),
             Column("ActualScale", ".status.actualScale", "integer"), *READY_COLUMNS),
    view=View(REVISION, pod_autoscaler),
))
METRIC = register(Kind(
    group=_SCALING, version="v1alpha1", kind="Metric", plural="metrics", singular="metric",
    categories=("knative-internal", "autoscaling"), columns=READY_COLUMNS, view=View(REVISION, metric),
))
SERVERLESS_SERVICE = register(Kind(
    group=_NETWORKING, version="v1alpha1", kind="ServerlessService", plural="serverlessservices",
    singular="serverlessservice", short_names=("sks",), categories=("knative-internal", "networking"),
    columns=(Column("Mode", ".spec.mode"), Column("Activators", ".spec.numActivators", "integer"),
             Column("ServiceName", ".status.serviceName"),
             Column("PrivateServiceName", ".status.privateServiceName"), *READY_COLUMNS),
    view=View(REVISION, serverless_service),
))
