"""
What clients ask for that is never there: pods, replicasets and Services of the core group. Pure.

`kubectl logs`, `exec` and `rollout undo` print what is said of the first two; `func list` looks for functions
that are plain Deployments by their Services, and fails where it gets no list.
"""

from typing import Any

from eventing.control.failure import Failure

_SAID = {
    ("", "pods"): "there are no pods here, a worker is a process: `clarion logs NAME` shows what a function, "
                  "or the program of a Deployment or ContainerSource, prints",
    ("apps", "replicasets"): "there are no replicasets here, and of a Deployment no history is kept: apply "
                             "its file as it was before",
}
_SERVICES = ("", "services")


def answer(method: str, group: str, rest: list[str]) -> dict[str, Any] | None:
    """
    An empty list, if that is what to answer to a request of *rest* below the version of *group*; else None.

    Raises Failure: 404, with what to do instead.
    """
    parts = rest[2:] if rest[0] == "namespaces" and len(rest) > 2 else rest  # noqa: PLR2004  their name
    if (group, parts[0]) in _SAID:
        raise Failure(404, "NotFound", _SAID[(group, parts[0])])
    if method != "GET" or (group, *parts) != _SERVICES:
        return None
    return {"kind": "ServiceList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": []}
