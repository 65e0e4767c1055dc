"""examples/kubernetes on Clarion's own API, with no cluster: from a ConfigMap to a line in a log."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[3] / "examples" / "kubernetes"


@pytest.fixture(scope="module")
def options():
    """The example as it is."""
    return "-f", str(EXAMPLE)


def changes(instance, **environment):
    """Run the example's script."""
    subprocess.run([sys.executable, EXAMPLE / "changes.py", "--server", instance.control_url], check=True,
                   env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **environment}, capture_output=True)


def test_alarms(instance, until):
    """Each alarming change is told once, in order; the function saw them all."""
    changes(instance)

    until(lambda: instance.clarion("logs", "page").count("ALARM") == 2, what="alarms")
    log = instance.clarion("logs", "page")
    told = ["ALARM checkout: payments are off", "ALARM greeting: its settings were deleted"]
    assert log.index(told[0]) < log.index(told[1])
    until(lambda: "greeting: delete" in instance.clarion("logs", "review"), what="review")
    seen = instance.clarion("logs", "review")
    assert all(line in seen for line in ("basket: add", "checkout: add", "checkout: update", "greeting: add"))


def test_again_without_kubectl(instance, until):
    """Where there is no kubectl the same is done with `clarion`."""
    changes(instance, PATH="/nowhere")

    until(lambda: instance.clarion("logs", "page").count("ALARM") == 4, what="alarms")


def test_commands(instance):
    """`clarion source` knows the kind, the source, and what it tells."""
    assert "apiserversources.sources.knative.dev" in instance.clarion("source", "list-types")
    row = instance.clarion("source", "list").splitlines()[1].split()
    assert (row[:3], row[4]) == (["settings", "ApiServerSource", "broker:default"], "True")
    described = instance.clarion("source", "describe", "settings")
    assert all(text in described for text in ("SufficientPermissions", instance.control_url,
                                              "dev.knative.apiserver.resource.add"))


def test_own_objects(instance, until):
    """What becomes of our own Services and Revisions is told too, with Knative's subjects."""
    source = {"apiVersion": "sources.knative.dev/v1", "kind": "ApiServerSource", "metadata": {"name": "own"},
              "spec": {"resources": [{"apiVersion": "serving.knative.dev/v1", "kind": kind}
                                     for kind in ("Service", "Revision")],
                       "sink": {"ref": {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker",
                                        "name": "default"}}}}
    instance.clarion("apply", "-f", "-", stdin=json.dumps(source))
    service = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": "late"},
               "spec": {"template": {"spec": {"containers": [{"image": "registry.example/late"}]}}}}

    instance.run("apply", "--no-wait", "-f", "-", stdin=json.dumps(service))

    wanted = {f"/apis/serving.knative.dev/v1/namespaces/default/{path}"
              for path in ("services/late", "revisions/late-00001")}
    until(lambda: wanted <= told(instance), what="the Service and its Revision")


def told(instance):
    """Subjects of the objects that were told as added."""
    lines = instance.clarion("tail", "--since", "1h", "--no-follow", "-o", "json").splitlines()
    return {event.get("subject") for event in map(json.loads, lines)
            if event["type"] == "dev.knative.apiserver.ref.add"}
