"""Knative's API specification, what it says of operations, errors and conditions; and its own samples."""

import json
import urllib.request

import pytest

MERGE = "application/merge-patch+json"
SERVING = "/apis/serving.knative.dev/v1/namespaces/default"
INNER = "/apis/{}.internal.knative.dev/v1alpha1/namespaces/default"
REVISION = "runtime-00001"

# The variants in Knative's documents and samples, as they stand there but for names.
SAMPLES = """
apiVersion: v1
kind: ConfigMap
metadata: {name: clarion-images, namespace: knative-serving}
data:
  runtime: registry.example.com/test/runtime = func://./runtime
  sample: docker.io/u/helloworld-go = func://./runtime
---
apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  name: sample
  annotations:
    serving.knative.dev/rollout-duration: "380s"
    networking.knative.dev/http-protocol: redirected
    networking.knative.dev/disable-external-domain-tls: "true"
spec:
  template:
    metadata:
      name: sample-1
      annotations:
        autoscaling.knative.dev/class: kpa.autoscaling.knative.dev
        autoscaling.knative.dev/metric: rps
        autoscaling.knative.dev/target: "150"
        autoscaling.knative.dev/minScale: "1"
        autoscaling.knative.dev/max-scale: "100"
        autoscaling.knative.dev/window: "40s"
        autoscaling.knative.dev/panic-window-percentage: "20.0"
        autoscaling.knative.dev/panic-threshold-percentage: "150.0"
        autoscaling.knative.dev/scale-down-delay: "15m"
        autoscaling.knative.dev/activation-scale: "5"
        autoscaling.knative.dev/scale-to-zero-pod-retention-period: "1m5s"
        autoscaling.knative.dev/target-burst-capacity: "200"
        serving.knative.dev/progress-deadline: "60s"
        features.knative.dev/http-full-duplex: "Enabled"
        queue.sidecar.serving.knative.dev/cpu-resource-request: "1"
    spec:
      containerConcurrency: 50
      timeoutSeconds: 300
      responseStartTimeoutSeconds: 300
      idleTimeoutSeconds: 60
      imagePullSecrets: [{name: registry}]
      containers:
      - image: docker.io/u/helloworld-go
        env: [{name: TARGET, value: "First Revision"}]
        resources: {requests: {cpu: 100m, memory: 64Mi}, limits: {memory: 256Mi}}
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
        livenessProbe: {tcpSocket: {port: 8080}}
  traffic:
  - {tag: current, revisionName: sample-1, percent: 100}
  - {tag: latest, latestRevision: true, percent: 0}
"""


@pytest.mark.parametrize(("plural", "name"), [
    ("services", "runtime"), ("configurations", "runtime"), ("routes", "runtime"), ("revisions", REVISION)])
def test_reading(api, instance, plural, name):
    """Every kind can be read: one, all, those with a label; and watched."""
    found = api.get(f"{plural}/{name}")
    listed = api.get(f"{plural}?labelSelector=no%3Dsuch")
    assert (listed["kind"], listed["items"]) == (f"{found['kind']}List", [])
    assert name in [each["metadata"]["name"] for each in api.get(plural)["items"]]
    query = f"watch=true&timeoutSeconds=1&fieldSelector=metadata.name%3D{name}"
    with urllib.request.urlopen(f"{instance.control_url}{SERVING}/{plural}?{query}", timeout=30) as events:
        first = json.loads(events.readline())
    assert (first["type"], first["object"]["metadata"]["name"]) == ("ADDED", name)


def test_a_configuration_and_a_route_by_themselves(api, until):
    """A Configuration and a Route can be made, changed and deleted without a Service; a Revision can go."""
    image = "registry.example.com/test/runtime"
    made = {"metadata": {"name": "alone"}, "spec": {"template": {"spec": {"containers": [{"image": image}]}}}}
    assert api.call("POST", "configurations", made)[0] == 201
    target = {"metadata": {"name": "alone"}, "spec": {"traffic": [
        {"configurationName": "alone", "percent": 100}]}}
    assert api.call("POST", "routes", target)[0] == 201
    until(lambda: is_true(api.get("routes/alone"), "Ready"), what="Route")
    assert api.call("PATCH", "configurations/alone", {"spec": {"template": {"spec": {
        "timeoutSeconds": 7}}}}, MERGE)[0] == 200
    until(lambda: api.get("configurations/alone")["status"]["latestReadyRevisionName"] == "alone-00002",
          what="second Revision")
    assert api.call("DELETE", "revisions/alone-00001")[0] == 200
    for path in ("routes/alone", "configurations/alone"):
        assert api.call("DELETE", path)[0] == 200
    until(lambda: api.call("GET", "revisions/alone-00002")[0] == 404, what="end of the Revision")


def is_true(found, type_):
    """Whether that condition is True."""
    return any(each["type"] == type_ and each["status"] == "True"
               for each in found.get("status", {}).get("conditions", []))


@pytest.fixture(scope="module")
def faulty(instance):
    """Applies a Service whose code does not import."""
    (instance.folder / "faulty").mkdir()
    (instance.folder / "faulty" / "func.py").write_text("raise RuntimeError('no')")
    text = ("{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: faulty}, spec: {template: "
            "{spec: {containers: [{image: 'func://./faulty'}]}}}}")
    (instance.folder / "faulty.yaml").write_text(text)
    instance.run("apply", "--no-wait", "-f", str(instance.folder / "faulty.yaml"))


