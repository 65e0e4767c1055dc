"""
Performs what the autoscaler decides: starts workers, retires them, and reports how each revision fares.

    tables revisions, configs --.
    a held request: poke -------+--> look(pool) --> crew: workers are started, retired
    every 2 s: tick ------------|              `--> table scales: in batches, on change only
    every 15 s: survey ---------'

Only revisions that are awake (workers, requests, or a wish for workers) are looked at; one at zero costs
nothing until a request pokes it, and then its worker is asked for before the loop turns.

What becomes of a worker is `crew.py`'s affair, and what a request is, the activator's.
"""

import asyncio
import time
from collections.abc import Mapping

import redis.asyncio
import structlog

from serving.activator.breaker import Slot
from serving.activator.pool import Pool, Record
from serving.autoscaler import hpa
from serving.autoscaler.classes import Autoscaler
from serving.autoscaler.crew import Crew
from serving.autoscaler.kpa import TICK_S
from serving.autoscaler.reports import Reports
from serving.objects import autoscaling
from serving.workers.backend import Backend

SETTINGS = "knative-serving/config-autoscaler"

_DEADLINE_REASON = "ProgressDeadlineExceeded"
_DEADLINE_MESSAGE = "Initial scale was never achieved"
_GONE = (404, "the revision was deleted", 0.0)

_log = structlog.get_logger(__name__)


class Scaler:
    """All revisions, and the workers that exist because of it."""

    def __init__(self, backend: Backend, store: redis.asyncio.Redis, tasks: asyncio.TaskGroup) -> None:
        """Own every worker's task in *tasks*; nothing runs before `run` does."""
        self.pools: dict[str, Pool] = {}
        self._backend = backend
        self._reports = Reports(store)
        self._crew = Crew(backend, tasks, self._reports, self.pools, self.look)
        self._settings = autoscaling.settings({})
        self._awake: dict[Pool, None] = {}

    def __repr__(self) -> str:
        """How many revisions, and how many of them are awake."""
        return f"<Scaler [{len(self.pools)} revisions | {len(self._awake)} awake]>"

    @property
    def awake(self) -> list[Pool]:
        """The revisions that have workers, requests, or a wish for workers."""
        return list(self._awake)

    def records(self) -> dict[str, Record]:
        """The records of all revisions."""
        return {name: pool.record for name, pool in self.pools.items()}

    # -- what others tell it

    async def recall(self) -> None:
        """Read from table `scales` which revisions have shown that they can start; once, before the rest."""
        await self._reports.recall()

    def revision(self, name: str, record: Record | None) -> None:
        """Revision *name* has appeared, changed, or gone (None)."""
        pool = self.pools.get(name)
        if pool is not None and (record is None or record["uid"] != pool.uid):
            self._remove(pool)
            pool = None
        if record is None:
            return
        now = time.monotonic()
        is_new = pool is None
        if pool is None:
            proof = self._reports.proof(name, record["uid"])
            pool = self.pools[name] = Pool(name, record, self._settings, now, healthy=proof is not None)
            if proof is not None and isinstance(pool.autoscaler, hpa.Autoscaler):
                pool.autoscaler.desired = proof["desired"]  # Kubernetes keeps it in spec.replicas
        else:
            pool.update(record, self._settings, now)
        self.look(pool, now)
        if is_new and not pool.starting:
            self._crew.prepare(pool)

    def config(self, name: str, data: Mapping[str, str] | None) -> None:
        """A ConfigMap has changed."""
        if name != SETTINGS:
            return
        try:
            self._settings = autoscaling.settings(data or {})
        except ValueError as error:  # admission refuses such a one; the last good settings stay
            _log.warning("settings ignored", config=name, error=str(error))
            return
        now = time.monotonic()
        for pool in self.pools.values():
            pool.update(pool.record, self._settings, now)
            self.look(pool, now)

    def poke(self, pool: Pool, now: float) -> None:
        """A request waits and found no worker: have one started now, not at the next tick."""
        if pool.autoscaler.desired == 0:
            pool.meter.restart(now)
            pool.autoscaler.record(*pool.meter.announce(now))
        elif pool.staying or pool.starting:
            return
        self.look(pool, now)

    def loaded(self) -> None:
        """Every revision that exists was told: what `scales` says of others is outdated."""
        self._reports.loaded()

    # -- decide and perform

    def look(self, pool: Pool, now: float) -> None:
        """Ask the autoscaler about one revision, perform what it says, and report."""
        if self._crew.is_stopping:
            return
        try:
            decision = pool.measure(now)
        except Exception:  # noqa: BLE001  whatever its numbers are: there are other revisions
            _log.exception("a revision cannot be measured", revision=pool.name)
            return
        if decision.desired == 0 and pool.healthy is None:
            pool.healthy, pool.reason, pool.message = False, _DEADLINE_REASON, _DEADLINE_MESSAGE
        for slot in pool.surplus():
            self._crew.retire(pool, slot)
        self._start_missing(pool, now)
        if pool.sleeps:
            self._awake.pop(pool, None)
        else:
            self._awake[pool] = None
        self._reports.tell(pool)

    def _start_missing(self, pool: Pool, now: float) -> None:
        if now < pool.retry_at:
            return
        for _ in range(pool.shortage):
            self._crew.start(pool)

    def retire(self, pool: Pool, slot: Slot) -> None:
        """Give *slot* nothing more, and stop its worker when what it has is done."""
        self._crew.retire(pool, slot)

    def note(self, pool: Pool, slot: Slot | None, line: str) -> None:
        """Add a line of our own to the log of a revision, by the name of the worker in *slot*."""
        self._backend.note(pool.name, None if slot is None else slot.worker, line)

    def _remove(self, pool: Pool) -> None:
        """The revision is gone: nobody waits for it any longer, and its workers go when they are done."""
        del self.pools[pool.name]
        self._awake.pop(pool, None)
        for ticket in pool.breaker.dismiss():
            ticket.refused(*_GONE)
        for slot in pool.staying:
            self._crew.retire(pool, slot)
        self._reports.forget(pool.name)

    # -- for ever

    async def publish(self) -> None:
        """Write what has changed to table `scales`, for ever."""
        await self._reports.publish()

    async def tick(self) -> None:
        """Look at every revision that is awake, every two seconds, for ever."""
        while True:
            await asyncio.sleep(TICK_S)
            now = time.monotonic()
            for pool in self.awake:
                self.look(pool, now)

    async def survey(self) -> None:
        """See what the workers of revisions of class HPA have used, every fifteen seconds, for ever."""
        while True:
            await asyncio.sleep(hpa.SYNC_S)
            pools = [pool for pool in self.awake if _is_measured(pool.autoscaler)]
            if not pools:
                continue
            used = await self._backend.usage([slot.worker for pool in pools for slot in pool.staying])
            now = time.monotonic()
            for pool in pools:
                if isinstance(pool.autoscaler, hpa.Autoscaler) and self.pools.get(pool.name) is pool:
                    seen = [hpa.Seen(slot.worker.id, slot.ready_since if slot.is_ready else None,
                                     used.get(slot.worker.id)) for slot in pool.staying]
                    pool.autoscaler.observe(now, seen, pool.starting)
                    self.look(pool, now)

    async def drain(self, limit_s: float) -> None:
        """Start nothing more, and retire every worker; returns when all are gone, after *limit_s* at most."""
        await self._crew.drain(self.awake, limit_s)


def _is_measured(autoscaler: Autoscaler) -> bool:
    return isinstance(autoscaler, hpa.Autoscaler) and autoscaler.scaling.is_measured
