"""
Deployment (apps/v1): a program that is kept running without being asked anything; a process a replica.

    admission     Kubernetes' rules, as far as they make sense here; those of the pod: pod_causes.py
    reconcile     spec -> the projection `deployments`, from which the serving role starts processes
                  the projection `deployment-states`, what became of them -> conditions and replicas

What the pod becomes, and its record, is program.py's business. What cannot be run here is Available=False,
with what to write instead, unless processes of an earlier template run: these go on. A change of a ConfigMap
or a Secret that a variable comes from is a change of the template, so the processes are started anew with it.
One that a volume has changes its files under them.

A record of `deployment-states`: uid, generation, replicas, updated, ready, reason, message.

Source: Kubernetes' API reference, Deployment v1 apps.
"""

import re
from collections.abc import Mapping
from typing import Any

from eventing.control import failure, resource, schema, selector
from eventing.control.context import Context
from eventing.control.failure import Cause
from eventing.control.field import FieldError
from eventing.control.kind import AGE, Column, Defaults, Kind, register
from eventing.control.pod import POD
from eventing.control.resource import FALSE, TRUE, UNKNOWN, Resource
from serving.deployments import rollout
from serving.objects import mounting, pod_causes, podspec, program, shape, workload
from serving.objects.pod_causes import invalid, required, unsupported

_SHAPE: dict[str, Any] = {
    "replicas": int, "minReadySeconds": int, "revisionHistoryLimit": int, "progressDeadlineSeconds": int,
    "paused": bool, "selector": {"matchLabels": {"*": str}, "matchExpressions": schema.ANY},
    "strategy": {"type": str, "rollingUpdate": {"maxSurge": (int, str), "maxUnavailable": (int, str)}},
    "template": {"metadata": schema.METADATA, "spec": POD},
}
# Kubernetes' defaults.
_POD = {"restartPolicy": "Always", "terminationGracePeriodSeconds": 30}
_DEADLINE_S = 600
_HISTORY = 10
_STRATEGIES = ("Recreate", "RollingUpdate")
_NO_SHARE = ("a valid percent string must be a numeric string followed by an ending '%' "
             "(e.g. '1%',  or '93%')")
_SHARE = re.compile(r"\d{1,3}%")
# What a pod may say and nothing is done about.
_IGNORED = ("readinessProbe", "livenessProbe", "startupProbe", "lifecycle")


def default(deployment: Resource, old: Resource | None, admission: Defaults) -> None:
    """Fill in what Kubernetes fills in and what means something here, in place."""
    del old
    spec = deployment.setdefault("spec", {})
    shape.check(spec, _SHAPE, "spec")
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", _HISTORY)
    spec.setdefault("progressDeadlineSeconds", _DEADLINE_S)
    strategy = spec.setdefault("strategy", {})
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        strategy["rollingUpdate"] = {"maxSurge": "25%", "maxUnavailable": "25%",
                                     **(strategy.get("rollingUpdate") or {})}
    pod = (spec.get("template") or {}).get("spec") or {}
    if pod:
        pod |= {name: usual for name, usual in _POD.items() if pod.get(name) is None}
    for container in pod.get("containers") or ():
        for ignored in filter(container.get, _IGNORED):
            admission.warn(f"{ignored} of container {container.get('name')}: nothing is done about it here")
    for unserved in mounting.unserved(pod):
        admission.warn(f"spec.template.spec.{unserved}")


def validate(deployment: Resource, old: Resource | None, admission: Defaults) -> list[FieldError]:
    """Failure 422 in Kubernetes' words for what it would refuse."""
    del admission
    spec = resource.spec(deployment)
    causes = [*_spec_causes(spec), *pod_causes.of((spec.get("template") or {}).get("spec") or {})]
    if old is not None and resource.spec(old).get("selector") != spec.get("selector"):
        causes.append(("spec.selector", "Invalid value: field is immutable", "FieldValueInvalid"))
    if causes:
        raise failure.invalid(DEPLOYMENT, resource.name(deployment), causes)
    return []


def _spec_causes(spec: Mapping[str, Any]) -> list[Cause]:
    causes = []
    if spec["replicas"] < 0:
        causes.append(invalid("spec.replicas", spec["replicas"], podspec.NEGATIVE))
    strategy = spec["strategy"]
    if strategy["type"] not in _STRATEGIES:
        causes.append(unsupported("spec.strategy.type", strategy["type"], _STRATEGIES))
    for name, value in (strategy.get("rollingUpdate") or {}).items():
        if not (_SHARE.fullmatch(value) if isinstance(value, str) else value >= 0):
            causes.append(invalid(f"spec.strategy.rollingUpdate.{name}", value, _NO_SHARE))
    labels = (spec.get("template") or {}).get("metadata") or {}
    try:
        chosen = selector.text(spec.get("selector") or {})
    except selector.SelectorInvalid as error:
        return [*causes, invalid("spec.selector", "", str(error))]
    if not chosen:
        causes.append(required("spec.selector"))
    elif not selector.labels(chosen)(labels.get("labels") or {}):
        causes.append(invalid("spec.template.metadata.labels", labels.get("labels") or {},
                               "`selector` does not match template `labels`"))
    return causes


