"""
Route: which Revisions get the requests of a host, and in which shares.

    NAME.NAMESPACE.DOMAIN        all targets by percentage
    TAG-NAME.NAMESPACE.DOMAIN    the target of that tag

How hosts are made, and which are served to this machine's own roles only, is told in `hosts.py`. The address
in the status is the inner name, which those roles know; the URL is for everybody else.

Where a duration is set, a new latest revision gets its share little by little (`rollout.py`); the Route is
not Ready while it does, and its state stands in the status. A host only ever points at Revisions that are
Ready: while a target is not, the projection `routes` stays as it is, and the old Revision serves; while none
was ever served, its host says why nobody answers. Revisions
are told (label routingState) whether anybody routes to them.
Sources: Knative Serving's `pkg/reconciler/{route,labeler}`.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from eventing.control import field, resource
from eventing.control.context import Context
from eventing.control.field import FieldError
from eventing.control.kind import READY_COLUMNS, Column, Defaults, Kind, register
from eventing.control.resource import FALSE, TRUE, UNKNOWN, Resource
from serving import duration
from serving.objects import metadata, names, placeholders, rollout, settings, shape, traffic
from serving.objects.configuration import CONFIGURATION
from serving.objects.hosts import Naming, local_tags_errors
from serving.objects.revision import REVISION

_CONDITIONS = ("AllTrafficAssigned", "IngressReady", "CertificateProvisioned")
_INNER = {"visibility": names.CLUSTER_LOCAL}  # of a host that the data port does not serve
_WHY_CHARACTERS = 500
_ROLLING = (UNKNOWN, "RolloutInProgress", "A gradual rollout of the latest revision(s) is in progress.")


def default(route: Resource, old: Resource | None, _admission: Defaults) -> None:
    """Fill in the targets, in place."""
    route["spec"] = resource.spec(route)
    shape.check(route["spec"].get("traffic"), shape.TRAFFIC, "spec.traffic")
    traffic.default(route["spec"].get("traffic"))
    metadata.set_user(route, old)


def validate(route: Resource, old: Resource | None, _admission: Defaults) -> list[FieldError]:
    """What is wrong with a Route, and with what changed since *old*."""
    wrong = metadata.errors_of(route) + metadata.owner_errors(route, names.SERVICE, "Service")
    targets = traffic.errors_of(resource.spec(route).get("traffic") or [], is_service=False)
    errors = field.via_field(wrong, "metadata") + field.via_field(targets, "spec", "traffic")
    errors += local_tags_errors(route)
    return errors + (metadata.user_errors(route, old) if old else [])


def naming(context: Context) -> Naming:
    """How Routes are named now; to be asked once for each look at a Route: it may change meanwhile."""
    return Naming(context.config.domain, context.config_data(settings.NAMESPACE, "config-domain"),
                  context.config_data(settings.NAMESPACE, "config-network"))


async def reconcile(route: Resource, context: Context) -> None:
    """Assign the traffic and tell the ingress, or say why not."""
    status, now, named = resource.status(route), context.now, naming(context)
    resource.initialize_conditions(status, _CONDITIONS, now=now)
    if "address" not in status:  # else it is served at what its status says, until that is served instead
        if (said := _host(status)) != named.host(route) and not _taken(route, context):
            await context.project("routes", said, None)
        status["url"] = named.url(route, context.config.port)
    if status.get("observedGeneration") != resource.generation(route):
        resource.set_condition(status, "IngressReady", UNKNOWN, "IngressNotConfigured",
                               "Ingress has not yet been reconciled.", now=now)
    resource.set_condition(status, "CertificateProvisioned", TRUE, "TLSNotEnabled",
                           "external-domain-tls is not enabled", now=now)
    configurations, revisions = await _targets(route, context)
    targets = resource.spec(route).get("traffic") or []
    service = resource.labels(route).get(names.SERVICE, "")
    try:
        assigned = traffic.assign(targets, service, configurations, revisions)
    except traffic.Unassigned as wrong:
        resource.set_condition(status, "AllTrafficAssigned", wrong.status, wrong.reason, wrong.message,
                               now=now)
        await _excuse(route, wrong, configurations, named, context)
    else:
        resource.set_condition(status, "AllTrafficAssigned", TRUE, now=now)
        ingress = await _serve(route, assigned, named, context)
        resource.set_condition(status, "IngressReady", *ingress, now=now)
    await _tell_revisions(route, configurations, context)
    resource.compute_ready(status, _CONDITIONS, now=now)


async def _excuse(route: Resource, wrong: traffic.Unassigned, configurations: Mapping[str, Resource],
                  named: Naming, context: Context) -> None:
    """Have a host that was never served say what is *wrong*; one that was is served as before."""
    if "address" in resource.status(route) or _taken(route, context):
        return
    unready = (resource.condition(found.get("status") or {}, resource.READY)
               for found in configurations.values())
    said = next((ready.get("message", "") for ready in unready if ready and ready["status"] == FALSE), "")
    lines = (said or wrong.message).splitlines()  # of a traceback, what it says of itself and what it ends in
    why = ": ".join(filter(None, [f"Service {_service_of(route)} has no revision that is ready",
                                  *dict.fromkeys([*lines[:1], *lines[-1:]])]))
    record = _record(route, "", [], is_local=named.is_local(route))
    await context.project("routes", named.host(route, ""), record | {"why": why[:_WHY_CHARACTERS]})


async def _serve(route: Resource, assigned: list[traffic.Assignment], named: Naming,
                 context: Context) -> tuple[str, ...]:
    """Let the hosts lead to what is *assigned*, unless one of them is another Route's; IngressReady of it."""
    namespace = resource.namespace(route)
    for _, name, _ in placeholders.rivals(route):
        context.track(ROUTE, namespace, name)
    if label := _taken(route, context):
        return FALSE, "NotOwned", placeholders.NOT_OWNED.format(label)
    rollouts = await _roll(route, assigned, context)
    await _project(route, assigned, rollouts, named, context)
    due_s = rollout.due_s(rollouts, _ns(context.now))
    if due_s is None:
        return (TRUE,)
    context.requeue(due_s)
    return _ROLLING


