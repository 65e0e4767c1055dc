"""Who a worker is: `runAsUser` honoured or refused, and a user of its own for each function."""

import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from serving.workers import order, pids, users
from serving.workers.backend import StartFailed

NAME = "default/hello-00001"
OWN = users.own("/apis/v1/namespaces/default/services/hello", {})
is_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")


@is_root
@pytest.mark.parametrize(("fields", "said"), [
    ({"user": 12345}, "12345 12345 12345"),
    ({"user": 12345, "group": 777}, "12345 777 777"),
    ({"user": 0}, None),
    ({}, None),
])
async def test_user(stage, fields, said):
    """A worker is who it is told to be, with no more groups than that."""
    command = ["sh", "-c", "echo $(id -u) $(id -g) $(id -G)"]
    worker = await stage.backend.start(NAME, {"uid": "1", "command": command, **fields})
    await stage.within(worker.exited)

    assert stage.log()[0].split()[0] == "0" if said is None else stage.log()[:1] == [said]


@is_root
async def test_user_ends_with_the_zygote(stage):
    """A worker of another user ends with its zygote, too."""
    command = ["sh", "-c", "echo up; exec sleep 60"]
    worker = await stage.backend.start(NAME, {"uid": "1", "user": 12345, "command": command})
    await stage.printed("up")
    zygote = stage.backend._zygotes.default.pid  # there is no other way to name its process

    os.kill(zygote, 9)

    assert await stage.within(worker.exited) == -9


@is_root
async def test_never_root(stage):
    """Who must not be root is somebody else, of whom nothing else is known; root by name is refused."""
    record = {"uid": "1", "command": ["sh", "-c", "echo $(id -u) $(id -g) $(id -G) $HOME"], "non_root": True}
    with pytest.raises(StartFailed, match="UserRefused: runAsNonRoot: runAsUser says root"):
        await stage.backend.start(NAME, {**record, "user": 0})
    assert "runAsNonRoot" in stage.log()[-1]
    for fields in ({}, {"user": 12345}):
        worker = await stage.backend.start(NAME, {**record, **fields})
        await stage.within(worker.exited)
    own = users.own("/apis/v1/namespaces/default/services/hello-00001", {})
    assert [line for line in stage.log() if line.endswith("/")] == [
        f"{own} {own} {own} /", "12345 12345 12345 /"]


@pytest.fixture
async def far(stage_in):
    """A backend whose data directory is its owner's, in a place that everybody can reach."""
    top = tempfile.mkdtemp(prefix="cl-")
    os.chmod(top, 0o755)  # noqa: PTH101  a test waits for nothing else
    os.mkdir(f"{top}/data", 0o700)  # noqa: PTH102
    async with stage_in(Path(top)) as stage:
        yield stage
    shutil.rmtree(top)


@is_root
async def test_function_of_another_user(far):
    """A function that is not root's reaches its own code, cannot look around there, and is reached."""
    worker = await far.start("""
        import os, pathlib
        print(os.getuid(), flush=True)
        try:
            os.listdir(pathlib.Path(__file__).parents[2])
        except PermissionError:
            print("nothing to see", flush=True)
        def handle(event): pass
        """, non_root=True)
    assert (await far.ask(worker)).status == 202
    assert (await far.ask(worker, by_name=True)).status == 202
    assert far.log()[:2] == [str(OWN), "nothing to see"]


@is_root
async def test_function_that_another_user_cannot_reach(stage):
    """Where a directory above ours is in the way, the start says which and what to do."""
    with pytest.raises(StartFailed, match=rf"UserRefused: user {OWN} may not pass through /.*--data-dir"):
        await stage.start("def handle(event): pass", non_root=True)


async def test_processes_of_a_user(stage):
    """Whoever a worker is, its user's processes are limited, for it and for what it starts."""
    command = ["sh", "-c", "grep processes /proc/self/limits"]
    worker = await stage.backend.start(NAME, {"uid": "1", "command": command})
    await stage.within(worker.exited)

    soft, hard = map(int, stage.log()[0].split()[2:4])
    assert soft == hard <= pids.USER_LIMIT


@pytest.mark.skipif(os.geteuid() == 0, reason="root may become anybody")
async def test_refused(stage):
    """Who is not root says so instead of running as somebody else."""
    with pytest.raises(StartFailed, match=r"UserRefused: runAsUser: 12345"):
        await stage.backend.start(NAME, {"uid": "1", "user": 12345, "command": ["true"]})


def test_each_function_has_its_own():
    """The same over restarts, another for another function, and never that of a living one."""
    first, second = users.own("a", {}), users.own("b", {})
    assert first != second
    assert first in users.OWN
    assert users.own("a", {first: "a"}) == first
    assert users.own("a", {first: "b"}) == first + 1


def test_a_deployment_is_no_function():
    """It has another user than the Service of its name: they share neither code nor secrets."""
    service, deployment = {"service": "a"}, {"listens": False}
    assert order.source("shop/a-00001", service) == "/apis/v1/namespaces/shop/services/a"
    assert order.source("shop/a", deployment) == "/apis/apps/v1/namespaces/shop/deployments/a"


SPY = """
    import ctypes, os
    def tried(what):
        try:
            return what() or "done"
        except OSError as error:
            return type(error).__name__
    def handle(event):
        for pid in event.get_data()["pids"]:
            said = [tried(lambda: os.kill(pid, 0)), tried(lambda: open(f"/proc/{pid}/environ").read()),
                    tried(lambda: open(f"/proc/{pid}/mem").read(1)),
                    ctypes.CDLL(None).ptrace(16, pid, 0, 0)]
            print(*said, flush=True)
        if "read" in event.get_data():
            print(tried(lambda: open(event.get_data()["read"]).read()), flush=True)
    """


@is_root
async def test_functions_are_safe_from_one_another(far):
    """A worker can neither end, trace nor read another function's, a role's or a zygote's process."""
    mine = far.data_dir.parent / "mine"
    mine.mkdir()
    mine.chmod(0o777)
    victim = await far.backend.start("default/victim", {
        "uid": "2", "service": "victim", "non_root": True, "env": {"TOKEN": "secret"},
        "command": ["sh", "-c", f"echo private > {mine}/file; echo $$$$ > {mine}/pid; exec sleep 60"]})
    await far.until(lambda: (mine / "pid").exists() and (mine / "pid").read_text().endswith("\n"))
    worker = await far.start(SPY, non_root=True)
    pids_ = [int((mine / "pid").read_text()), os.getpid(), far.zygote.pid]

    assert (await far.ask(worker, json.dumps({"pids": pids_, "read": f"{mine}/file"}).encode())).status == 202
    refused = "PermissionError PermissionError PermissionError -1"
    assert await far.lines(4) == [refused, refused, refused, "PermissionError"]
    assert victim.state != "exited"
