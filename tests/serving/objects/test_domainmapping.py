"""DomainMapping: a domain leads to a Service, and to one only."""

import time

import pytest

from eventing.control import resource
from eventing.control.failure import Failure

GROUP = "serving.knative.dev"
MAPPING = f"DomainMapping.{GROUP}"
CLAIM = "ClusterDomainClaim.networking.internal.knative.dev"


def mapping(name="shop.example.com", namespace="default", spec="ref: {REF}"):
    """A DomainMapping, as YAML."""
    ref = f"apiVersion: {GROUP}/v1, kind: Route, name: r"
    return (f"{{apiVersion: {GROUP}/v1beta1, kind: DomainMapping, "
            f"metadata: {{name: {name}, namespace: {namespace}}}, spec: {{{spec.replace('REF', ref)}}}}}")


@pytest.fixture
def route(cluster, configuration, healthy):
    """`route()`: makes a Route that is Ready."""

    async def make(namespace="default"):
        await cluster.apply(configuration(namespace=namespace))
        await cluster.apply(f"{{apiVersion: {GROUP}/v1, kind: Route, metadata: {{name: r, namespace: "
                            f"{namespace}}}, spec: {{traffic: [{{configurationName: c, percent: 100}}]}}}}")
        await healthy("c-00001", namespace)
        await cluster.until_condition(f"Route.{GROUP}", "r", "Ready", status="True", namespace=namespace)

    return make


async def test_leads_to_a_route(cluster, route):
    """The domain stands for the Route's host; when either goes, that ends."""
    await cluster.apply(mapping())
    missing = await cluster.until_condition(MAPPING, "shop.example.com", "Ready", status="False")
    assert (missing["reason"], missing["message"]) == (
        "ResolveFailed", 'failed to get object default/r: routes.serving.knative.dev "r" not found')

    await route()
    await cluster.until_condition(MAPPING, "shop.example.com", "Ready", status="True")
    found = cluster.get(MAPPING, "shop.example.com")["status"]
    assert found["url"] == found["address"]["url"] == "http://shop.example.com:8080"
    assert {each["type"]: (each["status"], each.get("reason", "")) for each in found["conditions"]} == {
        "CertificateProvisioned": ("True", "TLSNotEnabled"), "DomainClaimed": ("True", ""),
        "IngressReady": ("True", ""), "Ready": ("True", ""), "ReferenceResolved": ("True", "")}
    routes = await cluster.projected("routes")
    assert routes["shop.example.com"] == {"service": "default/r", "alias": "r.default.svc.cluster.local"}

    await cluster.delete(f"Route.{GROUP}", "r")
    await cluster.until_condition(MAPPING, "shop.example.com", "Ready", status="False")
    assert "shop.example.com" not in await cluster.projected("routes")


async def test_scheme_of_a_proxy(cluster, route):
    """The URL has the scheme of the proxy; the address, for this machine's own roles, has not."""
    await cluster.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: config-network, namespace: "
                        "knative-serving}, data: {default-external-scheme: https}}")
    await route()
    await cluster.apply(mapping())
    await cluster.until_condition(MAPPING, "shop.example.com", "Ready", status="True")
    found = cluster.get(MAPPING, "shop.example.com")["status"]
    assert (found["url"], found["address"]["url"]) == (
        "https://shop.example.com", "http://shop.example.com:8080")


async def test_oldest_has_the_domain(cluster, route):
    """A second one of the same name waits until the first one goes."""
    await cluster.apply("{apiVersion: v1, kind: Namespace, metadata: {name: other}}")
    for namespace in ("default", "other"):
        await route(namespace=namespace)
    await cluster.apply(mapping())
    await cluster.until_condition(MAPPING, "shop.example.com", "Ready", status="True")
    first = cluster.get(MAPPING, "shop.example.com")["metadata"]["creationTimestamp"]
    await cluster.until(lambda: resource.timestamp(time.time()) != first)
    await cluster.apply(mapping(namespace="other"))
    taken = await cluster.until_condition(MAPPING, "shop.example.com", "Ready", status="False",
                                          namespace="other")
    assert (taken["reason"], taken["message"]) == (
        "DomainAlreadyClaimed", "The domain name is already in use by another DomainMapping")

    await cluster.delete(MAPPING, "shop.example.com")
    await cluster.until_condition(MAPPING, "shop.example.com", "Ready", status="True", namespace="other")
    routes = await cluster.projected("routes")
    assert routes["shop.example.com"] == {"service": "other/r", "alias": "r.other.svc.cluster.local"}