def _taken(route: Resource, context: Context) -> str:
    return placeholders.taken(route, lambda name: context.store.get(ROUTE, resource.namespace(route), name))


async def _targets(route: Resource, context: Context) -> tuple[dict[str, Resource], dict[str, Resource]]:
    """Configurations and Revisions that the traffic may mean, by name; missing ones are tracked too."""
    namespace = resource.namespace(route)
    configurations: dict[str, Resource] = {}
    revisions: dict[str, Resource] = {}
    for target in resource.spec(route).get("traffic") or ():
        wanted = target.get("revisionName") or ""
        if name := target.get("configurationName") or "":
            context.track(CONFIGURATION, namespace, name)
            if found := await context.get(CONFIGURATION, namespace, name):
                configurations[name] = found
                wanted = wanted or (found.get("status") or {}).get("latestReadyRevisionName") or ""
        if wanted:
            context.track(REVISION, namespace, wanted)
            if found := await context.get(REVISION, namespace, wanted):
                revisions[wanted] = found
    return configurations, revisions


async def _roll(
    route: Resource, assigned: list[traffic.Assignment], context: Context
) -> list[rollout.Rollout]:
    """The shares of the latest revisions as they are now, on their way to what is *assigned*."""
    status = resource.status(route)
    duration_s = _rollout_s(route, context)
    said = dict(status.get("annotations") or {})
    before = rollout.load(said.pop(rollout.STATE, "{}"))
    gone = [name for each in before for name, _ in each.revisions
            if await context.get(REVISION, resource.namespace(route), name) is None]
    rollouts = rollout.step(traffic.goals(assigned), before, _ns(context.now), duration_s, gone)
    if duration_s > 0:
        said[rollout.STATE] = rollout.dump(rollouts)
    status.pop("annotations", None)
    if said:
        status["annotations"] = said
    return rollouts


def _rollout_s(route: Resource, context: Context) -> float:
    """How long a rollout takes: the annotation, else `config-network`; 0: it is done at once."""
    found = names.first(resource.annotations(route), names.ROLLOUT_DURATION)
    network = context.config_data(settings.NAMESPACE, "config-network")
    if found is not None and found[1]:
        return duration.parse_s(found[1])
    return settings.rollout_s(network)


def _ns(unix_s: float) -> int:
    return int(unix_s * duration.SECOND_NS)


async def _project(route: Resource, assigned: list[traffic.Assignment], rollouts: list[rollout.Rollout],
                   named: Naming, context: Context) -> None:
    """Write the hosts that are, drop those that were, and say so in the status."""
    status, port = resource.status(route), context.config.port
    shares = traffic.shares(assigned, rollouts)
    hosts = {named.host(route, tag): tag for tag in shares}
    aliases = {named.inner(route, tag): name for name, tag in hosts.items() if named.needs_alias(route, tag)}
    by_header = _by_header(route, shares, named) if _routes_by_header(context) else None
    for name, tag in hosts.items():
        record = _record(route, tag, shares[tag], is_local=named.is_local(route, tag))
        if by_header is not None:  # at the host of a tag, a header changes nothing
            record["tags"] = {} if tag else by_header
        await context.project("routes", name, record)
    for inner, name in aliases.items():
        await context.project("routes", inner, {"service": _service_of(route), "alias": name, **_INNER})
    for old in _hosts(route, named) - hosts.keys() - aliases.keys():  # at last: no name ever leads nowhere
        await context.project("routes", old, None)
    status["url"], status["address"] = named.url(route, port), {"url": f"http://{named.inner(route)}"}
    status["traffic"] = [_entry(each, named.url(route, port, each.tag))
                         for each in traffic.spread(assigned, rollouts)]


def _service_of(route: Resource) -> str:
    name = resource.labels(route).get(names.SERVICE) or resource.name(route)
    return f"{resource.namespace(route)}/{name}"


