"""
Where a Destination leads: a reference, a URI, or a URI relative to a reference (Knative's duck/v1).

| destination | URL |
|---|---|
| `ref` to a v1 Service | `http://NAME.NAMESPACE.svc.cluster.local` |
| `ref` to any other object | its `status.address.url`; the entry of `status.addresses` called `ref.address` |
| `ref` and a relative `uri` | the URI resolved against that (RFC 3986) |
| `uri` | as it is; absolute |

Pure: the caller hands in how an object is looked up.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from eventing.control.kind import Kind, of
from eventing.control.resource import READY, TRUE, Resource, condition
from eventing.errors import ClarionError

CLUSTER_DOMAIN = "cluster.local"  # Kubernetes' own default

Get = Callable[[Kind, str, str], Resource | None]


class Unresolved(ClarionError):
    """A Destination that leads nowhere yet; `reason` and `message` are for a condition."""

    def __init__(self, reason: str, message: str) -> None:
        """Say why, in one CamelCase word and in a sentence."""
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True, slots=True)
class Reference:
    """A KReference with its namespace filled in."""

    api_version: str
    kind: str
    namespace: str
    name: str
    address: str = ""

    def __str__(self) -> str:
        """As Knative's messages print it (Go's ObjectReference)."""
        return (f"&ObjectReference{{Kind:{self.kind},Namespace:{self.namespace},Name:{self.name},UID:,"
                f"APIVersion:{self.api_version},ResourceVersion:,FieldPath:,}}")


def reference_of(destination: Mapping[str, Any], namespace: str) -> Reference | None:
    """The `ref` of a Destination, seen from an object in *namespace*; None where it has none."""
    ref = destination.get("ref")
    if not ref:
        return None
    api_version = ref.get("apiVersion") or (f'{ref["group"]}/' if ref.get("group") else "")
    return Reference(api_version, ref.get("kind") or "", ref.get("namespace") or namespace,
                     ref.get("name") or "", ref.get("address") or "")


def resolve(destination: Mapping[str, Any], namespace: str, get: Get) -> str:
    """The URL of a Destination, seen from an object in *namespace*; raises Unresolved."""
    reference = reference_of(destination, namespace)
    uri = destination.get("uri") or ""
    if reference is not None:
        url = _address(reference, get)
        if destination.get("CACerts") and reference.kind == "Service" and reference.api_version == "v1":
            url = url.replace("http://", "https://", 1)
        return urljoin(url, uri) if uri else url
    if not uri:
        raise Unresolved("InvalidDestination", "destination missing Ref and URI, expected at least one")
    parts = urlsplit(uri)
    if not parts.scheme or not parts.netloc:
        message = f'URI is not absolute (both scheme and host should be non-empty): "{uri}"'
        raise Unresolved("InvalidDestination", message)
    return str(uri)


def _address(reference: Reference, get: Get) -> str:
    if reference.api_version == "v1" and reference.kind == "Service":
        return f"http://{reference.name}.{reference.namespace}.svc.{CLUSTER_DOMAIN}"
    kind = of(reference.api_version, reference.kind)
    where = f"{reference.namespace}/{reference.name}"
    if kind is None:
        missing = f'no matches for kind "{reference.kind}" in version "{reference.api_version}"'
        raise Unresolved("NotFound", f"failed to get object {where}: {missing}")
    found = get(kind, reference.namespace, reference.name)
    if found is None:
        missing = f'{kind.resource_name} "{reference.name}" not found'
        raise Unresolved("NotFound", f"failed to get object {where}: {missing}")
    try:
        return _reported(reference, found.get("status") or {})
    except Unresolved as unresolved:
        raise Unresolved(unresolved.reason, unresolved.message + _why(reference, found)) from None


def _why(reference: Reference, found: Resource) -> str:
    """What an object says that has no address yet: why it is not Ready; "" where it says nothing."""
    ready = condition(found.get("status") or {}, READY)
    if ready is None or ready["status"] == TRUE:
        return ""
    said = ": ".join(filter(None, (ready.get("reason"), ready.get("message"))))
    where = f"{reference.kind} {reference.namespace}/{reference.name}"
    return f": {where} is not Ready: {said}" if said else f": {where} is not Ready yet"


def _reported(reference: Reference, status: Mapping[str, Any]) -> str:
    if reference.address:
        named = (entry for entry in status.get("addresses") or () if entry.get("name") == reference.address)
        address = next(named, None)
    else:
        address = status.get("address") or next(iter(status.get("addresses") or ()), None)
    if not address:
        raise Unresolved("AddressNotSet", f"address not set for {reference}")
    url = address.get("url")
    if not url:
        raise Unresolved("AddressNotSet", f"URL missing in address of {reference}")
    if not urlsplit(url).netloc:
        raise Unresolved("AddressNotSet", f"hostname missing in address of {reference}")
    return str(url)
