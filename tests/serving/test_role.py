"""The serving role whole: real store, real zygote and workers, real HTTP over the activator's socket."""

import asyncio
import contextlib
import functools
import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from eventing import projection
from eventing.config import Config
from eventing.errors import NoAnswer
from eventing.http.client import Client
from eventing.runtime import Runtime
from serving import bundle, role

# One ASGI app that does what its query says; it counts how many requests it has at a time.
APP = """
import asyncio, json, os, signal
inside = most = 0
async def app(scope, receive, send):
    global inside, most
    if scope["type"] != "http":
        return
    inside += 1
    most = max(most, inside)
    chunks = []
    while True:
        message = await receive()
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            break
    query = dict(part.split("=") for part in scope["query_string"].decode().split("&") if part)
    try:
        await asyncio.sleep(float(query.get("sleep", 0)))
        if "die" in query:
            os.kill(os.getpid(), signal.SIGKILL)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        body = json.dumps({"pid": os.getpid(), "most": most, "revision": os.environ["K_REVISION"],
                           "size": len(b"".join(chunks)), "headers": headers}).encode()
        await send({"type": "http.response.start", "status": 200,
                    "headers": [(b"content-length", str(len(body)).encode())]})
        await send({"type": "http.response.body", "body": body})
    finally:
        inside -= 1
"""
# Streams three chunks, a while apart; may die or hang in between.
STREAM = """
import asyncio, os, signal
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for number in b"123":
        await send({"type": "http.response.body", "body": bytes([number]), "more_body": True})
        await asyncio.sleep(0.1)
        if scope["query_string"] == b"die=1":
            os.kill(os.getpid(), signal.SIGKILL)
        if scope["query_string"] == b"hang=1" and number == 49:
            await asyncio.sleep(1)
    await send({"type": "http.response.body"})
"""
# Switches to a protocol of its own, which sends back what it gets.
ECHO = """
import os, socket
server = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
while True:
    connection, _ = server.accept()
    if b"\\r\\n\\r\\n" in connection.recv(65536):
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\\r\\n"
                           b"connection: upgrade\\r\\nupgrade: echo\\r\\n\\r\\n")
        while data := connection.recv(65536):
            connection.sendall(data)
    connection.close()
"""
BROKEN = "import no_such_module_anywhere\n"


async def until(condition, timeout_s=20):
    """Return the first true answer of the coroutine function *condition*."""
    async with asyncio.timeout(timeout_s):
        while not (found := await condition()):
            await asyncio.sleep(0.02)
    return found


class House:
    """A serving role that runs, and what a test asks of it."""

    def __init__(self, store, directory):
        self.store = store
        self.config = Config(data_dir=directory, drain_s=5)
        self.metrics = CollectorRegistry()
        self.runtime = Runtime(config=self.config, store=store, metrics=self.metrics)
        self.client = Client(dial=lambda _host, _port: str(self.config.activator_socket))

    async def revision(self, name, *, code=APP, annotations=None, **fields):
        """Have revision default/NAME, with a route to it at host NAME; returns once the role knows both."""
        folder = self.config.data_dir / "code" / name
        folder.mkdir(parents=True)
        (folder / "func.py").write_text(code)
        packed = bundle.pack(folder)
        await bundle.put(self.store, bundle.digest(packed), packed)
        record = {"uid": f"uid-{name}", "service": name, "configuration": name, "image": f"func://{name}",
                  "bundle": bundle.digest(packed), "entry": None, "command": None, "args": [], "env": {},
                  "preload": [], "container_concurrency": 0, "timeout_s": 30.0,
                  "response_start_timeout_s": None, "idle_timeout_s": None, "memory_bytes": None,
                  "port": None, "readiness": None, "liveness": None,
                  "annotations": {f"autoscaling.knative.dev/{key}": value
                                  for key, value in (annotations or {}).items()},
                  "reachable": True} | fields
        await self.route(name, {name: 100})
        await projection.write(self.store, "revisions", f"default/{name}", record)
        await self.scale(name, lambda record: record["uid"] == f"uid-{name}")

    async def route(self, host, percents):
        """Write a route."""
        targets = [{"revision": f"default/{name}", "percent": percent, "tag": ""}
                   for name, percent in percents.items()]
        await projection.write(self.store, "routes", host, {"service": f"default/{host}", "targets": targets})

    async def zero_allowed(self, **data):
        """Let revisions begin at zero workers, so that nothing is started to see whether they can."""
        await projection.write(self.store, "configs", "knative-serving/config-autoscaler",
                               {"allow-zero-initial-scale": "true", "initial-scale": "0", **data})

    async def scale(self, name, passes):
        """The record of table `scales` once it *passes*."""
        async def look():
            record = (await projection.read(self.store, "scales")).get(f"default/{name}")
            return record if record is not None and passes(record) else None
        return await until(look)

    async def is_forgotten(self, name):
        """Whether table `scales` says nothing of a revision."""
        return f"default/{name}" not in await projection.read(self.store, "scales")

    async def pid(self, name):
        """Process of a worker of revision NAME."""
        return json.loads((await self.ask(name)).body)["pid"]

    async def ask(self, host, query="", *, method="GET", body=b"", headers=(), timeout_s=30):
        """One request."""
        return await self.client.request(method, f"http://{host}/{query}", headers, body,
                                         timeout_s=timeout_s, max_answer_bytes=1 << 24)


