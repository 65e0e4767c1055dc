"""The two sockets of a worker: the port, and the name by which the activator asks."""

import contextlib
import json
import socket

import pytest

from eventing.errors import NoAnswer
from eventing.http.client import Client
from serving.workers.backend import StartFailed

NAME = "default/hello-00001"
SEES = """
    import json
    async def app(scope, receive, send):
        if scope["type"] != "http":
            return
        body = json.dumps([scope["client"], scope["server"], scope["scheme"]]).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})
    """
FORMS = {
    "event": "def handle(event): return event",
    "asgi": SEES,
    "new": """
        class Function:
            async def handle(self, scope, receive, send):
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": b"ok"})
        def new():
            return Function()
        """,
}


@pytest.fixture
def crowded():
    """A name at which nobody accepts, and whose queue is full."""
    opened = [socket.socket(socket.AF_UNIX)]
    opened[0].bind("")
    opened[0].listen(1)
    with contextlib.suppress(BlockingIOError):
        while True:
            opened.append(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
            opened[-1].connect(opened[0].getsockname())
    yield opened[0].getsockname().decode()
    for each in opened:
        each.close()


@pytest.mark.parametrize("form", FORMS)
async def test_both_serve_the_same(stage, form):
    """Whatever its form, a function answers at its name as at its port, and ends when it is told to."""
    worker = await stage.start(FORMS[form])
    for by_name in (False, True):
        assert (await stage.ask(worker, by_name=by_name)).status == 200
    await stage.within(stage.backend.stop(worker, 5))
    assert worker.exited.result() == 0


async def test_an_app_cannot_tell_them_apart(stage):
    """Server, client and scheme are the same at both, where the hops before said who asked, and where not."""
    worker = await stage.start(SEES)
    said = [(b"x-forwarded-for", b"192.0.2.7, 127.0.0.1"), (b"x-forwarded-proto", b"https")]
    for by_name in (False, True):
        seen = json.loads((await stage.ask(worker, headers=said, by_name=by_name)).body)
        assert seen == [["192.0.2.7", 0], list(worker.address), "https"]
        (host, _), *rest = json.loads((await stage.ask(worker, by_name=by_name)).body)
        assert [host, *rest] == ["127.0.0.1", list(worker.address), "http"]


async def test_what_comes_early_waits(stage):
    """A request at the name is answered although the worker was not there yet when it was sent."""
    record = await stage.record("import time; time.sleep(0.3)\ndef handle(event): return event\n")
    worker = await stage.backend.start(NAME, record)
    assert worker.state == "starting"
    assert (await stage.ask(worker, by_name=True)).status == 200


async def test_what_waits_learns_of_its_end(stage):
    """A worker that never accepts: who waits at its name is told, and who comes later is refused."""
    worker = await stage.backend.start(NAME, await stage.record("import time; time.sleep(0.3)\nexit(3)\n"))
    with pytest.raises(NoAnswer, match="closed"):
        await stage.ask(worker, by_name=True)
    with pytest.raises(StartFailed):
        await stage.within(worker.ready)
    await stage.within(worker.exited)
    with pytest.raises(NoAnswer, match=r"^nothing listens at @[0-9a-f]+$"):
        await stage.ask(worker, by_name=True)


async def test_a_program_has_its_port_only(stage):
    """What listens for itself is reached where it listens."""
    worker = await stage.backend.start(NAME, {"uid": "1", "command": ["sleep", "60"]})
    assert not worker.socket_name
    await stage.backend.stop(worker, 0)


async def test_a_full_queue_refuses(crowded):
    """Where the kernel has no room for one more, that is said at once: who asks may come again."""
    client = Client(dial=lambda _host, _port: crowded)
    with pytest.raises(NoAnswer, match=r"^cannot connect to @"):
        await client.request("GET", "http://a.b/", [], timeout_s=10, max_answer_bytes=99)
    await client.close()
