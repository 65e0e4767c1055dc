"""
One worker as its backend sees it: two pipes, what the zygote reports about it, and the promises in `Worker`.

    report pipe     {"ready": TIMES} | {"failed": ..} | its end without either: a `command` is running now
    output pipe     what it prints -> its log, as fast as tap.py lets it
    zygote          forked, refused, exited

Whatever happens, `exited` resolves last and once; by then the pipes are read to their end and closed, the
log is written and no task or timer of it is left.
"""

import asyncio
import os
import signal
import time
from typing import Any

import orjson

from eventing.process import describe_status
from serving.workers import listening, pids
from serving.workers.backend import StartFailed, Worker
from serving.workers.inside import Inside
from serving.workers.logs import Output
from serving.workers.probing import Asker
from serving.workers.process import REPORT
from serving.workers.spawn import Zygote
from serving.workers.tap import Tap
from serving.workers.vigil import Probes, Vigil

_REPORT_BYTES = 64 * 1024


class Child:
    """A worker of *zygote*, from the order to fork it until it is gone."""

    def __init__(self, worker: Worker, output: Output, *, zygote: Zygote, probes: Probes,
                 tasks: asyncio.TaskGroup, start_limit_s: float, listens: bool) -> None:
        """
        Make the pipes; `descriptors` are the worker's ends. Raises OSError when there are no more.

        One that does not listen is ready once its program runs.
        """
        self.worker = worker
        self.zygote = zygote
        self.pid = 0
        self.is_stopping = False
        self._output = output
        self.inside = Inside(zygote)
        self._probes = probes
        self._start_limit_s = start_limit_s
        self._listens = listens
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._failure: StartFailed | None = None
        self._vigil: Vigil | None = None
        self._probing: asyncio.Task[None] | None = None
        self._report_read, report, output_read, output_write = _two_pipes()
        self.descriptors = (output_write, report)
        self._deadline = self._loop.call_later(start_limit_s, self._too_late)
        os.set_blocking(self._report_read, False)
        self._loop.add_reader(self._report_read, self._read_report)
        self._tap = Tap(output_read, output.feed)

    def __repr__(self) -> str:
        """Worker and process."""
        return f"<Child {self.pid} {self.worker!r}>"

    def signal(self, number: int, *, group: bool = False) -> None:
        """Send it, or its whole process group, a signal."""
        self.zygote.signal(self.worker.id, number, group=group)

    def stopping(self) -> None:
        """It is told to end: what it says from now on of how it is, it was told to."""
        self.is_stopping = True
        self._ask_no_more()

    async def still_listens(self) -> bool:
        """Whether the socket that it was given is open yet; False of one that made its own."""
        if not self.worker.takes_early:
            return False
        return await asyncio.to_thread(listening.listens, self.pid, self.worker.address[1])

    def note(self, text: str) -> None:
        """Add a line of our own to its log."""
        self._output.note(text)

    def refused(self, reason: str, message: str) -> None:
        """There will be no process, or it is lost with its zygote."""
        self._failure = StartFailed(reason, message)
        self.exited(-signal.SIGKILL)

    def abandon(self, message: str) -> None:
        """It was never asked for; its ends of the pipes are still ours."""
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.refused("StartFailed", message)

    def exited(self, status: int) -> None:
        """It is gone, with *status*; what it left in the pipes counts."""
        if self.worker.exited.done():
            return
        self._read_report()
        while self._tap.read():
            pass
        self._tap.close()
        self._output.close()
        self.worker.last_words = self._output.tail()
        if not self.is_stopping:
            self.note(f"it has ended: {describe_status(status)}")
        self._close_report()
        self._deadline.cancel()
        self._ask_no_more()
        if not self.worker.ready.done():
            self.worker.ready.set_exception(self._reason(status))
            self.worker.ready.exception()  # nobody has to look at it
        self.worker.exited.set_result(status)

    def _ask_no_more(self) -> None:
        if self._probing is not None:
            self._probing.cancel()

    def _reason(self, status: int) -> StartFailed:
        if self.is_stopping:
            return StartFailed("Stopped", "it was stopped before it was ready")
        if self._failure is not None:
            return self._failure
        reason = f"ExitCode{status}" if status >= 0 else f"Signal{-status}"
        silent = "it ended before it was ready and printed nothing"
        return StartFailed(reason, self.worker.last_words or silent)

    def _read_report(self) -> None:
        if self._report_read < 0:
            return
        try:
            data = os.read(self._report_read, _REPORT_BYTES)
        except BlockingIOError:
            return
        self._close_report()
        try:
            failure, times = _understood(data)
        except (ValueError, TypeError, LookupError, AttributeError):
            self._kill("ReportInvalid", f"it has written to descriptor {REPORT}, which is not its own; "
                                        "it is killed")
            return
        if failure is not None:
            self._failure = failure
        elif data or not self.worker.takes_early:
            for stage, when in times.items():
                setattr(self.worker.times, stage, when)
            self._accepts()

    def _close_report(self) -> None:
        if self._report_read >= 0:
            self._loop.remove_reader(self._report_read)
            os.close(self._report_read)
            self._report_read = -1

    def _accepts(self) -> None:
        """Its program runs; whether it is ready is for it to know, or for whoever asks it."""
        if self.worker.takes_early or not self._listens:
            self._ready()
        if self._listens and (self._probes.lasts or not self.worker.ready.done()):
            asker = Asker(self.worker.address, self.inside)
            self._vigil = Vigil(self.worker, self._probes, asker, self.note)
            self._probing = self._tasks.create_task(self._vigil.keep(
                on_ready=self._ready, on_failed=self._never_started, on_dead=self._dead))

    def _ready(self) -> None:
        self._deadline.cancel()
        if not self.worker.ready.done():
            self.worker.times.listening = self.worker.times.listening or time.monotonic()
            self.worker.ready.set_result(None)

    def _never_started(self, why: str) -> None:
        self._kill("StartupFailed", f"{why}; it is killed, and another worker takes its place")

    def _dead(self, why: str) -> None:
        if not self.worker.ready.done():
            self._kill("LivenessFailed", f"{why}; it was not ready yet, and is killed")
            return
        message = f"{why}; it gets no more requests, and another worker takes its place"
        self.worker.cause = StartFailed("LivenessFailed", message)
        self.note(message)
        self.worker.on_failing()
        self._ask_no_more()

    def _too_late(self) -> None:
        hint = "does it listen on $PORT?"
        if not self._probes.are_content_with_a_socket or self._probes.ask_elsewhere:
            hint = (self._vigil and self._vigil.trouble) or "no probe has passed"
        self._kill("ProgressDeadlineExceeded", f"it was not ready after {self._start_limit_s:g} s; {hint}")

    def check(self) -> None:
        """End it if it has asked for more processes than it may have; to be called now and then."""
        if self.pid and self.worker.cause is None and pids.refused(self.zygote.pid, self.pid):
            self._kill("TooManyProcesses", f"it had {pids.LIMIT} processes and threads, asked for more, and "
                                           "is killed")

    def _kill(self, reason: str, message: str) -> None:
        self.worker.cause = self._failure = StartFailed(reason, message)
        self.note(message)
        self.signal(signal.SIGKILL, group=True)


def _understood(data: bytes) -> tuple[StartFailed | None, dict[str, float]]:
    """Why it failed, and when it came how far, as its report says; raises what parsing nonsense does."""
    said: dict[str, Any] = orjson.loads(data) if data else {"ready": {}}
    if "failed" in said:
        return StartFailed(str(said["failed"]["reason"]), str(said["failed"]["message"])), {}
    return None, {stage: float(when) for stage, when in said["ready"].items()}


def _two_pipes() -> tuple[int, int, int, int]:
    """Both or none."""
    first = os.pipe2(os.O_CLOEXEC)
    try:
        return *first, *os.pipe2(os.O_CLOEXEC)
    except OSError:
        for descriptor in first:
            os.close(descriptor)
        raise
