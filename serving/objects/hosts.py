"""
What a Route is called: the host names of it and of its tags, outside and inside. Pure.

    ConfigMap config-domain                     which domain a Route has, by its labels
    ConfigMap config-network, domain-template   {{.Name}}.{{.Namespace}}.{{.Domain}}
                              tag-template      {{.Tag}}-{{.Name}}, used as Name
    label networking.knative.dev/visibility: cluster-local, or domain svc.cluster.local
                                                NAME.NAMESPACE.svc.cluster.local, whatever the template

A key of config-domain is a domain; its value is YAML, `selector: {label: value}` or nothing. Of those whose
selectors match, the one with the most labels is taken, then the first by name. Where none matches it is the
domain that Clarion was started with, where Knative's would be svc.cluster.local. Templates are Go's, as far
as names need them: fields, and `index .Labels "key"` or `index .Annotations "key"`.

Every Route has an inner name as well, which only this machine's own roles know; `alias` is what leads there.
Source: Knative Serving's `pkg/reconciler/route/{config,domains}`, Knative networking's `pkg/config`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from eventing.config import INNER_SUFFIX
from eventing.control import resource, settings
from eventing.control.resource import Resource
from serving.objects import names

DOMAIN_TEMPLATE, TAG_TEMPLATE = "domain-template", "tag-template"
LOCAL_DOMAIN = INNER_SUFFIX.removeprefix(".")

_DEFAULT_DOMAIN_TEMPLATE = "{{.Name}}.{{.Namespace}}.{{.Domain}}"
_DEFAULT_TAG_TEMPLATE = "{{.Tag}}-{{.Name}}"
_ACTION = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}")
_FIELD = re.compile(r"\.(Name|Namespace|Domain|Tag)")
_INDEX = re.compile(r'index \.(Labels|Annotations) "([^"]+)"')
_HOST_LIMIT = 253  # RFC 1123, section 2.1


@dataclass(frozen=True)
class Naming:
    """How Routes are named now: this machine's *domain*, the data of config-domain and of config-network."""

    domain: str
    domains: Mapping[str, str]
    network: Mapping[str, str]

    def domain_of(self, route: Resource) -> str:
        """The domain that *route* is in."""
        labels = resource.labels(route)
        if labels.get(names.VISIBILITY) == names.CLUSTER_LOCAL:
            return LOCAL_DOMAIN
        best, most = "", -1
        for domain, selector in _selectors(self.domains).items():
            matches = selector.items() <= labels.items()
            if matches and (len(selector) > most or (len(selector) == most and domain < best)):
                best, most = domain, len(selector)
        return best or self.domain

    def is_local(self, route: Resource) -> bool:
        """Whether *route* is for this machine's own roles only."""
        return self.domain_of(route).endswith(LOCAL_DOMAIN)

    def host(self, route: Resource, tag: str = "") -> str:
        """Host of *route*, or of one of its tags, without a port."""
        name, namespace, domain = resource.name(route), resource.namespace(route), self.domain_of(route)
        fields = {"Name": name, "Namespace": namespace, "Domain": domain, "Tag": tag}
        if tag:
            fields["Name"] = _render(self.network.get(TAG_TEMPLATE) or _DEFAULT_TAG_TEMPLATE, fields, route)
        template = self.network.get(DOMAIN_TEMPLATE) or _DEFAULT_DOMAIN_TEMPLATE
        return _render(_DEFAULT_DOMAIN_TEMPLATE if self.is_local(route) else template, fields, route)

    def inner(self, route: Resource, tag: str = "") -> str:
        """The name of *route*, or of one of its tags, that this machine's own roles know."""
        label = f"{tag}-{resource.name(route)}" if tag else resource.name(route)
        return f"{label}.{resource.namespace(route)}{INNER_SUFFIX}"

    def needs_alias(self, route: Resource, tag: str = "") -> bool:
        """Whether the host is more than the inner name with another suffix, which the activator knows."""
        inner = self.inner(route, tag)
        return self.host(route, tag) not in {inner, f"{inner.removesuffix(INNER_SUFFIX)}.{self.domain}"}


def check_domains(data: Mapping[str, str]) -> None:
    """Raise ValueError for what cannot be a domain, or a selector, of config-domain."""
    for domain, text in data.items():
        if domain == settings.EXAMPLE:
            continue
        if not _is_host(domain):
            raise ValueError(f"{domain}: expected a domain, such as example.com")
        _selector(domain, text)


def check_templates(network: Mapping[str, str]) -> None:
    """Raise ValueError for a template of config-network that makes no host name."""
    example: Resource = {"metadata": {"name": "foo", "namespace": "bar"}}
    fields = {"Name": "foo", "Namespace": "bar", "Domain": "baz.com", "Tag": "v2"}
    for key, needed in ((DOMAIN_TEMPLATE, ("Name", "Namespace")), (TAG_TEMPLATE, ("Name", "Tag"))):
        text = network.get(key)
        if text is None:
            continue
        try:
            made = _render(text, fields, example)
        except ValueError as error:
            raise ValueError(f"{key} = {text}: {error}") from error
        if not _is_host(made):
            raise ValueError(f"{key} = {text}: for Route foo of namespace bar it makes {made!r}, which is no "
                             "host name")
        if missing := [field for field in needed if f".{field}" not in text]:
            raise ValueError(f"{key} = {text}: without {{{{.{missing[0]}}}}} two Routes would share a host")


def _selectors(data: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Selector by domain; one that cannot be read, stored by an older version say, counts as absent."""
    found = {}
    for domain, text in data.items():
        if domain != settings.EXAMPLE:
            try:
                found[domain] = _selector(domain, text)
            except ValueError:
                continue
    return found


def _selector(domain: str, text: str) -> dict[str, str]:
    wrong = f"{domain}: expected nothing, or selector: {{label: value}}"
    try:
        said: Any = yaml.safe_load(text or "") or {}
    except yaml.YAMLError as error:
        raise ValueError(wrong) from error
    selector = (said.get("selector") or {}) if isinstance(said, dict) else None
    if not isinstance(selector, dict) or not all(isinstance(value, str) for value in selector.values()):
        raise ValueError(wrong)
    return selector


def _render(template: str, fields: Mapping[str, str], route: Resource) -> str:
    """*template* with its actions replaced; ValueError for one that is not known here."""
    def replace(action: re.Match[str]) -> str:
        if found := _FIELD.fullmatch(action[1]):
            return fields[found[1]]
        if found := _INDEX.fullmatch(action[1]):
            values = resource.labels(route) if found[1] == "Labels" else resource.annotations(route)
            return values.get(found[2], "")
        raise ValueError(f"{{{{{action[1]}}}}} is not understood: there are .Name, .Namespace, .Domain, "
                         '.Tag, index .Labels "KEY" and index .Annotations "KEY"')
    return _ACTION.sub(replace, template)


def _is_host(text: str) -> bool:
    return len(text) <= _HOST_LIMIT and all(names.is_dns_1123(label) for label in text.split("."))
