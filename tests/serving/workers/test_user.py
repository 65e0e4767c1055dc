"""`runAsUser`: honoured or refused."""

import os

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
@pytest.mark.parametrize("fields", [{}, {"user": 0}])
async def test_never_root(stage, fields):
    """Who must not be root is not started as root; as somebody else it is."""
    record = {"uid": "1", "command": ["true"], "non_root": True}
    with pytest.raises(StartFailed, match="UserRefused: runAsNonRoot: it would run as root"):
        await stage.backend.start(NAME, {**record, **fields})
    assert "runAsNonRoot" in stage.log()[-1]
    worker = await stage.backend.start(NAME, {**record, "user": 12345})
    await stage.within(worker.exited)


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
