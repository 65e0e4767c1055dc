"""
The ConfigMaps of serving: what a revision gets unasked, what it may ask for, and what is left to hosts.py.

Every key with Knative's default. What cannot be read is refused where it is written (the checks of all
ConfigMaps of serving are registered here). One that was stored all the same counts as absent, with a warning
to whoever applies something: a Service with the built-in defaults is better than none. Durations are whole
seconds. Sources: Knative Serving's `pkg/apis/config/{defaults,features}.go`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from eventing.control import settings
from eventing.control.kind import Defaults
from serving import duration
from serving.objects import autoscaling, garbage, hosts, names, observability, quantity

NAMESPACE = "knative-serving"
PROGRESS_DEADLINE_S = 600.0  # Knative's default

_ACTION = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}")  # of a Go template
_AUTOCREATE = "autocreate-cluster-domain-claims"
_RESOURCES = ("cpu", "memory", "ephemeral-storage")
_FLAG_VALUES = ("enabled", "allowed", "disabled")
_SECURE = "secure-pod-defaults"
# All flags of Knative, honoured here or not: a typo in one is told.
_FLAGS = (
    "multi-container", "multi-container-probing", "tag-header-based-routing", "autodetect-http2", _SECURE,
    "queueproxy.mount-podinfo", "queueproxy.resource-defaults", "kubernetes.containerspec-addcapabilities",
    *(f"kubernetes.podspec-{name}" for name in (
        "affinity", "dnsconfig", "dnspolicy", "dryrun", "fieldref", "hostaliases", "hostipc", "hostnetwork",
        "hostpid", "init-containers", "nodeselector", "persistent-volume-claim", "persistent-volume-write",
        "priorityclassname", "runtimeclassname", "schedulername", "securitycontext", "shareprocessnamespace",
        "tolerations", "topologyspreadconstraints", "volumes-csi", "volumes-emptydir", "volumes-ephemeral",
        "volumes-hostpath", "volumes-image", "volumes-mount-propagation")),
)
# What is on without being asked for.
_ENABLED = frozenset({"multi-container", "kubernetes.podspec-volumes-emptydir"})

Parsed = TypeVar("Parsed")


@dataclass(frozen=True, kw_only=True)
class RevisionDefaults:
    """ConfigMap `config-defaults`; fields are its keys with `_` for `-` (0 seconds: no limit)."""

    revision_timeout_seconds: int = 300
    max_revision_timeout_seconds: int = 600
    revision_response_start_timeout_seconds: int = 300
    revision_idle_timeout_seconds: int = 0
    container_concurrency: int = 0
    container_concurrency_max_limit: int = 1000
    allow_container_concurrency_zero: bool = True
    enable_service_links: bool | None = False
    container_name_template: str = "user-container"
    init_container_name_template: str = "init-container"
    requests: Mapping[str, str] = field(default_factory=dict)  # resource -> quantity
    limits: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Features:
    """ConfigMap `config-features`: name -> Enabled, Allowed, Disabled (any case) or a mode of its own."""

    flags: Mapping[str, str]

    def value(self, name: str) -> str:
        """The flag in small letters: `enabled`, `allowed`, `disabled`, ..."""
        return self.flags.get(name, "Enabled" if name in _ENABLED else "Disabled").lower()

    def enabled(self, name: str) -> bool:
        """Whether the feature is on."""
        return self.value(name) == "enabled"

    def allowed(self, name: str) -> bool:
        """Whether the field that the feature is about may be set: it is on, or allowed."""
        return self.value(name) != "disabled"


def revision_defaults(data: Mapping[str, str]) -> RevisionDefaults:
    """Read `config-defaults`; ValueError, naming the key, if a value is none or is out of bounds."""
    values: dict[str, Any] = {}
    for name in ("revision_timeout_seconds", "max_revision_timeout_seconds", "revision_idle_timeout_seconds",
                 "revision_response_start_timeout_seconds", "container_concurrency",
                 "container_concurrency_max_limit"):
        key = name.replace("_", "-")
        if key in data:
            values[name] = _parsed(data, key, autoscaling.integer)
    if "revision_timeout_seconds" in values:  # the answer may start as late as the request may end
        values.setdefault("revision_response_start_timeout_seconds", values["revision_timeout_seconds"])
    if "allow-container-concurrency-zero" in data:
        values["allow_container_concurrency_zero"] = _parsed(data, "allow-container-concurrency-zero",
                                                             autoscaling.boolean)
    settings.one_of(data, "enable-service-links", ("true", "false", "default"))
    links = data.get("enable-service-links", "false").lower()
    values["enable_service_links"] = {"true": True, "false": False}.get(links)
    for name in ("container_name_template", "init_container_name_template"):
        key = name.replace("_", "-")
        if key in data:
            _parsed(data, key, _check_container_name)
            values[name] = data[key]
    for side in ("request", "limit"):
        keys = {kind: f"revision-{kind}-{side}" for kind in _RESOURCES}
        given = {kind: data[key] for kind, key in keys.items() if key in data}
        for key in keys.values():
            if key in data:
                _parsed(data, key, quantity.parse)
        values[f"{side}s"] = given
    made = RevisionDefaults(**values)
    _check(made)
    return made


def container_name(template: str, parent: str) -> str:
    """The name that *template* makes of a container of *parent*; ValueError for an action but `.Name`."""
    def replace(action: re.Match[str]) -> str:
        if action[1] != ".Name":
            raise ValueError(f"{{{{{action[1]}}}}} is not understood: there is {{{{.Name}}}}")
        return parent
    return _ACTION.sub(replace, template)


def _check_container_name(template: str) -> None:
    """Raise ValueError for a *template* that makes no name of a container."""
    made = container_name(template, "example")
    if "{{" in made:
        raise ValueError(f"{made[made.index('{{'):]} is not understood: the action has no end, }}}}")
    if not names.is_dns_1123(made):
        raise ValueError(f"of a Service `example` it makes {made!r}, which is no DNS-1123 label")


def _parsed(data: Mapping[str, str], key: str, parse: Callable[[str], Parsed]) -> Parsed:
    try:
        return parse(data[key])
    except ValueError as error:
        raise ValueError(f'failed to parse "{key}": {error}, was: {data[key]}') from error


def _check(made: RevisionDefaults) -> None:
    """Raise ValueError for the first bound that *made* breaks."""
    timeout, most = made.revision_timeout_seconds, made.max_revision_timeout_seconds
    if timeout > most:
        raise ValueError(f"revision-timeout-seconds ({timeout}) cannot be greater than "
                         f"max-revision-timeout-seconds ({most})")
    for key, seconds in (("response-start", made.revision_response_start_timeout_seconds),
                         ("idle", made.revision_idle_timeout_seconds)):
        if seconds > timeout:
            raise ValueError(f"revision-{key}-timeout-seconds ({seconds}) cannot be greater than "
                             f"revision-timeout-seconds ({timeout})")
    for name in ("revision_timeout_seconds", "revision_response_start_timeout_seconds",
                 "revision_idle_timeout_seconds"):
        if getattr(made, name) < 0:
            raise ValueError(f"{name.replace('_', '-')} = {getattr(made, name)}, must be 0 or more")
    limit = made.container_concurrency_max_limit
    if limit < 1:
        raise ValueError(f"expected 1 <= {limit} <= {2**31 - 1}: container-concurrency-max-limit")
    if not 0 <= made.container_concurrency <= limit:
        raise ValueError(f"expected 0 <= {made.container_concurrency} <= {limit}: container-concurrency")


def progress_deadline_s(deployment: Mapping[str, str], said: str) -> float:
    """What the annotation *said*, else `progress-deadline` of `config-deployment`, else ten minutes."""
    for text in (said, deployment.get("progress-deadline", "")):
        try:
            found = duration.parse_s(text)
        except ValueError:
            continue
        if found > 0:
            return found
    return PROGRESS_DEADLINE_S


def rollout_s(network: Mapping[str, str]) -> float:
    """`rollout-duration` of `config-network`: seconds, or a duration; one that cannot be read is none."""
    text = network.get("rollout-duration", "0")
    try:
        return max(0.0, float(text) if text.isdecimal() else duration.parse_s(text))
    except ValueError:
        return 0.0


def claims_domains(network: Mapping[str, str]) -> bool:
    """Whether a DomainMapping claims its domain by itself: unless told otherwise. Knative's does not."""
    return network.get(_AUTOCREATE, "true").lower() != "false"


