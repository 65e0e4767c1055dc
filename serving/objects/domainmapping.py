"""
DomainMapping: a domain of one's own for a Service.

    metadata.name    the domain
    spec.ref         the Service or Route that answers there

The domain becomes a member of table `routes` that stands for the Service's host, so percentages, tags and
rollouts are the Route's and nothing is copied. Who may have a domain:

    ClusterDomainClaim of that name    autocreate-cluster-domain-claims    the domain is had by
    -------------------------------    --------------------------------    --------------------
    names a namespace                  either                              the DomainMapping there
    none                               true (the default here)             the oldest; the next when that goes
    none                               false                               nobody

The data port speaks HTTP; `spec.tls` is for a proxy before it.
Source: Knative Serving's `pkg/apis/serving/v1beta1` and `pkg/reconciler/domainmapping`.
"""

from typing import Any
from urllib.parse import urlsplit

from eventing.config import INNER_SUFFIX
from eventing.control import field, resource
from eventing.control.address import CLUSTER_DOMAIN, Unresolved
from eventing.control.context import Context
from eventing.control.field import FieldError
from eventing.control.kind import READY_COLUMNS, Column, Defaults, Kind, register
from eventing.control.resource import FALSE, TRUE, UNKNOWN, Resource
from serving.objects import metadata, names, settings, shape
from serving.objects.domainclaim import CLUSTER_DOMAIN_CLAIM
from serving.objects.hosts import served_url
from serving.objects.route import naming

_CONDITIONS = ("CertificateProvisioned", "DomainClaimed", "IngressReady", "ReferenceResolved")
_TLS = "spec.tls is not looked at: the data port speaks HTTP, a proxy before it may end TLS"
_CLAIMED = "The domain name is already in use by another DomainMapping"
_UNCLAIMED = 'no ClusterDomainClaim found for domain "{}"'
_RESERVED = "The domain name is one that a Route may have: choose one that does not end in NAME.NAMESPACE.{}"


def default(mapping: Resource, old: Resource | None, admission: Defaults) -> None:
    """Let the reference say its namespace, in place."""
    mapping["spec"] = spec = resource.spec(mapping)
    shape.check(spec, shape.DOMAIN_SPEC, "spec")
    if spec.get("ref"):
        spec["ref"].setdefault("namespace", resource.namespace(mapping))
    if spec.get("tls"):
        admission.warnings.append(_TLS)
    metadata.set_user(mapping, old)


def validate(mapping: Resource, old: Resource | None, _admission: Defaults) -> list[FieldError]:
    """What is wrong with a DomainMapping, and with what changed since *old*."""
    errors = field.via_field(_name_errors(mapping), "metadata")
    errors += field.via_field(_reference_errors(mapping), "spec", "ref")
    return errors + (metadata.user_errors(mapping, old) if old else [])


def _name_errors(mapping: Resource) -> list[FieldError]:
    name = resource.name(mapping)
    if resource.meta(mapping).get("generateName"):
        return [field.disallowed_fields("generateName")]
    if complaint := names.not_fully_qualified(name):
        wrong = f"name: {complaint}"
    elif name.endswith(f".{CLUSTER_DOMAIN}"):
        wrong = f'must not be a subdomain of cluster local domain "{CLUSTER_DOMAIN}"'
    else:
        return []
    return [field.generic(f'invalid name "{name}": {wrong}', "name")]


def _reference_errors(mapping: Resource) -> list[FieldError]:
    ref = resource.spec(mapping).get("ref") or {}
    errors = [field.missing_field(name) for name in ("apiVersion", "kind", "name") if not ref.get(name)]
    where, wanted = resource.namespace(mapping), ref.get("namespace")
    if wanted and wanted != where:
        details = f'parent namespace: "{where}" does not match ref: "{wanted}"'
        errors.append(FieldError("mismatched namespaces", ("namespace",), details))
    return errors


async def reconcile(mapping: Resource, context: Context) -> None:
    """Claim the domain, and let it lead to what it refers to."""
    status, now, name = resource.status(mapping), context.now, resource.name(mapping)
    resource.initialize_conditions(status, _CONDITIONS, now=now)
    status["url"] = naming(context).outer_url(name, context.config.port)
    resource.set_condition(status, "CertificateProvisioned", TRUE, "TLSNotEnabled",
                           "external-domain-tls is not enabled", now=now)
    resource.set_condition(status, "IngressReady", UNKNOWN, "IngressNotConfigured",
                           "Ingress has not yet been reconciled.", now=now)
    if await _is_claimed(mapping, context):
        alias = await _target(mapping, context)
        await context.project("routes", name, alias)
        if alias is not None:
            status["address"] = {"url": served_url(name, context.config.port)}
            resource.set_condition(status, "IngressReady", TRUE, now=now)
    resource.compute_ready(status, _CONDITIONS, now=now)


