"""
Revision: one version of a function or program, never changed once it is made.

    admission     spec is immutable; what is new is judged like the template that it came from
    reconcile     spec -> the projection `revisions`, from which the serving role starts workers
                  the projection `scales`, what became of them -> conditions and replicas

A record of `revisions` (JSON; the data plane reads nothing else):

    uid, service ("" without one), configuration, image
    bundle (SHA-256 hex or null), entry ("module:name" or null), command (list or null), args, env, preload
    container_concurrency (0: no limit), timeout_s, response_start_timeout_s, idle_timeout_s (null: none)
    memory_bytes, cpu (cores; both null: no limit), cpu_request (cores; 0: none)
    user, group (ids; null: the role's), non_root (never as root), port (null: none)
    startup, readiness, liveness (probes as Kubernetes has them, or null; a port only where it is another one)
    working_dir (null: the bundle's folder), volumes (mounting.py), progress_deadline_s
    lacks ([reason, message]: what of env and volumes is missing, so that no worker can be started; or null)
    annotations (autoscaling.knative.dev/* as written), reachable (a Route points at it, or may soon)

A record of `scales`:

    uid, healthy (true, false or null: not known yet), reason, message
    desired, actual (workers), active ("True", "False", "Unknown"), active_reason, active_message, initialized
    unready (why a worker is not ready, in the words of its probe; "": none says so)
    trouble ([reason, message] of an Event: what goes wrong with workers though it is healthy; null: nothing)

Source: Knative Serving's `pkg/apis/serving/v1/revision_lifecycle.go`, `pkg/reconciler/revision`.
"""

import re
from collections.abc import Mapping
from typing import Any

from eventing.control import field, resource
from eventing.control.context import Context
from eventing.control.field import FieldError
from eventing.control.kind import READY_COLUMNS, Column, Defaults, Kind, register
from eventing.control.resource import FALSE, READY, TRUE, UNKNOWN, Resource
from serving.objects import (
    autoscaling,
    downward,
    holders,
    horizontal,
    images,
    metadata,
    mounting,
    names,
    observability,
    probes,
    settings,
    shape,
    template,
    workload,
)

_CONDITIONS = ("ResourcesAvailable", "ContainerHealthy")
_STATUSES = {"containerStatuses": "containers", "initContainerStatuses": "initContainers"}
_DEPLOYING = (UNKNOWN, "Deploying", "")
_ERROR = re.compile(r"[\w.]*(Error|Exception)( \[\w+\])?(:|$)")  # begins what a program says of its end
_PLACE = re.compile(r'\s*File "(?P<file>[^"]+)", line (?P<line>\d+)')  # of a traceback of Python's
# What they say by themselves means little without the place.
_PLACED = ("SyntaxError", "IndentationError", "TabError", "SystemExit")
# Of a worker's start: what the revision lacks, and not what its code does.
_LACKING = frozenset({"ProgressDeadlineExceeded", "EnvironmentFailed", "MemoryLimitTooSmall",
                      "CreateContainerConfigError", mounting.REASON})


def default(revision: Resource, old: Resource | None, admission: Defaults) -> None:
    """Fill in a new Revision's spec, in place; a stored one is never touched."""
    if old is None:
        revision["spec"] = resource.spec(revision)
        shape.check(revision["spec"], shape.REVISION_SPEC, "spec")
        template.default_spec(revision["spec"], resource.name(revision), admission, is_new=True)


def validate(revision: Resource, old: Resource | None, admission: Defaults) -> list[FieldError]:
    """What is wrong with a Revision, and with what changed since *old*."""
    annotations = template.annotation_errors(resource.annotations(revision), admission)
    wrong = metadata.name_errors(revision) + field.via_field(annotations, "annotations")
    wrong += metadata.owner_errors(revision, names.CONFIGURATION, "Configuration")
    errors = field.via_field(wrong, "metadata")
    spec = resource.spec(revision)
    if old is not None:
        return errors + field.immutable(resource.spec(old), spec, "v1.RevisionSpec", "spec")
    return errors + field.via_field(template.spec_errors(spec, admission), "spec")


async def reconcile(revision: Resource, context: Context) -> None:
    """Hand the Revision to the serving role, and tell how it is there."""
    status, now = resource.status(revision), context.now
    before = {type_: resource.condition(status, type_) for type_ in (*_CONDITIONS, READY, "Active")}
    resource.initialize_conditions(status, _CONDITIONS, now=now)
    _set_log_url(revision, context)
    container = workload.serving_container(resource.spec(revision))
    try:
        code = workload.code(container, _image(revision, container, context))
    except workload.Missing as missing:
        _unhealthy(status, missing.reason, missing.message, now)
        resource.set_condition(status, "ResourcesAvailable", *_DEPLOYING, now=now)
        resource.set_condition(status, "Active", *_DEPLOYING, now=now, severity="Info")
    else:
        supplies = await _supplies(revision, container, context)
        found = record(revision, code, supplies, _deadline_s(revision, context))
        await context.project("revisions", _member(revision), found)
        _set_images(revision, context)
        _report(revision, context.projected("scales", _member(revision)), now)
    resource.compute_ready(status, _CONDITIONS, now=now)
    await _tell(revision, before, context)


