"""
`clarion up`: one parent, synchronous and single-threaded, and the processes it keeps alive.

It opens the listening sockets and finds free ports first, so that every role is told the real ones and no
restart of a role refuses a connection. It starts the embedded Valkey, imports once what all roles share, and
forks them: their memory is shared until somebody writes to it. A child that ends is started again: at once
the first time, then after a pause that doubles; a minute of health forgets the past. The kernel kills the
children when the parent dies, however it dies.

Draining, at the first SIGINT or SIGTERM, one stage after the other, all together in `config.drain_s`:

    1 sources      nothing new is asked for
    2 dispatcher   attempts in flight end and are committed; they may need all of the following
    3 ingress      takes nothing new, answers what it has: appends, and requests on their way to Services
    4 serving      workers finish what they hold and stop; nobody sends them anything any more
    5 control      has written down what the others reported
    6 valkey       the last, since all of them write to it

A dispatcher outlived by the ingress is no loss: what is accepted meanwhile is on disk. The other way round,
an attempt at a Broker, or a function that publishes, would fail at the door. A second signal kills at once;
what was acknowledged is safe then too.
"""

import gc
import importlib
import os
import select
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import structlog

from eventing import instance, process, telemetry, valkey
from eventing.config import Config
from eventing.errors import UsageError

# Imported by the parent, inherited by every role: what each of them needs anyway. FastAPI is not among
# them: the control role alone needs it.
_SHARED_IMPORTS = ("redis.asyncio", "uvloop", "orjson", "httptools", "prometheus_client",
                   "eventing.projection")

_DRAIN_ORDER = ("sources", "dispatcher", "ingress", "serving", "control", "valkey")
_SOCKET_OF = {"ingress": "data", "control": "control"}
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_HEALTHY_AFTER_S = 60.0
_KILL_GRACE_S = 1.0  # beyond config.drain_s, for a role that has cancelled its work and is leaving
_STAGE_LEAST_S = 1.0  # for a stage whose predecessors have used up the time: it has to write what it knows
_SAY_AFTER_S = 1.0  # a person wonders after a second
_READY_POLL_S = 0.05  # only until everything is ready; what is not by _PATIENCE_S may never be
_LATE_POLL_S = 1.0
_PATIENCE_S = 10.0

RunRole = Callable[[str, Config, int, Mapping[str, socket.socket]], int]


