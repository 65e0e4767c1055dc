"""
What a Route is called: the host names of it and of its tags, outside and inside. Pure.

    ConfigMap config-domain                     which domain a Route has, by its labels
    ConfigMap config-network, domain-template   {{.Name}}.{{.Namespace}}.{{.Domain}}
                              tag-template      {{.Tag}}-{{.Name}}, used as Name
                              default-external-scheme   http, or https where a proxy before us ends TLS
    label networking.knative.dev/visibility: cluster-local, or domain svc.cluster.local
                                                NAME.NAMESPACE.svc.cluster.local, whatever the template
    annotation clarion.dev/cluster-local-tags   tags (with commas) for which that holds alone; Knative has
                                                that label for it, on a Kubernetes Service that is not here

A key of config-domain is a domain; its value is YAML, `selector: {label: value}` or nothing. Of those whose
selectors match, the one with the most labels is taken, then the first by name. Where none matches it is the
domain that Clarion was started with, where Knative's would be svc.cluster.local. Templates are Go's, as far
as names need them: fields, and `index .Labels "key"` or `index .Annotations "key"`.

Every Route has an inner name as well, which only this machine's own roles know; `alias` is what leads there.
A URL of https has no port: it is the proxy's, and not ours.
Source: Knative Serving's `pkg/reconciler/route/{config,domains}`, Knative networking's `pkg/config`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from eventing.config import INNER_SUFFIX
from eventing.control import field, resource, settings
from eventing.control.field import FieldError
from eventing.control.resource import Resource
from serving.objects import names

DOMAIN_TEMPLATE, TAG_TEMPLATE = "domain-template", "tag-template"
SCHEME, SCHEMES = "default-external-scheme", ("http", "https")
LOCAL_DOMAIN = INNER_SUFFIX.removeprefix(".")

_DEFAULT_DOMAIN_TEMPLATE = "{{.Name}}.{{.Namespace}}.{{.Domain}}"
_DEFAULT_TAG_TEMPLATE = "{{.Tag}}-{{.Name}}"
_ACTION = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}")
_FIELD = re.compile(r"\.(Name|Namespace|Domain|Tag)")
_INDEX = re.compile(r'index \.(Labels|Annotations) "([^"]+)"')
_HOST_LIMIT = 253  # RFC 1123, section 2.1
_HTTP_PORT = 80  # the one that URLs leave out


@dataclass(frozen=True)
class Naming:
    """How Routes are named now: this machine's *domain*, the data of config-domain and of config-network."""

    domain: str
    domains: Mapping[str, str]
    network: Mapping[str, str]

    def domain_of(self, route: Resource, tag: str = "") -> str:
        """The domain that *route*, or one of its tags, is in."""
        labels = resource.labels(route)
        if labels.get(names.VISIBILITY) == names.CLUSTER_LOCAL or tag in local_tags(route):
            return LOCAL_DOMAIN
        best, most = "", -1
        for domain, selector in _selectors(self.domains).items():
            matches = selector.items() <= labels.items()
            if matches and (len(selector) > most or (len(selector) == most and domain < best)):
                best, most = domain, len(selector)
        return best or self.domain

    def is_local(self, route: Resource, tag: str = "") -> bool:
        """Whether *route*, or one of its tags, is for this machine's own roles only."""
        return self.domain_of(route, tag).endswith(LOCAL_DOMAIN)

    def url(self, route: Resource, port: int, tag: str = "") -> str:
        """URL of *route*, or of one of its tags; *port* is the data port."""
        host = self.host(route, tag)
        return f"http://{host}" if self.is_local(route, tag) else self.outer_url(host, port)

    def outer_url(self, host: str, port: int) -> str:
        """URL of *host* for whoever is not on this machine; *port* is the data port."""
        if self.network.get(SCHEME, "").lower() == SCHEMES[1]:
            return f"https://{host}"
        return served_url(host, port)

    def host(self, route: Resource, tag: str = "") -> str:
        """Host of *route*, or of one of its tags, without a port."""
        fields = {"Name": resource.name(route), "Namespace": resource.namespace(route),
                  "Domain": self.domain_of(route, tag), "Tag": tag}
        if tag:
            fields["Name"] = _render(self.network.get(TAG_TEMPLATE) or _DEFAULT_TAG_TEMPLATE, fields, route)
        template = self.network.get(DOMAIN_TEMPLATE) or _DEFAULT_DOMAIN_TEMPLATE
        return _render(_DEFAULT_DOMAIN_TEMPLATE if self.is_local(route, tag) else template, fields, route)

    def inner(self, route: Resource, tag: str = "") -> str:
        """The name of *route*, or of one of its tags, that this machine's own roles know."""
        label = f"{tag}-{resource.name(route)}" if tag else resource.name(route)
        return f"{label}.{resource.namespace(route)}{INNER_SUFFIX}"

    def needs_alias(self, route: Resource, tag: str = "") -> bool:
        """Whether the host is more than the inner name with another suffix, which the activator knows."""
        inner = self.inner(route, tag)
        return self.host(route, tag) not in {inner, f"{inner.removesuffix(INNER_SUFFIX)}.{self.domain}"}


def served_url(host: str, port: int) -> str:
    """URL at which the data port, *port*, serves *host*; HTTP's own port is left out."""
    return f"http://{host}" if port == _HTTP_PORT else f"http://{host}:{port}"


def local_tags(route: Resource) -> frozenset[str]:
    """The tags of a Route, or of a Service, that are for this machine's own roles only."""
    said = resource.annotations(route).get(names.CLUSTER_LOCAL_TAGS, "").split(",")
    return frozenset(filter(None, map(str.strip, said)))


def local_tags_errors(made: Resource) -> list[FieldError]:
    """Complain of a tag that no target has: a typo would open to everybody what was meant for inner use."""
    tags = {target.get("tag") for target in resource.spec(made).get("traffic") or ()}
    unknown = sorted(local_tags(made) - tags)
    key = names.CLUSTER_LOCAL_TAGS
    return [field.invalid_value(", ".join(unknown), key, "no target of spec.traffic has that tag").via_field(
        "metadata", "annotations")] if unknown else []


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
        if missing := [each for each in needed if f".{each}" not in text]:
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
