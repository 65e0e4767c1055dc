"""
The system under test: a `clarion up` in a directory of its own, its processes one by one, and its end.

Processes are signalled through descriptors (pidfd), so that nobody else is hit whose number was once theirs.
"""

import asyncio
import collections
import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import redis
import redis.asyncio

from benchmarks.instance import CLARION, Instance
from tests.servers import provision

SUPERVISOR = "supervisor"
# Whatever else runs below the supervisor is a worker of a function.
ROLES = ("valkey-server", "clarion-control", "clarion-serving", "clarion-dispatc", "clarion-ingress",
         "clarion-sources")
_SPARE, _ZYGOTE, _WORKER = "spare", "python", "function-"
_START_S = 60.0
_STOP_S = 60.0


class Nobody(Exception):
    """There is no such process now."""


class Process:
    """A process that can be signalled, and nobody after it."""

    def __init__(self, pid):
        """Raises Nobody."""
        try:
            self._descriptor = os.pidfd_open(pid)
        except OSError as error:
            raise Nobody(str(pid)) from error
        self.pid = pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self._descriptor)

    def signal(self, number):
        """Send a signal; nothing if it has ended."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, number)


class System(Instance):
    """`clarion up`, started again as often as wanted; always on the same ports."""

    def __init__(self, dispatchers):
        """Nothing is started; `program` may be replaced by another that understands the same arguments."""
        self.directory = Path(tempfile.mkdtemp(prefix="cc-"))
        super().__init__(self.directory, None)
        self.dispatchers = dispatchers
        self.port, self._control_port = provision.free_ports(2)
        self.calls = self.directory / "calls"  # where the function notes what it was called for
        self.program = (str(CLARION),)
        self._seen = {}  # pid: name, of all processes there were
        self._restarting = asyncio.Lock()

    def begin(self):
        """Start it; it is not ready yet."""
        command = [*self.program, "up", "--data-dir", str(self.directory), "--port", str(self.port),
                   "--control-port", str(self._control_port), "--dispatchers", str(self.dispatchers)]
        with (self.directory / "up.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env={**os.environ, "NO_COLOR": "1"})

    async def wait_ready(self):
        """Return once /readyz says so; raises RuntimeError if it ends instead, or never does."""
        deadline = time.monotonic() + _START_S
        while not await asyncio.to_thread(self.is_ready):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"clarion up does not become ready:\n{self.last_words()}")
            await asyncio.sleep(0.1)

    def last_words(self):
        """The end of what it printed."""
        return "\n".join((self.directory / "up.log").read_text(errors="replace").splitlines()[-15:])

    def exceptions(self):
        """{role, what it did, last line of the traceback: how often} of all that its log has."""
        found = collections.Counter()
        for line in (self.directory / "up.log").read_text(errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                said = json.loads(line)
                if "exception" in said:
                    last = said["exception"].strip().splitlines()[-2:]
                    found[f"{said['role']}: {said['event']}: {' '.join(last)}"] += 1
        return dict(found)

    async def restart(self, kill):
        """Call *kill* with all processes, the supervisor first, then start everything again."""
        async with self._restarting:
            kill({self.process.pid: SUPERVISOR, **self.family()})
            await asyncio.to_thread(self.process.wait)
            self.begin()

    def family(self):
        """{pid: name} of all processes below the supervisor."""
        found = {}
        for pid in self.processes()[1:]:
            with contextlib.suppress(OSError):
                found[pid] = Path(f"/proc/{pid}/comm").read_text().strip()
        self._seen |= found
        return found

    def pid_of(self, name, dice=None):
        """A process called *name*, any of them if there are several; raises Nobody."""
        found = sorted(pid for pid, known in self.family().items() if known.startswith(name))
        if not found:
            raise Nobody(name)
        return dice.choice(found) if dice else found[0]

    def store_async(self):
        """An asyncio client of its Valkey."""
        return redis.asyncio.Redis(unix_socket_path=str(self.directory / "run" / "valkey.sock"))

    def strangers(self):
        """Processes that should not be there when nothing happens."""
        # The zygote may be called `python3`: as its virtual environment calls it.
        names = [_ZYGOTE if name.startswith(_ZYGOTE) else name for name in self.family().values()]
        extra = [name for name in names if name not in (*ROLES, _SPARE, _ZYGOTE)]
        return extra + [name for name in set(names) if names.count(name) > (
            self.dispatchers if name == "clarion-dispatc" else 1)]

    def stop(self):
        """Stop it; returns the processes that outlived it."""
        self.family()
        if self.process is None:
            return []
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.send_signal(signal.SIGINT)
            self.process.wait(_STOP_S)
        self.process.kill()
        self.process.wait()
        deadline = time.monotonic() + 5.0
        while (left := [f"{name} outlives its supervisor" for pid, name in self._seen.items()
                        if _is(pid, name)]) and time.monotonic() < deadline:
            time.sleep(0.05)
        return left

    def remove(self):
        """Remove its directory."""
        shutil.rmtree(self.directory, ignore_errors=True)


def _is(pid, name):
    """Whether *pid* is still a living process called *name*."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return Path(f"/proc/{pid}/comm").read_text().strip() == name and state != "Z"
    except OSError:
        return False
