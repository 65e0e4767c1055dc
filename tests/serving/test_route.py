"""A Route by itself, without a Service."""

from eventing.control import resource

GROUP = "serving.knative.dev"
DIGEST = "ab" * 32


def configuration(env="1"):
    """A Configuration, as YAML."""
    return f"""
apiVersion: serving.knative.dev/v1
kind: Configuration
metadata: {{name: c}}
spec:
  template:
    spec:
      containers: [{{image: 'func://c@sha256:{DIGEST}', env: [{{name: V, value: '{env}'}}]}}]
"""


async def healthy(cluster, name):
    """Report, once the revision is there, that it is healthy."""
    found = await cluster.until(lambda: cluster.get(f"Revision.{GROUP}", name))
    await cluster.report(
        "scales",
        f"default/{name}",
        {"uid": resource.uid(found), "healthy": True, "actual": 1, "desired": 1, "active": "True"},
    )
    await cluster.until_condition(f"Revision.{GROUP}", name, "Ready", status="True")


async def test_route_by_itself(cluster):
    """A Route may point at a Configuration; when it goes, its host and its mark on the Revision go."""
    await cluster.apply(
        "{apiVersion: serving.knative.dev/v1, kind: Route, metadata: {name: r}, spec: {traffic: "
        "[{configurationName: c, percent: 100, tag: t}]}}"
    )
    missing = await cluster.until_condition(f"Route.{GROUP}", "r", "Ready", status="False")
    assert (missing["reason"], missing["message"]) == (
        "ConfigurationMissing",
        'Configuration "c" referenced in traffic not found.',
    )
    ingress = await cluster.until_condition(f"Route.{GROUP}", "r", "IngressReady", status="Unknown")
    assert (ingress["reason"], ingress["message"]) == (
        "IngressNotConfigured",
        "Ingress has not yet been reconciled.",
    )
    await cluster.apply(configuration())
    waiting = await cluster.until_condition(f"Route.{GROUP}", "r", "Ready", status="Unknown")
    assert waiting["message"] == 'Configuration "c" is waiting for a Revision to become ready.'
    await healthy(cluster, "c-00001")
    await cluster.until_condition(f"Route.{GROUP}", "r", "Ready", status="True")
    certificate = await cluster.until_condition(
        f"Route.{GROUP}", "r", "CertificateProvisioned", status="True"
    )
    assert (certificate["reason"], certificate["message"]) == (
        "TLSNotEnabled",
        "external-domain-tls is not enabled",
    )
    assert set(await cluster.projected("routes")) == {"r.default.localhost", "t-r.default.localhost"}
    revision = cluster.get(f"Revision.{GROUP}", "c-00001")
    assert resource.labels(revision)[f"{GROUP}/routingState"] == "active"

    await cluster.delete(f"Route.{GROUP}", "r")
    await cluster.until(lambda: cluster.get(f"Route.{GROUP}", "r") is None)
    assert await cluster.projected("routes") == {}
    revision = cluster.get(f"Revision.{GROUP}", "c-00001")
    assert resource.labels(revision)[f"{GROUP}/routingState"] == "reserve"


def test_route_is_judged(admit):
    """A Route's traffic is judged with its path."""
    made, errors, _ = admit(
        "{apiVersion: serving.knative.dev/v1, kind: Route, metadata: {name: r}, spec: {traffic: "
        "[{percent: 50}]}}"
    )

    assert made["spec"]["traffic"] == [{"percent": 50, "latestRevision": True}]
    assert errors == (
        "Traffic targets sum to 50, want 100: spec.traffic\n"
        "expected exactly one, got neither: spec.traffic[0].configurationName, spec.traffic[0].revisionName"
    )
