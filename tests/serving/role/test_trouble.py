"""What bad input gets: one line in the revision's conditions, one in its log, and other revisions go on."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from eventing import keys, projection
from serving.workers import logs, pids

NEIGHBOUR = "quiet"

# At most 300 children that only sleep, beside 900 threads: too many for a worker, not too many for a machine.
FORK_BOMB = """
import os, threading, time
def bomb():
    for _ in range(900):
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    left = 300
    while True:
        try:
            left -= os.posix_spawn("/bin/sleep", ["sleep", "60"], {}) > 0
        except OSError:
            time.sleep(0.01)
        while not left:
            time.sleep(1)
async def app(scope, receive, send):
    if scope["type"] == "http":
        bomb()
"""
MEMORY_BOMB = """
def handle(event):
    kept = []
    while True:
        kept.append(bytearray(1 << 20))
"""
MEMORY_BOMB_AT_IMPORT = "kept = [bytearray(1 << 20) for _ in range(1 << 10)]\ndef handle(event): pass\n"
# Leaves of its limit what is too little for a thread.
GREEDY = """
import pathlib, resource
def used():
    status = pathlib.Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmData:")[2].split()[0])
kept = bytearray(resource.getrlimit(resource.RLIMIT_DATA)[0] - used() - (2 << 20))
def handle(event): pass
"""
ENDLESS = """
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
"""
NEVER_READY = """
class Function:
    def ready(self): return False, "warming up"
    async def handle(self, scope, receive, send): pass
