"""
Service: a Configuration and a Route of the same name, kept like this Service says, and their health in one.

    Configuration NAME    spec.template, labels and annotations of the Service
    Route NAME            spec.traffic; a target without a revision's name follows the Configuration

What somebody changes on those two is overwritten. Source: Knative Serving's `pkg/reconciler/service`.
"""

from typing import Any

from eventing.control import field, resource
from eventing.control.context import Context
from eventing.control.field import FieldError
from eventing.control.kind import READY_COLUMNS, Column, Defaults, Kind, register
from eventing.control.objects import NotOwned
from eventing.control.resource import FALSE, READY, TRUE, UNKNOWN, Resource
from serving.objects import metadata, names, shape, template, traffic
from serving.objects.configuration import default_template, is_taken, template_errors
from serving.objects.hosts import local_tags_errors
from serving.objects.revision import REVISION

_CONDITIONS = ("ConfigurationsReady", "RoutesReady")
_OUT_OF_DATE = "The {} is still working to reflect the latest desired specification."
_TAKEN = 'The revision name "{}" is taken by a conflicting Revision, so traffic will not be migrated'
_NOT_OWNED = 'There is an existing {} "{}" that we do not own.'


def default(service: Resource, old: Resource | None, admission: Defaults) -> None:
    """Fill in template and traffic, in place: all of it to the latest revision, unless told otherwise."""
    service["spec"] = spec = resource.spec(service)
    shape.check(spec, shape.SERVICE_SPEC, "spec")
    default_template(service, old, admission)
    if not spec.get("traffic"):
        spec["traffic"] = [{"percent": 100, "latestRevision": True}]
    traffic.default(spec["traffic"])
    metadata.set_user(service, old)


def validate(service: Resource, old: Resource | None, admission: Defaults) -> list[FieldError]:
    """What is wrong with a Service, and with what changed since *old*."""
    errors = field.via_field(metadata.errors_of(service), "metadata")
    errors += template_errors(service, old, admission)
    targets = traffic.errors_of(resource.spec(service).get("traffic") or [], is_service=True)
    errors += field.via_field(targets, "spec", "traffic") + local_tags_errors(service)
    return errors + (metadata.user_errors(service, old) if old else [])


async def reconcile(service: Resource, context: Context) -> None:
    """Keep the two children, and tell how they are."""
    status, now = resource.status(service), context.now
    resource.initialize_conditions(status, _CONDITIONS, now=now)
    await _reconcile_children(service, context)
    resource.compute_ready(status, _CONDITIONS, now=now)


async def _reconcile_children(service: Resource, context: Context) -> None:
    status, now = resource.status(service), context.now
    configuration = await _child(_configuration(service), service, "ConfigurationsReady", context)
    if configuration is None:
        return
    own_name = resource.name(resource.spec(configuration).get("template") or {})
    if not _is_current(configuration):
        resource.set_condition(status, "ConfigurationsReady", UNKNOWN, "OutOfDate",
                               _OUT_OF_DATE.format("Configuration"), now=now)
        if own_name:  # the Route may name that revision, so it has to be there first
            return
    else:
        _propagate(status, configuration, "ConfigurationsReady", now)
        _copy(status, configuration, ("latestCreatedRevisionName", "latestReadyRevisionName"))
    if own_name and await _is_name_taken(own_name, configuration, context):
        resource.set_condition(status, "RoutesReady", FALSE, "RevisionNameTaken", _TAKEN.format(own_name),
                               now=now)
        return
    route = await _child(_route(service), service, "RoutesReady", context)
    if route is None:
        return
    if not _is_current(route):
        resource.set_condition(status, "RoutesReady", UNKNOWN, "OutOfDate", _OUT_OF_DATE.format("Route"),
                               now=now)
    else:
        _propagate(status, route, "RoutesReady", now)
        _copy(status, route, ("url", "address", "traffic"))
    if resource.condition_status(status, "RoutesReady") == TRUE and not _is_migrated(route, configuration):
        resource.set_condition(status, "RoutesReady", UNKNOWN, "TrafficNotMigrated",
                               "Traffic is not yet migrated to the latest revision.", now=now)