def _set_log_url(revision: Resource, context: Context) -> None:
    """Where the lines of its workers can be read, if somebody collects them: `config-observability` says."""
    status = resource.status(revision)
    template = context.config_data(settings.NAMESPACE, "config-observability").get(observability.LOG_URL)
    if template:
        status["logUrl"] = template.replace("${REVISION_UID}", resource.uid(revision))
    else:
        status.pop("logUrl", None)


def _image(revision: Resource, container: Mapping[str, Any], context: Context) -> str:
    """What the image stands for; once it was found it stays that, as Knative pins a tag's digest."""
    written: str = container.get("image") or ""
    mapping = context.config_data(settings.NAMESPACE, images.CONFIG)
    status = resource.status(revision)
    known = {each.get("name"): each.get("imageDigest") for member in _STATUSES
             for each in status.get(member) or ()}
    return known.get(container.get("name", "")) or images.mapped(written, mapping) or written


def _set_images(revision: Resource, context: Context) -> None:
    """Tell what the image of each container stands for, also of those that are not run here."""
    spec = resource.spec(revision)
    found = {member: [{"name": each.get("name", ""), "imageDigest": _image(revision, each, context)}
                      for each in spec.get(containers) or ()] for member, containers in _STATUSES.items()}
    resource.status(revision).update({member: named for member, named in found.items() if named})


async def _tell(revision: Resource, before: Mapping[str, Any], context: Context) -> None:
    """Record an Event when the Revision has become ready, and one for each new reason why it is not well."""
    status = resource.status(revision)
    if resource.condition_status(status, READY) == TRUE and (before[READY] or {}).get("status") != TRUE:
        await context.event(revision, "Normal", "RevisionReady",
                            "Revision becomes ready upon all resources being ready")
    for type_ in _CONDITIONS:
        found = resource.condition(status, type_) or {}
        if found.get("status") == FALSE and _said(found) != _said(before[type_] or {}):
            *_, last = (found.get("message") or "").splitlines() or [""]  # a traceback's says what happened
            await context.event(revision, "Warning", found.get("reason", ""), last.strip())
    reason, message = _trouble(context.projected("scales", _member(revision)))
    said = (resource.condition(status, "Active") or {}).get("message")
    if message and said == message != (before["Active"] or {}).get("message"):
        await context.event(revision, "Warning", reason, message)


