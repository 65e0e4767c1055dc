"""
`run.envs` of a func.yaml: literals, {{ env:NAME }}, {{ secret:NAME[:KEY] }}, {{ configMap:NAME[:KEY] }}.

Pure: the caller's environment is handed in. Source: `docs/reference/func_yaml.md` of Knative's func.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any

from eventing.errors import UsageError
from serving.functions.funcyaml import Function, section

Resource = dict[str, Any]

_TEMPLATED = re.compile(r"\{\{\s*(?P<kind>\w+)\s*:\s*(?P<name>[^:}\s]+)\s*(?::\s*(?P<key>[^}\s]+)\s*)?\}\}")
_HOLDERS = {"secret": "secret", "configMap": "configMap"}


def variables(function: Function, own: Mapping[str, str], but: Collection[str]) -> dict[str, str]:
    """
    The environment that `run.envs` makes where no Secret can be looked up, without the variables in *but*.

    Raises:
        UsageError: a value comes from a Secret or a ConfigMap; names it.
    """
    env, env_from = environment(function, own)
    env = [one for one in env if one["name"] not in but]
    elsewhere = [one["name"] for one in env if "valueFrom" in one] + ["one of run.envs"] * bool(env_from)
    if elsewhere:
        raise UsageError(f"{function.place}: {elsewhere[0]} comes from a Secret or ConfigMap, which only a "
                         "deployed function has; set it for this run with --env NAME=VALUE")
    return {one["name"]: one["value"] for one in env}


def environment(function: Function, own: Mapping[str, str]) -> tuple[list[Resource], list[Resource]]:
    """
    `env` and `envFrom` of the container, given the caller's *own* environment.

    Raises:
        UsageError: one of them is not what it should be; names it.
    """
    env: list[Resource] = []
    env_from: list[Resource] = []
    for index, item in enumerate(section(function, "envs", list)):
        where = f"{function.place}: run.envs[{index}]"
        if not isinstance(item, dict) or not isinstance(item.get("value"), str | int | float):
            raise UsageError(f"{where}: give it a name and a value (text)")
        found = source(str(item["value"]), own, where)
        name = item.get("name")
        if name and isinstance(found, str):
            env.append({"name": name, "value": found})
        elif isinstance(found, tuple) and bool(name) == bool(found[2]):
            kind, holder, key = found
            if name:
                env.append({"name": name, "valueFrom": {f"{kind}KeyRef": {"name": holder, "key": key}}})
            else:
                env_from.append({f"{kind}Ref": {"name": holder}})
        else:
            raise UsageError(f"{where}: {item['value']}: a name goes with a literal, {{{{ env:NAME }}}} or "
                             "{{ secret:NAME:KEY }}; {{ secret:NAME }} brings its own names and has none")
    return env, env_from


def source(value: str, own: Mapping[str, str], where: str) -> str | tuple[str, str, str | None]:
    """
    The text that *value* means, or (kind, name, key) of what holds it; *where* names it in messages.

    Raises:
        UsageError: it means nothing, or *own* does not have it.
    """
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
