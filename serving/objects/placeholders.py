"""
Who has a host: the tag `t` of Route `x` and the Route `t-x` would share one, and no two may.

On Knative each host has a Kubernetes Service that holds its place, called like the host's first label, and
whoever made it first has it. Here, without such objects, it is read off the Routes: the one that is served
there already, else the one whose own name it is, else the first by name. The other one waits, with Knative's
words.

Pure. Source: Knative Serving's `pkg/reconciler/route/reconcile_resources.go`.
"""

from collections.abc import Callable, Iterator

from eventing.control import resource
from eventing.control.resource import Resource

NOT_OWNED = 'There is an existing placeholder Service "{}" that we do not own.'

Get = Callable[[str], Resource | None]  # the Route of that name, in the same namespace


def rivals(route: Resource) -> Iterator[tuple[str, str, str]]:
    """Tag of *route* ("" is its own name), and name and tag of every Route that may want the same host."""
    name = resource.name(route)
    for tag in sorted(_tags(resource.spec(route)) | {""}):
        label = f"{tag}-{name}" if tag else name
        parts = label.split("-")
        splits = [("-".join(parts[cut:]), "-".join(parts[:cut])) for cut in range(len(parts))]
        yield from ((tag, other, theirs) for other, theirs in splits if other not in {name, ""})


def taken(route: Resource, get: Get) -> str:
    """The first label of a host that *route* may not have, since another one has it; "" if there is none."""
    for tag, name, their_tag in rivals(route):
        other = get(name)
        if other is None or their_tag not in _tags(resource.spec(other)) | {""}:
            continue
        mine = resource.name(route)
        theirs = _is_served(other, their_tag), not their_tag, name < mine
        if theirs > (_is_served(route, tag), not tag, mine < name):
            return f"{tag}-{mine}" if tag else mine
    return ""


def _is_served(route: Resource, tag: str) -> bool:
    status = route.get("status") or {}
    return "address" in status and tag in _tags(status) | {""}


def _tags(holder: Resource) -> set[str]:
    """The tags of a spec or of a status."""
    return {target["tag"] for target in holder.get("traffic") or () if target.get("tag")}