class Supervisor:
    """The children of one `clarion up`; `run` returns the exit code."""

    def __init__(self, config: Config, run_role: RunRole, on_start: Callable[[Config], "Watch"]) -> None:
        """
        Prepare to run everything; nothing is started or opened yet.

        Args:
            config: ports may be 0.
            run_role: runs one role in the calling process and returns its exit status.
            on_start: is told the final settings and returns what watches the start.
        """
        self._config = config
        self._run_role = run_role
        self._on_start = on_start
        self._children: list[process.Child] = []
        self._signals = 0
        self._wakeup = -1
        self._log = structlog.get_logger(__name__)

    def __repr__(self) -> str:
        """Counts: alive, and waiting for a restart."""
        alive = sum(child.pid is not None for child in self._children)
        return f"<Supervisor [{alive} alive | {len(self._children) - alive} ended]>"

    def run(self) -> int:
        """
        Run until a signal, then drain.

        Returns:
            0 after a drain, 130 where a second signal cut it short.

        Raises:
            UsageError: a port, the directory, the lock or the Redis is not to be had.
        """
        with ExitStack() as stack:
            if self._config.ephemeral:
                self._config = _ephemeral(self._config, stack)
            instance.prepare(self._config)
            stack.enter_context(instance.lock(self._config.data_dir))
            sockets = self._listen(stack)
            stack.enter_context(self._signals_wake_us())
            telemetry.configure_logging(self._config.log_format, self._config.log_level, "supervisor", 0)
            instance.announce(self._config)
            stack.callback(instance.retract, self._config)
            stack.callback(self._kill_all)
            with suppress(_Stopped):
                watch = self._on_start(self._config)
                self._start_store()
                self._start_roles(sockets)
                self._watch_over(watch)
            return self._drain(sockets)

    def _listen(self, stack: ExitStack) -> dict[str, socket.socket]:
        config = self._config
        sockets = {
            "data": instance.listen(config.host, config.port, "--port"),
            "control": instance.listen(config.host, config.control_port, "--control-port"),
        }
        for sock in sockets.values():
            stack.callback(sock.close)
        self._config = config.model_copy(update={
            "port": sockets["data"].getsockname()[1],
            "control_port": sockets["control"].getsockname()[1],
        })
        return sockets

    @contextmanager
    def _signals_wake_us(self) -> Iterator[None]:
        """Signals become bytes in a socket that `_wait` sleeps on: none is missed between two looks."""
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        before = {number: signal.signal(number, self._on_signal)
                  for number in (signal.SIGINT, signal.SIGTERM)}
        before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        self._wakeup = reader.fileno()
        try:
            yield
        finally:
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)
            reader.close()
            writer.close()

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._signals += 1

    def _start_store(self) -> None:
        if self._config.redis_url:
            warning = valkey.check_own(self._config.redis_url)
            if warning:
                self._log.warning(warning)
            return
        arguments = valkey.command(self._config, valkey.find_binary())
        child = process.Child("valkey", 0, lambda: os.execv(arguments[0], arguments))  # noqa: S606
        self._children.append(child)
        child.start()
        try:
            valkey.wait_until_ready(self._config, lambda: self._status_of(child))
        except _Stopped:
            child.signal(signal.SIGKILL)  # it may miss a SIGTERM as it starts; nobody has written to it yet
            raise

    def _status_of(self, child: process.Child) -> int | None:
        if self._signals:
            raise _Stopped
        return child.poll()

    def _start_roles(self, sockets: Mapping[str, socket.socket]) -> None:
        for name in _SHARED_IMPORTS:
            importlib.import_module(name)
        gc.collect()
        gc.freeze()  # a collection in a child would write to every page that it looks at
        names = [("dispatcher", index) for index in range(self._config.dispatchers)]
        for role, index in (("control", 0), ("serving", 0), *names, ("ingress", 0), ("sources", 0)):
            child = process.Child(role, index, self._body(role, index, sockets))
            self._children.append(child)
            child.start()

    def _body(self, role: str, index: int, sockets: Mapping[str, socket.socket]) -> Callable[[], int]:
        def body() -> int:
            for name, sock in sockets.items():
                if name != _SOCKET_OF.get(role):
                    sock.close()  # or the port would stay open when the role that serves it is gone
            kept = {name: sock for name, sock in sockets.items() if name == _SOCKET_OF.get(role)}
            return self._run_role(role, self._config, index, kept)

        return body

    def _watch_over(self, watch: "Watch") -> None:
        """Restart what ends, until a signal."""
        is_ready = False
        hurried_until = time.monotonic() + _PATIENCE_S
        while not self._signals:
            self._reap()
            now = time.monotonic()
            for child in self._children:
                if child.pid is None and child.due <= now:
                    child.start()
            is_ready = is_ready or watch()
            pauses = [max(0.0, child.due - now) for child in self._children if child.pid is None]
            if not is_ready:
                pauses.append(_READY_POLL_S if now < hurried_until else _LATE_POLL_S)
            self._wait(min(pauses, default=None))

    def _wait(self, timeout_s: float | None) -> None:
        """Sleep until a signal (a child's end is one) or for *timeout_s*; None: until a signal."""
        select.select([self._wakeup], [], [], timeout_s)
        with suppress(BlockingIOError):
            while os.read(self._wakeup, 512):
                pass

    def _reap(self) -> None:
        for child in self._children:
            lived_s = time.monotonic() - child.started
            if child.pid is None or child.poll() is None:
                continue
            child.failures = 1 if lived_s >= _HEALTHY_AFTER_S else child.failures + 1
            pause_s = restart_pause_s(child.failures)
            child.due = time.monotonic() + pause_s
            self._log.warning("process ended; it is started again", name=str(child),
                              status=process.describe_status(child.status), pause_s=pause_s)

    def _drain(self, sockets: Mapping[str, socket.socket]) -> int:
        began = time.monotonic()
        forced_at = self._signals + 1
        for stage in _DRAIN_ORDER:
            if stage == "ingress":
                sockets["data"].close()  # the kernel refuses from here on, rather than let callers wait
            left_s = max(_STAGE_LEAST_S, began + self._config.drain_s - time.monotonic())
            if not self._end_stage(stage, left_s, forced_at):
                return 130
        kept = "nowhere" if self._config.ephemeral else str(self._config.data_dir)
        self._log.info("stopped", state_kept_in=kept)
        return 0

    def _end_stage(self, stage: str, left_s: float, forced_at: int) -> bool:
        """Have the processes called *stage* end, within *left_s*; False if a signal says not to wait."""
        children = [child for child in self._children if child.name == stage and child.pid is not None]
        for child in children:
            child.signal(signal.SIGTERM)
        say_at = time.monotonic() + _SAY_AFTER_S
        deadline = time.monotonic() + left_s + _KILL_GRACE_S
        while any(child.poll() is None for child in children):
            now = time.monotonic()
            if self._signals >= forced_at:
                return False
            if now > say_at:
                self._log.info("waiting for what is in flight; Ctrl-C again stops at once", name=stage,
                               at_most_s=round(left_s, 1))
                say_at = float("inf")
            if now > deadline:
                self._log.warning("still busy; killed", name=stage, drain_s=self._config.drain_s)
                for child in children:
                    child.signal(signal.SIGKILL)
            self._wait(max(0.05, min(say_at, deadline) - time.monotonic()))
        return True

    def _kill_all(self) -> None:
        """Whatever is left, on every way out."""
        for child in self._children:
            child.signal(signal.SIGKILL)
            child.wait()


Watch = Callable[[], bool]  # called while starting; True once everything is ready


class _Stopped(Exception):
    """A signal came before everything was started."""


def restart_pause_s(failures: int) -> float:
    """Pause before a restart, after *failures* ends in a row (at least 1): 0, 0.5, 1, 2 .. 30 seconds."""
    if failures <= 1:
        return 0.0
    return min(_FIRST_PAUSE_S * 2.0 ** min(failures - 2, 10), _LONGEST_PAUSE_S)


def _ephemeral(config: Config, stack: ExitStack) -> Config:
    if config.redis_url:
        raise UsageError("--ephemeral keeps nothing, --redis-url keeps all; leave one of them out")
    path = stack.enter_context(tempfile.TemporaryDirectory(prefix="clarion-", ignore_cleanup_errors=True))
    return config.model_copy(update={"data_dir": Path(path)})
