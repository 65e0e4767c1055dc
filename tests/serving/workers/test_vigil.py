"""The probes of a real worker over its life: startup, then readiness and liveness beside each other."""

import asyncio
import re
import sys
from pathlib import Path

import pytest

from serving.workers import ports
from serving.workers.backend import StartFailed
from serving.workers.vigil import Probes

NAME = "default/hello-00001"
# Says at /NAME what the file NAME in its folder's parent says: a status; 200 where there is no such file.
SERVER = """
import http.server, os, pathlib, sys
class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        said = pathlib.Path(os.environ["SAID"], self.path.strip("/"))
        with open(os.environ["SAID"] + "/asked", "a") as asked:
            print(self.path, file=asked)
        self.send_response(int(said.read_text()) if said.exists() else 200)
        self.end_headers()
    def log_message(self, *_): pass
for port in (os.environ["PORT"], *sys.argv[1:]):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Hello)
    import threading; threading.Thread(target=server.serve_forever).start()
"""


@pytest.fixture
def said(tmp_path):
    """Where a test says what a worker is to answer."""
    folder = tmp_path / "said"
    folder.mkdir()
    return folder


def say(said, name, status):
    """Have workers answer *status* at /NAME from now on; nobody sees half of it."""
    (said / "new").write_text(status)
    (said / "new").rename(said / name)


def probe(path, **fields):
    """One by HTTP, ten times a second, that changes its mind at once."""
    numbers = {"periodSeconds": 0.1, "failureThreshold": 1, "timeoutSeconds": 5}
    return {"httpGet": {"path": path}, **numbers, **fields}


async def started(stage, said, **fields):
    """A worker of SERVER whose program runs."""
    record = await stage.record(files={"server.py": SERVER}, command=[sys.executable, "server.py"],
                                env={"SAID": str(said)}, **fields)
    return await stage.backend.start(NAME, record)


async def test_readiness_comes_and_goes(stage, said):
    """It is told once each time, in a line, and to whoever wants to know; other reasons are not news yet."""
    worker = await started(stage, said, readiness=probe("/ready"))
    await stage.within(worker.ready)
    heard = []
    worker.on_readiness = lambda: heard.append(worker.unready)
    for status in ("503", "500"):
        say(said, "ready", status)
        await stage.until(lambda: heard)
    (said / "ready").unlink()
    await stage.until(lambda: len(heard) > 1)
    say(said, "ready", "404")
    await stage.until(lambda: len(heard) > 2)
    failed = "Readiness probe failed: HTTP probe failed with statuscode: "
    assert heard == [f"{failed}503", "", f"{failed}404"]
    assert stage.log() == [heard[0], "Readiness probe passed: it gets requests", heard[2]]


async def test_one_that_is_not_alive_before_it_is_ready(stage, said):
    """It is killed: there is nothing that it could finish."""
    say(said, "ready", "503")
    say(said, "live", "500")
    worker = await started(stage, said, readiness=probe("/ready"), liveness=probe("/live"))
    with pytest.raises(StartFailed) as failure:
        await stage.within(worker.ready)
    assert failure.value.reason == "LivenessFailed"
    assert failure.value.message.startswith("Liveness probe failed: ")


async def test_a_start_that_takes_long_says_why(stage, said):
    """Not at once, and once; a deadline that comes before says it, too."""
    say(said, "ready", "503")
    readiness = {"httpGet": {"path": "/ready"}}
    other = await started(stage, said, readiness=readiness, progress_deadline_s=1.0)
    worker = await started(stage, said, readiness=readiness)
    with pytest.raises(StartFailed) as failure:
        await stage.within(other.ready)
    assert re.match("it was not ready after 1 s; (Readiness probe failed: |no probe has passed)",
                    failure.value.message)
    await stage.until(lambda: worker.unready)
    assert stage.log().count(worker.unready) == 1


async def test_startup_comes_first(stage, said):
    """Until it has passed nothing else is asked, and nobody is served, however the others would answer."""
    say(said, "begun", "500")
    say(said, "live", "500")
    worker = await started(stage, said, startup=probe("/begun", failureThreshold=1000),
                           readiness=probe("/ready"), liveness=probe("/live"))
    assert not worker.takes_early
    asked = said / "asked"
    await stage.until(lambda: asked.exists() and len(asked.read_text().splitlines()) > 3)
    assert set(asked.read_text().splitlines()) == {"/begun"}
    assert not worker.ready.done()
    (said / "live").unlink()
    (said / "begun").unlink()
    await stage.within(worker.ready)
    say(said, "begun", "500")
    say(said, "live", "500")
    failing = asyncio.Event()
    worker.on_failing = failing.set
    await stage.within(failing.wait())
    assert worker.cause.reason == "LivenessFailed"


async def test_startup_that_fails(stage, said):
    """After failureThreshold answers the worker is killed, and says in one line why."""
    say(said, "begun", "503")
    worker = await started(stage, said, startup=probe("/begun", failureThreshold=3))
    with pytest.raises(StartFailed) as failure:
        await stage.within(worker.ready)
    assert failure.value.reason == "StartupFailed"
    assert failure.value.message.startswith("Startup probe failed: ")
    assert await stage.within(asyncio.shield(worker.exited)) == -9
    assert failure.value.message in stage.log()


