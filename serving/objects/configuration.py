"""
Configuration: what the latest revision should be; every new template makes a Revision.

    CONFIGURATION-00001      Revision of generation 1, and so on; or `template.metadata.name`
    latestCreatedRevisionName    the Revision of this generation
    latestReadyRevisionName      the newest that is Ready; it never moves backwards

A Revision is made once and not touched again: labels and annotations of the Configuration are not copied to
it but for those that say where it comes from. Source: Knative Serving's `pkg/reconciler/configuration`.
"""

from eventing.control import failure, field, resource
from eventing.control.context import Context
from eventing.control.failure import Failure
from eventing.control.field import FieldError
from eventing.control.kind import READY_COLUMNS, Column, Defaults, Kind, register
from eventing.control.resource import FALSE, READY, TRUE, UNKNOWN, Resource
from serving.objects import garbage, metadata, names, settings, shape, template, unserved
from serving.objects.revision import REVISION

_COLLECT_S = 3600.0  # retention times are hours


def default(configuration: Resource, old: Resource | None, admission: Defaults) -> None:
    """Fill in the template, in place; one that keeps a name of its own, and changes, is left as it is."""
    configuration["spec"] = resource.spec(configuration)
    shape.check(configuration["spec"], shape.SERVICE_SPEC, "spec")
    default_template(configuration, old, admission)
    metadata.set_user(configuration, old)


def default_template(parent: Resource, old: Resource | None, admission: Defaults) -> None:
    """Fill in `spec.template` of a Service or a Configuration, in place."""
    found, before = parent["spec"].setdefault("template", {}), resource.spec(old or {}).get("template") or {}
    if not resource.name(found) or resource.name(found) != resource.name(before):
        template.default(found, resource.name(parent), admission, is_new=old is None)
        return
    # A new default would be a change without a change of name, as on Knative. But a file that is applied
    # again is none, although it has no defaults in it.
    again = resource.clone(found)
    template.default(again, resource.name(parent), admission, is_new=True)
    if again == before:
        parent["spec"]["template"] = before


def validate(configuration: Resource, old: Resource | None, admission: Defaults) -> list[FieldError]:
    """What is wrong with a Configuration, and with what changed since *old*."""
    wrong = metadata.errors_of(configuration) + metadata.owner_errors(configuration, names.SERVICE, "Service")
    errors = field.via_field(wrong, "metadata") + template_errors(configuration, old, admission)
    return errors + (metadata.user_errors(configuration, old) if old else [])


def template_errors(parent: Resource, old: Resource | None, admission: Defaults) -> list[FieldError]:
    """What is wrong with `spec.template` of a Service or a Configuration; paths begin at the object."""
    found = resource.spec(parent).get("template") or {}
    errors = template.errors_of(found, parent, admission)
    insecure = field.via_field(template.insecure(found, admission), "spec", "template", "spec")
    if insecure:
        admission.warnings.append(field.render(insecure))
    if not errors:
        for warning in unserved.of_template(found, settings.of_autoscaling(admission)):
            admission.warn(warning)
    if old is not None:
        errors += template.name_change_errors(found, resource.spec(old).get("template") or {})
    return field.via_field(errors, "spec", "template")


async def reconcile(configuration: Resource, context: Context) -> None:
    """Make the Revision of this generation, and follow which one is ready."""
    status, now = resource.status(configuration), context.now
    resource.initialize_conditions(status, (), now=now)
    try:
        revision = await _latest_created(configuration, context)
    except Failure as refused:
        if refused.reason != "Conflict":
            message = f"Revision creation failed with message: {_sentence(str(refused))}"
            resource.set_condition(status, READY, FALSE, "RevisionFailed", message, now=now)
        if refused.reason == "AlreadyExists":
            return
        raise
    name = resource.name(revision)
    status["latestCreatedRevisionName"] = name
    ready = resource.condition(revision.get("status") or {}, READY) or {}
    if ready.get("status") == FALSE:
        message = f'Revision "{name}" failed with message: {_sentence(ready.get("message", ""))}'
        if (resource.condition(status, READY) or {}).get("message") != message:
            which = "ready" if status.get("latestReadyRevisionName") == name else "created"
            await context.event(configuration, "Warning", f"Latest{which.capitalize()}Failed",
                                f'Latest {which} revision "{name}" has failed')
        resource.set_condition(status, READY, FALSE, "RevisionFailed", message, now=now)
    elif status.get("latestReadyRevisionName") != name:
        # What that one waits for; Knative says nothing, so that nobody knew why a Service does not come.
        reason, message = ready.get("reason", ""), ready.get("message", "")
        resource.set_condition(status, READY, UNKNOWN, reason, message, now=now)
    await _follow_ready(configuration, revision, context)
    await _collect(configuration, context)


def _sentence(message: str) -> str:
    """*message* with one mark at its end."""
    return message if message.endswith((".", "?", "!")) else f"{message}."


