"""
The zygote: a warm Python that forks workers, and does nothing else.

    python -m serving.workers.zygote CONTROL [MODULE ...]

It imports what a worker needs (worker.py) and the MODULEs to preload, freezes the garbage collector,
so that its pages stay shared, and answers on CONTROL, a SOCK_SEQPACKET socket of the backend, in JSON:

    backend -> zygote
    {"fork": W}                                with descriptors: a file with the JSON of process.Spec,
                                               output, report[, listener[, another]]
    {"adopt": W, "pid": P}                     the spare P was told to be W
    {"signal": N, "worker": W, "group": bool}

    zygote -> backend
    {"warm": true}                             once, when the imports are done
    {"spare": P}                               with a descriptor: the socket on which P waits
    {"forked": W, "pid": P}
    {"refused": W, "message": TEXT}            fork() failed
    {"exited": W, "status": S}                 S < 0: killed by signal -S

One *spare* child is forked ahead, while nothing else is to be done; the backend tells it directly what to
become (newborn.py). So a start that comes alone does not wait for the fork and what follows from it; of many
at once the others are forked as they are asked for. While all functions are at zero, it is the one process
that waits for them beside the zygote: 6 MB of its own, and no CPU.

Signals go through here because only the parent knows that a pid is still its child's. When a worker
ends, what is left of its process group is killed before the worker is reaped, and of its cgroup after that
(pids.py). When the backend goes away, every group is killed and the zygote ends; when the zygote is killed,
the kernel kills its workers.

It has one thread, always: forking a process of several copies locks that nobody will ever open. It runs no
code of functions, only the preloaded modules; one that cannot be imported, or starts threads, fails the
workers that asked for it and not the zygote. The libraries below numpy are told to start none, so a function
that preloads numpy computes in one thread. Nor may one run an event loop while it is imported: uvloop
keeps state that does not survive a fork (measured: the workers crash). All workers share one hash seed.
"""

import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import orjson

from serving.functions import legacy
from serving.workers import pids
from serving.workers.newborn import Birth, live

_PACKET_BYTES = 4096  # ids and numbers; the long part of a spec is in its file
_DESCRIPTORS = 5
# After an order the processors belong to the worker that starts; a spare made in a burst would slow it down.
_SPARE_PAUSE_S = 0.05
_OOM_SCORE = 500  # as if it had half of the machine's memory more than it has; inherited by workers
# What the libraries below numpy and its like ask when they are imported; they start threads then unless told
# otherwise. A function that imports them itself has as many as it likes.
_ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS",
                             "BLIS_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1")


