"""K_SINK: what a program can reach."""

import pytest

NAME = "default/hello-00001"


@pytest.mark.parametrize(("sink", "expected"), [
    ("http://s.default.svc.cluster.local", "http://s.default.localhost:8080"),
    ("http://s.default.svc.cluster.local:80/a?b", "http://s.default.localhost:8080/a?b"),
    ("http://s.default.svc.cluster.local:9000/", "http://s.default.svc.cluster.local:9000/"),
    ("http://localhost:8080/default/default", "http://localhost:8080/default/default"),
])
async def test_sink(stage, sink, expected):
    """A sink by an inner name is given by its host at the data port; any other as it is."""
    command = ["sh", "-c", "echo $K_SINK"]
    worker = await stage.backend.start(NAME, {"uid": "1", "command": command, "env": {"K_SINK": sink}})
    await stage.within(worker.exited)

    assert stage.log()[0] == expected