async def _child(child: Resource, service: Resource, condition: str, context: Context) -> Resource | None:
    """The child as it is stored now; None, and the condition says why, if it is somebody else's."""
    try:
        return await context.apply(child, service)
    except NotOwned:
        resource.set_condition(resource.status(service), condition, FALSE, "NotOwned",
                               _NOT_OWNED.format(child["kind"], resource.name(child)), now=context.now)
        return None


async def _is_name_taken(name: str, configuration: Resource, context: Context) -> bool:
    revision = await context.get(REVISION, resource.namespace(configuration), name)
    return revision is not None and is_taken(revision, configuration)


def _is_current(child: Resource) -> bool:
    return (child.get("status") or {}).get("observedGeneration") == resource.generation(child)


def _propagate(status: dict[str, Any], child: Resource, condition: str, now: float) -> None:
    """Let *condition* say what the child's Ready says."""
    ready = resource.condition(child.get("status") or {}, READY)
    if ready is not None:
        resource.set_condition(status, condition, ready["status"], ready.get("reason", ""),
                               ready.get("message", ""), now=now)


def _copy(status: dict[str, Any], child: Resource, fields: tuple[str, ...]) -> None:
    for each in fields:
        if each in (child.get("status") or {}):
            status[each] = child["status"][each]
        else:
            status.pop(each, None)


def _is_migrated(route: Resource, configuration: Resource) -> bool:
    """Whether the Route's status points at the latest ready revision wherever its spec says so."""
    wanted = resource.spec(route).get("traffic") or []
    found = (route.get("status") or {}).get("traffic") or []
    latest = (configuration.get("status") or {}).get("latestReadyRevisionName")
    return len(wanted) == len(found) and all(
        (target.get("revisionName") or latest) == entry.get("revisionName")
        and target.get("percent", 0) == entry.get("percent", 0) and target.get("tag") == entry.get("tag")
        for target, entry in zip(wanted, found, strict=True))


def _configuration(service: Resource) -> Resource:
    annotations = _annotations(service, (names.LAST_APPLIED, *names.ROLLOUT_DURATION))
    return {
        "apiVersion": names.API_VERSION, "kind": "Configuration",
        "metadata": {"name": resource.name(service), "namespace": resource.namespace(service),
                     "labels": {**resource.labels(service), names.SERVICE: resource.name(service),
                                names.SERVICE_UID: resource.uid(service)},
                     "annotations": {**annotations, names.ROUTES: resource.name(service)}},
        "spec": {"template": resource.spec(service).get("template") or {}},
    }


def _route(service: Resource) -> Resource:
    targets = [dict(target) if target.get("revisionName")
               else {**target, "configurationName": resource.name(service)}
               for target in resource.spec(service).get("traffic") or ()]
    return {
        "apiVersion": names.API_VERSION, "kind": "Route",
        "metadata": {"name": resource.name(service), "namespace": resource.namespace(service),
                     "labels": {**resource.labels(service), names.SERVICE: resource.name(service)},
                     "annotations": _annotations(service, (names.LAST_APPLIED,))},
        "spec": {"traffic": targets},
    }


def _annotations(service: Resource, without: tuple[str, ...]) -> dict[str, str]:
    return {key: value for key, value in resource.annotations(service).items() if key not in without}


SERVICE = register(Kind(
    group=names.GROUP, version="v1", kind="Service", plural="services", singular="service",
    short_names=("kservice", "ksvc"), categories=("all", "knative", "serving"),
    columns=(Column("URL", ".status.url"), Column("LatestCreated", ".status.latestCreatedRevisionName"),
             Column("LatestReady", ".status.latestReadyRevisionName"), *READY_COLUMNS),
    default=default, validate=validate, reconcile=reconcile, fields={"spec": shape.SERVICE_SPEC},
    annotations={"metadata": (names.CLUSTER_LOCAL_TAGS,), "spec.template.metadata": template.ANNOTATIONS},
))
