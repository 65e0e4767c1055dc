"""examples/kafka: from a reading in Kafka to an alarm in a function's log."""

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import confluent_kafka
import pytest
import yaml

from eventing.control.field import render
from eventing.control.kind import Defaults
from sources.kafka import KIND
from sources.kafka.connection import secret_refs

EXAMPLE = Path(__file__).parents[3] / "examples" / "kafka"


@pytest.fixture
def folder(tmp_path, kafka):
    """The example, with our broker's address."""
    copy = tmp_path / "kafka"
    shutil.copytree(EXAMPLE, copy)
    text = (copy / "kafka.yaml").read_text()
    assert "localhost:9092" in text
    (copy / "kafka.yaml").write_text(text.replace("localhost:9092", kafka.plain))
    return copy


def test_alarm(instances, folder, kafka, until):
    """The telemetry of ten minutes raises an alarm for each hot reading of one pump, and for no other."""
    instance = instances("-f", str(folder))
    instance.begin()
    until(instance.state_file.exists, what="ports")
    until(lambda: instance.run("get", "triggers").stdout.count("True") == 3, what="triggers")
    until(lambda: "TopicNotFound" in instance.run("get", "kafkasources").stdout, what="source that waits")

    subprocess.run([sys.executable, folder / "telemetry.py", "--bootstrap", kafka.plain, "--seconds", "603"],
                   check=True, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})

    instance.wait_ready()
    until(lambda: instance.clarion("logs", "alarm").count("pump-2: bearing at") >= 3, what="alarms")
    assert "pump-1" not in instance.clarion("logs", "alarm")
    consumer = confluent_kafka.Consumer({"bootstrap.servers": kafka.plain, "group.id": "test",
                                         "auto.offset.reset": "earliest", "log_level": 0})
    with contextlib.closing(consumer):
        consumer.subscribe(["alarms"])
        (alarm,) = until(lambda: [each for each in consumer.consume(1, 0.2) if each.error() is None],
                         what="alarm in Kafka")
        assert dict(alarm.headers())["ce_type"] == b"pump.overheated"
    instance.stop()


def test_secrets_in_the_readme():
    """The YAML that the README shows is admitted."""
    text = (EXAMPLE / "README.md").read_text()
    secret, source = yaml.safe_load_all(text.partition("```yaml\n")[2].partition("```")[0])
    source["metadata"]["namespace"] = "default"
    defaults = Defaults(config=lambda *_: {}, now=0.0)

    KIND.default(source, None, defaults)

    assert render(KIND.validate(source, None, defaults)) == ""
    assert {ref["key"] for ref in secret_refs(source["spec"]).values()} == secret["stringData"].keys()