def _check_network(data: Mapping[str, str]) -> None:
    """Raise ValueError for what is read of `config-network`, or would mean something on Knative."""
    text = data.get("rollout-duration", "0")
    if not text.isdecimal():
        try:
            seconds = duration.parse_s(text)
        except ValueError:
            seconds = -1
        if seconds < 0:
            raise ValueError(f"rollout-duration = {text}, must be whole seconds, 0 or more, or a duration "
                             "such as 2m")
    settings.one_of(data, "http-protocol", ("enabled", "disabled", "redirected"))
    settings.one_of(data, _AUTOCREATE, ("true", "false"))
    settings.one_of(data, hosts.SCHEME, hosts.SCHEMES)
    hosts.check_templates(data)


def _check_features(data: Mapping[str, str]) -> None:
    """Raise ValueError for a flag that is none of its values; flags that nobody knows are not looked at."""
    for name in _FLAGS:
        modes = ("enabled", "disabled", "allowrootbounded") if name == _SECURE else _FLAG_VALUES
        settings.one_of(data, name, modes)


_DEFAULTS_KEYS = (
    *(item.name.replace("_", "-") for item in fields(RevisionDefaults)
      if item.name not in {"requests", "limits"}),
    *(f"revision-{kind}-{side}" for kind in _RESOURCES for side in ("request", "limit")))
settings.register(NAMESPACE, "config-autoscaler", autoscaling.settings, autoscaling.KEYS)
settings.register(NAMESPACE, "config-defaults", revision_defaults, _DEFAULTS_KEYS)
settings.register(NAMESPACE, "config-features", _check_features, _FLAGS)
settings.register(NAMESPACE, "config-gc", garbage.check, garbage.KEYS)
settings.register(NAMESPACE, "config-domain", hosts.check_domains)
settings.register(NAMESPACE, "config-network", _check_network)
settings.register(NAMESPACE, "config-observability", observability.check, observability.KEYS)


def of_revisions(defaults: Defaults) -> RevisionDefaults:
    """What `config-defaults` says now."""
    return _read(defaults, "config-defaults", revision_defaults)


def of_features(defaults: Defaults) -> Features:
    """What `config-features` says now."""
    return Features(defaults.config(NAMESPACE, "config-features"))


def of_autoscaling(defaults: Defaults) -> autoscaling.Settings:
    """What `config-autoscaler` says now."""
    return _read(defaults, "config-autoscaler", autoscaling.settings)


def _read(defaults: Defaults, name: str, parse: Callable[[Mapping[str, str]], Parsed]) -> Parsed:
    try:
        return parse(defaults.config(NAMESPACE, name))
    except ValueError as error:
        warning = f"{NAMESPACE}/{name}: {error}; the built-in defaults are used"
        if warning not in defaults.warnings:
            defaults.warnings.append(warning)
        return parse({})
