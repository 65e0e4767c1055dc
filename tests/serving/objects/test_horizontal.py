"""Class HPA: what a Service may ask for, what it hears at once, and what its PodAutoscaler shows."""

import pytest

from eventing.control import resource
from eventing.control.kind import named
from serving.objects import autoscaling, horizontal
from serving.objects.autoscaling import settings

DIGEST = "ab" * 32
CLASS = f"autoscaling.knative.dev/class: {autoscaling.HPA}"
REQUEST = "resources: {requests: {cpu: 250m}}"
OTHER_METRIC = ", autoscaling.knative.dev/metric: queue-depth, autoscaling.knative.dev/target: '9'"
NO_REQUEST = ("missing request for cpu: there are min-scale workers, whatever the load; say in "
              "resources.requests.cpu what the target is a percentage of")
NO_METRIC = ("no metric queue-depth here: there are min-scale workers, whatever the load; use cpu or "
             "memory, or class kpa.autoscaling.knative.dev with concurrency or rps")


@pytest.mark.parametrize(("resources", "cores"), [
    ({}, 0.0),
    ({"requests": {"memory": "1Gi"}}, 0.0),
    ({"requests": {"cpu": "0"}}, 0.0),
    ({"requests": {"cpu": "250m"}}, 0.25),
    ({"limits": {"cpu": 2}}, 2.0),
    ({"requests": {"cpu": "500m"}, "limits": {"cpu": "1"}}, 0.5),
])
def test_request(resources, cores):
    """A container asks for its request, else for its limit."""
    assert horizontal.cpu_request({"resources": resources}) == cores


def test_a_target_beyond_all_bounds():
    """What is no number of bytes counts as absent."""
    written = {f"autoscaling.knative.dev/{key}": value for key, value in
               {"class": autoscaling.HPA, "metric": "memory", "target": "1e308"}.items()}
    assert horizontal.goal(written, settings({})) == horizontal.Goal("cpu", 80.0)


@pytest.mark.parametrize(("annotations", "metric"), [
    ({}, "concurrency"), ({"class": autoscaling.KPA, "metric": "rps"}, "rps"),
    ({"class": autoscaling.HPA}, "cpu"),
    ({"class": autoscaling.HPA, "metric": "memory"}, "memory"), ({"class": "my.autoscaler"}, ""),
])
def test_metric(annotations, metric):
    """Each class has its metric by default."""
    written = {f"autoscaling.knative.dev/{key}": value for key, value in annotations.items()}
    assert horizontal.metric(written, settings({})) == metric


@pytest.mark.parametrize(("annotations", "container", "configs", "told"), [
    (CLASS, REQUEST, {}, None),
    (CLASS, "resources: {limits: {cpu: '1'}}", {}, None),
    (CLASS, "", {"config-defaults": {"revision-cpu-request": "100m"}}, None),
    (f"{CLASS}, autoscaling.knative.dev/metric: memory, autoscaling.knative.dev/target: '90'", "", {}, None),
    (CLASS, "", {}, NO_REQUEST),
    (f"{CLASS}, autoscaling.knative.dev/metric: memory", "", {},
     f"metric memory has no target, so that cpu counts, as on Knative: {NO_REQUEST}"),
    (f"{CLASS}, autoscaling.knative.dev/metric: foo", "", {},
     f"metric foo is not measured here, and has no target, so that cpu counts, as on Knative: {NO_REQUEST}"),
    (f"{CLASS}, autoscaling.knative.dev/metric: memory", REQUEST, {}, None),
    (f"{CLASS}{OTHER_METRIC}", REQUEST, {}, NO_METRIC),
    ("", "", {"config-autoscaler": {"pod-autoscaler-class": autoscaling.HPA}}, NO_REQUEST),
])
def test_what_cannot_be_measured_is_told(admit, annotations, container, configs, told):
    """Whoever applies a Service hears what is not measured here, what is done instead, and what to do."""
    text = (f"{{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {{name: s}}, spec: {{template: "
            f"{{metadata: {{annotations: {{{annotations}}}}}, spec: {{containers: [{{image: 'func://./s', "
            f"{container}}}]}}}}}}}}")
    _, errors, warnings = admit(text, configs=configs)

    assert errors == ""
    found = [each for each in warnings if each.startswith("autoscaling")]
    assert found == ([] if told is None else [f"autoscaling.knative.dev/metric: {told}"])


@pytest.mark.parametrize(("annotations", "container", "metric", "condition"), [
    ("", REQUEST, "cpu", ("True", "ValidMetricFound",
                          "the HPA was able to successfully calculate a replica count from cpu")),
    ("", "", "cpu", ("False", "FailedGetResourceMetric", NO_REQUEST)),
    (OTHER_METRIC, REQUEST, "queue-depth", ("False", "FailedGetPodsMetric", NO_METRIC)),
])
async def test_pod_autoscaler(cluster, annotations, container, metric, condition):
    """A PodAutoscaler shows class and metric, how many there are and shall be, and whether it is measured."""
    made = await cluster.apply(
        f"{{apiVersion: serving.knative.dev/v1, kind: Revision, metadata: {{name: r, annotations: "
        f"{{{CLASS}{annotations}}}}}, spec: {{containers: [{{image: 'func://hello@sha256:{DIGEST}', "
        f"{container}}}]}}}}")
    await cluster.report("scales", "default/r", {
        "uid": resource.uid(made), "healthy": True, "reason": "", "message": "", "desired": 3, "actual": 1,
        "active": "True", "active_reason": "", "active_message": "", "initialized": True})
    await cluster.until_condition("Revision.serving.knative.dev", "r", "Active", status="True")
    found = cluster.plane.store.get(named("PodAutoscaler.autoscaling.internal.knative.dev"), "default", "r")

    said = resource.annotations(found)
    assert said["autoscaling.knative.dev/class"] == autoscaling.HPA
    assert said["autoscaling.knative.dev/metric"] == metric
    assert (found["status"]["desiredScale"], found["status"]["actualScale"]) == (3, 1)
    active = resource.condition(found["status"], "ScalingActive")
    assert (active["status"], active["reason"], active["message"]) == condition
    assert active["severity"] == "Info"
    assert resource.condition_status(found["status"], "Ready") == "True"
