"""The child that is forked ahead: it becomes the next worker, and is nothing before."""

import os
import signal
from pathlib import Path

PID = "import os\ndef handle(event): print(os.getpid(), os.getppid())\n"


def told(pid, what):
    """What the kernel tells of process *pid*."""
    return Path(f"/proc/{pid}/{what}").read_text()


def children(pid):
    """Pids of the children of *pid*."""
    return [int(child) for child in told(pid, f"task/{pid}/children").split()]


def descriptors(pid):
    """What *pid* has open."""
    return [str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()]


def sockets():
    """Inodes of all TCP sockets of this machine."""
    return {line.split()[9] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]}


async def spare_of(stage):
    """Pid of the spare, once it waits; nobody has asked for a worker."""
    await stage.spare()
    (pid,) = children(stage.zygote.pid)
    return pid


async def test_the_spare_becomes_the_worker(stage):
    """The first start gets the process that waited, and another one waits then."""
    await stage.backend.warm()
    spare = await spare_of(stage)
    worker = await stage.start(PID)
    await stage.ask(worker)
    await stage.printed(f"{spare} {stage.zygote.pid}")
    await stage.spare()
    assert len(children(stage.zygote.pid)) == 2


async def test_a_spare_holds_nothing(stage):
    """It has /dev/null, what its own loop needs and one socket; no file, and nothing of the network."""
    await stage.backend.warm()
    spare = await spare_of(stage)
    held = descriptors(spare)
    assert held.count("/dev/null") == 6
    assert {link.partition(":")[0] for link in held} <= {"/dev/null", "socket", "pipe", "anon_inode"}
    assert not [link for link in held if link.removeprefix("socket:[").removesuffix("]") in sockets()]
    assert told(spare, "comm") == "spare\n"


async def test_a_killed_spare_is_no_loss(stage):
    """A start after the spare was killed is forked as ever."""
    await stage.backend.warm()
    os.kill(await spare_of(stage), signal.SIGKILL)
    await stage.until(lambda: not children(stage.zygote.pid))
    worker = await stage.start(PID)
    assert (await stage.ask(worker)).status == 202


async def test_a_spare_dies_with_its_zygote(stage):
    """Nothing is left of a killed zygote, its spare neither."""
    await stage.backend.warm()
    spare = await spare_of(stage)
    os.kill(stage.zygote.pid, signal.SIGKILL)
    await stage.until(lambda: not Path(f"/proc/{spare}").exists())


async def test_the_rehearsal_leaves_no_trace(stage):
    """A worker that was the spare has neither the rehearsal's module nor its folder, and default signals."""
    await stage.backend.warm()
    await spare_of(stage)
    worker = await stage.start("""
        import signal, sys, threading
        HANDLER = signal.getsignal(signal.SIGTERM)
        THREADS = threading.active_count()
        def handle(event):
            print([name for name in sys.modules if "rehearsal" in name],
                  [place for place in sys.path if place.endswith("rehearsal")], HANDLER, THREADS)
        """)
    await stage.ask(worker)
    assert await stage.lines(1) == ["[] [] 0 1"]


async def test_prepare(stage):
    """A bundle is unpacked before its first start; one that is not there is left to the start to name."""
    record = await stage.record(PID)
    await stage.backend.prepare("default/hello-00001", record)
    assert (stage.data_dir / "bundles" / record["bundle"] / "func.py").is_file()
    await stage.backend.prepare("default/hello-00001", {**record, "bundle": "0" * 64})
