"""
A worker: one process that serves one function on sockets that listened before it was born.

    import the function -> serve -> report {"ready": {when it came how far}} -> SIGTERM -> finish -> exit 0
          |                  |
          +------------------+--> report {"failed": {"reason", "message"}} and exit

It is told what it is by a process.Spec and knows neither zygotes nor backends: there is a listening
socket, a pipe to report on, and a place to print to. `handle(event)` is served by eventing.http.server,
ASGI by uvicorn. Everything heavy is imported at the top of this module, so that the zygote has it before
the fork, and nothing is started before it is needed.
"""

import asyncio
import asyncio.runners
import concurrent.futures.thread  # noqa: F401  the standard library imports it when first used
import contextlib
import encodings.idna  # noqa: F401  likewise
import logging
import os
import signal
import socket
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TextIO

import orjson
import uvicorn
import uvicorn.lifespan.off
import uvicorn.lifespan.on
import uvicorn.protocols.websockets.auto
import uvloop

import eventing.http.server as http
from serving.functions import trace
from serving.functions.asgi import InstancedFunction
from serving.functions.entry import Entry, Form, NoEntry, find
from serving.functions.function import EventFunction
from serving.workers.cork import Protocol
from serving.workers.process import (
    LISTENERS,
    REPORT,
    MemoryLimitTooSmall,
    Spec,
    demand_memory,
    execute,
    limit_memory,
)

# What `describe` shows of a traceback; the log has the whole.
_MESSAGE_LINES = 12
_MESSAGE_CHARACTERS = 2000
# We never cut a request: whoever sent SIGTERM kills when its grace is over (Kubernetes' protocol).
_NO_LIMIT_S = 7 * 24 * 3600.0
# Longer than the activator keeps an idle connection, so that it is never the worker who closes.
_KEEP_ALIVE_S = 600
# What a worker with a memory limit needs at least besides what it was born with (about 30 MiB): before its
# function is imported, and after that, for a thread, its stack and an event.
_TO_IMPORT_BYTES, _TO_SERVE_BYTES = 7 * 1024 * 1024, 4 * 1024 * 1024
_NOT_EXECUTABLE, _NOT_FOUND = 126, 127  # as a shell says it


