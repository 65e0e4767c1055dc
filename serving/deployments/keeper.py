"""
All Deployments of a serving role: follows what is wanted, and tells what there is.

    table deployments -> keeper -> replicas -> backend -> processes
    keeper -> table deployment-states -> the Deployment's status

A Deployment that changes is rolled out, as rollout.py says, only where its template did. The processes end
with the role, however it ends: who takes its place starts them again, and there are never two of one.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

import redis.asyncio
import redis.exceptions
import structlog

from eventing import projection
from eventing.projection import Record
from serving.deployments import rollout
from serving.deployments.replica import Replica
from serving.deployments.rollout import Seen
from serving.workers.backend import Backend

_REPORT_EVERY_S = 0.1  # a person does not see it
_STATES = "deployment-states"

_log = structlog.get_logger(__name__)


class Keeper:
    """Those of one role."""

    def __init__(self, backend: Backend, store: redis.asyncio.Redis, tasks: asyncio.TaskGroup) -> None:
        """Run processes by *backend*, in tasks of *tasks*."""
        self._backend = backend
        self._store = store
        self._tasks = tasks
        self._deployments: dict[str, _Deployment] = {}
        self._records: dict[str, Record] = {}
        self._states: dict[str, Record | None] = {}  # not written yet
        self._changed = asyncio.Event()
        self._ending: list[_Deployment] = []

    def __repr__(self) -> str:
        """Counts."""
        running = sum(len(each.replicas) for each in self._deployments.values())
        return f"<Keeper [{len(self._records)} deployments | {running} replicas]>"

    def deployment(self, name: str, record: Record | None) -> None:
        """Make what runs like *record* of table `deployments`; None: it is gone."""
        if record is None:
            self._records.pop(name, None)
        else:
            self._records[name] = record
        self._want(name, record)

    def pods(self) -> Mapping[str, Mapping[str, Any]]:
        """What the processes of each Deployment are, by `namespace/name`."""
        return {name: record["pod"] for name, record in self._records.items()}

    async def publish(self) -> None:
        """Write states that have changed, until cancelled; those of Deployments that are no more go first."""
        stale = await projection.read(self._store, _STATES)
        for name in stale.keys() - self._records.keys() - self._states.keys():
            self._states[name] = None
        self._changed.set()
        while True:
            await self._changed.wait()
            self._changed.clear()
            states, self._states = self._states, {}
            try:
                await projection.write_many(self._store, _STATES, states)
            except (redis.exceptions.RedisError, OSError):
                self._states = states | self._states
                self._changed.set()
            await asyncio.sleep(_REPORT_EVERY_S)

    def close(self) -> None:
        """Have all processes end."""
        self._ending = list(self._deployments.values())
        for each in self._ending:
            each.want(None)

    async def drain(self, limit_s: float) -> None:
        """Return once they have, or after *limit_s*."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                for each in self._ending:
                    await each.ended.wait()

    def _want(self, name: str, record: Record | None) -> None:
        found = self._deployments.get(name)
        if found is None and record is not None:
            found = self._deployments[name] = _Deployment(self, name)
            self._tasks.create_task(self._run(found))
        if found is not None:
            found.want(record)

    async def _run(self, deployment: "_Deployment") -> None:
        await deployment.run(self._tasks)
        del self._deployments[deployment.name]
        if deployment.name not in self._records:
            self.tell(deployment.name, None)

    def replica(self, name: str, pod: Mapping[str, Any], deployment: "_Deployment") -> Replica:
        """A new one, not running yet."""
        return Replica(self._backend, name, pod, deployment.wake)

    def tell(self, name: str, state: Record | None) -> None:
        """Have the state of one Deployment written soon."""
        self._states[name] = state
        self._changed.set()


class _Deployment:
    """One Deployment; runs until nothing of it is wanted and nothing is left."""

    def __init__(self, keeper: Keeper, name: str) -> None:
        self.name = name
        self.replicas: list[Replica] = []
        self.ended = asyncio.Event()
        self._keeper = keeper
        self._record: Record | None = None
        self._woken = asyncio.Event()
        self._told: Record | None = None

    def want(self, record: Record | None) -> None:
        self._record = record
        self._woken.set()

    def wake(self) -> None:
        self._woken.set()

    async def run(self, tasks: asyncio.TaskGroup) -> None:
        while self._record is not None or self.replicas:
            try:
                self._step(tasks)
                self._report()
            except Exception:  # noqa: BLE001  whatever its record is: there are other Deployments
                _log.exception("a deployment was not understood", name=self.name)
            await self._woken.wait()
            self._woken.clear()
        self.ended.set()

    def _step(self, tasks: asyncio.TaskGroup) -> None:
        record = self._record or {"replicas": 0, "strategy": {}, "pod": None}
        seen = [Seen(each.pod == record["pod"], each.is_ready, each.is_stopping) for each in self.replicas]
        how = rollout.strategy(record["strategy"], record["replicas"])
        plan = rollout.plan(seen, record["replicas"], how)
        for index in plan.stop:
            self.replicas[index].stop()
        for _ in range(plan.start):
            replica = self._keeper.replica(self.name, record["pod"], self)
            self.replicas.append(replica)
            tasks.create_task(self._keep(replica))
        if plan.start or plan.stop:
            _log.info("deployment", name=self.name, started=plan.start, stopped=len(plan.stop))

    async def _keep(self, replica: Replica) -> None:
        await replica.run()
        self.replicas.remove(replica)
        self._woken.set()

    def _report(self) -> None:
        record = self._record
        if record is None:
            return
        here = [each for each in self.replicas if not each.is_stopping]
        new = [each for each in here if each.pod == record["pod"]]
        waiting = next((each for each in new if not each.is_ready), None)
        state = {"uid": record["uid"], "generation": record["generation"], "replicas": len(here),
                 "updated": len(new), "ready": sum(each.is_ready for each in here),
                 "reason": waiting.reason if waiting else "", "message": waiting.message if waiting else ""}
        if state != self._told:
            self._told = state
            self._keeper.tell(self.name, state)