def _said(condition: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(condition.get(member) for member in ("status", "reason", "message"))


async def _supplies(revision: Resource, container: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """What a worker is given of ConfigMaps and Secrets, or lacks; hand the files of its volumes on."""
    namespace, spec, uid = resource.namespace(revision), resource.spec(revision), resource.uid(revision)
    about = downward.About(namespace, uid, resource.meta(revision))
    look_up = await holders.lookup(container, namespace, context)
    files = await holders.files(spec, container, namespace, context)
    supplies: dict[str, Any] = {"env": {}, "volumes": None, "lacks": None}
    try:
        volumes = mounting.of(spec, container, about, files)
        await context.project("volumes", uid, volumes.files or None)  # also where a variable is missing
        supplies["volumes"] = volumes.record
        supplies["env"] = workload.environment(container, look_up)
    except workload.Missing as missing:
        supplies["lacks"] = [missing.reason, missing.message]
        if (context.projected("scales", _member(revision)) or {}).get("actual"):
            message = f"{missing.message}; the workers that run keep what they have"
            await context.event(revision, "Warning", missing.reason, message)
    return supplies


def _deadline_s(revision: Resource, context: Context) -> float:
    """How long the Revision may take to become ready: its annotation, else `config-deployment`."""
    deployment = context.config_data(settings.NAMESPACE, "config-deployment")
    found = names.first(resource.annotations(revision), names.PROGRESS_DEADLINE)
    return settings.progress_deadline_s(deployment, found[1] if found else "")


def _member(revision: Resource) -> str:
    return f"{resource.namespace(revision)}/{resource.name(revision)}"


def record(revision: Resource, code: workload.Code, supplies: Mapping[str, Any],
           deadline_s: float) -> dict[str, Any]:
    """The record of `revisions`; *supplies* are its env, volumes and lacks."""
    spec = resource.spec(revision)
    labels, annotations = resource.labels(revision), resource.annotations(revision)
    container = workload.serving_container(spec)
    user, group = workload.user_and_group(spec, container)
    scaling = {key: value for key, value in annotations.items() if key.startswith(autoscaling.GROUP)}
    return {
        "uid": resource.uid(revision),
        "service": labels.get(names.SERVICE, ""),
        "configuration": labels.get(names.CONFIGURATION, ""),
        "image": container.get("image") or "",
        "bundle": code.bundle,
        "entry": annotations.get(names.ENTRY),
        "command": code.command,
        "args": list(container.get("args") or ()),
        "preload": workload.modules(annotations.get(names.PRELOAD) or ""),
        "container_concurrency": spec.get("containerConcurrency") or 0,
        "timeout_s": float(spec.get("timeoutSeconds") or 0),
        "response_start_timeout_s": _seconds(spec.get("responseStartTimeoutSeconds")),
        "idle_timeout_s": _seconds(spec.get("idleTimeoutSeconds")),
        "memory_bytes": workload.memory_bytes(container),
        "cpu": workload.cpu(container),
        "cpu_request": horizontal.cpu_request(container),
        "user": user,
        "group": group,
        "non_root": workload.must_not_be_root(spec, container),
        "port": workload.port(container),
        **probes.asked(container, annotations),
        "working_dir": container.get("workingDir") or None,
        **supplies,
        "progress_deadline_s": deadline_s,
        "annotations": scaling,
        "reachable": labels.get(names.ROUTING_STATE) != "reserve",
    }


def _seconds(value: int | None) -> float | None:
    """Zero means no limit, as in Knative."""
    return float(value) if value else None


def _report(revision: Resource, found: Mapping[str, Any] | None, now: float) -> None:
    """Turn what the serving role reports into conditions and replicas; nothing is known of another uid."""
    status = resource.status(revision)
    if found is None or found.get("uid") != resource.uid(revision):
        for type_ in _CONDITIONS:
            if resource.condition_status(status, type_) != TRUE:  # what was well is, until told otherwise
                resource.set_condition(status, type_, *_DEPLOYING, now=now)
        resource.set_condition(status, "Active", *_DEPLOYING, now=now, severity="Info")
        return
    status["actualReplicas"], status["desiredReplicas"] = found["actual"], found["desired"]
    unready = found.get("unready") or ""
    reason, message = _trouble(found)
    resource.set_condition(status, "Active", found["active"], found.get("active_reason") or reason,
                           message or found.get("active_message") or "", now=now, severity="Info")
    if found["healthy"] is False:
        _failed(revision, found.get("reason") or "", found.get("message") or "", now)
        return
    state = (TRUE, "", "") if found["healthy"] else _DEPLOYING
    for type_ in _CONDITIONS:
        resource.set_condition(status, type_, *state, now=now)
    if found["healthy"] is None and (unready or found.get("reason")):
        # What it waits for: its environment is being built, or its probe does not pass yet.
        resource.set_condition(status, "ResourcesAvailable", UNKNOWN, found.get("reason") or "Deploying",
                               unready or found.get("message") or "", now=now)


def _trouble(found: Mapping[str, Any] | None) -> tuple[str, str]:
    reason, message = (found or {}).get("trouble") or ("", "")
    return reason, message


def _failed(revision: Resource, reason: str, message: str, now: float) -> None:
    """Its workers do not become ready: time ran out, the code is not there, or it says so itself."""
    status = resource.status(revision)
    if reason in _LACKING:
        resource.set_condition(status, "ResourcesAvailable", FALSE, reason, message, now=now)
        return
    if reason == "BundleMissing":
        image = workload.serving_container(resource.spec(revision)).get("image") or ""
        _unhealthy(status, "ContainerMissing", workload.unfetched(image, message), now)
        return
    _unhealthy(status, reason, f"Container failed with: {_gist(message)}", now)


def _gist(message: str) -> str:
    """The line of what a worker printed last that says what happened; its log has the others."""
    lines = message.strip().splitlines() or [""]
    # Node's traceback has its error before the frames, Python's behind them, maybe in several lines.
    errors = [line for line in lines if _ERROR.match(line)]
    gist = (errors or lines)[-1].strip()
    places = [found for line in lines if (found := _PLACE.match(line))]
    if places and gist.startswith(_PLACED):
        return f"{gist} ({places[-1]['file']}, line {places[-1]['line']})"
    return gist


def _unhealthy(status: dict[str, Any], reason: str, message: str, now: float) -> None:
    resource.set_condition(status, "ContainerHealthy", FALSE, reason, message, now=now)


async def finalize(revision: Resource, context: Context) -> None:
    """Have the serving role end its workers."""
    await context.project("revisions", _member(revision), None)
    await context.project("volumes", resource.uid(revision), None)


REVISION = register(Kind(
    group=names.GROUP, version="v1", kind="Revision", plural="revisions", singular="revision",
    short_names=("rev",), categories=("all", "knative", "serving"),
    columns=(Column("Config Name", lambda found: resource.labels(found).get(names.CONFIGURATION)),
             Column("Generation", lambda found: resource.labels(found).get(names.CONFIGURATION_GENERATION)),
             *READY_COLUMNS,
             Column("Actual Replicas", ".status.actualReplicas", "integer"),
             Column("Desired Replicas", ".status.desiredReplicas", "integer")),
    default=default, validate=validate, reconcile=reconcile, finalize=finalize, reports="scales",
    fields={"spec": shape.REVISION_SPEC}, annotations={"metadata": template.ANNOTATIONS},
))
