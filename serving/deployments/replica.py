"""
One replica of a Deployment: a process that is started again, later and later, whenever it ends.

    start -> running -> ready -> ended -> wait -> start ..
    stop: SIGTERM, and SIGKILL after the template's grace period

Its name stays over restarts, as a pod's does. What it prints is in the log of the Deployment. Why it is not
ready is said in Kubernetes' words for a container.
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from eventing.process import describe_status
from serving.deployments import rollout
from serving.workers.backend import Backend, StartFailed, Worker

_NAME_BYTES = 3  # of randomness in its name, twice as many hex digits

_log = structlog.get_logger(__name__)


class Replica:
    """A process of Deployment *name* (`namespace/name`), as *pod* (serving/objects/program.py) says."""

    def __init__(self, backend: Backend, name: str, pod: Mapping[str, Any],
                 on_change: Callable[[], None]) -> None:
        """Nothing runs before `run`; *on_change* hears of every change of what is public here."""
        self.name = f"{name.partition('/')[2]}-{secrets.token_hex(_NAME_BYTES)}"
        self.pod = pod
        self.is_ready = False
        self.reason = "ContainerCreating"
        self.message = ""
        self._backend = backend
        self._deployment = name
        self._on_change = on_change
        self._worker: Worker | None = None
        self._stopping = asyncio.Event()

    def __repr__(self) -> str:
        """Name and state."""
        state = "stopping" if self.is_stopping else "ready" if self.is_ready else self.reason
        return f"<Replica {self.name} [{state}]>"

    @property
    def is_stopping(self) -> bool:
        """Whether it was told to end."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """Have it end; `run` returns when it has."""
        self._stopping.set()

    async def run(self) -> None:
        """Keep it running until `stop`; it is gone when this returns."""
        async with asyncio.TaskGroup() as tasks:
            keeping = tasks.create_task(self._keep())
            await self._stopping.wait()
            keeping.cancel()
        if self._worker is not None:
            await self._backend.stop(self._worker, self.pod["grace_s"])
        self._tell(is_ready=False, reason="Stopped", message="")

    async def _keep(self) -> None:
        loop, waited_s = asyncio.get_running_loop(), 0.0
        while True:
            began = loop.time()
            problem = await self._once(rollout.proof_s(waited_s))
            self._worker = None
            waited_s = rollout.wait_s(waited_s, loop.time() - began)
            message = f"back-off {waited_s:g}s restarting failed container {self.pod['container']}: {problem}"
            self._tell(is_ready=False, reason="CrashLoopBackOff", message=message)
            _log.info("program ended", deployment=self._deployment, replica=self.name, why=problem,
                      again_in_s=waited_s)
            await asyncio.sleep(waited_s)

    async def _once(self, proof_s: float) -> str:
        """Run the process once; why it is no more. It is ready after *proof_s*."""
        record = {**self.pod, "worker": self.name,
                  "env": {**self.pod["env"], **dict.fromkeys(self.pod["named"], self.name)}}
        try:
            self._worker = await self._backend.start(self._deployment, record, self._progress)
            await asyncio.shield(self._worker.ready)
        except StartFailed as failure:
            return str(failure).strip()
        await asyncio.wait((self._worker.exited,), timeout=proof_s)
        if not self._worker.exited.done():
            self._tell(is_ready=True, reason="", message="")
        status = await asyncio.shield(self._worker.exited)
        said = self._worker.last_words.rstrip().rpartition("\n")[2]
        return f"{describe_status(status)}: {said}" if said else describe_status(status)

    def _progress(self, reason: str, message: str) -> None:
        self._tell(is_ready=False, reason=reason or "ContainerCreating", message=message)

    def _tell(self, *, is_ready: bool, reason: str, message: str) -> None:
        if (self.is_ready, self.reason, self.message) != (is_ready, reason, message):
            self.is_ready, self.reason, self.message = is_ready, reason, message
            self._on_change()
