"""
`run.volumes` of a func.yaml: a Secret, a ConfigMap or an empty directory, each at a path of the function's.

A persistentVolumeClaim is left out, which `Function.ignored` tells: there is no disk to be claimed here. What
is wrong with a path or a size the API says. Volumes have the names that func gives them, but for an emptyDir:
it is numbered where func draws lots, so that what is deployed again unchanged makes no new revision.

Pure. Source: `pkg/k8s/deployer.go` of Knative's func.
"""

from typing import Any

from eventing.errors import UsageError
from serving.functions.funcyaml import CLAIM, Function, get, section

Resource = dict[str, Any]

_TYPES: dict[str, type] = {"secret": str, "configMap": str, "emptyDir": dict}


def volumes(function: Function) -> tuple[list[Resource], list[Resource]]:
    """
    `volumes` of the pod, and `volumeMounts` of its container.

    Raises:
        UsageError: one of them is not what it should be; names it.
    """
    made: dict[str, Resource] = {}
    mounts: list[Resource] = []
    for index, item in enumerate(section(function, "volumes", list)):
        where = f"{function.place}: run.volumes[{index}]"
        given = item if isinstance(item, dict) else {}
        kinds = [kind for kind in (*_TYPES, CLAIM) if given.get(kind) is not None]
        if len(kinds) != 1 or not given.get("path"):
            raise UsageError(f"{where}: give it a path and one of secret, configMap (a name each) and "
                             "emptyDir ({} will do)")
        [kind] = kinds
        if kind != CLAIM:
            volume = _volume(kind, get(given, where, (kind,), _TYPES[kind]), index)
            made[volume["name"]] = volume
            mounts.append({"name": volume["name"], "mountPath": get(given, where, ("path",), str)})
    return list(made.values()), mounts


def _volume(kind: str, said: Any, index: int) -> Resource:
    if kind == "secret":
        return {"name": f"secret-{said}", "secret": {"secretName": said}}
    if kind == "configMap":
        return {"name": f"config-map-{said}", "configMap": {"name": said}}
    return {"name": f"empty-dir-{index}", "emptyDir": said}