async def is_up(house, running):
    """Whether the role serves, or has failed to."""
    return house.runtime.is_ready or running.done()


async def is_gone(pid):
    """Whether a process has ended."""
    return not os.path.exists(f"/proc/{pid}")  # noqa: ASYNC240, PTH110  no disk is behind it


@contextlib.asynccontextmanager
async def opened(house):
    """The role of *house* while the block runs; drained after it."""
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(role.run(house.runtime))
        await until(functools.partial(is_up, house, running))
        try:
            yield house
        finally:
            house.runtime.stopping.set()
            await house.client.close()


@pytest.fixture
async def directory():
    """A data directory with a short path."""
    path = Path(tempfile.mkdtemp(prefix="cl-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
async def house(store, directory):
    """A serving role that runs, in which revisions begin at zero."""
    house = House(store, directory)
    await house.zero_allowed()
    async with opened(house):
        yield house


async def test_new_revision_is_proved_by_one_worker(store, directory):
    """The initial scale is started once, then the revision is healthy, without a request."""
    async with opened(House(store, directory)) as house:
        await house.revision("a")
        record = await house.scale("a", lambda record: record["actual"] == 1)
        assert (record["healthy"], record["active"], record["initialized"]) == (True, "True", True)
        assert record["uid"] == "uid-a"


async def test_revision_that_cannot_be_imported_says_so(store, directory):
    """Unhealthy with the traceback's end; a request is refused with the reason, not held."""
    async with opened(House(store, directory)) as house:
        await house.revision("a", code=BROKEN)
        record = await house.scale("a", lambda record: record["healthy"] is False)
        assert record["reason"] == "ExitCode1"
        assert "no_such_module_anywhere" in record["message"]
        answer = await house.ask("a")
        assert answer.status == 503
        assert b"no_such_module_anywhere" in answer.body
        assert int(answer.header(b"retry-after")) >= 1


async def test_initial_scale_zero_is_healthy_at_once(house):
    """Allowed to begin at zero, a revision is healthy without a worker."""
    await house.revision("a")
    record = await house.scale("a", lambda record: record["healthy"])
    assert (record["desired"], record["actual"], record["active_reason"]) == (0, 0, "NoTraffic")


async def test_request_wakes_a_worker_from_zero(house):
    """The first request is held until a worker has it, and says how long that took; the next is warm."""
    await house.revision("a")
    cold = await house.ask("a", method="POST", body=b"12345")
    assert (cold.status, json.loads(cold.body)["size"]) == (200, 5)
    assert float(cold.header(b"clarion-cold-start")) > 0
    warm = await house.ask("a")
    assert warm.header(b"clarion-cold-start") is None
    assert json.loads(warm.body)["pid"] == json.loads(cold.body)["pid"]
    assert b"clarion_cold_start_seconds_count 1.0" in generate_latest(house.metrics)


async def test_burst_at_zero_is_held_and_answered(house):
    """Two hundred requests that meet a revision at zero are all answered."""
    await house.revision("a")
    answers = await asyncio.gather(*(house.ask("a") for _ in range(200)))
    assert {answer.status for answer in answers} == {200}


async def test_limit_of_concurrency_is_never_exceeded(house):
    """With containerConcurrency 1 no worker ever sees two requests at a time, however many wait."""
    await house.revision("a", container_concurrency=1)
    answers = await asyncio.gather(*(house.ask("a", "?sleep=0.01") for _ in range(40)))
    bodies = [json.loads(answer.body) for answer in answers]
    assert {body["most"] for body in bodies} == {1}
    assert len({body["pid"] for body in bodies}) == 2


async def test_limit_holds_after_clients_left(house):
    """A function goes on after its client left: its place is not given to another before it has ended."""
    await house.revision("a", container_concurrency=1, annotations={"max-scale": "1"})
    await house.ask("a")
    leaving = [asyncio.wait_for(house.ask("a", "?sleep=0.3"), 0.1) for _ in range(3)]
    gone = await asyncio.gather(*leaving, return_exceptions=True)
    assert {type(error) for error in gone} == {TimeoutError}
    assert json.loads((await house.ask("a")).body)["most"] == 1


async def test_unknown_host_and_revision(house):
    """Nobody answers there: 404 that says so."""
    answer = await house.ask("nobody")
    assert (answer.status, b"nobody" in answer.body) == (404, True)
    await house.route("lost", {"missing": 100})

    async def is_known():
        return b"missing" in (await house.ask("lost")).body

    await until(is_known)
    assert (await house.ask("lost")).status == 404


async def test_revision_may_be_named_by_headers(house):
    """Knative-Serving-Revision and -Namespace choose the revision, and do not reach the function."""
    await house.revision("a")
    answer = await house.ask("anything", headers=[(b"knative-serving-revision", b"a"),
                                                  (b"knative-serving-namespace", b"default")])
    body = json.loads(answer.body)
    assert body["revision"] == "a"
    assert not [name for name in body["headers"] if name.startswith("knative-serving")]
    assert body["headers"]["k-proxy-request"] == "activator"


async def test_worker_learns_where_the_request_came_from(house):
    """Host arrives unchanged; Forwarded is made of X-Forwarded-For where it is missing."""
    await house.revision("a")
    answer = await house.ask("a", headers=[(b"x-forwarded-for", b"10.0.0.1, ::1"), (b"te", b"trailers")])
    headers = json.loads(answer.body)["headers"]
    assert headers["host"] == "a"
    assert headers["forwarded"] == 'for=10.0.0.1;host="a";proto=http, for="[::1]"'
    assert "te" not in headers


async def test_split_is_exact(house):
    """Of 20 requests at 75/25 percent, 15 and 5 arrive."""
    await house.revision("a")
    await house.revision("b")
    await house.route("split", {"a": 75, "b": 25})

    async def is_known():
        return (await house.ask("split")).status == 200

    await until(is_known)
    answers = [json.loads((await house.ask("split")).body)["revision"] for _ in range(20)]
    assert (answers.count("a"), answers.count("b")) == (15, 5)


async def test_request_that_takes_too_long(house):
    """TimeoutSeconds: 504 in Knative's words, and the worker goes on serving."""
    await house.revision("a", timeout_s=0.3)
    await house.revision("b", response_start_timeout_s=0.3)
    for name in "ab":
        answer = await house.ask(name, "?sleep=1")
        assert (answer.status, answer.body) == (504, b"activator request timeout")
        assert (await house.ask(name)).status == 200


async def test_hung_worker_with_a_limit_is_replaced(house):
    """Where concurrency is limited, a function that ran out of time may keep its place: a new worker."""
    await house.revision("a", timeout_s=0.5, container_concurrency=1, annotations={"max-scale": "1"})
    first = await house.pid("a")
    assert (await house.ask("a", "?sleep=60")).status == 504
    assert await house.pid("a") != first


async def test_worker_that_dies_under_a_request(house):
    """Its client gets 502, and the next request a new worker."""
    await house.revision("a")
    first = await house.pid("a")
    assert (await house.ask("a", "?die=1", method="POST", body=b"x")).status == 502
    assert await house.pid("a") != first


async def test_worker_killed_between_requests_costs_nothing(house):
    """What comes while a killed worker is replaced is answered by the new one."""
    await house.revision("a")
    for _ in range(2):
        os.kill(await house.pid("a"), signal.SIGKILL)
        answers = await asyncio.gather(*(house.ask("a") for _ in range(20)))
        assert {answer.status for answer in answers} == {200}


async def test_crash_loop_is_slowed_down(house):
    """A worker that dies with every request is started ever later, and requests are told why."""
    await house.revision("a")
    async with asyncio.timeout(15):
        while True:
            answer = await house.ask("a", "?die=1", method="POST", body=b"x")
            if answer.status != 502:
                break
    assert answer.status == 503
    assert b"does not start: Signal9" in answer.body


async def test_answer_is_streamed_as_it_comes(house):
    """The first chunk of an answer arrives before its last one was sent."""
    await house.revision("a", code=STREAM)
    await house.ask("a")
    reader, writer = await asyncio.open_unix_connection(house.config.activator_socket)
    writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
    text = await asyncio.wait_for(reader.readuntil(b"\r\n1\r\n"), 5)
    assert text.startswith(b"HTTP/1.1 200")
    assert b"\r\n3\r\n" not in text
    await asyncio.wait_for(reader.readuntil(b"\r\n0\r\n\r\n"), 5)
    writer.close()


async def test_answer_that_breaks_off_is_cut_visibly(house):
    """A worker that dies in the middle, or pauses for longer than idleTimeoutSeconds: no end is pretended."""
    await house.revision("a", code=STREAM, idle_timeout_s=0.5)
    for query in ("?die=1", "?hang=1"):
        with pytest.raises(NoAnswer, match="in the middle"):
            await house.ask("a", query)
    assert (await house.ask("a")).body == b"123"


async def test_upgraded_connection_passes_bytes_both_ways(house):
    """After a 101 the activator only carries bytes."""
    await house.revision("a", code=ECHO, command=[sys.executable], args=["func.py"])
    reader, writer = await asyncio.open_unix_connection(house.config.activator_socket)
    writer.write(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: echo\r\n\r\n")
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    assert head.startswith(b"HTTP/1.1 101")
    for text in (b"one", b"two"):
        writer.write(text)
        assert await asyncio.wait_for(reader.readexactly(3), 5) == text
    writer.close()


async def test_load_brings_workers(house):
    """Ten requests at a time with a target of one want more workers, long before they are done."""
    await house.revision("a", annotations={"target": "2", "max-scale": "4"})
    async with asyncio.TaskGroup() as tasks:
        busy = [tasks.create_task(house.ask("a", "?sleep=3")) for _ in range(10)]
        await house.scale("a", lambda record: record["actual"] == 4)
    assert {task.result().status for task in busy} == {200}


async def test_revision_recovers_when_its_cause_is_gone(store, directory):
    """A start that failed is tried again; once it works the revision is healthy."""
    repaired = directory / "repaired"
    code = f"import os\nassert os.path.exists({str(repaired)!r})\n{APP}"
    async with opened(House(store, directory)) as house:
        await house.revision("a", code=code)
        record = await house.scale("a", lambda record: record["healthy"] is False)
        assert "AssertionError" in record["message"]
        repaired.touch()
        record = await house.scale("a", lambda record: record["healthy"])
        assert record["reason"] == ""


async def test_large_bodies_cross_in_both_directions(house):
    """A body too large to keep is streamed."""
    await house.revision("a")
    answer = await house.ask("a", method="POST", body=bytes(3_000_000))
    assert json.loads(answer.body)["size"] == 3_000_000


async def test_goes_to_zero_and_back_without_losing_a_request(house):
    """Requests keep coming while a revision falls to zero and wakes again: every one is answered."""
    await house.revision("a", annotations={"window": "6s"})
    first = await house.pid("a")
    await house.scale("a", lambda record: record["actual"] == 1)
    slow = None
    async with asyncio.TaskGroup() as tasks:
        await house.scale("a", lambda record: record["desired"] == 0)
        slow = [tasks.create_task(house.ask("a", "?sleep=0.2")) for _ in range(20)]
    assert {task.result().status for task in slow} == {200}
    assert {json.loads(task.result().body)["pid"] for task in slow} != {first}


async def test_no_request_is_lost_while_workers_come_and_go(house):
    """Ten clients without a pause, while workers jump from 1 to 3 and back: everything is answered."""
    await house.revision("a", annotations={"max-scale": "1"})
    record = (await projection.read(house.store, "revisions"))["default/a"]
    done = asyncio.Event()
    answers = []

    async def ask_on():
        while not done.is_set():
            answer = await house.ask("a", "?sleep=0.01", method="POST", body=b"x")
            answers.append(json.loads(answer.body)["pid"])

    async with asyncio.TaskGroup() as tasks:
        for _ in range(10):
            tasks.create_task(ask_on())
        for count in "313131":
            record["annotations"] = {f"autoscaling.knative.dev/{bound}": count
                                     for bound in ("min-scale", "max-scale")}
            await projection.write(house.store, "revisions", "default/a", record)
            await house.scale("a", lambda record, count=count: record["actual"] == int(count))
        done.set()
    assert len(set(answers)) >= 7


async def test_min_scale_is_kept_and_raised(house):
    """A revision with min-scale has that many workers unasked; a changed record is followed."""
    await house.revision("a", annotations={"min-scale": "2"})
    await house.scale("a", lambda record: record["actual"] == 2 and record["active"] == "True")
    record = (await projection.read(house.store, "revisions"))["default/a"]
    record["reachable"] = False
    await projection.write(house.store, "revisions", "default/a", record)
    await house.scale("a", lambda record: record["desired"] < 2)


async def test_deleted_revision_ends_after_its_requests(house):
    """The request in flight is answered; then there is nothing left, not even in table `scales`."""
    await house.revision("a")
    pid = await house.pid("a")
    async with asyncio.TaskGroup() as tasks:
        slow = tasks.create_task(house.ask("a", "?sleep=0.5"))
        await asyncio.sleep(0.1)
        await projection.write(house.store, "revisions", "default/a", None)
    assert slow.result().status == 200
    await until(functools.partial(house.is_forgotten, "a"))
    await until(functools.partial(is_gone, pid))
    assert (await house.ask("a")).status == 404


async def test_restart_remembers_who_was_healthy(store, directory):
    """After a restart of the role a proved revision is healthy at zero; one that is gone is forgotten."""
    async with opened(House(store, directory)) as house:
        await house.revision("a")
        await house.scale("a", lambda record: record["actual"] == 1)
    await projection.write(store, "scales", "default/old", {"uid": "x", "healthy": True})
    async with opened(House(store, directory)) as house:
        record = await house.scale("a", lambda record: record["actual"] == 0)
        assert (record["healthy"], record["desired"]) == (True, 0)
        await until(functools.partial(house.is_forgotten, "old"))
        assert (await house.ask("a")).status == 200


async def test_drains_when_told_to_stop(store, directory):
    """A request in flight when the role is stopped is answered; no worker is left."""
    house = House(store, directory)
    await house.zero_allowed()
    async with opened(house), asyncio.TaskGroup() as tasks:
        await house.revision("a")
        pid = await house.pid("a")
        slow = tasks.create_task(house.ask("a", "?sleep=0.5"))
        await asyncio.sleep(0.1)
        house.runtime.stopping.set()
    assert slow.result().status == 200
    assert await is_gone(pid)


@pytest.mark.parametrize(("headers", "status", "body"), [
    ([(b"k-network-probe", b"activator")], 200, b"activator"),
    ([(b"k-network-probe", b"probe"), (b"k-network-hash", b"h")], 200, b""),
    ([(b"k-network-probe", b"probe")], 400,
     b"a probe request must contain a non-empty K-Network-Hash header\n"),
    ([(b"k-network-probe", b"other")], 400, b"unexpected probe header value: other\n"),
    ([(b"user-agent", b"kube-probe/1.33")], 200, b""),
    ([(b"k-kubelet-probe", b"yes")], 200, b""),
])
async def test_probes(house, headers, status, body):
    """Probes are answered by the activator itself."""
    answer = await house.ask("any", headers=headers)
    assert (answer.status, answer.body) == (status, body)
