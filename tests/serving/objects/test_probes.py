"""What of a container's probes its workers are asked, and where."""

import pytest

from serving.objects import probes

ONE = {"autoscaling.knative.dev/max-scale": "1"}
PROGRAM = {"command": ["./serve"], "ports": [{"containerPort": 9000}]}


def asked(container, annotations, handler):
    """A probe with *handler* as it is asked."""
    return probes.asked({**container, "livenessProbe": handler}, annotations)["liveness"]


@pytest.mark.parametrize("handler", ["httpGet", "tcpSocket", "grpc"])
def test_another_port(handler):
    """It is asked of a program that is alone, and of nobody else; its own port goes without saying."""
    elsewhere, here = {handler: {"port": 9001}}, {handler: {}}
    assert asked(PROGRAM, ONE, elsewhere) == elsewhere
    assert asked(PROGRAM, {"autoscaling.knative.dev/maxScale": "1"}, elsewhere) == elsewhere
    for container, annotations in ((PROGRAM, {}), (PROGRAM, {"autoscaling.knative.dev/max-scale": "2"}),
                                   ({"ports": PROGRAM["ports"]}, ONE)):
        assert asked(container, annotations, elsewhere) == here
    for own in (0, 9000, "http"):
        assert asked(PROGRAM, ONE, {handler: {"port": own}}) == here
    assert asked({"command": ["./serve"]}, ONE, {handler: {"port": 8080}}) == here


def test_the_rest_is_as_it_was_written():
    """Numbers, commands and headers are the author's; a probe that is not there is none."""
    startup = {"exec": {"command": ["true"]}, "periodSeconds": 2, "httpGet": None}
    found = probes.asked({"startupProbe": startup}, {})
    assert found == {"startup": {"exec": {"command": ["true"]}, "periodSeconds": 2}, "readiness": None,
                     "liveness": None}
