"""
One child process, forked: started again as often as wanted, and never outliving its parent.

Knows nothing of what the child does. Linux sends the child SIGKILL when its parent ends; elsewhere a child
of a killed parent lives on until it notices.
"""

import ctypes
import os
import platform
import resource
import signal
import struct
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress

# A request has a descriptor on either side, and the usual soft limit of 1024 would be used up by 500.
_DESCRIPTORS = 20_000

# <linux/sched/types.h>: size, policy, flags, nice, priority, runtime, deadline, period
_SCHED_ATTRIBUTES = struct.Struct("=IIQiIQQQ")
_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}  # the C library has no name for it
_SCHED_RESET_ON_FORK = 1
_SLICE_NS = 100_000  # the least that Linux takes

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15  # 15 bytes at most: what `ps` and `top` show


def allow_descriptors() -> None:
    """Raise this process' soft limit of open files as far as it is needed and may go."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    if 0 <= soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def run_when_woken() -> None:
    """
    Ask that this thread runs as soon as it is woken, before the one that woke it has gone to sleep.

    Linux 6.12 and newer prefer who asks for short slices; others leave everything as it is. Who is forked
    has none of it. It is for a process that works for microseconds each time, and has others wait for it.
    """
    number = _SCHED_SETATTR.get(platform.machine())
    if sys.platform == "linux" and number is not None:
        asked = _SCHED_ATTRIBUTES.pack(_SCHED_ATTRIBUTES.size, os.SCHED_OTHER, _SCHED_RESET_ON_FORK,
                                       os.getpriority(os.PRIO_PROCESS, 0), 0, _SLICE_NS, 0, 0)
        ctypes.CDLL(None).syscall(number, 0, asked, 0)


class Child:
    """A process that runs *body* and exits with what it returns; `pid` is None while it does not run."""

    def __init__(self, name: str, index: int, body: Callable[[], int]) -> None:
        """Nothing is started yet."""
        self.name = name
        self.index = index
        self.pid: int | None = None
        self.started = 0.0  # time.monotonic()
        self.due = 0.0  # time.monotonic() before which it should not be started again
        self.failures = 0
        self.status = 0  # of the last run: exit status, or minus the signal's number
        self._body = body

    def __str__(self) -> str:
        """Role, with the index where it is not the first."""
        return f"{self.name}-{self.index}" if self.index else self.name

    def __repr__(self) -> str:
        """Name, pid and history."""
        return f"<Child {self} [pid {self.pid} | {self.failures} failures]>"

    def start(self) -> None:
        """Fork."""
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        pid = os.fork()
        if pid:
            self.pid = pid
            self.started = time.monotonic()
            return
        status = 1
        try:
            _leave_home(parent, f"clarion-{self}")
            status = self._body()
        except BaseException:  # noqa: BLE001  nothing may climb into the parent's frames from here
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def poll(self) -> int | None:
        """Exit status if it has ended (collected here), None while it runs."""
        if self.pid is not None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if not pid:
                return None
            self._ended(status)
        return self.status

    def wait(self) -> None:
        """Block until it has ended."""
        if self.pid is not None:
            self._ended(os.waitpid(self.pid, 0)[1])

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it runs."""
        if self.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _ended(self, status: int) -> None:
        self.pid = None
        self.status = os.waitstatus_to_exitcode(status)


def _leave_home(parent: int, title: str) -> None:
    """Undo in a fresh child what belongs to the parent, and tie its life to the parent's."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    os.setpgid(0, 0)  # Ctrl-C on a terminal is the parent's affair: it drains in order
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NAME, title.encode()[:15])
    end_with(parent, signal.SIGKILL)


def end_with(parent: int, number: signal.Signals) -> None:
    """Have Linux send *number* to this process when its parent, pid *parent*, ends, however it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)


def describe_status(status: int) -> str:
    """`exit 1`, or the signal's name."""
    return signal.Signals(-status).name if status < 0 else f"exit {status}"
