"""eventing/config.py: where hosts of our own are reached."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from eventing.config import Config

SOCKETS = Path("/d/run")
GATEWAY = ("10.0.0.5", 9000)


@pytest.mark.parametrize(("host", "port", "near", "far"), [
    ("hello.default.svc.cluster.local", 80, str(SOCKETS / "activator.sock"), GATEWAY),
    ("hello.default.localhost", 8080, str(SOCKETS / "activator.sock"), GATEWAY),
    ("hello.default.localhost", 9000, None, GATEWAY),
    ("kafka-sink-ingress.knative-eventing.svc.cluster.local", 80, str(SOCKETS / "sinks.sock"), GATEWAY),
    ("localhost", 9000, None, GATEWAY),
    ("localhost", 8080, None, None),
    ("hello.default.localhost", 7000, None, None),
    ("example.com", 80, None, None),
])
def test_dial(host, port, near, far):
    """Our own hosts are behind sockets of the directory, or all behind the gateway; nobody else's is."""
    assert Config(data_dir="/d").dial(host, port) == near
    assert Config(data_dir="/d", gateway_url="http://10.0.0.5:9000").dial(host, port) == far


@pytest.mark.parametrize("url", ["10.0.0.5:8080", "https://a:1", "http://a", "http://:8080", "http://a:1/b",
                                 "http://a:99999"])
def test_a_gateway_is_a_host_and_a_port(url):
    """Anything else is refused."""
    with pytest.raises(ValidationError):
        Config(gateway_url=url)
