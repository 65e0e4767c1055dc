"""A whole instance whose dispatcher is wedged, a real process: not ready, with the reason; then it is."""

import os
import signal

import pytest
import redis

from tests.objects import BROKER

BROKER_AND_TRIGGER = BROKER + """---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: mine}
spec: {broker: default, subscriber: {uri: "http://127.0.0.1:9/"}}
"""
TAG = "{default/default/0}"


@pytest.fixture(scope="module")
def wedged(instances):
    """An instance with a Broker and a Trigger, to be wedged."""
    made = instances()
    made.start()
    made.clarion("apply", "-f", "-", stdin=BROKER_AND_TRIGGER)
    yield made
    made.stop()


@pytest.fixture
def server(wedged):
    """Its store."""
    with redis.Redis(unix_socket_path=str(wedged.data_dir / "run" / "valkey.sock")) as client:
        yield client


def says(instance, part):
    """Whether the instance is not ready, for that reason."""
    try:
        status, text = instance.get("/readyz")
    except OSError:  # a busy machine
        return ""
    return status == 503 and part in text and text


def lag(instance):
    """What `describe` says of the Trigger's lag."""
    lines = instance.clarion("describe", "trigger", "mine").splitlines()
    (line,) = [line for line in lines if "  lag " in line]
    return line.split()[1]


def test_one_that_reads_nothing_while_there_is_lag(wedged, server, until):
    """What it asks is refused: /readyz names the partition and the refusal, and `describe` the lag."""
    server.execute_command("ACL", "SETUSER", "default", "-xread")
    try:
        assert wedged.publish("1", "t", {}) == 202
        begins = "dispatcher: default/default/0: nothing read for "
        told = until(lambda: says(wedged, begins), what="complaint")
        until(lambda: lag(wedged) not in ("0s", "1s"), what="lag")
    finally:
        server.execute_command("ACL", "SETUSER", "default", "+@all")

    assert "no permissions to run the 'xread' command" in told
    wedged.wait_ready()


@pytest.mark.parametrize("name", [
    "clarion_trigger_lag_seconds", "clarion_deliveries_open", "clarion_retries", "clarion_dead_letters"])
def test_metrics_of_a_trigger(wedged, until, name):
    """Lag, in flight, retries and dead letters stand on the control port, by trigger."""
    def is_there():
        lines = wedged.get("/metrics")[1].splitlines()
        return any(line.startswith(f"{name}{{") and 'trigger="default/mine"' in line for line in lines)
    until(is_there, what=name)


def test_one_that_is_stopped(wedged, server, until):
    """It does not answer, which is said."""
    pid = int(until(lambda: server.get(f"{TAG}:lease"), what="lease").decode().split("/")[-2])
    os.kill(pid, signal.SIGSTOP)
    try:
        until(lambda: says(wedged, "dispatcher: not up"), what="complaint")
    finally:
        os.kill(pid, signal.SIGCONT)
    wedged.wait_ready()