def new(): return Function()
"""
EVENT = [(b"ce-id", b"1"), (b"ce-type", b"t"), (b"ce-source", b"/s"), (b"ce-specversion", b"1.0")]


def log(house, name):
    """What the log of a revision says."""
    lines = logs.read(logs.path(house.config.data_dir, "default", name), 1000)
    return "\n".join(line.split(b" ", 2)[2].decode() for line in lines)


def oom_score(pid):
    """What the kernel adds to the badness of a process."""
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


async def neighbour(house):
    """Another revision answers as if nothing were the matter."""
    return (await house.ask(NEIGHBOUR)).status


@pytest.mark.parametrize(("code", "fields", "reason", "words"), [
    pytest.param("import nosuchmodule\n", {}, "ExitCode1", "No module named 'nosuchmodule'", id="import"),
    pytest.param("x = 1\n", {}, "NoEntry", "defines none of new, app, handle", id="no handler"),
    pytest.param("", {"command": ["sleep", "60"], "progress_deadline_s": 0.3}, "ProgressDeadlineExceeded",
                 "it was not ready after 0.3 s; does it listen on $PORT?", id="no port"),
    pytest.param(NEVER_READY, {"readiness": {"httpGet": {"path": "/health/readiness"}},
                               "progress_deadline_s": 0.5}, "ProgressDeadlineExceeded",
                 "it was not ready after 0.5 s; ", id="probe"),
    pytest.param(MEMORY_BOMB_AT_IMPORT, {"memory_bytes": 128 << 20}, "ExitCode1", "MemoryError", id="memory"),
    pytest.param("def handle(event): pass\n", {"memory_bytes": 1 << 20}, "MemoryLimitTooSmall",
                 "memory limit 1Mi is too small: a worker needs about ", id="memory limit"),
    pytest.param(GREEDY, {"memory_bytes": 128 << 20}, "MemoryLimitTooSmall",
                 "memory limit 128Mi is too small: a worker needs about 1", id="memory for its thread"),
])
async def test_cannot_start(open_house, code, fields, reason, words):
    """A revision that cannot start says why, in its state, in its log and to whoever asks it."""
    async with open_house() as house:
        await house.revision(NEIGHBOUR)
        await house.revision("bad", code=code, **fields)
        record = await house.scale("bad", lambda record: record["healthy"] is False)

        assert record["reason"] == reason
        assert words in record["message"]
        assert words in log(house, "bad")
        assert await neighbour(house) == 200


async def test_bundle_that_is_none(open_house):
    """What is in the store is no bundle, or more than there may be: the same."""
    async with open_house() as house:
        await house.store.set(keys.bundle("0" * 64), b"no bundle")
        await house.revision("bad", bundle="0" * 64)
        record = await house.scale("bad", lambda record: record["healthy"] is False)

        assert record["reason"] == "BundleInvalid"
        assert "BundleInvalid: " in log(house, "bad")


async def test_memory_bomb(house):
    """A function over its memory limit answers 500 and says so; it goes on, as others do."""
    await house.revision(NEIGHBOUR)
    await house.revision("bad", code=MEMORY_BOMB, memory_bytes=128 << 20)
    answer = await house.ask("bad", method="POST", headers=EVENT)

    assert (answer.status, answer.body) == (500, b"MemoryError:\n")
    assert await neighbour(house) == 200

    async def is_told():
        return "MemoryError" in log(house, "bad")

    await house.until(is_told)


@pytest.mark.skipif(pids.place() is None, reason="no cgroup can be made here: see serving/workers/pids.py")
async def test_fork_bomb(house):
    """A worker with too many processes is killed with all of them; again, and the revision is told of."""
    await house.revision(NEIGHBOUR)
    await house.revision("bad", code=FORK_BOMB, annotations={"max-scale": "1"})

    async def ask_on():
        while (answer := await house.ask("bad", method="POST")).status == 502:
            await asyncio.sleep(0.1)
        return answer

    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(ask_on())
        assert await neighbour(house) == 200
    assert (asking.result().status, "TooManyProcesses" in asking.result().body.decode()) == (503, True)
    record = await house.scale("bad", lambda record: record["healthy"] is False)
    assert record["reason"] == "TooManyProcesses"
    assert "asked for more, and is killed" in log(house, "bad")
    assert await neighbour(house) == 200


async def test_endless_answer(house):
    """An answer without an end is cut when the request's time is over, and the log says so."""
    await house.revision(NEIGHBOUR)
    await house.revision("bad", code=ENDLESS, timeout_s=1.0)
    reader, writer = await asyncio.open_unix_connection(str(house.config.activator_socket))
    writer.write(b"GET / HTTP/1.1\r\nhost: bad\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    assert await neighbour(house) == 200
    async with asyncio.timeout(20):
        with contextlib.suppress(ConnectionResetError):
            while await reader.read(1 << 20):
                pass
    writer.close()

    async def is_told():
        return "ran out of time" in log(house, "bad")

    await house.until(is_told)


ODD = {"v": {"key": {"data": "", "mode": 1 << 40}}}
MOUNTED = {"mounts": [{"volume": "v", "path": "/clarion-test", "sub_path": "", "read_only": True}],
           "scratch": {}}


async def test_records_that_make_no_sense(open_house):
    """Whatever a record does to who reads it, to a start or to the numbers: its object alone has that."""
    async with open_house() as house:
        await projection.write(house.store, "revisions", "default/half", {"uid": "half"})
        await projection.write(house.store, "volumes", "uid-mounts", ODD)
        await projection.write(house.store, "volumes", "program", ODD)
        pod = {"uid": "program", "container": "c", "command": ["true"], "env": {}, "named": [], "grace_s": 1,
               "volumes": MOUNTED, "listens": False}
        program = {"uid": "program", "generation": 1, "replicas": 1, "strategy": {}, "pod": pod}
        odd = {**program, "strategy": {"rollingUpdate": {"maxSurge": "?"}}}
        await projection.write(house.store, "deployments", "default/odd", odd)
        await projection.write(house.store, "deployments", "default/program", program)
        await house.revision(NEIGHBOUR)
        known = (await projection.read(house.store, "revisions"))[f"default/{NEIGHBOUR}"]
        odd = {**known, "uid": "nan", "annotations": {"autoscaling.knative.dev/target": "nan"}}
        await projection.write(house.store, "revisions", "default/nan", odd)
        await house.revision("mounts", volumes=MOUNTED)
        await house.scale("mounts", lambda record: record["reason"] == "DiskFailed")
        await house.revision("bad", env=1)
        record = await house.scale("bad", lambda record: record["healthy"] is False)
        assert (record["reason"], record["message"].partition(":")[0]) == ("StartFailed", "TypeError")
        assert "StartFailed: TypeError: " in log(house, "bad")

        async def is_told():
            state = (await projection.read(house.store, "deployment-states")).get("default/program")
            return state is not None and "DiskFailed: its volumes cannot be made: " in state["message"]

        await house.until(is_told)
        assert await neighbour(house) == 200


async def test_worker_is_the_first_to_go(house):
    """When memory runs out the kernel ends a worker, not what keeps the events."""
    await house.revision("a")
    assert oom_score(await house.pid("a")) == 500 > oom_score("self")