async def test_function_with_a_startup_probe(stage):
    """A function that has one gets no request before it has passed, although its socket is open."""
    worker = await stage.backend.start(NAME, await stage.record(
        "import time\ntime.sleep(0.2)\ndef handle(event): pass", startup={"tcpSocket": {}}))
    assert not worker.takes_early
    await stage.within(worker.ready)
    assert (await stage.ask(worker)).status == 202


async def test_another_port(stage, said):
    """A program may be asked at a second port, where it listens; somebody else's says nothing of it."""
    with ports.bound() as free:
        port = free.getsockname()[1]
    there = probe("/ready", httpGet={"path": "/ready", "port": port})
    worker = await started(stage, said, args=[str(port)], readiness=there)
    await stage.within(worker.ready)
    other = await started(stage, said, liveness=there)
    await stage.until(lambda: other.cause)
    assert other.cause.message.startswith(f"Liveness probe failed: 127.0.0.1:{port}: on port {port} another "
                                          "process listens, not this worker; ")


@pytest.mark.parametrize(("asked", "lasts"), [
    (None, False), ({}, False), ({"tcpSocket": {}}, False), ({"tcpSocket": {}, "periodSeconds": 5}, True),
    ({"httpGet": {}}, True), ({"grpc": {}}, True), ({"exec": {"command": ["true"]}}, True)])
def test_who_is_asked_on(asked, lasts):
    """A worker whose probe nobody wrote is asked nothing once it is ready."""
    assert Probes(startup=None, readiness=asked, liveness=None).lasts == lasts


async def test_command(stage, said):
    """An exec probe sees what its worker sees: folder, variables, limits; its last line is why it fails."""
    code = ("import os, resource, sys; print('noise'); print(os.environ['K_REVISION'], "
            "os.path.exists('server.py'), resource.getrlimit(resource.RLIMIT_DATA)[0] >> 20, "
            "os.environ['SAID'][-4:]); sys.exit(os.path.exists(os.environ['SAID'] + '/ready'))")
    readiness = {"exec": {"command": [sys.executable, "-c", code]}, "periodSeconds": 0.1,
                 "failureThreshold": 1, "timeoutSeconds": 5}
    worker = await started(stage, said, readiness=readiness, memory_bytes=256 << 20)
    await stage.within(worker.ready)
    (said / "ready").touch()
    await stage.until(lambda: worker.unready)
    assert worker.unready == "Readiness probe failed: hello-00001 True 256 said"
    (said / "ready").unlink()
    await stage.until(lambda: not worker.unready)


async def test_command_that_prints_a_lot(stage, said):
    """What is not kept is read all the same: it passes or fails as its status says."""
    command = ["sh", "-c", 'head -c 200000 /dev/zero; test ! -e "$SAID/ready"']
    readiness = {"exec": {"command": command}, "periodSeconds": 0.1, "failureThreshold": 1,
                 "timeoutSeconds": 10}
    worker = await started(stage, said, readiness=readiness)
    await stage.within(worker.ready)
    (said / "ready").touch()
    await stage.until(lambda: worker.unready)
    assert "timed out" not in worker.unready


@pytest.mark.parametrize(("command", "timeout_s", "why"), [
    ([], 10, "exec names no command"),
    (["false"], 10, 'command "false" ended with status 1'),
    (["./nosuch"], 10, "./nosuch: No such file or directory"),
    (["sh", "-c", "echo first; sleep 600.123 & wait"], 0.3, " timed out after 0.3 s"),
    (["yes"], 0.3, 'command "yes" timed out after 0.3 s'),
    (["sh", "-c", "false\n\n" + "true " * 1000 + "; exit 3"], 10,
     f'command "sh -c false {"true " * 40}'[:209] + '" ended with status 3'),
])
async def test_command_that_fails(stage, said, command, timeout_s, why):
    """Whatever it does, it says why in a line; at the end of its time nothing of it is left."""
    liveness = {"exec": {"command": command}, "periodSeconds": 0.1, "failureThreshold": 1,
                "timeoutSeconds": timeout_s}
    worker = await started(stage, said, liveness=liveness)
    await stage.until(lambda: worker.cause)
    assert why in worker.cause.message
    await stage.until(lambda: not {"sh", "yes", "false"} & children(stage) and not sleepers())


def children(stage):
    """What the zygote has under it, by name, dead or alive."""
    found = Path(f"/proc/{stage.zygote.pid}/task/{stage.zygote.pid}/children").read_text().split()
    return {text(pid, "comm").strip() for pid in found}


def sleepers():
    """What the command that sleeps has started, of this test or another."""
    return [path.name for path in Path("/proc").glob("[0-9]*") if "600.123" in text(path.name, "cmdline")]


def text(pid, name):
    """A file about a process, which may be gone."""
    try:
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    except OSError:
        return ""
