"""
Names and keys of Knative Serving: labels, annotations, and how a child's name follows from its parent's.

Only strings; who writes which label is told where it is written (service, configuration, revision, route).
"""

import re
from collections.abc import Mapping

from eventing.control import resource

GROUP = "serving.knative.dev"
API_VERSION = f"{GROUP}/v1"

# Labels of Configurations, Routes and Revisions.
SERVICE = f"{GROUP}/service"
SERVICE_UID = f"{GROUP}/serviceUID"
CONFIGURATION = f"{GROUP}/configuration"
CONFIGURATION_UID = f"{GROUP}/configurationUID"
CONFIGURATION_GENERATION = f"{GROUP}/configurationGeneration"
ROUTING_STATE = f"{GROUP}/routingState"
REVISION = f"{GROUP}/revision"  # of what belongs to a Revision
REVISION_UID = f"{GROUP}/revisionUID"

# Annotations.
CREATOR = f"{GROUP}/creator"
LAST_MODIFIER = f"{GROUP}/lastModifier"
ROUTES = f"{GROUP}/routes"
ROUTING_STATE_MODIFIED = f"{GROUP}/routingStateModified"
NO_GC = f"{GROUP}/no-gc"
LAST_PINNED = f"{GROUP}/lastPinned"
ROLLOUT_DURATION = (f"{GROUP}/rollout-duration", f"{GROUP}/rolloutDuration")  # either spelling
PROGRESS_DEADLINE = (f"{GROUP}/progress-deadline", f"{GROUP}/progressDeadline")
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
ENTRY = "clarion.dev/entry"  # "module:name" of a bundle's function
PRELOAD = "clarion.dev/preload"  # comma-separated modules that the zygote imports
CLUSTER_LOCAL_TAGS = "clarion.dev/cluster-local-tags"  # comma-separated

VISIBILITY = "networking.knative.dev/visibility"
CLUSTER_LOCAL = "cluster-local"  # its only value

_NAME_LIMIT = 63  # RFC 1035: a label of a host name
_DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_DNS_1123 = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_TOO_LONG = f"must be no more than {_NAME_LIMIT} characters"
_DNS_1035_WRONG = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
    "character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for "
    "validation is '[a-z]([-a-z0-9]*[a-z0-9])?')")
_SUBDOMAIN_LIMIT = 253  # RFC 1123
_SUBDOMAIN_WRONG = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')")
_QUALIFIED_WRONG = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')")


def revision_name(configuration: str, generation: int) -> str:
    """Name of the Revision that *generation* of *configuration* makes: `hello-00001`."""
    return resource.child_name(configuration, f"-{generation:05d}")


def not_dns_1035(name: str) -> list[str]:
    """What keeps *name* from being a DNS-1035 label, in Kubernetes' words; empty if it is one."""
    complaints = [_TOO_LONG] if len(name) > _NAME_LIMIT else []
    return complaints + ([] if _DNS_1035.fullmatch(name) else [_DNS_1035_WRONG])


def is_dns_1123(name: str) -> bool:
    """Whether *name* is a DNS-1123 label, as the names of volumes are."""
    return len(name) <= _NAME_LIMIT and _DNS_1123.fullmatch(name) is not None


def not_dns_1123_subdomain(name: str) -> list[str]:
    """What keeps *name* from being a DNS-1123 subdomain, in Kubernetes' words; empty if it is one."""
    too_long = f"must be no more than {_SUBDOMAIN_LIMIT} characters"
    complaints = [too_long] if len(name) > _SUBDOMAIN_LIMIT else []
    is_right = all(_DNS_1123.fullmatch(part) for part in name.split("."))
    return complaints + ([] if is_right else [_SUBDOMAIN_WRONG])


def not_fully_qualified(name: str) -> str:
    """What keeps *name* from being a domain name, in Kubernetes' words; "" if it is one."""
    if wrong := not_dns_1123_subdomain(name):
        return f'Invalid value: "{name}": {",".join(wrong)}'
    if "." not in name:
        return f'Invalid value: "{name}": should be a domain with at least two segments separated by dots'
    long = next((label for label in name.split(".") if len(label) > _NAME_LIMIT), None)
    return "" if long is None else f'Invalid value: "{long}": {_TOO_LONG}'


def not_qualified(name: str) -> list[str]:
    """What keeps *name* from being a qualified name, in Kubernetes' words; empty if it is one."""
    complaints = [f"name part {_TOO_LONG}"] if len(name) > _NAME_LIMIT else []
    return complaints + ([] if _QUALIFIED.fullmatch(name) else [_QUALIFIED_WRONG])


def first(values: Mapping[str, str], keys: tuple[str, ...]) -> tuple[str, str] | None:
    """The first of *keys* that *values* has, with its value: some annotations have two spellings."""
    return next(((key, values[key]) for key in keys if key in values), None)
