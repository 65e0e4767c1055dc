"""
How many processes a worker may have: what keeps a fork bomb from taking the machine along.

    whose worker it is       what limits it                                counted are, threads included
    ------------------       --------------                                -----------------------------
    anybody's, where a       pids.max: LIMIT; one that asks for more is    its own
    cgroup can be made       killed, and its Revision says so
    a user's                 RLIMIT_NPROC: USER_LIMIT; fork() fails        all that this user has
    root's, and no cgroup    nothing: the kernel does not limit root       -

A cgroup can mostly be made by root alone. So run by root, each worker is limited by itself. Run by a user, a
bomb fills what the user's workers may have together: until it ends, no other worker of that user can start
a thread, while what else the user runs goes on, because its limit is higher. Run by root in a container
without a writable cgroup, it is the container's own limit that counts.

    CGROUP/clarion-ZYGOTE/WORKER    both by their pid; made by the worker itself, removed by its zygote

Who is still in there when its worker has ended is killed, also what has left the worker's process group.
Both versions of cgroups will do; of the second, pids has to be enabled at its top, as systemd does.
"""

import contextlib
import functools
import os
import resource
import signal
from pathlib import Path

LIMIT = 1024  # of one worker: a few times what a function with a pool for each processor has
USER_LIMIT = 4096  # of all that a user has: a desktop with browsers has about half of that

_V1, _V2 = Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup")
_PREFIX = "clarion-"
_KILL_ROUNDS = 5  # who forks between two looks is seen in the next, and nobody can when the limit is 0


@functools.cache
def place() -> Path | None:
    """Where this machine's cgroups of workers go; None where there are none, or not for us."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if "pids" in controllers.split(","):
                found = _V1 / path.lstrip("/")
                return found if os.access(found, os.W_OK) else None
        if "pids" in (_V2 / "cgroup.subtree_control").read_text().split():
            return _V2 if os.access(_V2, os.W_OK) else None
    return None


def prepare() -> Path | None:
    """Make this zygote's folder, and remove those of zygotes that were killed; None: there are no cgroups."""
    top = place()
    if top is None:
        return None
    for left in top.glob(f"{_PREFIX}*"):
        if not Path(f"/proc/{left.name.removeprefix(_PREFIX)}").exists():
            close(left)
    made = top / f"{_PREFIX}{os.getpid()}"
    try:
        made.mkdir(exist_ok=True)
    except OSError:
        return None
    return made


def join(folder: Path | None) -> None:
    """Limit this process, a worker to be, and all that it will start; without a cgroup if there is none."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    if soft == resource.RLIM_INFINITY or soft > USER_LIMIT:
        least = USER_LIMIT if hard == resource.RLIM_INFINITY else min(USER_LIMIT, hard)
        resource.setrlimit(resource.RLIMIT_NPROC, (least, least))
    if folder is None:
        return
    with contextlib.suppress(OSError):
        group = folder / str(os.getpid())
        group.mkdir()
        (group / "pids.max").write_text(str(LIMIT))
        (group / "cgroup.procs").write_text("0")


def leave(folder: Path | None, pid: int) -> None:
    """The worker *pid* has ended: kill what it left, and remove its cgroup."""
    if folder is not None:
        _remove(folder / str(pid))


def close(folder: Path | None) -> None:
    """The zygote ends: nothing of its workers is left; what is still dying, another zygote removes."""
    if folder is not None:
        for group in folder.glob("*/"):
            _remove(group)
        _remove(folder)


def _remove(group: Path) -> None:
    _empty(group)
    with contextlib.suppress(OSError):
        group.rmdir()


def members(zygote_pid: int, pid: int) -> list[int] | None:
    """All processes of the worker *pid*; None where it has no cgroup."""
    top = place()
    if top is None:
        return None
    with contextlib.suppress(OSError):
        found = (top / f"{_PREFIX}{zygote_pid}" / str(pid) / "cgroup.procs").read_text().split()
        return [int(each) for each in found]
    return None


def refused(zygote_pid: int, pid: int) -> bool:
    """Whether the worker *pid* has asked for more processes than it may have."""
    top = place()
    if top is None:
        return False
    with contextlib.suppress(OSError, ValueError):
        events = (top / f"{_PREFIX}{zygote_pid}" / str(pid) / "pids.events").read_text().split()
        return int(events[events.index("max") + 1]) > 0
    return False


def _empty(group: Path) -> None:
    with contextlib.suppress(OSError):
        for _ in range(_KILL_ROUNDS):
            found = (group / "cgroup.procs").read_text().split()
            if not found:
                return
            (group / "pids.max").write_text("0")
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
