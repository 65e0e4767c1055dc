"""What Routes are called: domains by label, templates, inner names."""

import pytest

from serving.objects.hosts import Naming, check_domains, check_templates


def route(labels=None, annotations=None):
    """A Route shop in namespace prod."""
    return {"metadata": {"name": "shop", "namespace": "prod", "labels": labels or {},
                         "annotations": annotations or {}}}


DOMAINS = {"_example": "no: {domain", "all.com": "", "app.com": "selector: {app: web}",
           "team.com": "selector: {app: web, team: a}", "zeam.com": "selector: {team: b, app: web}",
           "aeam.com": "selector:\n  app: web\n  team: b\n"}


@pytest.mark.parametrize(("labels", "domain"), [
    ({}, "all.com"),
    ({"app": "web"}, "app.com"),
    ({"app": "web", "team": "a", "more": "x"}, "team.com"),
    ({"app": "web", "team": "b"}, "aeam.com"),
    ({"team": "a"}, "all.com"),
    ({"app": "web", "networking.knative.dev/visibility": "cluster-local"}, "svc.cluster.local"),
])
def test_domain(labels, domain):
    """The most particular selector decides, then the first name; visibility comes before both."""
    assert Naming("localhost", DOMAINS, {}).domain_of(route(labels)) == domain


@pytest.mark.parametrize(("domains", "network", "tag", "expected"), [
    ({}, {}, "", "shop.prod.localhost"),
    ({}, {}, "v2", "v2-shop.prod.localhost"),
    ({"a.com": "selector: {no: one}"}, {}, "", "shop.prod.localhost"),
    ({"a.com": ""}, {"domain-template": "{{.Name}}-{{ .Namespace }}.{{.Domain}}"}, "", "shop-prod.a.com"),
    ({"a.com": ""}, {"domain-template": "{{.Name}}.{{.Namespace}}.{{.Domain}}", "tag-template":
                     "{{.Name}}-{{.Tag}}"}, "v2", "shop-v2.prod.a.com"),
    ({}, {"domain-template": '{{.Name}}.{{.Namespace}}.{{index .Labels "zone"}}.{{.Domain}}'}, "",
     "shop.prod.eu.localhost"),
    ({"svc.cluster.local": ""}, {"domain-template": "{{.Name}}-{{.Namespace}}.{{.Domain}}"}, "",
     "shop.prod.svc.cluster.local"),
])
def test_host(domains, network, tag, expected):
    """Templates make the host; inner names are always the same."""
    naming = Naming("localhost", domains, network)

    assert naming.host(route({"zone": "eu"}), tag) == expected
    assert naming.inner(route(), tag).endswith("shop.prod.svc.cluster.local")
    assert naming.is_local(route()) == ("svc.cluster.local" in domains)


@pytest.mark.parametrize(("labels", "network", "tag", "port", "expected"), [
    ({}, {}, "", 8080, "http://shop.prod.localhost:8080"),
    ({}, {}, "v2", 80, "http://v2-shop.prod.localhost"),
    ({}, {"default-external-scheme": "HTTPS"}, "v2", 8080, "https://v2-shop.prod.localhost"),
    ({}, {"default-external-scheme": "http"}, "", 8080, "http://shop.prod.localhost:8080"),
    ({}, {"default-external-scheme": "https"}, "canary", 8080,
     "http://canary-shop.prod.svc.cluster.local"),
    ({"networking.knative.dev/visibility": "cluster-local"}, {"default-external-scheme": "https"}, "", 8080,
     "http://shop.prod.svc.cluster.local"),
])
def test_url(labels, network, tag, port, expected):
    """A URL has the scheme that a proxy before us may have; what is for inner use is plain HTTP."""
    made = route(labels, {"clarion.dev/cluster-local-tags": "old, canary"})

    assert Naming("localhost", {}, network).url(made, port, tag) == expected


@pytest.mark.parametrize(("data", "words"), [
    ({"domain-template": "{{.Name}}"}, "without {{.Namespace}} two Routes would share a host"),
    ({"domain-template": "{{.Name}}_{{.Namespace}}"}, "makes 'foo_bar', which is no host name"),
    ({"domain-template": "{{.Name}}.{{.Namespace}}.{{.Zone}}"}, "{{.Zone}} is not understood"),
    ({"tag-template": "{{.Tag}}"}, "without {{.Name}} two Routes would share a host"),
    ({"tag-template": "{{.Tag}}-{{.Name}}", "domain-template": "{{.Name}}.{{.Namespace}}.{{.Domain}}"}, None),
])
def test_templates_are_judged(data, words):
    """A template that makes no host, or the same for two Routes, is refused."""
    if words is None:
        check_templates(data)
        return
    with pytest.raises(ValueError, match="template = ") as refused:
        check_templates(data)
    assert words in str(refused.value)


@pytest.mark.parametrize(("domain", "text"), [
    ("no domain", ""), ("a.com", "selector: web"), ("a.com", "selector: {a: 1}"), ("a.com", "{"),
    ("a.com", "x"),
])
def test_domains_are_judged(domain, text):
    """What is no domain, or no selector, is refused by its name."""
    with pytest.raises(ValueError, match=f"^{domain}: expected"):
        check_domains({domain: text, "_example": "{"})
