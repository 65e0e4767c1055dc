"""examples/container: a program and a Service that send events where they were told; and `clarion source`."""

import json
import urllib.request
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[3] / "examples" / "container"


@pytest.fixture(scope="module")
def options():
    """The example as it is."""
    return "-f", str(EXAMPLE)


def test_heartbeat(instance, until):
    """What the program sends arrives, with the extension that its source asks for."""
    until(lambda: "machine.heartbeat in cellar: {'beat': " in instance.clarion("logs", "pulse"),
          what="a heartbeat")
    until(lambda: "machine.heartbeat sent" in instance.clarion("logs", "machine"), what="the program's line")


def test_desk(instance, until):
    """A Service that is bound sends to the same broker."""
    request = urllib.request.Request(instance.data_url, b"Ada", {"host": "desk.default.localhost"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 202

    until(lambda: "visitor.arrived in hall: {'name': 'Ada'}" in instance.clarion("logs", "pulse"),
          what="the visitor")


def test_commands(instance):
    """`clarion source` knows both kinds, lists both, and says how they are."""
    types = instance.clarion("source", "list-types")
    rows = [line.split()[:4] for line in instance.clarion("source", "list").splitlines()]
    status = json.loads(instance.clarion("get", "containersource", "machine", "-o", "json"))["status"]

    assert "containersources.sources.knative.dev" in types
    assert "sinkbindings.sources.knative.dev" in types
    assert [row[:3] for row in rows[1:]] == [
        ["desk", "SinkBinding", "broker:default"], ["machine", "ContainerSource", "broker:default"],
        ["machine-sinkbinding", "SinkBinding", "broker:default"]]
    assert "ReceiveAdapterReady" in instance.clarion("source", "describe", "machine")
    assert "SinkBindingAvailable" in instance.clarion("source", "describe", "desk")
    assert status["sinkUri"].endswith("/default/default")


def test_deployment_in_a_table(instance):
    """`get` shows a Deployment as kubectl does."""
    head, row = instance.clarion("get", "deploy").splitlines()

    assert head.split() == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    assert row.split()[:4] == ["machine-deployment", "1/1", "1", "1"]