async def reconcile(deployment: Resource, context: Context) -> None:
    """Hand the Deployment to the serving role, and tell how it is there."""
    state = context.projected("deployment-states", _member(deployment)) or {}
    state = state if state.get("uid") == resource.uid(deployment) else {}
    missing: workload.Missing | None = None
    try:
        found, volumes = await program.record(deployment, context)
    except workload.Missing as error:  # what runs goes on with what it has, unless nothing is to run
        missing = error
        if not resource.spec(deployment)["replicas"]:
            await context.project("deployments", _member(deployment), None)
    else:
        files = found["pod"]["uid"]
        await context.project("volumes", files, volumes.files or None)
        await context.project("deployments", _member(deployment), found)
        if _is_settled(deployment, state):
            await _drop_files(deployment, context, but=files)
    _report(deployment, state, missing, context.now)


def _is_current(deployment: Resource, state: Mapping[str, Any]) -> bool:
    """Whether the serving role speaks of this template; else it was one before."""
    return state.get("generation") == resource.generation(deployment)


def _is_settled(deployment: Resource, state: Mapping[str, Any]) -> bool:
    """Whether nothing runs of a template before this one."""
    return _is_current(deployment, state) and state["updated"] == state["replicas"]


async def _drop_files(deployment: Resource, context: Context, *, but: str = "") -> None:
    """Have the files of all its templates go, *but* those of one."""
    for files in await context.written("volumes", resource.uid(deployment)) - {but}:
        await context.project("volumes", files, None)


def _member(deployment: Resource) -> str:
    return f"{resource.namespace(deployment)}/{resource.name(deployment)}"


def _count(deployment: Resource, state: Mapping[str, Any]) -> None:
    """Replicas as `kubectl get` and `kubectl rollout status` want them; Kubernetes leaves zeros out."""
    status, ready = resource.status(deployment), state.get("ready", 0)
    missing = max(0, resource.spec(deployment)["replicas"] - ready)
    updated = state["updated"] if _is_current(deployment, state) else 0
    counts = {"replicas": state.get("replicas", 0), "updatedReplicas": updated,
              "readyReplicas": ready, "availableReplicas": ready, "unavailableReplicas": missing}
    for name, count in counts.items():
        if count:
            status[name] = count
        else:
            status.pop(name, None)


def _report(deployment: Resource, state: Mapping[str, Any], missing: workload.Missing | None,
            now: float) -> None:
    """Turn what the serving role reports, and what is *missing* to start more, into conditions and counts."""
    _count(deployment, state)
    status, wanted = resource.status(deployment), resource.spec(deployment)["replicas"]
    name = f'Deployment "{resource.name(deployment)}"'
    how = rollout.strategy(resource.spec(deployment)["strategy"], wanted)
    least = wanted - (0 if how.recreate else how.unavailable)
    lacks = (FALSE, missing.reason, missing.message) if missing else None
    if state and state["ready"] >= least:
        available = (TRUE, "MinimumReplicasAvailable", "Deployment has minimum availability.")
    elif state:
        available = lacks or (FALSE, state["reason"] or "MinimumReplicasUnavailable",
                              state["message"] or "Deployment does not have minimum availability.")
    else:
        available = lacks or (UNKNOWN, "DeploymentNotStarted",
                              "The serving role has not taken this Deployment up yet.")
    is_done = _is_settled(deployment, state) and state["ready"] == state["replicas"] == wanted
    reason, what = (("NewReplicaSetAvailable", "has successfully progressed") if is_done
                    else ("ReplicaSetUpdated", "is progressing"))
    resource.set_condition(status, "Available", *available, now=now)
    resource.set_condition(status, "Progressing", *(lacks or (TRUE, reason, f"{name} {what}.")), now=now)


async def finalize(deployment: Resource, context: Context) -> None:
    """Have the serving role end its processes."""
    await context.project("deployments", _member(deployment), None)
    await _drop_files(deployment, context)


def _ready_column(deployment: Resource) -> str:
    ready = (deployment.get("status") or {}).get("readyReplicas", 0)
    return f"{ready}/{resource.spec(deployment).get('replicas', 0)}"


DEPLOYMENT = register(Kind(
    group="apps", version="v1", kind="Deployment", plural="deployments", singular="deployment",
    short_names=("deploy",), categories=("all",),
    columns=(Column("Ready", _ready_column), Column("Up-to-date", ".status.updatedReplicas", "integer"),
             Column("Available", ".status.availableReplicas", "integer"), AGE),
    default=default, validate=validate, reconcile=reconcile, finalize=finalize, reports="deployment-states",
    fields={"spec": _SHAPE}, annotations={"metadata": ()}, has_scale=True,
))
