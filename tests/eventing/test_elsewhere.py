"""A dispatcher in a directory of its own, as on another machine: what it can reach, and how."""

import os
import subprocess

import pytest
import redis

from eventing import keys
from eventing.cli import up
from eventing.errors import UsageError
from tests.instance import CLARION

pytestmark = pytest.mark.timeout(120)
OBJECTS = """
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: note}
spec: {template: {spec: {containers: [{image: "func://./note"}]}}}
---
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {name: wide, annotations: {clarion.dev/partitions: "2"}}
---
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {name: next, annotations: {clarion.dev/partitions: "2"}}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: onward}
spec:
  broker: wide
  subscriber: {ref: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: next}}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: note}
spec:
  broker: next
  subscriber: {ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: note}}
"""
NOTE = "from pathlib import Path\ndef handle(event): Path({!r}, event.get_id()).touch()\n"


@pytest.fixture
def world(instances, tmp_path):
    """An instance with two Brokers in a row, and a function that makes a file for each event in `got`."""
    (tmp_path / "note").mkdir()
    (tmp_path / "got").mkdir()
    (tmp_path / "note" / "func.py").write_text(NOTE.format(str(tmp_path / "got")))
    (tmp_path / "all.yaml").write_text(OBJECTS)
    made = instances("-f", str(tmp_path / "all.yaml"))
    made.start()
    yield made
    made.stop()


def test_services_and_brokers_are_reached_through_the_gateway(world, tmp_path, until):
    """Events that a dispatcher in a directory of its own delivers reach functions, and other Brokers."""
    path = world.data_dir / "run" / "valkey.sock"
    command = [CLARION, "run", "dispatcher", "--redis-url", f"unix://{path}", "--data-dir", tmp_path / "d",
               "--gateway-url", f"http://localhost:{world.state['port']}"]
    log = (tmp_path / "log").open("wb")
    with redis.Redis(unix_socket_path=str(path)) as client, log, \
            subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ}) as other:
        def share():
            leases = [client.get(f"{keys.partition_tag(f'default/{broker}', number)}:lease") or b""
                      for broker in ("wide", "next") for number in range(2)]
            return sum(b"/%d/" % other.pid in lease for lease in leases) == 2
        try:
            until(share, what="half of the partitions")
            for number in range(12):
                assert world.publish(f"e{number}", "any", {}, broker="default/wide") == 202
            until(lambda: len(list((tmp_path / "got").iterdir())) == 12, what="all events")
        finally:
            other.terminate()
            other.wait(30)

    assert other.returncode == 0, (tmp_path / "log").read_text()
    assert world.run("dead", "list", "note").stderr == "no dead letters\n"


def test_a_dispatcher_that_reaches_no_services_is_refused(valkey_socket, tmp_path, monkeypatch):
    """What it would make dead letters of is said at its start, with the two ways out."""
    monkeypatch.setattr(up, "_SERVICES_S", 0.0)
    with pytest.raises(UsageError, match=r"no Services run on .*--gateway-url http://HOST:PORT, or its"):
        up.run(role="dispatcher", index=0, redis_url=f"unix://{valkey_socket}", data_dir=tmp_path / "d")


def test_a_gateway_is_for_a_role_alone():
    """An instance has its Services at hand: it is told so, rather than to go around."""
    with pytest.raises(UsageError, match="--gateway-url"):
        up.up(gateway_url="http://10.0.0.5:8080")