def _record(route: Resource, tag: str, targets: list[rollout.Share], *, is_local: bool) -> dict[str, Any]:
    """The record of one host: see eventing/keys.py."""
    record: dict[str, Any] = {"service": _service_of(route),
                              "targets": _targets_of(targets, tag, resource.namespace(route))}
    return record | _INNER if is_local else record


def _targets_of(shares: list[rollout.Share], tag: str, namespace: str) -> list[dict[str, Any]]:
    return [{"revision": f"{namespace}/{revision}", "percent": percent, "tag": tag}
            for revision, percent in shares]


def _routes_by_header(context: Context) -> bool:
    """Whether the feature tag-header-based-routing is on."""
    flags = context.config_data(settings.NAMESPACE, "config-features")
    return settings.Features(flags).enabled("tag-header-based-routing")


def _by_header(route: Resource, shares: Mapping[str, list[rollout.Share]], named: Naming) -> dict[str, Any]:
    """Targets by the value of header Knative-Serving-Tag; none leads from outside to an inner tag."""
    is_local = named.is_local(route)
    return {tag: _targets_of(targets, tag, resource.namespace(route)) for tag, targets in shares.items()
            if tag and named.is_local(route, tag) == is_local}


def _hosts(route: Resource, named: Naming) -> set[str]:
    """Hosts that the status says are served, the Route's own and those of its tags; and their inner names."""
    status = resource.status(route)
    if "address" not in status:
        return set()
    tags = {"": status["url"]} | {each["tag"]: each["url"] for each in status.get("traffic") or ()
                                  if each.get("tag")}
    return ({urlsplit(found).hostname or "" for found in tags.values()}
            | {named.inner(route, tag) for tag in tags})


def _host(status: Mapping[str, Any]) -> str:
    """The host of the URL in the status; empty where there is none yet."""
    return urlsplit(status.get("url") or "").hostname or ""


def _entry(each: traffic.Assignment, tag_url: str) -> dict[str, Any]:
    """One element of `status.traffic`."""
    entry: dict[str, Any] = {"revisionName": each.revision, "percent": each.percent,
                             "latestRevision": each.is_latest}
    return entry | {"tag": each.tag, "url": tag_url} if each.tag else entry


async def _tell_revisions(route: Resource, configurations: dict[str, Resource], context: Context) -> None:
    """
    Write on Revisions whether this Route points at them.

    The newest Revision counts before it is ready, so that it is brought up like one in use.
    """
    wanted = {target.get("revisionName") for holder in (resource.status(route), resource.spec(route))
              for target in holder.get("traffic") or ()}
    for target in resource.spec(route).get("traffic") or ():
        found = configurations.get(target.get("configurationName") or "")
        if found and target.get("latestRevision"):
            wanted.add((found.get("status") or {}).get("latestCreatedRevisionName"))
    await _mark(route, {name for name in wanted if name}, context)


async def _mark(route: Resource, wanted: set[str], context: Context) -> None:
    """Keep label routingState and annotation routes of the Revisions true."""
    name, service = resource.name(route), resource.labels(route).get(names.SERVICE)
    # A Service's Route only ever points at that Service's revisions; any other one may point anywhere.
    selector = f"{names.SERVICE}={service}" if service else None
    for revision in await context.list(REVISION, resource.namespace(route), selector):
        annotations, labels = resource.annotations(revision), resource.labels(revision)
        before = {each for each in annotations.get(names.ROUTES, "").split(",") if each}
        is_wanted = resource.name(revision) in wanted
        if not is_wanted and name not in before:
            continue
        after = before | {name} if is_wanted else before - {name}
        state = "active" if after else "reserve"
        if after == before and labels.get(names.ROUTING_STATE) == state:
            continue
        annotations = {key: value for key, value in annotations.items() if key != names.ROUTES}
        if after:
            annotations[names.ROUTES] = ",".join(sorted(after))
        if labels.get(names.ROUTING_STATE) != state:
            annotations[names.ROUTING_STATE_MODIFIED] = resource.timestamp(context.now)
        revision["metadata"] |= {"annotations": annotations, "labels": {**labels, names.ROUTING_STATE: state}}
        await context.update(revision)


async def finalize(route: Resource, context: Context) -> None:
    """Forget the hosts, and let the Revisions go to zero."""
    named, hosts = naming(context), set()
    if not _taken(route, context):  # else only what its status says is its own
        tags = {target.get("tag") or "" for target in resource.spec(route).get("traffic") or ()}
        hosts = {make(route, tag) for tag in {"", *tags} for make in (named.host, named.inner)}
        hosts.add(_host(resource.status(route)))
    for name in hosts | _hosts(route, named):
        await context.project("routes", name, None)
    await _mark(route, set(), context)


ROUTE = register(Kind(
    group=names.GROUP, version="v1", kind="Route", plural="routes", singular="route", short_names=("rt",),
    categories=("all", "knative", "serving"), columns=(Column("URL", ".status.url"), *READY_COLUMNS),
    default=default, validate=validate, reconcile=reconcile, finalize=finalize,
    fields={"spec": {"traffic": shape.TRAFFIC}},
))
