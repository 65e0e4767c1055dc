"""ContainerSource, the kind: admission in Knative's words, what it is made of, and its way to Ready."""

import pytest

import sources.containersource
import sources.sinkbinding
from eventing.control import resource
from eventing.control.failure import Failure

KIND = "ContainerSource.sources.knative.dev"
DEPLOYMENT = "Deployment.apps"
BINDING = "SinkBinding.sources.knative.dev"
SOURCE = """
apiVersion: sources.knative.dev/v1
kind: ContainerSource
metadata: {{name: beat}}
spec:
  template:
    metadata: {{labels: {{own: label}}}}
    spec: {pod}
  sink: {sink}
  {more}
"""
POD = "{containers: [{image: a, command: [beat]}]}"
BROKER = "{apiVersion: eventing.knative.dev/v1, kind: Broker, metadata: {name: default}}"
TO_BROKER = "{ref: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: default}}"


def source(pod=POD, sink="{uri: 'http://sink.example/'}", more=""):
    """A ContainerSource as YAML."""
    return SOURCE.format(pod=pod, sink=sink, more=more)


def test_registered():
    """Both kinds are there once their modules are."""
    registered = sources.containersource.KIND, sources.sinkbinding.KIND
    assert [kind.full_name for kind in registered] == [KIND, BINDING]


@pytest.mark.parametrize(("made", "message"), [
    (source(), ""),
    (source(pod="{}"), "missing field(s): spec.containers"),
    (source(pod="{containers: [{image: a}, {}]}"), "missing field(s): spec.containers[1].image"),
    (source(sink="null"), "expected at least one, got none: spec.sink.ref, spec.sink.uri"),
    (source(more="ceOverrides: {extensions: {x-y: a}}"),
     'invalid key name "x-y": spec.ceOverrides.extensions\nkeys are expected to be alphanumeric'),
])
def test_admission(admit, made, message):
    """A ContainerSource is refused in the words that Knative uses, and not where Knative takes it."""
    assert admit(made)[1] == message


def test_defaults(admit):
    """Containers get names, the sink a namespace."""
    made, _, _ = admit(source(pod="{containers: [{image: a}, {image: b, name: own}]}", sink=TO_BROKER))

    assert [each["name"] for each in made["spec"]["template"]["spec"]["containers"]] == ["beat-0", "own"]
    assert made["spec"]["sink"]["ref"]["namespace"] == "default"


async def test_unknown_field(cluster):
    """A field that a container has not is refused with its path, as Knative's webhook does it."""
    with pytest.raises(Failure, match=r'unknown field "comand": spec\.template\.spec\.containers\[0\]'):
        await cluster.apply(source(pod="{containers: [{image: a, comand: [beat]}]}"))


async def test_way_to_ready(cluster):
    """Without a sink nothing is started; with one the program knows it from the beginning; then Ready."""
    await cluster.apply(source(sink=TO_BROKER, more="ceOverrides: {extensions: {room: a}}"))
    await cluster.until_condition(KIND, "beat", "SinkBindingReady", status="False", reason="NotFound")
    await cluster.until_condition(KIND, "beat", "ReceiveAdapterReady", status="Unknown",
                                  reason="DeploymentUnavailable")
    assert cluster.get(DEPLOYMENT, "beat-deployment") is None

    await cluster.apply(BROKER)
    made = await cluster.until(lambda: cluster.get(DEPLOYMENT, "beat-deployment"))
    [container] = made["spec"]["template"]["spec"]["containers"]
    env = {each["name"]: each["value"] for each in container["env"]}
    assert env["K_SINK"].endswith("/default/default")
    assert env["K_CE_OVERRIDES"] == '{"extensions":{"room":"a"}}'
    assert made["metadata"]["generation"] == 1
    assert made["spec"]["template"]["metadata"]["labels"] == {
        "own": "label", **made["spec"]["selector"]["matchLabels"]}

    await cluster.report("deployment-states", "default/beat-deployment", {
        "uid": resource.uid(made), "generation": 1, "replicas": 1, "updated": 1, "ready": 1, "reason": "",
        "message": ""})
    await cluster.until_condition(KIND, "beat", "Ready", status="True")
    status = cluster.get(KIND, "beat")["status"]
    assert status["sinkUri"] == cluster.get(BINDING, "beat-sinkbinding")["status"]["sinkUri"]


async def test_sink_that_goes_away(cluster):
    """The program is not started anew because its sink has gone or has come again, only for another one."""
    await cluster.apply(BROKER)
    await cluster.apply(source(sink=TO_BROKER))
    made = await cluster.until(lambda: cluster.get(DEPLOYMENT, "beat-deployment"))

    await cluster.delete("Broker.eventing.knative.dev", "default")
    await cluster.until_condition(KIND, "beat", "SinkBindingReady", status="False", reason="NotFound")
    await cluster.apply(BROKER)
    await cluster.until_condition(KIND, "beat", "SinkBindingReady", status="True")
    await cluster.apply(source(sink=TO_BROKER.replace("name: default", "name: nowhere")))
    await cluster.until_condition(KIND, "beat", "SinkBindingReady", status="False", reason="NotFound")
    assert cluster.get(DEPLOYMENT, "beat-deployment")["spec"] == made["spec"]
    assert cluster.get(DEPLOYMENT, "beat-deployment")["metadata"]["generation"] == 1

    await cluster.apply(source())
    await cluster.until(
        lambda: cluster.get(DEPLOYMENT, "beat-deployment")["metadata"]["generation"] == 2)
    assert "http://sink.example/" in str(cluster.get(DEPLOYMENT, "beat-deployment")["spec"])


async def test_cannot_run(cluster):
    """What cannot be run here is the source's own reason, with what to write instead."""
    await cluster.apply(source(pod="{containers: [{image: registry.example/heartbeats}]}"))

    found = await cluster.until_condition(KIND, "beat", "Ready", status="False", reason="ContainerMissing")

    assert "names no command" in found["message"]


async def test_gone(cluster):
    """Its parts go with it, and the program is not started anew without a sink meanwhile."""
    await cluster.apply(source())
    table = await cluster.until_projected("deployments", lambda table: "default/beat-deployment" in table)
    assert table["default/beat-deployment"]["owner"] == "beat"

    await cluster.delete(KIND, "beat")
    await cluster.until(lambda: not cluster.get(BINDING, "beat-sinkbinding"))
    await cluster.until(lambda: not cluster.get(DEPLOYMENT, "beat-deployment"))
    assert not await cluster.projected("deployments")
