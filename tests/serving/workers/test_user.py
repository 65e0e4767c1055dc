"""`runAsUser`: honoured or refused."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from serving.workers import pids
from serving.workers.backend import StartFailed

NAME = "default/hello-00001"
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
    assert [line for line in stage.log() if "65532" in line or "12345" in line] == [
        "65532 65532 65532 /", "12345 12345 12345 /"]


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
    assert far.log()[:2] == ["65532", "nothing to see"]


@is_root
async def test_function_that_another_user_cannot_reach(stage):
    """Where a directory above ours is in the way, the start says which and what to do."""
    with pytest.raises(StartFailed, match=r"UserRefused: user 65532 may not pass through /.*--data-dir"):
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
