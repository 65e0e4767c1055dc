"""
What a freshly forked child does to become a process of its own, in this order:

    detach, right after the fork
 1. own session and process group, so that all it starts can be ended with it;
 2. SIGKILL when the zygote dies: nobody would be left to reap and report it;
 3. signals as in a fresh process;
 4. descriptors: every one is closed but those it was given;

    become, once it is known what it is to be
 5. descriptors: /dev/null, its output twice, the listening sockets, the report pipe;
 6. limits (but that of memory: see `limit_memory`), umask, volumes (mounts.py), working directory, user;
 7. the environment: exactly what the revision says and what `environment` adds;
 8. numpy's random numbers, if it was preloaded; Python's own reseed themselves after a fork.

It is isolation between well-meaning processes and not a container: it has the role's network and file
system, and its user unless it is told another one, which only root can do. What a Python reads from the
environment only when it starts (PYTHONHASHSEED, PYTHONPATH, LD_PRELOAD) has no effect on a function;
`command` programs see all of it.

Memory is limited by RLIMIT_DATA, which counts private writable memory. RLIMIT_AS would count mapped
libraries and the 64 MiB that every thread's arena reserves and never touches. A function over its limit
gets MemoryError and answers 500; it is not killed, unlike in a container. A limit with which a worker could
not even begin is refused, since what then fails fails anywhere.

CPU is limited in whole cores: a worker may run on as many as its limit says, rounded up, chosen by chance. A
limit below one core is a weight: nothing where nobody else wants the core, and where somebody does, the
share that it asked for against one without a limit. RLIMIT_CPU ends a process after so much time in all,
which is no limit for a server; a quota (cgroup) would need a delegated cgroup, which few machines give. How
many processes a worker may start is told in `pids.py`. They end with it, unless they have left its process
group where there are no cgroups.
"""

import ctypes
import fcntl
import math
import os
import random
import resource
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.workers import mounts

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15

# Descriptors of every worker, of which it may have one to listen on; a `command` gets none of them.
LISTENERS, REPORT = (3, 4), 5
SPARE_READY = b"ready"  # a spare's only packet; what it is answered matters by its descriptors
_FIRST_FREE = 6
_ABOVE_ALL = 1 << 20  # descriptors are fewer: Linux's default fs.nr_open

# A thread's stack counts as data in full; 8 MiB (glibc's default) for each of 40 would eat a small limit.
LIMITED_STACK_BYTES = 1024 * 1024
_MEBIBYTE = 1024 * 1024
# What any worker needs, 38 Mi as measured, and some: whether it was a spare, which has more, is chance.
_LEAST_BYTES = 40 * _MEBIBYTE
_UMASK = 0o022
_UMASK_ALONE = 0o077  # of one that is not who the role is: what it writes is for nobody else
_LEAST_PRIORITY = 19

KNATIVE_ENV = ("PORT", "K_SERVICE", "K_CONFIGURATION", "K_REVISION")


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What to become; travels from the backend to the child as JSON."""

    worker: str
    source: str  # `source` of replies that have none
    folder: str  # working directory, unless `directory` is; the bundle's place, where there is one
    directory: str | None = None
    env: Mapping[str, str]
    entry: str | None = None
    command: Sequence[str] | None = None
    memory_bytes: int | None = None
    cpu: float | None = None  # cores
    user: int | None = None  # another one only where this is root
    group: int | None = None  # None: the number of *user*, as images have it by habit
    mounts: Mapping[str, Any] | None = None  # a mounts.Plan
    beside: int | None = None  # a process whose mounts are to be seen, instead of own ones
    threads: int = 40


class MemoryLimitTooSmall(Exception):
    """A worker cannot live on its limit; says how much it needs."""


def detach(parent_pid: int, descriptors: Sequence[int]) -> list[int]:
    """Keep nothing of *parent_pid*, the zygote, but *descriptors*; returns the numbers they have now."""
    os.setsid()
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it died before we asked to be told
        os._exit(1)
    default_signals()
    return _keep(descriptors)


def become(spec: Spec, descriptors: Sequence[int]) -> None:
    """
    Turn this child, which has detached itself, into the process that *spec* describes.

    *descriptors*: output, report pipe, and the listening sockets unless *spec* is a command.

    Raises:
        OSError: the folder is gone, or a limit cannot be set.
        MountFailed: a volume cannot be where it should.
    """
    _take(descriptors)
    rename(spec.worker)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if spec.cpu is not None:
        _limit_cpu(spec.cpu)
    os.umask(_UMASK)
    if spec.beside is not None:
        mounts.join(spec.beside)
    elif spec.mounts is not None:
        mounts.enter(mounts.Plan(**spec.mounts), (spec.folder, sys.prefix, sys.base_prefix, *sys.path))
    os.chdir(spec.directory or spec.folder)
    if spec.user is not None and spec.user != os.geteuid():
        os.umask(_UMASK_ALONE)
        _change_user(spec.user, spec.user if spec.group is None else spec.group)
    os.environ.clear()
    os.environ.update(spec.env)
    time.tzset()
    _reseed_numpy()


def limit_memory(limit_bytes: int) -> None:
    """Have no more private writable memory than *limit_bytes* from now on."""
    resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes))
    threading.stack_size(LIMITED_STACK_BYTES)


def demand_memory(limit_bytes: int, spare_bytes: int) -> None:
    """Raise MemoryLimitTooSmall unless *limit_bytes* leave this process *spare_bytes* more than it has."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    has_bytes = int(status["VmData"].split()[0]) * 1024  # what the kernel compares with RLIMIT_DATA
    needed_bytes = max(has_bytes + spare_bytes, _LEAST_BYTES)
    if needed_bytes > limit_bytes:
        raise MemoryLimitTooSmall(f"memory limit {_shown(limit_bytes)} is too small: a worker needs about "
                                  f"{math.ceil(needed_bytes / _MEBIBYTE)}Mi")


