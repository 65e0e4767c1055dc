"""PodAutoscaler, Metric and ServerlessService: what can be read off a Revision, in Knative's shape."""

import pytest

from eventing.control import resource
from eventing.control.kind import named

REVISION = "Revision.serving.knative.dev"
DIGEST = "ab" * 32
LABELS = "{serving.knative.dev/routingState: active, tier: c}"
SPEC = f"{{containerConcurrency: 5, containers: [{{image: 'func://hello@sha256:{DIGEST}'}}]}}"
NO_BACKENDS = "K8s Service is not ready"


@pytest.fixture
def read(cluster):
    """`read(kind)`: that object of Revision r, once the Revision says so and so."""

    def found(kind):
        return cluster.plane.store.get(named(kind), "default", "r")

    return found


async def revision(cluster, annotations="{}", **report):
    """A Revision, and what the serving role says of it."""
    made = await cluster.apply(f"{{apiVersion: serving.knative.dev/v1, kind: Revision, metadata: {{name: r, "
                               f"labels: {LABELS}, annotations: {annotations}}}, spec: {SPEC}}}")
    await cluster.report("scales", "default/r", {
        "uid": resource.uid(made), "healthy": True, "reason": "", "message": "", "desired": 2, "actual": 1,
        "active": "True", "active_reason": "", "active_message": "", "initialized": True, **report})
    await cluster.until_condition(REVISION, "r", "Active", status=report.get("active", "True"))
    return cluster.get(REVISION, "r")


def conditions(found):
    """Status and reason by type."""
    return {each["type"]: (each["status"], each.get("reason", "")) for each in found["status"]["conditions"]}


async def test_pod_autoscaler(cluster, read):
    """A PodAutoscaler says how many workers there are and shall be, and belongs to its Revision."""
    made = await revision(cluster, "{autoscaling.knative.dev/min-scale: '1', serving.knative.dev/routes: r}")
    found = read("PodAutoscaler.autoscaling.internal.knative.dev")

    assert found["spec"] == {
        "containerConcurrency": 5, "protocolType": "http1", "reachability": "Reachable",
        "scaleTargetRef": {"apiVersion": "serving.knative.dev/v1", "kind": "Revision", "name": "r"}}
    status = found["status"]
    assert (status["desiredScale"], status["actualScale"]) == (2, 1)
    assert (status["serviceName"], status["metricsServiceName"]) == ("r", "r-private")
    types = ("Active", "Ready", "SKSReady", "ScaleTargetInitialized")
    assert conditions(found) == dict.fromkeys(types, ("True", ""))
    about = found["metadata"]
    assert about["labels"] == {"app": "r", "tier": "c", "serving.knative.dev/revision": "r",
                               "serving.knative.dev/revisionUID": resource.uid(made)}
    assert about["annotations"] == {
        "autoscaling.knative.dev/class": "kpa.autoscaling.knative.dev",
        "autoscaling.knative.dev/metric": "concurrency", "autoscaling.knative.dev/min-scale": "1"}
    assert resource.is_controlled_by(found, made)


async def test_at_zero(cluster, read):
    """At zero workers it is not Ready for lack of traffic, and nobody stands behind the ServerlessService."""
    await revision(cluster, desired=0, actual=0, active="False", active_reason="NoTraffic",
                   active_message="The target is not receiving traffic.")
    scaler = read("PodAutoscaler.autoscaling.internal.knative.dev")

    assert conditions(scaler) == {
        "Active": ("False", "NoTraffic"), "Ready": ("False", "NoTraffic"),
        "SKSReady": ("Unknown", "NotReady"), "ScaleTargetInitialized": ("True", "")}
    service = read("ServerlessService.networking.internal.knative.dev")
    assert conditions(service) == {
        "ActivatorEndpointsPopulated": ("True", "ActivatorEndpointsPopulated"),
        "EndpointsPopulated": ("Unknown", "NoHealthyBackends"), "Ready": ("Unknown", "NoHealthyBackends")}
    assert resource.condition(service["status"], "Ready")["message"] == NO_BACKENDS


async def test_serverless_service(cluster, read):
    """Requests go by the activator, whatever the scale; the PodAutoscaler owns it."""
    await revision(cluster)
    service = read("ServerlessService.networking.internal.knative.dev")

    assert service["spec"] == {
        "mode": "Proxy", "numActivators": 1, "protocolType": "http1",
        "objectRef": {"apiVersion": "serving.knative.dev/v1", "kind": "Revision", "name": "r"}}
    assert (service["status"]["serviceName"], service["status"]["privateServiceName"]) == ("r", "r-private")
    assert conditions(service)["Ready"] == ("True", "")
    assert resource.is_controlled_by(service, read("PodAutoscaler.autoscaling.internal.knative.dev"))


@pytest.mark.parametrize(("annotations", "config", "windows"), [
    ("{}", "{}", (60, 6)),
    ("{autoscaling.knative.dev/window: 40s, autoscaling.knative.dev/panicWindowPercentage: '20.0'}", "{}",
     (40, 8)),
    ("{autoscaling.knative.dev/window: 6s}", "{stable-window: 2m}", (6, 1)),
    ("{}", "{stable-window: 2m, panic-window-percentage: '50'}", (120, 60)),
])
async def test_metric(cluster, read, annotations, config, windows):
    """A Metric has the windows of its Revision, from annotations or the ConfigMap, in nanoseconds."""
    await cluster.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: config-autoscaler, namespace: "
                        f"knative-serving}}, data: {config}}}")
    await revision(cluster, annotations)
    found = read("Metric.autoscaling.internal.knative.dev")

    stable_s, panic_s = windows
    assert found["spec"] == {"stableWindow": stable_s * 10**9, "panicWindow": panic_s * 10**9,
                             "scrapeTarget": "r-private"}
    assert conditions(found) == {"Ready": ("True", "")}


async def test_a_revision_without_a_report(cluster, read):
    """Before the serving role has said anything nothing is known."""
    await cluster.apply(f"{{apiVersion: serving.knative.dev/v1, kind: Revision, metadata: {{name: r}}, "
                        f"spec: {SPEC}}}")
    await cluster.until_condition(REVISION, "r", "Ready", status="Unknown")
    found = read("PodAutoscaler.autoscaling.internal.knative.dev")
    assert "desiredScale" not in found["status"]
    assert found["spec"]["reachability"] == ""
    assert conditions(found)["Ready"] == ("Unknown", "Deploying")
