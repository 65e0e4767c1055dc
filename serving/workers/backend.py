"""
What the activator and the autoscaler may ask of whoever runs workers, and what they get back.

`local.py` is who does: its workers are processes of this machine, which zygotes fork. Of neither this page
knows, and nobody behind it decides how many workers there should be: he starts one, stops one, and says
truthfully what became of each.

    start(name, record) -> Worker      at once, unless its environment has to be built first; not ready yet
    worker.ready                       done: it accepts requests; StartFailed: it never will
    worker.unready                     why its readiness probe fails, "" while it passes: it is to get no new
                                       requests meanwhile; on_readiness is called when that changes
    worker.exited                      done, with its exit status, when it is gone for whatever reason
    worker.on_failing                  called once, when its liveness probe has failed: it runs, and is to be
                                       replaced and stopped, which is for who asked for it to do
    stop(worker, grace_s)              returns when it is gone

A worker with `takes_early` has its listening socket already: a request that is sent before `ready` waits
in the kernel's queue and is the first that the worker sees. If the worker dies before, the connection
is reset and nothing of the request was processed.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from eventing.errors import ClarionError

Address = tuple[str, int]  # host (an IP address) and port that the worker serves HTTP/1.1 on
Progress = Callable[[str, str], None]  # reason (one word) and message of what a start waits for


def silent(_reason: str, _message: str) -> None:
    """A Progress that nobody looks at."""


def _nothing() -> None:
    """What happens by default when a probe has failed."""


class StartFailed(ClarionError):
    """
    A worker died or did not become ready; `reason` is one CamelCase word, `message` speaks to the author.

    Reasons: `ExitCodeN` (it ended by itself; the message holds the traceback's last lines), `SignalN`
    (killed before it was ready), `NoEntry` (no function in the bundle), `BundleMissing`, `BundleInvalid`,
    `EnvironmentFailed`, `PreloadFailed`, `UserRefused`, `FailedMount` (a volume),
    `CreateContainerConfigError` (a variable), `TooManyPreloads`, `ProgressDeadlineExceeded`,
    `TooManyProcesses`, `ReportInvalid`, `StartupFailed`, `LivenessFailed`, `StartFailed` (whatever has no
    name of its own), `Stopped` (by our own `stop`), and what is not the author's fault: `StoreAway`,
    `DiskFailed`, `ForkFailed`, `ZygoteGone`.
    """

    def __init__(self, reason: str, message: str) -> None:
        """Name the *reason*, and say what to do about it in the *message*."""
        super().__init__(reason, message)
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        """Reason and message in one line's beginning."""
        return f"{self.reason}: {self.message}"


@dataclass
class Times:
    """When a worker came how far, by time.monotonic; 0: not yet, or nobody knows."""

    asked: float = 0.0  # its start was asked for
    forked: float = 0.0  # it is a process of its own
    imported: float = 0.0  # its function is imported
    listening: float = 0.0  # it accepts requests


@dataclass(frozen=True)
class Usage:
    """What a worker, with all that it has started, has used when it was looked at."""

    at_s: float  # by time.monotonic
    cpu_s: float  # of processor, since its start
    memory_bytes: int  # resident then; what several of its processes share counts for each


@dataclass(eq=False, kw_only=True)
class Worker:
    """One worker of one revision, from the moment its start was asked for until after its end."""

    id: str
    revision: str  # "namespace/name"
    uid: str  # of the Revision it was started for
    address: Address
    takes_early: bool
    socket_name: str = ""  # of the unix socket at which it serves the same; empty: none
    # Resolves once it accepts requests; raises StartFailed. Nobody has to await it.
    ready: asyncio.Future[None]
    # Resolves with the exit status: >= 0 as given to exit(), negative: the signal that ended it.
    exited: asyncio.Future[int]
    # Why it ends, where that is not the will of who asked for it: its liveness, its processes.
    cause: StartFailed | None = None
    on_failing: Callable[[], None] = _nothing
    unready: str = ""  # a line; also of a start that takes long
    on_readiness: Callable[[], None] = _nothing
    times: Times = field(default_factory=Times)
    last_words: str = ""  # the last lines that it printed, once it has exited

    def __repr__(self) -> str:
        """Name and state."""
        host, port = self.address
        return f"<Worker {self.revision} {self.id} at {host}:{port} [{self.state}]>"

    @property
    def state(self) -> str:
        """One of `starting`, `ready`, `failed`, `exited`."""
        if self.exited.done():
            return "exited"
        if not self.ready.done():
            return "starting"
        return "ready" if not self.ready.cancelled() and self.ready.exception() is None else "failed"


class Backend(Protocol):
    """Runs workers."""

    async def run(self) -> None:
        """Own everything that `start` makes, until cancelled; run it in a TaskGroup beside the callers."""

    async def prepare(self, name: str, record: Mapping[str, Any]) -> None:
        """Do what can be done before the first start of *name*; what goes wrong, `start` says."""

    async def start(self, name: str, record: Mapping[str, Any], progress: Progress = silent) -> Worker:
        """
        Ask for a worker of revision *name* (`namespace/name`) as its *record* of table `revisions` says.

        Returns as soon as the start is asked for. What goes wrong later comes through `Worker.ready`. Where
        something has to be made first that takes long, *progress* hears of it, and of its end: ("", "").

        Raises:
            StartFailed: what is known at once, whatever it is: its bundle does not exist, the backend is
                closing, this process has no more descriptors, the record makes no sense.
        """

    async def stop(self, worker: Worker, grace_s: float) -> None:
        """Let *worker* finish what it has within *grace_s*, then kill it; returns when it is gone."""

    async def usage(self, workers: Iterable[Worker]) -> Mapping[str, Usage]:
        """What each of *workers* has used, by its id; one without a process is left out."""

    def note(self, name: str, worker: Worker | None, line: str) -> None:
        """Add a *line* to the log of revision *name*, as one of *worker*'s, if it is still there."""

    async def close(self) -> None:
        """End every worker at once and everything that belongs to them."""