def _shown(size_bytes: int) -> str:
    return f"{size_bytes // _MEBIBYTE}Mi" if size_bytes % _MEBIBYTE == 0 else str(size_bytes)


def _change_user(user: int, group: int) -> None:
    os.setgroups(())
    os.setgid(group)
    os.setuid(user)
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # the kernel forgets it with the user


def _limit_cpu(cores: float) -> None:
    allowed = sorted(os.sched_getaffinity(0))
    count = max(1, math.ceil(cores))
    if count < len(allowed):
        os.sched_setaffinity(0, random.sample(allowed, count))
    if 0 < cores < 1:
        # Each step of nice is worth a factor of 1.25 (the kernel's own table).
        os.nice(min(_LEAST_PRIORITY, round(math.log(1 / cores, 1.25))))


def rename(name: str) -> None:
    """Have `ps` show *name* for this process, or the 15 bytes of it that the kernel keeps."""
    _LIBC.prctl(_PR_SET_NAME, name.encode()[:15])


def environment(asked: Mapping[str, str], *, port: int, service: str, configuration: str, revision: str,
                own: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a worker: Knative's variables win over what `program_environment` says."""
    return {
        **program_environment(asked, own),
        "PORT": str(port),
        "K_SERVICE": service,
        "K_CONFIGURATION": configuration,
        "K_REVISION": revision,
    }


def program_environment(asked: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """*asked*, and of *own*, the role's environment, PATH, HOME and TMPDIR."""
    return {
        "PATH": own.get("PATH", os.defpath),
        "HOME": own.get("HOME", "/"),
        "TMPDIR": own.get("TMPDIR", "/tmp"),  # noqa: S108  a place every program may write, as Knative demands
        **asked,
    }


def in_memory(data: bytes) -> int:
    """Descriptor of a file in memory that holds *data*, at its beginning: how a Spec travels."""
    descriptor = os.memfd_create("spec", os.MFD_CLOEXEC)
    os.write(descriptor, data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def execute(command: Sequence[str]) -> None:
    """
    Become the program *command*; returns never.

    Raises:
        OSError: it is not there or cannot be run.
    """
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores these two; other programs expect them
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    os.execvp(command[0], list(command))  # noqa: S606  no shell is wanted


def default_signals() -> None:
    """Have signals do what they do in a fresh process."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def _keep(descriptors: Sequence[int]) -> list[int]:
    # First out of the way: any of them may have one of the numbers that are given out here and in `_take`.
    kept = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE) for number in descriptors]
    reserve()
    free = _FIRST_FREE
    for number in [*sorted(kept), _ABOVE_ALL]:
        os.closerange(free, number)
        free = number + 1
    return kept


def reserve() -> None:
    """Have /dev/null at every number that `become` gives out, so that nothing else gets it meanwhile."""
    opened = os.open(os.devnull, os.O_RDWR)
    null = fcntl.fcntl(opened, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE)
    os.close(opened)
    for number in range(_FIRST_FREE):
        os.dup2(null, number, inheritable=number < LISTENERS[0])
    os.close(null)


def _take(descriptors: Sequence[int]) -> None:
    output, report, *listeners = descriptors
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.dup2(report, REPORT, inheritable=False)
    for number, listener in zip(LISTENERS, listeners, strict=False):
        os.dup2(listener, number, inheritable=False)
    for number in descriptors:
        os.close(number)


def _reseed_numpy() -> None:
    """Python's own `random` reseeds itself after a fork; a preloaded numpy would repeat its numbers."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
