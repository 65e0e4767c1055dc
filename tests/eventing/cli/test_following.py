"""Commands that follow: what their reader is told when the server goes, and what the server says of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.objects import BROKER

CLARION = Path(sys.executable).with_name("clarion")
OBJECTS = BROKER + """---
apiVersion: apps/v1
kind: Deployment
metadata: {name: beat}
spec:
  selector: {matchLabels: {app: beat}}
  template:
    metadata: {labels: {app: beat}}
    spec:
      containers: [{name: beat, image: "func://.", command: [sh, -c, "echo beating; exec sleep 600"]}]
"""


@pytest.fixture
def followed(instances, tmp_path, until):
    """An instance of its own, and the commands that follow it: each has printed something."""
    (tmp_path / "objects.yaml").write_text(OBJECTS)
    instance = instances("-f", str(tmp_path))
    instance.start()
    until(lambda: "beating" in instance.clarion("logs", "beat"), what="a line to follow")
    assert instance.publish("1", "greeting", {}) == 202
    commands = [("logs", "beat", "-f"), ("tail", "--since", "1h"), ("get", "brokers", "-w")]
    files = [tmp_path / f"{command[0]}.out" for command in commands]
    followers = [_follow(instance, command, file) for command, file in zip(commands, files, strict=True)]
    until(lambda: all(file.read_text() for file in files), what="something from each of them")
    yield instance, followers, files
    for follower in followers:
        follower.kill()
        follower.wait()


def _follow(instance, command, file):
    """*command*, begun, which prints into *file*."""
    with file.open("w") as output:
        return subprocess.Popen([CLARION, *command], stdout=output, stderr=subprocess.STDOUT,
                                env={**os.environ, "CLARION_SERVER": instance.control_url})


def test_an_instance_that_stops(followed):
    """Whoever follows is told that the server ended, and fails; the server prints no traceback for it."""
    instance, followers, files = followed

    assert instance.stop() == 0

    assert [follower.wait(timeout=30) for follower in followers] == [1, 1, 1]
    assert all("has ended what it showed" in file.read_text().splitlines()[-1] for file in files)
    assert "Traceback" not in instance.output()
    assert "graceful" not in instance.output()
