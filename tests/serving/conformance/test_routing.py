"""Knative's API specification, what it says of traffic: a test a clause."""

import json
from collections import Counter

import pytest

SPLIT = """
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {{name: split}}
spec:
  template:
    metadata: {{name: {name}}}
    spec: {{containers: [{{image: "func://./runtime", env: [{{name: NAME, value: {name}}}]}}]}}
  traffic: {traffic}
"""


@pytest.fixture(scope="module")
def split(instance):
    """A Service with two revisions, at 75 and 25 percent, the first with a tag."""
    for name, traffic in (
        ("split-a", "[{latestRevision: true, percent: 100}]"),
        ("split-b", "[{revisionName: split-a, percent: 75, tag: old}, {latestRevision: true, percent: 25}]"),
    ):
        (instance.folder / "split.yaml").write_text(SPLIT.format(name=name, traffic=traffic))
        instance.clarion("apply", "-f", str(instance.folder / "split.yaml"))
    return "split.default.localhost"


def revision(seen):
    """Which revision answered."""
    return seen["env"]["K_REVISION"]


def test_weights_count_requests(split, data):
    """Requests of one connection are split by the weights, too: nothing sticks to a client."""
    connection = data.connect()
    seen = Counter(revision(data.see(split, connection=connection)) for _ in range(40))
    connection.close()

    assert seen == {"split-a": 30, "split-b": 10}


def test_weights_over_connections(split, data):
    """So are requests of many connections."""
    assert Counter(revision(data.see(split)) for _ in range(20)) == {"split-a": 15, "split-b": 5}


def test_tag_has_a_host(split, data, api):
    """A tag's URL contains the tag, and leads to its revision alone."""
    (tagged,) = [each for each in api.get("services/split")["status"]["traffic"] if each.get("tag")]
    assert tagged["url"].startswith("http://old-split.default.")

    assert {revision(data.see(f"old-{split}")) for _ in range(5)} == {"split-a"}


def test_tag_by_header(split, data):
    """Where the feature is on, a header chooses the tag at the Service's own host."""
    headers = {"Knative-Serving-Tag": "old"}
    assert {revision(data.see(split, headers=headers)) for _ in range(5)} == {"split-a"}
    assert data.see(split)["headers"]["knative-serving-default-route"] == "true"
    assert data.see(f"old-{split}")["headers"]["knative-serving-tag"] == "old"


def test_unknown_host(split, data):
    """A host of no Service is nobody's."""
    assert data.ask("nobody.default.localhost")[0] == 404
    assert data.ask(f"new-{split}")[0] == 404


def test_cluster_local(apply, api, data, instance):
    """A Service for inner use has an inner URL, which the data port does not serve."""
    apply("{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: inner, labels: "
          "{networking.knative.dev/visibility: cluster-local}}, spec: {template: {spec: "
          "{containers: [{image: registry.example.com/test/runtime}]}}}}")

    assert api.get("services/inner")["status"]["url"] == "http://inner.default.svc.cluster.local"
    for host in ("inner.default.svc.cluster.local", "inner.default.localhost"):
        assert data.ask(host)[0] in {404, 405}
    apply("{apiVersion: eventing.knative.dev/v1, kind: Broker, metadata: {name: default}}\n---\n"
          "{apiVersion: eventing.knative.dev/v1, kind: Trigger, metadata: {name: inner}, spec: {broker: "
          "default, subscriber: {ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: inner}}}}")
    assert json.loads(instance.clarion("get", "trigger", "inner", "-o", "json"))["status"][
        "subscriberUri"] == "http://inner.default.svc.cluster.local"


def test_domain_mapping(apply, data, instance):
    """A domain of one's own leads to the Service."""
    apply("{apiVersion: serving.knative.dev/v1beta1, kind: DomainMapping, metadata: "
          "{name: shop.example.com}, spec: {ref: {apiVersion: serving.knative.dev/v1, kind: Service, "
          "name: runtime}}}")

    seen = data.see("shop.example.com")
    assert (revision(seen), seen["headers"]["host"]) == ("runtime-00001", "shop.example.com")
    assert "http://shop.example.com" in instance.clarion("get", "domainmappings")
