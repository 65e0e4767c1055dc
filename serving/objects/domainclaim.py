"""
ClusterDomainClaim: which namespace may have a domain. Who reads it is the DomainMapping of that name.

Source: Knative networking's `pkg/apis/networking/v1alpha1/domainclaim_types.go`.
"""

from eventing.control import field, resource
from eventing.control.field import FieldError
from eventing.control.kind import Defaults, Kind, register
from eventing.control.resource import Resource


def validate(claim: Resource, _old: Resource | None, _admission: Defaults) -> list[FieldError]:
    """Complain of a claim that names no namespace."""
    names_one = bool(resource.spec(claim).get("namespace"))
    return [] if names_one else [field.missing_field("namespace").via_field("spec")]


CLUSTER_DOMAIN_CLAIM = register(Kind(
    group="networking.internal.knative.dev", version="v1alpha1", kind="ClusterDomainClaim",
    plural="clusterdomainclaims", singular="clusterdomainclaim", short_names=("cdc",),
    categories=("knative-internal", "networking"), namespaced=False, has_status=False, validate=validate,
    fields={"spec": {"namespace": str}},
))
