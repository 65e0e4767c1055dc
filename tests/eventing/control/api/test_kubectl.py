"""A real kubectl against a real instance: its everyday commands, and what it prints of the answers."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

BUILT = sorted(Path(__file__).parents[4].glob(".cache/servers/kubernetes-*/bin/kubectl"))

TRIGGER = """
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: audit}
spec:
  broker: default
  filter: {attributes: {type: %s}}
  subscriber: {uri: "http://127.0.0.1:9/"}
"""
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: beat}
spec:
  replicas: 0
  selector: {matchLabels: {app: beat}}
  template:
    metadata: {labels: {app: beat}}
    spec: {containers: [{name: c, command: [sleep, "1000"]}]}
"""


@pytest.fixture
def kubectl(instance, tmp_path):
    """`kubectl(...)`: what a real one printed, asked of the instance."""
    def run(*arguments, stdin=None):
        done = subprocess.run([program, "--server", instance.control_url, *arguments], input=stdin,
                              capture_output=True, text=True, check=False, timeout=60,
                              env={"HOME": str(tmp_path), "KUBECONFIG": "/dev/null"})
        return done.stdout + done.stderr

    program = shutil.which("kubectl") or next(iter(map(str, BUILT)), None)
    if program is None:
        pytest.skip("there is no kubectl on PATH")
    return run


def test_kubectl_creates(instance, kubectl):
    """A real kubectl creates Namespaces, ConfigMaps and Secrets, and hears what to do for other kinds."""
    assert kubectl("create", "namespace", "sent") == "namespace/sent created\n"
    assert kubectl("create", "configmap", "m", "-n", "sent", "--from-literal=k=v") == "configmap/m created\n"
    assert kubectl("create", "secret", "generic", "s", "-n", "sent", "--from-literal=k=word") == \
        "secret/s created\n"
    made = [json.loads(instance.clarion("get", kind, name, "-n", "sent", "-o", "json"))
            for kind, name in (("configmap", "m"), ("secret", "s"))]
    assert [one["data"] for one in made] == [{"k": "v"}, {"k": "d29yZA=="}]
    assert made[1]["type"] == "Opaque"
    refused = kubectl("create", "deployment", "d", "-n", "sent", "--image=x")
    assert "Deployment is not read from protobuf: write it as YAML" in refused
    instance.clarion("delete", "namespace", "sent")


def test_server_side_apply(kubectl):
    """Created, changed, refused where another applied it, forced, and tried out."""
    def apply(type_, *options):
        return kubectl("apply", "--server-side", "-f", "-", *options, stdin=TRIGGER % type_)

    name = "trigger.eventing.knative.dev/audit"
    assert apply("a") == f"{name} serverside-applied\n"
    assert apply("b") == f"{name} serverside-applied\n"
    assert apply("c", "--dry-run=server") == f"{name} serverside-applied (server dry run)\n"
    refused = apply("c", "--field-manager=other")
    assert refused.startswith('error: Apply failed with 1 conflict: conflict with "kubectl": '
                              ".spec.filter.attributes.type\nPlease review the fields above")
    assert apply("c", "--field-manager=other", "--force-conflicts") == f"{name} serverside-applied\n"
    told = json.loads(kubectl("get", "trigger", "audit", "-o", "json", "--show-managed-fields"))
    assert [entry["manager"] for entry in told["metadata"]["managedFields"]] == ["kubectl", "other"]
    assert told["spec"]["filter"] == {"attributes": {"type": "c"}}
    kubectl("delete", "trigger", "audit")


def test_deployment(kubectl):
    """Scaled, restarted and given a variable, each by the patch or subresource that kubectl chooses."""
    assert kubectl("apply", "-f", "-", stdin=DEPLOYMENT) == "deployment.apps/beat created\n"
    assert kubectl("set", "env", "deployment/beat", "A=1") == "deployment.apps/beat env updated\n"
    assert kubectl("rollout", "restart", "deployment/beat") == "deployment.apps/beat restarted\n"
    assert kubectl("scale", "deployment/beat", "--replicas=1") == "deployment.apps/beat scaled\n"
    assert kubectl("scale", "deployment/beat", "--replicas=0") == "deployment.apps/beat scaled\n"
    template = json.loads(kubectl("get", "deployment", "beat", "-o", "json"))["spec"]["template"]
    [container] = template["spec"]["containers"]
    assert (container["command"], container["env"]) == (["sleep", "1000"], [{"name": "A", "value": "1"}])
    assert "kubectl.kubernetes.io/restartedAt" in template["metadata"]["annotations"]
    assert "there are no pods here" in kubectl("logs", "deployment/beat")
    kubectl("delete", "deployment", "beat")


def test_events(instance, kubectl):
    """Events begin with when they were seen, as in a cluster; their names are shown with -o wide."""
    event = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e.1"}, "reason": "Seen",
             "involvedObject": {"kind": "Broker", "name": "b"}, "message": "It was."}
    kubectl("create", "-f", "-", stdin=json.dumps(event))
    assert kubectl("get", "events", "--field-selector=reason=Seen").split("\n")[0].split() == [
        "LAST", "SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
    wide = instance.clarion("get", "events", "-o", "wide").splitlines()
    assert (wide[0].split()[-1], "e.1" in [line.split()[-1] for line in wide]) == ("NAME", True)


def test_questions(kubectl):
    """What may be done, who asks, what a kind's fields are; and a List is applied."""
    assert kubectl("auth", "can-i", "create", "triggers") == "yes\n"
    assert "system:anonymous" in kubectl("auth", "whoami")
    assert "subscriber\t<Object>" in kubectl("explain", "trigger.spec")
    listed = {"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "listed"}}]}
    assert kubectl("apply", "-f", "-", stdin=json.dumps(listed)) == "configmap/listed created\n"
