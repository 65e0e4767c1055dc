"""
The subresource `scale` (autoscaling/v1), as `kubectl scale` reads and writes it: an object's replicas. Pure.

Source: Kubernetes' API reference, Scale v1 autoscaling.
"""

from typing import Any

from eventing.control import failure, resource, selector
from eventing.control.resource import Resource

GROUP, VERSION, KIND = "autoscaling", "v1", "Scale"


def shown(found: Resource) -> Resource:
    """The Scale of *found*, which has `spec.replicas`, and perhaps a `spec.selector`."""
    spec, meta = resource.spec(found), resource.meta(found)
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    status: dict[str, Any] = {"replicas": (found.get("status") or {}).get("replicas", 0)}
    if "selector" in spec:
        status["selector"] = selector.text(spec["selector"])
    return {"kind": KIND, "apiVersion": f"{GROUP}/{VERSION}",
            "metadata": {key: meta[key] for key in kept if key in meta},
            "spec": {"replicas": spec.get("replicas", 0)}, "status": status}


def taken(old: Resource, wish: Any) -> Resource:
    """*old* with the replicas of *wish*, a Scale; Failure 400 where it is none."""
    spec = wish.get("spec") if isinstance(wish, dict) else None
    replicas = spec.get("replicas", 0) if isinstance(spec, dict) else None
    if not isinstance(replicas, int) or isinstance(replicas, bool):
        raise failure.bad_request("a Scale (autoscaling/v1) says spec.replicas, a whole number")
    version = resource.resource_version(wish)
    meta = {**resource.meta(old), **({"resourceVersion": version} if version else {})}
    return {**old, "metadata": meta, "spec": {**resource.spec(old), "replicas": replicas}}