class Zygote:
    """The loop between the backend and the children."""

    def __init__(self, control: socket.socket, *, keeps_spare: bool) -> None:
        """Serve *control*."""
        self._control = control
        self._keeps_spare = keeps_spare
        self._spare = 0  # its pid
        self._spare_at: float | None = 0.0  # when the next one is forked; None: not before the next order
        self._pids: dict[str, int] = {}
        self._groups = pids.prepare()
        self._woken, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)  # only to be woken
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's business

    def run(self) -> Birth | None:
        """Returns in every child what it was born as; in the zygote None, at the end."""
        self._say({"warm": True})
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        while True:
            ready = poll.poll(self._pause_ms())
            birth = self._fork_spare() if not ready else None
            if birth is not None:
                return birth
            for descriptor, _ in ready:
                if descriptor == self._woken:
                    os.read(self._woken, _PACKET_BYTES)
                    self._reap()
                    continue
                packet, descriptors = self._receive()
                if not packet:
                    self._kill_all()
                    return None
                birth = self._obey(orjson.loads(packet), descriptors)
                if birth is not None:
                    return birth

    def _receive(self) -> tuple[bytes, list[int]]:
        """The next order; b"" when the backend is gone, perhaps without having read what it was told."""
        with contextlib.suppress(ConnectionResetError):
            return socket.recv_fds(self._control, _PACKET_BYTES, _DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)[:2]
        return b"", []

    def _pause_ms(self) -> int | None:
        """How long to wait for an order before the next spare is due."""
        if self._spare or self._spare_at is None or not self._keeps_spare:
            return None
        return max(0, round((self._spare_at - time.monotonic()) * 1000))

    def _obey(self, order: dict[str, object], descriptors: list[int]) -> Birth | None:
        if "signal" not in order:
            self._spare_at = time.monotonic() + _SPARE_PAUSE_S
        if "fork" in order:
            return self._fork(str(order["fork"]), descriptors)
        if "adopt" in order:
            self._adopt(str(order["adopt"]), int(str(order["pid"])))
            return None
        pid = self._pids.get(str(order["worker"]))
        if pid is not None:
            _signal(pid, int(str(order["signal"])), group=bool(order["group"]))
        return None

    def _fork(self, name: str, descriptors: list[int]) -> Birth | None:
        parent_pid = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            self._say({"refused": name, "message": str(error)})
            pid = -1
        if pid == 0:
            self._control.detach()  # its number will be given to something else
            return Birth(parent_pid=parent_pid, groups=self._groups, descriptors=descriptors, is_spare=False)
        for descriptor in descriptors:
            os.close(descriptor)
        if pid > 0:
            self._pids[name] = pid
            self._say({"forked": name, "pid": pid})
        return None

    def _fork_spare(self) -> Birth | None:
        self._spare_at = None
        parent_pid = os.getpid()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            try:
                self._spare = os.fork()
            except OSError:
                return None
            if self._spare:
                self._say({"spare": self._spare}, [ours.fileno()])
                return None
            self._control.detach()
            ours.detach()
            return Birth(parent_pid=parent_pid, groups=self._groups, descriptors=[theirs.detach()],
                         is_spare=True)

    def _adopt(self, name: str, pid: int) -> None:
        if pid != self._spare:  # it died before it could be used
            self._say({"exited": name, "status": -signal.SIGKILL})
            return
        self._pids[name], self._spare = pid, 0

    def _reap(self) -> None:
        while self._pids or self._spare:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None:
                return
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(ended.si_pid, signal.SIGKILL)  # until it is reaped, its group's number is its own
            os.waitpid(ended.si_pid, 0)
            pids.leave(self._groups, ended.si_pid)
            if ended.si_pid == self._spare:
                self._spare = 0
            status = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
            for name in [name for name, pid in self._pids.items() if pid == ended.si_pid]:
                del self._pids[name]
                self._say({"exited": name, "status": status})

    def _kill_all(self) -> None:
        for pid in (*self._pids.values(), *((self._spare,) if self._spare else ())):
            _signal(pid, signal.SIGKILL, group=True)
            os.waitpid(pid, 0)
        pids.close(self._groups)

    def _say(self, packet: dict[str, object], descriptors: Sequence[int] = ()) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the next read ends the loop
            socket.send_fds(self._control, [orjson.dumps(packet)], descriptors)


def _signal(pid: int, number: int, *, group: bool) -> None:
    if group:
        with contextlib.suppress(ProcessLookupError):  # just forked, and not the leader of its group yet
            os.killpg(pid, number)
            return
    os.kill(pid, number)


def preload(modules: Sequence[str]) -> str:
    """Import *modules*; what went wrong, for the workers' authors, a line and where; or ""."""
    os.environ.update(_ONE_THREAD)
    for module in modules:
        try:
            importlib.import_module(module)
        except BaseException as error:  # noqa: BLE001  code of other people, which may even exit
            said = " ".join(traceback.format_exception_only(error)[-1].split())
            frames = [frame for frame in traceback.extract_tb(error.__traceback__)[2:]  # ours, import_module
                      if not frame.filename.startswith("<frozen importlib")]
            return "\n".join((f"clarion.dev/preload: {module!r} cannot be imported: {said}",
                              *traceback.format_list(frames))).rstrip()
        if len(list(Path("/proc/self/task").iterdir())) > 1:
            return f"clarion.dev/preload: {module!r} starts threads when it is imported"
    return ""


def _offer() -> None:
    """Have the kernel, when memory runs out, end a worker before anything else: Valkey, above all, stays."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE))


def main(control: socket.socket, modules: Sequence[str]) -> int:
    """Be a zygote until *control* closes; in a child, be the worker. Returns the exit status."""
    legacy.install()
    trouble = preload(modules)
    _offer()
    os.environ.clear()  # here, so that no child has to
    gc.collect()
    gc.freeze()
    gc.disable()
    birth = Zygote(control, keeps_spare=not trouble).run()
    return 0 if birth is None else live(birth, trouble)


if __name__ == "__main__":
    sys.exit(main(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:]))
