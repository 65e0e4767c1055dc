"""examples/rabbitmq: from a scan in RabbitMQ to a line in a function's log; and `clarion source` about it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[3] / "examples" / "rabbitmq"
URL = "amqp://guest:guest@localhost:5672/"


@pytest.fixture(scope="module")
def options(tmp_path_factory, rabbitmq):
    """The example, with our server's address."""
    folder = tmp_path_factory.mktemp("example") / "rabbitmq"
    shutil.copytree(EXAMPLE, folder)
    text = (folder / "rabbitmq.yaml").read_text()
    assert URL in text
    (folder / "rabbitmq.yaml").write_text(text.replace(URL, rabbitmq.url))
    return "-f", str(folder)


def test_late_parcels(instance, rabbitmq, until):
    """Each parcel that was late is written down once, and no other."""
    command = [sys.executable, EXAMPLE / "scans.py", "--url", rabbitmq.url, "--parcels", "30"]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})

    until(lambda: instance.clarion("logs", "notify").count(" h late in ") == 3, what="late parcels")
    log = instance.clarion("logs", "notify")
    assert all(parcel in log for parcel in ("P00009", "P00019", "P00029"))


def test_commands(instance):
    """`clarion source` says which kinds there are, which sources, and how they are."""
    types = instance.clarion("source", "list-types")
    assert "rabbitmqsources.sources.knative.dev" in types
    row = instance.clarion("source", "list").splitlines()[1].split()
    assert (row[:3], row[4]) == (["scans", "RabbitmqSource", "broker:default"], "True")
    listed = json.loads(instance.clarion("source", "list", "-A", "-o", "json"))
    assert [item["kind"] for item in listed["items"]] == ["RabbitmqSource"]
    assert "ExchangeReady" in instance.clarion("source", "describe", "scans")
    assert instance.run("source", "list", "-t", "KafkaSource").stderr.startswith("No sources found")
    assert instance.run("source", "list", "-t", "NoSource").returncode == 2
    assert instance.run("source", "describe", "nobody").returncode == 1


def test_secret_is_shown_nowhere(instance, rabbitmq, until):
    """A wrong password is the source's reason; neither objects nor logs have it."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "wrong"},
              "stringData": {"uri": rabbitmq.url, "password": "s3cret"}}
    source = {"apiVersion": "sources.knative.dev/v1alpha1", "kind": "RabbitmqSource",
              "metadata": {"name": "locked"},
              "spec": {"rabbitmqClusterReference": {"connectionSecret": {"name": "wrong"}},
                       "rabbitmqResourcesConfig": {"queueName": "q", "predeclared": True},
                       "sink": {"uri": "http://127.0.0.1:9/"}}}
    both = json.dumps({"apiVersion": "v1", "kind": "List", "items": [secret, source]})
    instance.run("apply", "--no-wait", "-f", "-", stdin=both)

    until(lambda: "AuthenticationFailed" in instance.clarion("source", "list"), what="reason")

    shown = [instance.clarion("source", "describe", "locked"), instance.output(),
             instance.clarion("get", "rabbitmqsources", "-o", "yaml"), instance.clarion("get", "events")]
    assert "s3cret" not in "".join(shown)
