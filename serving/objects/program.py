"""
What a Deployment's pod becomes on this machine: the record of `deployments`, or what it lacks.

What runs is the container's `command`; `image` says in which folder, when it is one (func://./DIR). One
container a pod; no init containers, no probes, no registry. `fieldRef` knows metadata.name of a variable, and
what downward.py knows.

    uid, generation, replicas, strategy (as written), owner (name of the ContainerSource; "": none)
    pod: uid (where table `volumes` has its files: UID, or UID.HEX where the template has volumes), container,
         image, bundle, command, args, env, named (variables that hold the replica's name), memory_bytes, cpu,
         user, group, non_root, working_dir, grace_s, annotations (of the template), volumes (mounting.py),
         listens (false: nothing is awaited on a port)
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

from eventing.control import resource
from eventing.control.context import Context
from eventing.control.resource import Resource
from serving.objects import downward, holders, images, mounting, settings, workload
from serving.objects.downward import About
from serving.objects.mounting import Volumes

_DIGITS = 16
_NO_COMMAND = (
    'container "{container}" names no command, and an image is not unpacked here: write command: [python3, '
    "main.py], with image: func://./DIR for the folder that it is to run in (instead of {image}), and apply "
    "it with `clarion apply -f FILE`")


async def record(deployment: Resource, context: Context) -> tuple[dict[str, Any], Volumes]:
    """The record of `deployments`, and the files of its volumes; raises workload.Missing."""
    spec = resource.spec(deployment)
    template = spec["template"]
    container, code = _program(template["spec"], context)
    namespace = resource.namespace(deployment)
    about = downward.About(namespace, resource.uid(deployment), template.get("metadata") or {})
    container, named = _downward(container, about)
    look_up = await holders.lookup(container, namespace, context)
    volumes = mounting.of(template["spec"], container, about,
                          await holders.files(template["spec"], container, namespace, context))
    user, group = workload.user_and_group(template["spec"], container)
    return {
        "uid": resource.uid(deployment), "generation": resource.generation(deployment),
        "replicas": spec["replicas"], "strategy": spec["strategy"],
        "owner": next((ref["name"] for ref in resource.owners(deployment) if ref.get("controller")), ""),
        "pod": {
            "uid": _files_uid(deployment), "container": container["name"],
            "image": container.get("image") or "", "bundle": code.bundle, "command": code.command,
            "args": list(container.get("args") or ()), "env": workload.environment(container, look_up),
            "named": named, "memory_bytes": workload.memory_bytes(container), "cpu": workload.cpu(container),
            "user": user, "group": group,
            "non_root": workload.must_not_be_root(template["spec"], container),
            "working_dir": container.get("workingDir") or None,
            "grace_s": template["spec"]["terminationGracePeriodSeconds"],
            "annotations": about.metadata.get("annotations") or {}, "volumes": volumes.record,
            "listens": False,
        },
    }, volumes


def _files_uid(deployment: Resource) -> str:
    """Another one for other volumes: processes of the template before keep theirs as long as they are."""
    uid, volumes = resource.uid(deployment), resource.spec(deployment)["template"]["spec"].get("volumes")
    if not volumes:
        return uid
    digest = hashlib.sha256(orjson.dumps(volumes, option=orjson.OPT_SORT_KEYS)).hexdigest()
    return f"{uid}.{digest[:_DIGITS]}"


def _program(pod: Mapping[str, Any], context: Context) -> tuple[Mapping[str, Any], workload.Code]:
    """The container of *pod* and what runs in it; raises workload.Missing with what to write instead."""
    containers: list[Mapping[str, Any]] = pod["containers"]
    if len(containers) > 1 or pod.get("initContainers"):
        names = ", ".join(each["name"] for each in (*(pod.get("initContainers") or ()), *containers))
        raise workload.Missing("TooManyContainers", f"one container of a pod can be run here, and this has "
                               f"{names}: write a Deployment for each")
    container = containers[0]
    mapping = context.config_data(settings.NAMESPACE, images.CONFIG)
    written = container.get("image") or ""
    image = images.mapped(written, mapping) or written
    if not container.get("command"):
        message = _NO_COMMAND.format(container=container["name"], image=written)
        raise workload.Missing("ContainerMissing", message)
    return container, workload.code(container, image)


def _downward(container: Mapping[str, Any], about: About) -> tuple[Mapping[str, Any], list[str]]:
    """*container* with values for its `fieldRef`s, and the variables that are to hold the replica's name."""
    env, named = [], []
    for variable in container.get("env") or ():
        ref = (variable.get("valueFrom") or {}).get("fieldRef")
        if ref is None:
            env.append(variable)
        elif ref.get("fieldPath") == "metadata.name":
            named.append(variable["name"])
        else:
            env.append({"name": variable["name"], "value": _field(str(ref.get("fieldPath")), about)})
    return {**container, "env": env}, named


def _field(path: str, about: About) -> str:
    value = downward.value(path, about)
    if value is None:
        message = f"fieldRef {path} is not known here: write a value"
        raise workload.Missing("CreateContainerConfigError", message)
    return value