@pytest.mark.usefixtures("faulty")
def test_conditions_go_together(api, until):
    """False has a reason; Ready is True only where all that count are, and False where one of them is."""
    until(lambda: not_ready(api, "services/faulty"), what="failure")

    for plural in ("services", "configurations", "routes", "revisions"):
        for found in api.get(plural)["items"]:
            conditions = found.get("status", {}).get("conditions", [])
            states = {each["status"] for each in conditions
                      if each["type"] != "Ready" and not each.get("severity")}
            ready = next(each["status"] for each in conditions if each["type"] == "Ready")
            assert all(each.get("reason") for each in conditions if each["status"] == "False")
            assert ready != "True" or states <= {"True"}, found
            assert "False" not in states or ready == "False", found


def not_ready(api, path):
    """Whether it is there, and Ready is False."""
    status, found = api.call("GET", path)
    return status == 200 and any((each["type"], each["status"]) == ("Ready", "False")
                                 for each in found.get("status", {}).get("conditions", []))


@pytest.mark.usefixtures("faulty")
def test_failures_are_events(api, instance, until):
    """Whoever describes a revision that does not start finds when that was, and why."""
    until(lambda: not_ready(api, "revisions/faulty-00001"), what="failed Revision")
    until(lambda: "RuntimeError: no" in instance.clarion("describe", "revision", "faulty-00001").partition(
        "Events")[2], what="Event")


@pytest.mark.parametrize(("group", "plural", "heads"), [
    ("autoscaling", "podautoscalers", "NAME DESIREDSCALE ACTUALSCALE READY REASON"),
    ("autoscaling", "metrics", "NAME READY REASON"),
    ("networking", "serverlessservices",
     "NAME MODE ACTIVATORS SERVICENAME PRIVATESERVICENAME READY REASON"),
])
def test_what_scales_a_revision(instance, group, plural, heads):
    """PodAutoscaler, Metric and ServerlessService of every Revision can be read, and not be written."""
    path = f"{INNER.format(group)}/{plural}"
    status, found = instance.call("GET", f"{path}/{REVISION}")
    assert (status, found["metadata"]["labels"]["serving.knative.dev/service"]) == (200, "runtime")
    first, *rows = instance.clarion("get", plural).splitlines()
    assert first.split() == heads.split()
    assert REVISION in [row.split()[0] for row in rows]
    assert instance.call("DELETE", f"{path}/{REVISION}")[0] == 405


def test_samples(apply, data, api):
    """A Service as Knative's documents have it is taken as it is; applied again, it is no change."""
    assert "service/sample created" in apply(SAMPLES)
    assert data.see("current-sample.default.localhost")["env"]["TARGET"] == "First Revision"
    generation = api.get("services/sample")["metadata"]["generation"]

    assert "service/sample unchanged" in apply(SAMPLES)
    moved = SAMPLES.replace("percent: 100}", "percent: 40}").replace("percent: 0}", "percent: 60}")
    assert "service/sample configured" in apply(moved)
    found = api.get("services/sample")
    assert found["metadata"]["generation"] == generation + 1
    assert [each["percent"] for each in found["status"]["traffic"]] == [40, 60]


def test_a_tag_for_inner_use(apply, data, api):
    """A tag that is cluster-local has an inner URL, and the data port knows it by no name."""
    apply("{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: half, annotations: "
          "{clarion.dev/cluster-local-tags: next}}, spec: {template: {metadata: {name: half-1}, spec: "
          "{containers: [{image: registry.example.com/test/runtime}]}}, traffic: "
          "[{revisionName: half-1, percent: 100, tag: now}, {latestRevision: true, percent: 0, tag: next}]}}")

    urls = {each["tag"]: each["url"] for each in api.get("services/half")["status"]["traffic"]}
    assert urls["next"] == "http://next-half.default.svc.cluster.local"
    assert data.see("now-half.default.localhost")["env"]["K_REVISION"] == "half-1"
    for host in ("next-half.default.localhost", "next-half.default.svc.cluster.local"):
        assert data.ask(host)[0] in {404, 405}
    seen = data.see("half.default.localhost", headers={"Knative-Serving-Tag": "next"})["headers"]
    assert seen["knative-serving-default-route"] == "true"


def test_hosts_are_unique(apply, api, instance, data, until):
    """A Service called like another one's tag is not Ready, and the tag stays where it leads."""
    text = ("{{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {{name: {0}}}, spec: {{template: "
            "{{spec: {{containers: [{{image: registry.example.com/test/runtime}}]}}}}, traffic: "
            "[{{latestRevision: true, percent: 100, tag: {1}}}]}}}}")
    apply(text.format("owner", "a"))
    (instance.folder / "rival.yaml").write_text(text.format("a-owner", "b"))
    instance.run("apply", "--no-wait", "-f", str(instance.folder / "rival.yaml"))

    until(lambda: not_ready(api, "services/a-owner"), what="refusal")
    assert data.see("a-owner.default.localhost")["env"]["K_SERVICE"] == "owner"
    instance.clarion("delete", "service", "a-owner")
