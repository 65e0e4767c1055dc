"""
func.yaml, the file of Knative's own functions: what it says, as a Service and its Triggers.

    name, namespace, runtime, invoke        who, where, in what language, called how by default
    run.envs                                literals, {{ env:NAME }}, {{ secret:.. }}, {{ configMap:.. }}
    deploy.annotations, labels, options     to the Service and its revisions
    deploy.healthEndpoints                  probes; in Knative's layout (a package `function`) always
    deploy.subscriptions                    a Trigger each
    build, registry, image, created, ..     nothing: there is no image to build

The flat layout of before version 0.35 (envs, annotations, options, .. at the top) is read as well. A folder
without the file is a function all the same, of the folder's name. What has no meaning on this machine is
listed in `ignored`, never refused: the same folder has to deploy on Knative.

Pure but for `load`: the caller's environment is handed in. Source: `schema/func_yaml-schema.json` and
`pkg/knative/deployer.go` of Knative's func.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from eventing.errors import UsageError

Resource = dict[str, Any]

FILE = "func.yaml"
LIVENESS, READINESS = "/health/liveness", "/health/readiness"
# What func itself puts on a function's Service; `clarion func list` and kn plugins look for them.
IS_FUNCTION, NAME_LABEL, RUNTIME_LABEL = "boson.dev/function", "function.knative.dev/name", \
    "function.knative.dev/runtime"
_DEPLOYER = ("function.knative.dev/deployer", "knative")

_AUTOSCALING = "autoscaling.knative.dev"
# Annotations with these prefixes belong to a revision; on a Service they are an error, or mean nothing.
_OF_REVISIONS = (f"{_AUTOSCALING}/", "clarion.dev/")
# deploy.options.scale -> annotation, in func's own spelling of the numbers.
_SCALE = {"min": ("min-scale", "{:d}"), "max": ("max-scale", "{:d}"), "metric": ("metric", "{}"),
          "target": ("target", "{:f}"), "utilization": ("target-utilization-percentage", "{:f}")}
_TEMPLATED = re.compile(r"\{\{\s*(?P<kind>\w+)\s*:\s*(?P<name>[^:}\s]+)\s*(?::\s*(?P<key>[^}\s]+)\s*)?\}\}")
_HOLDERS = {"secret": "secret", "configMap": "configMap"}
_MEANINGLESS = (("run", "volumes"), ("deploy", "serviceAccountName"), ("deploy", "imagePullSecret"),
                ("domain",), ("run", "kafka"))
_TYPES: dict[type, str] = {dict: "a mapping", list: "a list", str: "text", int: "a number"}


@dataclass(frozen=True, kw_only=True)
class Function:
    """What a folder's func.yaml says; *place* names the file in messages."""

    place: str
    name: str
    namespace: str | None
    runtime: str
    invoke: str  # "http" or "cloudevent"
    content: Mapping[str, Any]
    is_instanced: bool  # laid out as `func create -l python` does it

    @property
    def ignored(self) -> list[str]:
        """Fields that are set, and mean nothing here."""
        return [".".join(path) for path in _MEANINGLESS if _find(self.content, path)]