def claim(namespace):
    """A ClusterDomainClaim, as YAML."""
    return ("{apiVersion: networking.internal.knative.dev/v1alpha1, kind: ClusterDomainClaim, "
            f"metadata: {{name: shop.example.com}}, spec: {{namespace: {namespace}}}}}")


async def test_claimed_for_another(cluster, route):
    """Whoever a ClusterDomainClaim names has the domain, and nobody else; when it goes, the oldest has."""
    await route()
    await cluster.apply(mapping())
    await cluster.until_condition(MAPPING, "shop.example.com", "Ready", status="True")
    await cluster.apply(claim("other"))
    await cluster.until_condition(MAPPING, "shop.example.com", "Ready", status="False",
                                  reason="DomainAlreadyClaimed")
    assert "shop.example.com" not in await cluster.projected("routes")

    await cluster.delete(CLAIM, "shop.example.com", namespace="")
    await cluster.until_condition(MAPPING, "shop.example.com", "Ready", status="True")
    assert "shop.example.com" in await cluster.projected("routes")


async def test_claims_may_be_asked_for(cluster, route):
    """Where config-network says so, a domain without a claim is nobody's."""
    await cluster.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: config-network, namespace: "
                        "knative-serving}, data: {autocreate-cluster-domain-claims: 'false'}}")
    await route()
    await cluster.apply(mapping())
    missing = await cluster.until_condition(MAPPING, "shop.example.com", "Ready", status="False")
    assert (missing["reason"], missing["message"]) == (
        "DomainClaimFailed", 'no ClusterDomainClaim found for domain "shop.example.com"')
    await cluster.apply(claim("default"))
    await cluster.until_condition(MAPPING, "shop.example.com", "Ready", status="True")


async def test_claim_names_a_namespace(cluster):
    """A claim for nobody is refused."""
    with pytest.raises(Failure, match=r"missing field\(s\): spec.namespace"):
        await cluster.apply(claim("''"))


async def test_name_of_a_route(cluster, route):
    """A domain may not take a host that a Route could have; one directly under the domain is free."""
    await route()
    await cluster.apply(mapping("a.b.localhost"))
    await cluster.until_condition(MAPPING, "a.b.localhost", "Ready", status="False", reason="DomainReserved")
    await cluster.apply(mapping("shop.localhost"))
    await cluster.until_condition(MAPPING, "shop.localhost", "Ready", status="True")


async def test_target_without_a_host(cluster):
    """Something that is addressed by a path, or is no Service, cannot have a domain."""
    await cluster.apply("{apiVersion: eventing.knative.dev/v1, kind: Broker, metadata: {name: r}}")
    await cluster.apply(mapping(spec="ref: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: r}"))
    await cluster.until(lambda: "contains a path" in str(
        (cluster.get(MAPPING, "shop.example.com").get("status") or {}).get("conditions")))


@pytest.mark.parametrize(("name", "wrong"), [
    ("shop", 'name: Invalid value: "shop": should be a domain with at least two segments separated by dots'),
    ("Shop.example.com",
     ('name: Invalid value: "Shop.example.com": a lowercase RFC 1123 subdomain must consist of lower case '
      "alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. "
      "'example.com', regex used for validation is "
      "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')")),
    (f"{'a' * 64}.com", f'name: Invalid value: "{"a" * 64}": must be no more than 63 characters'),
    ("a.svc.cluster.local", 'must not be a subdomain of cluster local domain "cluster.local"'),
])
def test_name_is_judged(admit, name, wrong):
    """The name is a domain, and not one of the cluster's own."""
    assert admit(mapping(name))[1] == f'invalid name "{name}": {wrong}: metadata.name'


@pytest.mark.parametrize(("text", "expected"), [
    (mapping(spec="tls: {secretName: s}"),
     "missing field(s): spec.ref.apiVersion, spec.ref.kind, spec.ref.name"),
    (mapping(spec="ref: {REF, namespace: other}"),
     'mismatched namespaces: spec.ref.namespace\nparent namespace: "default" does not match ref: "other"'),
])
def test_is_judged(admit, text, expected):
    """A reference names one object of the same namespace."""
    assert admit(text)[1] == expected


def test_tls_is_not_ours(admit):
    """Whoever asks for TLS is told who can give it."""
    made, errors, warnings = admit(mapping(spec="ref: {REF}, tls: {secretName: s}"))

    assert (errors, len(warnings)) == ("", 1)
    assert made["spec"]["ref"]["namespace"] == "default"
