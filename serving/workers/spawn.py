"""
The backend's end of one zygote: its process, its spare, the orders to it and what it reports.

Orders that are given before the zygote has finished its imports, or faster than it takes them, wait in
the socket and then here; the descriptors that go with one are ours to close. When the zygote is gone, for
whatever reason, `run` returns: it is for the owner to say what that means for the workers it had.
See serving/workers/zygote.py for the packets.
"""

import asyncio
import contextlib
import os
import socket
import sys
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from serving.workers.process import SPARE_READY

_PACKET_BYTES = 4096
_END_LIMIT_S = 5.0  # a zygote that lost its socket ends at once; one that does not is killed

# What the zygote's own interpreter needs; a worker could read anything more in /proc/self/environ.
_ENVIRONMENT = ("PATH", "HOME", "TMPDIR", "PYTHONPATH", "LD_LIBRARY_PATH")


class ZygoteGone(Exception):
    """The zygote has ended, so the order was not given."""


class Zygote:
    """A zygote with *modules* preloaded; its process starts in `run`."""

    def __init__(self, modules: Sequence[str], on_report: Callable[[dict[str, Any]], None], *,
                 python: str = sys.executable) -> None:
        """*on_report* gets what the zygote says, and must not raise; *python* is its interpreter."""
        self._python = python
        self.modules = tuple(modules)
        self._on_report = on_report
        self._loop = asyncio.get_running_loop()
        self._control, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setblocking(False)
        self._unsent: deque[tuple[bytes, Sequence[int]]] = deque()
        self._gone = asyncio.Event()
        self._spare: _Spare | None = None
        self._loop.add_reader(self._control, self._receive)
        self.warm = asyncio.Event()
        self.pid = 0

    def __repr__(self) -> str:
        """Process, state, spare and modules."""
        state = "gone" if self._gone.is_set() else "warm" if self.warm.is_set() else "starting"
        spare = f" | spare {self._spare.pid}" if self._spare is not None and self._spare.is_ready else ""
        return f"<Zygote {self.pid} [{state}{spare}] {' '.join(self.modules)}>"

    @property
    def is_gone(self) -> bool:
        """True once no order reaches it."""
        return self._gone.is_set()

    def fork(self, worker: str, descriptors: Sequence[int], *, takes_spare: bool = True) -> None:
        """
        Have a worker: the spare, if there is one (and *takes_spare*), else a new process.

        *descriptors*: spec, output, report[, listener[, another]]. They are closed here in any case.

        Raises:
            ZygoteGone: ask another.
        """
        spare = self._spare
        if not takes_spare or spare is None or not spare.is_ready:
            self._order({"fork": worker}, descriptors)
            return
        self._spare = None
        if not spare.become(descriptors):
            self._order({"fork": worker}, descriptors)
            return
        _close_all(descriptors)
        self._order({"adopt": worker, "pid": spare.pid}, ())
        self._on_report({"forked": worker, "pid": spare.pid})

    def signal(self, worker: str, number: int, *, group: bool) -> None:
        """Send signal *number* to a worker, or all its *group*; nothing happens if it has ended."""
        with contextlib.suppress(ZygoteGone):  # then so have its workers
            self._order({"signal": number, "worker": worker, "group": group}, ())

    async def run(self) -> None:
        """Have the process until it ends or `close` is called; then nothing of it is left."""
        process = None
        try:
            process = await asyncio.create_subprocess_exec(
                self._python, "-P", "-X", "utf8", "-m", "serving.workers.zygote", str(self._theirs.fileno()),
                *self.modules, stdin=asyncio.subprocess.DEVNULL,
                pass_fds=[self._theirs.fileno()], start_new_session=True,
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ})
            self.pid = process.pid
            self._theirs.close()
            await self._gone.wait()
        finally:
            self.close()
            if process is not None:
                await _end(process)

    def close(self) -> None:
        """Let go of the zygote: it kills its workers and ends."""
        if self._control.fileno() >= 0:
            self._loop.remove_reader(self._control)
            self._loop.remove_writer(self._control)
        self._control.close()
        self._theirs.close()
        if self._spare is not None:
            self._spare.close()
        for _, descriptors in self._unsent:
            _close_all(descriptors)
        self._unsent.clear()
        self._gone.set()

    def _order(self, order: dict[str, Any], descriptors: Sequence[int]) -> None:
        if self._gone.is_set():
            _close_all(descriptors)
            raise ZygoteGone
        self._unsent.append((orjson.dumps(order), descriptors))
        if len(self._unsent) == 1:
            self._send()
            if self._gone.is_set():
                raise ZygoteGone

    def _send(self) -> None:
        while self._unsent:
            packet, descriptors = self._unsent[0]
            try:
                socket.send_fds(self._control, [packet], descriptors)
            except BlockingIOError:
                self._loop.add_writer(self._control, self._send)
                return
            except OSError:
                self.close()
                return
            self._unsent.popleft()
            _close_all(descriptors)
        self._loop.remove_writer(self._control)

    def _receive(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                try:
                    packet, descriptors, _, _ = socket.recv_fds(self._control, _PACKET_BYTES, 1,
                                                                socket.MSG_CMSG_CLOEXEC)
                except ConnectionResetError:
                    packet = b""
                if not packet:
                    self.close()
                    return
                report = orjson.loads(packet)
                if "warm" in report:
                    self.warm.set()
                elif "spare" in report:
                    self._spare = _Spare(report["spare"], socket.socket(fileno=descriptors[0]))
                else:
                    self._on_report(report)


class _Spare:
    """A process that waits to be told what to become."""

    def __init__(self, pid: int, control: socket.socket) -> None:
        self.pid = pid
        self._control = control
        self._heard = b""
        control.setblocking(False)

    @property
    def is_ready(self) -> bool:
        """Whether it has rehearsed; one that has died since is noticed by the zygote."""
        with contextlib.suppress(OSError):
            self._heard = self._heard or self._control.recv(len(SPARE_READY))
        return self._heard == SPARE_READY

    def become(self, descriptors: Sequence[int]) -> bool:
        """Tell it, once; False if it has died. One that dies before it has read this, the zygote reports."""
        with self._control, contextlib.suppress(OSError):
            socket.send_fds(self._control, [SPARE_READY], descriptors)
            return True
        return False

    def close(self) -> None:
        """Let it end."""
        self._control.close()


def _close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


async def _end(process: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(_END_LIMIT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