def load(folder: Path) -> Function:
    """
    The function in *folder*, with or without a func.yaml.

    Raises:
        UsageError: it is no folder, or its func.yaml is not what it should be; names file and field.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: not a folder; clarion func new {folder.name} makes one with a function")
    path = folder / FILE
    try:
        content = yaml.safe_load(path.read_bytes()) if path.is_file() else None
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    # A folder may be called what no Service may.
    name = folder.resolve().name.lower().replace("_", "-")
    is_instanced = (folder / "function").is_dir() and not (folder / "func.py").is_file()
    return read(content, place=str(path), folder=name, is_instanced=is_instanced)


def read(content: Any, *, place: str, folder: str, is_instanced: bool) -> Function:
    """
    The function that *content*, a parsed func.yaml or None, describes.

    Args:
        content: the document.
        place: the file's path, for messages.
        folder: the folder's name, which is the function's where the file names none.
        is_instanced: the code is a package `function`.

    Raises:
        UsageError: a field is not of its type, or asks for what cannot be had here.
    """
    given = {} if content is None else content
    if not isinstance(given, dict):
        raise UsageError(f"{place}: it is a mapping of fields such as name and runtime")
    runtime = _get(given, place, ("runtime",), str) or "python"
    if runtime != "python":
        raise UsageError(f"{place}: runtime: {runtime} needs an image, which nothing here builds; give a "
                         "Service a command that serves $PORT instead, as examples/node does")
    asked = _get(given, place, ("invoke",), str) or ("http" if given else "cloudevent")
    if asked not in {"http", "cloudevent"}:
        raise UsageError(f"{place}: invoke: {asked}: it is http or cloudevent")
    namespace = (_get(given, place, ("deploy", "namespace"), str) or _get(given, place, ("namespace",), str))
    return Function(place=place, name=_get(given, place, ("name",), str) or folder, namespace=namespace,
                    runtime=runtime, invoke=asked, content=given, is_instanced=is_instanced)


def service(function: Function, own: Mapping[str, str]) -> Resource:
    """
    The Service of *function*, its image being the folder itself; *own*: the caller's environment.

    Raises:
        UsageError: a field is not what it should be; names it.
    """
    container: Resource = {"image": "func://."}
    env, env_from = _environment(function, own)
    if env:
        container["env"] = env
    if env_from:
        container["envFrom"] = env_from
    container |= _probes(function)
    resources, concurrency = _resources(function)
    if resources:
        container["resources"] = resources
    labels, annotations = _labels(function, own), annotations_of(function, own)
    of_service = {key: value for key, value in annotations.items() if not key.startswith(_OF_REVISIONS)}
    spec: Resource = {"containers": [container]}
    if concurrency is not None:
        spec["containerConcurrency"] = concurrency
    template = {"metadata": {"labels": labels, "annotations": annotations | _scaling(function)}, "spec": spec}
    return {"apiVersion": "serving.knative.dev/v1", "kind": "Service",
            "metadata": {"name": function.name, "labels": labels, "annotations": of_service},
            "spec": {"template": template}}


def triggers(function: Function) -> list[Resource]:
    """
    A Trigger for each of the subscriptions, named as func names them.

    Raises:
        UsageError: a subscription names no source.
    """
    made = []
    for index, item in enumerate(_section(function, "subscriptions", list)):
        where = f"{function.place}: deploy.subscriptions[{index}]"
        if not isinstance(item, dict) or not isinstance(item.get("source"), str):
            raise UsageError(f"{where}: source, the name of a Broker, is missing")
        spec: Resource = {"broker": item["source"], "subscriber": {"ref": {
            "apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": function.name}}}
        if item.get("filters"):
            spec["filter"] = {"attributes": {str(key): str(text) for key, text in item["filters"].items()}}
        made.append({"apiVersion": "eventing.knative.dev/v1", "kind": "Trigger",
                     "metadata": {"name": f"{trigger_prefix(function.name)}{index}"}, "spec": spec})
    return made


def trigger_prefix(name: str) -> str:
    """What the names of the Triggers of function *name* begin with; a number follows."""
    return f"{name}-function-trigger-"


def variables(function: Function, own: Mapping[str, str], but: Collection[str]) -> dict[str, str]:
    """
    The environment that `run.envs` makes where no Secret can be looked up, without the variables in *but*.

    Raises:
        UsageError: a value comes from a Secret or a ConfigMap; names it.
    """
    env, env_from = _environment(function, own)
    env = [one for one in env if one["name"] not in but]
    elsewhere = [one["name"] for one in env if "valueFrom" in one] + ["one of run.envs"] * bool(env_from)
    if elsewhere:
        raise UsageError(f"{function.place}: {elsewhere[0]} comes from a Secret or ConfigMap, which only a "
                         "deployed function has; set it for this run with --env NAME=VALUE")
    return {one["name"]: one["value"] for one in env}


def _environment(function: Function, own: Mapping[str, str]) -> tuple[list[Resource], list[Resource]]:
    """`env` and `envFrom` of the container."""
    env: list[Resource] = []
    env_from: list[Resource] = []
    for index, item in enumerate(_section(function, "envs", list)):
        where = f"{function.place}: run.envs[{index}]"
        if not isinstance(item, dict) or not isinstance(item.get("value"), str | int | float):
            raise UsageError(f"{where}: give it a name and a value (text)")
        source = _source(str(item["value"]), own, where)
        name = item.get("name")
        if name and isinstance(source, str):
            env.append({"name": name, "value": source})
        elif isinstance(source, tuple) and bool(name) == bool(source[2]):
            kind, holder, key = source
            if name:
                env.append({"name": name, "valueFrom": {f"{kind}KeyRef": {"name": holder, "key": key}}})
            else:
                env_from.append({f"{kind}Ref": {"name": holder}})
        else:
            raise UsageError(f"{where}: {item['value']}: a name goes with a literal, {{{{ env:NAME }}}} or "
                             "{{ secret:NAME:KEY }}; {{ secret:NAME }} brings its own names and has none")
    return env, env_from


def _source(value: str, own: Mapping[str, str], where: str) -> str | tuple[str, str, str | None]:
    """The text that *value* means, or (kind, name, key) of what holds it."""
    found = _TEMPLATED.fullmatch(value.strip())
    if found is None:
        if value.strip().startswith("{{"):
            raise UsageError(f"{where}: {value}: it is {{{{ env:NAME }}}}, {{{{ secret:NAME[:KEY] }}}} or "
                             "{{ configMap:NAME[:KEY] }}")
        return value
    kind, name, key = found["kind"], found["name"], found["key"]
    if kind == "env" and key is None:
        if name not in own:
            raise UsageError(f"{where}: {value}: your environment has no {name}; export it first")
        return own[name]
    if kind not in _HOLDERS:
        raise UsageError(f"{where}: {value}: it is env:NAME, secret:NAME[:KEY] or configMap:NAME[:KEY]")
    return _HOLDERS[kind], name, key


def _probes(function: Function) -> Resource:
    named = _section(function, "healthEndpoints", dict)
    paths = {"liveness": LIVENESS, "readiness": READINESS} if function.is_instanced else {}
    return {f"{kind}Probe": {"httpGet": {"path": str(path)}} for kind, path in (paths | named).items()
            if kind in {"liveness", "readiness"}}


def _resources(function: Function) -> tuple[Resource, int | None]:
    """`resources` of the container, and containerConcurrency."""
    options = _section(function, "options", dict)
    asked = options.get("resources") or {}
    found: Resource = {}
    for side in ("requests", "limits"):
        amounts = {name: str(amount) for name, amount in (asked.get(side) or {}).items()
                   if name in {"cpu", "memory"} and amount is not None}
        if amounts:
            found[side] = amounts
    return found, (asked.get("limits") or {}).get("concurrency")


def _scaling(function: Function) -> dict[str, str]:
    scale = _section(function, "options", dict).get("scale") or {}
    made = {}
    for field, (annotation, form) in _SCALE.items():
        if scale.get(field) is None:
            continue
        try:
            made[f"{_AUTOSCALING}/{annotation}"] = form.format(scale[field])
        except ValueError as error:
            raise UsageError(f"{function.place}: deploy.options.scale.{field}: {scale[field]!r} is no "
                             "number that it takes") from error
    return made


def _labels(function: Function, own: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for index, item in enumerate(_section(function, "labels", list)):
        where = f"{function.place}: deploy.labels[{index}]"
        if not isinstance(item, dict) or not isinstance(item.get("key"), str):
            raise UsageError(f"{where}: give it a key, and a value (text) if it has one")
        value = _source(str(item.get("value") or ""), own, where)
        if not isinstance(value, str):
            raise UsageError(f"{where}: {item['value']}: a label is text or {{{{ env:NAME }}}}")
        found[item["key"]] = value
    return {**found, IS_FUNCTION: "true", NAME_LABEL: function.name, RUNTIME_LABEL: function.runtime}


def annotations_of(function: Function, own: Mapping[str, str]) -> dict[str, str]:
    """`deploy.annotations`, and the one that func adds; UsageError if one cannot be had."""
    given = _section(function, "annotations", dict)
    texts = {str(key): _source(str(value), own, f"{function.place}: deploy.annotations.{key}")
             for key, value in given.items()}
    return {key: text for key, text in texts.items() if isinstance(text, str)} | dict([_DEPLOYER])


def _section(function: Function, name: str, type_: type) -> Any:
    """A section under `run` or `deploy`, else the top; empty where there is none."""
    parent = "run" if name == "envs" else "deploy"
    for path in ((parent, name), (name,)):
        found = _get(function.content, function.place, path, type_)
        if found is not None:
            return found
    return type_()


def _get(content: Mapping[str, Any], place: str, path: tuple[str, ...], type_: type) -> Any:
    found: Any = _find(content, path)
    if found is not None and not isinstance(found, type_):
        raise UsageError(f"{place}: {'.'.join(path)}: it is {_TYPES[type_]}, not {found!r}")
    return found


def _find(content: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    found: Any = content
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found