async def _latest_created(configuration: Resource, context: Context) -> Resource:
    """The Revision of this generation, made if there is none; Failure AlreadyExists if its name is taken."""
    namespace = resource.namespace(configuration)
    own_name = resource.name(resource.spec(configuration).get("template") or {})
    if own_name:
        context.track(REVISION, namespace, own_name)  # one that is another's may go
        found = await context.get(REVISION, namespace, own_name)
        if found is not None and is_taken(found, configuration):
            raise failure.already_exists(REVISION, own_name)
    else:
        generation = str(resource.generation(configuration))
        found = next((each for each in await revisions_of(configuration, context)
                      if resource.labels(each).get(names.CONFIGURATION_GENERATION) == generation), None)
    if found is not None:
        return found
    made = await context.apply(_revision(configuration, own_name, context.now), configuration)
    await context.event(configuration, "Normal", "Created", f'Created Revision "{resource.name(made)}"')
    return made


def is_taken(revision: Resource, configuration: Resource) -> bool:
    """Whether *revision*, which has the name that *configuration* wants, is not what it wants."""
    if not resource.is_controlled_by(revision, configuration):
        return True
    made_by = resource.labels(revision).get(names.CONFIGURATION_GENERATION)
    wanted = (resource.spec(configuration).get("template") or {}).get("spec")
    return made_by != str(resource.generation(configuration)) and resource.spec(revision) != wanted


async def revisions_of(configuration: Resource, context: Context) -> list[Resource]:
    """All Revisions that *configuration* made."""
    selector = f"{names.CONFIGURATION}={resource.name(configuration)}"
    return [each for each in await context.list(REVISION, resource.namespace(configuration), selector)
            if resource.is_controlled_by(each, configuration)]


def _revision(configuration: Resource, own_name: str, now: float) -> Resource:
    """The Revision of this generation of *configuration*."""
    found = resource.spec(configuration).get("template") or {}
    above, said = resource.labels(configuration), resource.annotations(configuration)
    generation = resource.generation(configuration)
    labels = {
        **resource.labels(found),
        names.CONFIGURATION: resource.name(configuration),
        names.CONFIGURATION_GENERATION: str(generation),
        names.CONFIGURATION_UID: resource.uid(configuration),
        names.SERVICE: above.get(names.SERVICE, ""),
        names.SERVICE_UID: above.get(names.SERVICE_UID, ""),
        names.ROUTING_STATE: "pending",
    }
    annotations = {
        **resource.annotations(found),
        names.CREATOR: said.get(names.LAST_MODIFIER, ""),
        names.ROUTES: said.get(names.ROUTES, ""),
        names.ROUTING_STATE_MODIFIED: resource.timestamp(now),
    }
    name = own_name or names.revision_name(resource.name(configuration), generation)
    return {
        "apiVersion": names.API_VERSION, "kind": "Revision",
        "metadata": {"name": name, "namespace": resource.namespace(configuration),
                     "labels": {key: value for key, value in labels.items() if value or key == names.SERVICE},
                     "annotations": {key: value for key, value in annotations.items() if value}},
        "spec": found.get("spec") or {},
    }


async def _follow_ready(configuration: Resource, latest: Resource, context: Context) -> None:
    """Let latestReadyRevisionName be the newest Ready one, no older than the one it is."""
    status = resource.status(configuration)
    before = status.get("latestReadyRevisionName")
    found = {resource.name(each): each for each in await revisions_of(configuration, context)}
    found[resource.name(latest)] = latest
    oldest = _generation(found[before]) if before in found else 0
    candidates = [each for each in found.values() if _generation(each) >= oldest or each is latest]
    candidates.sort(key=lambda each: (each is latest, _generation(each)), reverse=True)
    ready = next((each for each in candidates if resource.is_ready(each)), None)
    if ready is None:
        return
    status["latestReadyRevisionName"] = resource.name(ready)
    if ready is latest:
        resource.set_condition(status, READY, TRUE, now=context.now)
    if not before:
        await context.event(configuration, "Normal", "ConfigurationReady", "Configuration becomes ready")
    if before != resource.name(ready):
        await context.event(configuration, "Normal", "LatestReadyUpdate",
                            f'LatestReadyRevisionName updated to "{resource.name(ready)}"')


def _generation(revision: Resource) -> int:
    text = resource.labels(revision).get(names.CONFIGURATION_GENERATION, "")
    return int(text) if text.isdecimal() else 0


async def _collect(configuration: Resource, context: Context) -> None:
    """Delete Revisions that are old and that nobody routes to."""
    keep = garbage.retention(context.config_data(settings.NAMESPACE, "config-gc"))
    latest = resource.status(configuration).get("latestReadyRevisionName") or ""
    found = await revisions_of(configuration, context)
    for name in garbage.superfluous(found, latest, keep, context.now):
        if name != resource.status(configuration).get("latestCreatedRevisionName"):
            await context.delete(REVISION, resource.namespace(configuration), name)
    if len(found) > keep.least:  # some may grow too old while nothing else happens
        context.requeue(_COLLECT_S)


CONFIGURATION = register(Kind(
    group=names.GROUP, version="v1", kind="Configuration", plural="configurations", singular="configuration",
    short_names=("config", "cfg"), categories=("all", "knative", "serving"),
    columns=(Column("LatestCreated", ".status.latestCreatedRevisionName"),
             Column("LatestReady", ".status.latestReadyRevisionName"), *READY_COLUMNS),
    default=default, validate=validate, reconcile=reconcile, fields={"spec": shape.CONFIGURATION_SPEC},
    annotations={"spec.template.metadata": template.ANNOTATIONS},
))