class _Report:
    """The pipe on which one thing is said, once: its number soon belongs to something else."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._times = {"forked": time.monotonic()}  # a clock that all processes of a machine share

    def imported(self) -> None:
        self._times["imported"] = time.monotonic()

    def ready(self) -> None:
        self._say({"ready": {**self._times, "listening": time.monotonic()}})

    def failed(self, reason: str, message: str) -> None:
        self._say({"failed": {"reason": reason, "message": message}})

    def _say(self, what: dict[str, Any]) -> None:
        if self._descriptor < 0:
            return
        with contextlib.suppress(OSError):  # nobody listens any more
            os.write(self._descriptor, orjson.dumps(what))
        os.close(self._descriptor)
        self._descriptor = -1


def loop_runner() -> asyncio.Runner:
    """What runs the loop of a worker; it has none before it is first used."""
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


def run(spec: Spec, trouble: str, runner: asyncio.Runner) -> int:
    """
    Be the worker of *spec* until SIGTERM, on the loop of *runner*; the exit status.

    *trouble*: why the zygote cannot serve it.
    """
    report = _Report(REPORT)
    if trouble:
        print(trouble, file=sys.stderr)  # noqa: T201  the worker's log
        report.failed("PreloadFailed", trouble.partition("\n")[0])
        return 1
    if spec.command is not None:
        return _run_command(spec, report)
    sys.stdout, sys.stderr = _line_buffered(1), _line_buffered(2)
    # As Knative's runtime for Python has it: a function's logging.info is in the log. Forced, since a
    # rehearsal has done so before, to a stream that is gone. The server's own words are no function's.
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, force=True)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    sys.path.insert(0, spec.folder)
    try:
        if spec.memory_bytes is not None:
            demand_memory(spec.memory_bytes, _TO_IMPORT_BYTES)
            limit_memory(spec.memory_bytes)
        entry = find(Path(spec.folder), spec.entry)
        report.imported()
        if spec.memory_bytes is not None:
            demand_memory(spec.memory_bytes, _TO_SERVE_BYTES)
        with runner:
            runner.run(_serve(entry, spec, report))
    except (NoEntry, MemoryLimitTooSmall) as error:
        print(error, file=sys.stderr)  # noqa: T201  the worker's log
        report.failed(type(error).__name__, str(error))
        return 1
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
        told = trace.text(error, Path(spec.folder))
        print(told, end="", file=sys.stderr)  # noqa: T201  the worker's log
        report.failed(f"ExitCode{status}", _tail(told))
        return status
    except BaseException as error:  # noqa: BLE001  whatever a module raises when it is imported
        told = trace.text(error, Path(spec.folder))
        print(told, end="", file=sys.stderr)  # noqa: T201  the worker's log
        report.failed("ExitCode1", _tail(told))
        return 1
    return 0


def refused(reason: str, message: str) -> int:
    """Tell in one line why there will be no worker; the exit status."""
    print(message, file=sys.stderr)  # noqa: T201  the worker's log
    _Report(REPORT).failed(reason, message)
    return 1


def _run_command(spec: Spec, report: _Report) -> int:
    command = spec.command or ()
    try:
        if spec.memory_bytes is not None:
            limit_memory(spec.memory_bytes)
        execute(command)
    except OSError as error:
        message = f"{command[0]}: {error.strerror}"
        print(message, file=sys.stderr)  # noqa: T201  the worker's log
        status = _NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_EXECUTABLE
        report.failed(f"ExitCode{status}", message)
        return status
    return 0


async def _serve(entry: Entry, spec: Spec, report: _Report) -> None:
    # At a number that was not given out there is /dev/null.
    listeners = [socket.socket(fileno=number) for number in LISTENERS
                 if stat.S_ISSOCK(os.fstat(number).st_mode)]
    if entry.form is Form.EVENT:
        await _serve_events(entry, spec, listeners, report)
    elif entry.form is Form.ASGI:
        await _serve_asgi(entry.target, listeners, report, lifespan="auto")
    elif entry.form is Form.LEGACY:
        from serving.functions.parliament import LegacyFunction  # noqa: PLC0415  few need it

        app = LegacyFunction(entry.target, spec.source, spec.threads)
        await _serve_asgi(app, listeners, report, lifespan="off")
    else:
        made = entry.target() if entry.form is Form.INSTANCED else SimpleNamespace(handle=entry.target)
        if not callable(getattr(made, "handle", None)):
            raise NoEntry(f"{entry.name}() made a {type(made).__name__}, "
                          "which has no handle(scope, receive, send)")
        function = InstancedFunction(made, spec.source)
        await function.start()
        await _serve_asgi(function, listeners, report, lifespan="off")
        await function.stop()


async def _serve_events(entry: Entry, spec: Spec, listeners: list[socket.socket], report: _Report) -> None:
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    async with asyncio.TaskGroup() as tasks:
        function = EventFunction(entry.target, source=spec.source, threads=spec.threads, tasks=tasks)
        servers = [await http.serve(function, sock=listener) for listener in listeners]
        report.ready()
        await stopping.wait()
        async with asyncio.TaskGroup() as ends:
            for server in servers:
                ends.create_task(server.close(_NO_LIMIT_S))
        function.close()


class _Server(uvicorn.Server):
    """uvicorn, which says when it accepts, and ends with status 0 after SIGTERM."""

    def __init__(self, config: uvicorn.Config, report: _Report) -> None:
        super().__init__(config)
        self._report = report

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.handle_exit, signal.SIGTERM, None)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._report.ready()


async def _serve_asgi(app: Any, listeners: list[socket.socket], report: _Report, *, lifespan: Any) -> None:
    host, port = listeners[0].getsockname()[:2]
    # No log_config: what uvicorn has to say is warnings and tracebacks, and these reach stderr without.
    config = uvicorn.Config(app, host=host, port=port, loop="uvloop", http=Protocol, lifespan=lifespan,
                            log_config=None, access_log=False, server_header=False,
                            timeout_keep_alive=_KEEP_ALIVE_S)
    await _Server(config, report).serve(sockets=listeners)


def _tail(text: str) -> str:
    return "\n".join(text.rstrip().splitlines()[-_MESSAGE_LINES:])[-_MESSAGE_CHARACTERS:]


def _line_buffered(descriptor: int) -> TextIO:
    """
    A line that is printed is in the log, whatever happens next.

    Made anew: what the zygote opened remembers what its descriptor was, perhaps a file with a position.
    """
    return open(descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