async def _is_claimed(mapping: Resource, context: Context) -> bool:
    """Whether this one has the domain; the condition says why not."""
    status, now, name = resource.status(mapping), context.now, resource.name(mapping)
    domain = f".{context.config.domain}"
    if name.endswith(domain) and "." in name.removesuffix(domain):
        resource.set_condition(status, "DomainClaimed", FALSE, "DomainReserved",
                               _RESERVED.format(context.config.domain), now=now)
        return False
    network = context.config_data(settings.NAMESPACE, "config-network")
    if await _claim(name, context) is None and not settings.claims_domains(network):
        await context.project("routes", name, None)
        resource.set_condition(status, "DomainClaimed", FALSE, "DomainClaimFailed", _UNCLAIMED.format(name),
                               now=now)
        return False
    holder = await _holder(name, context)
    if not holder:  # it is for another namespace, where nobody has asked for it yet
        await context.project("routes", name, None)
    if resource.uid(holder) == resource.uid(mapping):
        resource.set_condition(status, "DomainClaimed", TRUE, now=now)
        return True
    context.track(DOMAIN_MAPPING, resource.namespace(holder), name)
    resource.set_condition(status, "DomainClaimed", FALSE, "DomainAlreadyClaimed", _CLAIMED, now=now)
    return False


async def _claim(name: str, context: Context) -> str | None:
    """The namespace that a ClusterDomainClaim gives the domain *name* to; None if there is no claim."""
    context.track(CLUSTER_DOMAIN_CLAIM, "", name)
    found = await context.get(CLUSTER_DOMAIN_CLAIM, "", name)
    return None if found is None else str(resource.spec(found).get("namespace") or "")


async def _holder(name: str, context: Context) -> Resource:
    """The DomainMapping that has the domain *name*: the one that a claim means, else the oldest; or none."""
    claim = await _claim(name, context)
    same = [each for each in await context.list(DOMAIN_MAPPING) if resource.name(each) == name
            and (claim is None or resource.namespace(each) == claim)]
    return min(same, default={}, key=lambda each: (
        resource.meta(each).get("creationTimestamp", ""), resource.uid(each)))


async def _target(mapping: Resource, context: Context) -> dict[str, Any] | None:
    """The record of the domain; None, and the condition says why, where it leads nowhere."""
    status, now, namespace = resource.status(mapping), context.now, resource.namespace(mapping)
    ref = resource.spec(mapping)["ref"]
    try:
        host = _host(await context.resolve({"ref": ref}, namespace), context.config.service_suffixes)
    except Unresolved as wrong:
        resource.set_condition(status, "ReferenceResolved", FALSE, "ResolveFailed", wrong.message, now=now)
        return None
    resource.set_condition(status, "ReferenceResolved", TRUE, now=now)
    return {"service": f"{namespace}/{ref['name']}", "alias": host}


def _host(found: str, ours: tuple[str, ...]) -> str:
    """The host of a URL of one of our Services; Unresolved where it is none."""
    url = urlsplit(found)
    if url.path:
        raise Unresolved("ResolveFailed", f'resolved URI "{found}" contains a path')
    host = url.hostname or ""
    if not host.endswith(ours):
        raise Unresolved("ResolveFailed", f'resolved URI "{found}" must be of the form '
                                          f"{{name}}.{{namespace}}{INNER_SUFFIX}")
    return host


async def finalize(mapping: Resource, context: Context) -> None:
    """Give the domain up."""
    name = resource.name(mapping)
    if resource.uid(await _holder(name, context)) == resource.uid(mapping):
        await context.project("routes", name, None)


DOMAIN_MAPPING = register(Kind(
    group=names.GROUP, version="v1beta1", kind="DomainMapping", plural="domainmappings",
    singular="domainmapping", short_names=("dm",), categories=("all", "knative", "serving"),
    columns=(Column("URL", ".status.url"), *READY_COLUMNS),
    default=default, validate=validate, reconcile=reconcile, finalize=finalize,
    fields={"spec": shape.DOMAIN_SPEC},
))
