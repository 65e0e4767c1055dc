"""
Performs what the autoscaler decides: starts workers, retires them, and reports how each revision fares.

    tables revisions, configs --.
    a held request: poke -------+--> look(pool) --> backend.start, backend.stop
    every 2 s: tick ------------'              `--> table scales: in batches, on change only

Only revisions that are awake (workers, requests, or a wish for workers) are looked at; one at zero costs
nothing until a request pokes it, and then its worker is asked for before the loop turns. A worker is
retired in three steps: it is given nothing more; what it has ends; it is told to stop. So scaling down
ends no request.

Whether a worker runs here or in a cluster is the backend's affair, and what a request is, the activator's.
"""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import redis.asyncio
import redis.exceptions
import structlog

from eventing import projection
from serving.activator.breaker import Slot
from serving.activator.pool import HELD_S, STABLE_S, Pool, Record
from serving.autoscaler.kpa import TICK_S
from serving.objects import autoscaling
from serving.workers.backend import Backend, StartFailed, Worker

SETTINGS = "knative-serving/config-autoscaler"

_REPORT_PAUSE_S = 0.25  # a few writes a second, however many revisions change
_RETRY_STORE_S = 0.2  # Valkey restarts in about 50 ms
_DEADLINE_REASON = "ProgressDeadlineExceeded"
_DEADLINE_MESSAGE = "Initial scale was never achieved"
_GONE = (404, "the revision was deleted", 0.0)

_log = structlog.get_logger(__name__)


class Scaler:
    """All revisions, and the workers that exist because of it."""

    def __init__(self, backend: Backend, store: redis.asyncio.Redis, tasks: asyncio.TaskGroup) -> None:
        """Own every worker's task in *tasks*; nothing runs before `run` does."""
        self._backend = backend
        self._store = store
        self._tasks = tasks
        self._settings = autoscaling.settings({})
        self._awake: dict[Pool, None] = {}
        self._healthy: dict[str, str] = {}  # revision -> uid: proved before this process began
        self._unreported: dict[str, Mapping[str, Any] | None] = {}
        self._changed = asyncio.Event()
        self._stopping = False
        self._workers = 0  # asked for and not gone yet
        self._preparing: set[asyncio.Task[Any]] = set()  # whose worker is not forked yet
        self._nobody = asyncio.Event()
        self._nobody.set()
        self.pools: dict[str, Pool] = {}

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
        while True:
            try:
                known = await projection.read(self._store, "scales")
            except (redis.exceptions.RedisError, OSError):
                await asyncio.sleep(_RETRY_STORE_S)
                continue
            self._healthy = {name: record["uid"] for name, record in known.items() if record.get("healthy")}
            self._unreported.update(dict.fromkeys(known))  # whoever is still there reports again
            return

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
            healthy = self._healthy.pop(name, None) == record["uid"]
            pool = self.pools[name] = Pool(name, record, self._settings, now, healthy=healthy)
        else:
            pool.update(record, self._settings)
        self.look(pool, now)
        if is_new and not pool.starting:
            self._prepare(pool)

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
            pool.update(pool.record, self._settings)
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
        self._healthy.clear()
        self._changed.set()

    # -- decide and perform

    def look(self, pool: Pool, now: float) -> None:
        """Ask the autoscaler about one revision, perform what it says, and report."""
        if self._stopping:
            return
        decision = pool.measure(now)
        if decision.desired == 0 and pool.healthy is None:
            pool.healthy, pool.reason, pool.message = False, _DEADLINE_REASON, _DEADLINE_MESSAGE
        for slot in pool.surplus():
            self.retire(pool, slot)
        self._start_missing(pool, now)
        if pool.sleeps:
            self._awake.pop(pool, None)
        else:
            self._awake[pool] = None
        self._report(pool)

    def _start_missing(self, pool: Pool, now: float) -> None:
        if now < pool.retry_at:
            return
        for _ in range(pool.autoscaler.desired - len(pool.staying) - pool.starting):
            pool.starting += 1
            self._workers += 1
            self._nobody.clear()
            self._tasks.create_task(self._tend(pool), name=f"worker of {pool.name}")

    def retire(self, pool: Pool, slot: Slot) -> None:
        """Give *slot* nothing more, and stop its worker when what it has is done."""
        slot.is_retired = True
        pool.breaker.close(slot)
        if slot.inside == 0:
            self._stop(pool, slot.worker)
        else:
            slot.on_empty = lambda: self._stop(pool, slot.worker)

    def note(self, pool: Pool, slot: Slot | None, line: str) -> None:
        """Add a line of our own to the log of a revision, by the name of the worker in *slot*."""
        self._backend.note(pool.name, None if slot is None else slot.worker, line)

    def _stop(self, pool: Pool, worker: Worker) -> None:
        # One that will not stop is killed after its revision's timeout, as Knative's pods are.
        self._tasks.create_task(self._backend.stop(worker, pool.timeout_s), name=f"stop {worker.id}")

    # -- one worker's life

    async def _tend(self, pool: Pool) -> None:
        """Start one worker of *pool* and stay with it to its end."""
        try:
            worker = await self._ask(pool)
        except (StartFailed, OSError) as error:
            failure = error if isinstance(error, StartFailed) else StartFailed("StartFailed", str(error))
            pool.starting -= 1
            self._failed(pool, failure, has_run=False)
        else:
            pool.starting -= 1
            await self._attend(pool, Slot(worker))
        finally:
            self._workers -= 1
            if not self._workers:
                self._nobody.set()

    def _prepare(self, pool: Pool) -> None:
        """Do now what the first start would have to wait for."""
        task = self._tasks.create_task(self._backend.prepare(pool.name, pool.record))
        self._preparing.add(task)
        task.add_done_callback(self._preparing.discard)

    async def _ask(self, pool: Pool) -> Worker:
        """Ask for the worker. What that waits for is reported; a role that ends does not wait for it."""
        def tell(reason: str, message: str) -> None:
            if pool.healthy is None:
                pool.reason, pool.message = reason, message
                self._report(pool)

        task = asyncio.current_task()
        assert task is not None
        self._preparing.add(task)
        try:
            return await self._backend.start(pool.name, pool.record, tell)
        finally:
            self._preparing.discard(task)

    async def _attend(self, pool: Pool, slot: Slot) -> None:
        # asyncio.wait, because awaiting the future itself would cancel it for everyone when we are cancelled.
        worker = slot.worker
        pool.slots.append(slot)
        if self._stopping or not self._is_ours(pool):
            self.retire(pool, slot)
        elif worker.takes_early:
            pool.breaker.add(slot)
        await asyncio.wait([worker.ready])
        if worker.state == "ready" and not slot.is_retired:
            slot.ready_since = time.monotonic()
            pool.breaker.opened(slot)
            self._look_again(pool, slot.ready_since)
        if worker.state == "failed":
            await self._backend.stop(worker, 0.0)
        await self._watch(pool, slot)
        pool.breaker.close(slot)
        pool.slots.remove(slot)
        self._ended(pool, slot)

    async def _watch(self, pool: Pool, slot: Slot) -> None:
        """Return when the worker is gone. One whose liveness fails is replaced, and finishes what it has."""
        worker = slot.worker
        failing = asyncio.get_running_loop().create_future()
        worker.on_failing = partial(failing.set_result, None)
        await asyncio.wait([worker.exited, failing], return_when=asyncio.FIRST_COMPLETED)
        if failing.done() and not slot.is_retired:
            self.retire(pool, slot)
            if self._is_ours(pool):
                assert worker.cause is not None
                self._failed(pool, worker.cause, has_run=True)
            await asyncio.wait([worker.exited], timeout=pool.liveness_grace_s)
            await self._backend.stop(worker, 0.0)
        await asyncio.wait([worker.exited])

    def _ended(self, pool: Pool, slot: Slot) -> None:
        """The worker is gone: by our will, by its own, or at its start."""
        now = time.monotonic()
        lasted = slot.is_ready and (slot.has_answered or now - slot.ready_since >= STABLE_S)
        lasted = lasted and slot.worker.cause is None
        if lasted or (slot.is_ready and slot.is_retired and slot.worker.cause is None):
            pool.recovered()
        if slot.is_retired or not self._is_ours(pool):
            self._look_again(pool, now)
            return
        why = None if slot.worker.ready.cancelled() else slot.worker.ready.exception()
        failure: BaseException | None = slot.worker.cause or why
        if not isinstance(failure, StartFailed):
            failure = StartFailed(*_death(slot.worker.exited.result()))
        _log.warning("worker died", revision=pool.name, worker=slot.worker.id, reason=failure.reason)
        if lasted:
            self._look_again(pool, now)
        else:
            self._failed(pool, failure, has_run=why is None)

    def _failed(self, pool: Pool, failure: StartFailed, *, has_run: bool) -> None:
        now = time.monotonic()
        pool.failed(failure.reason, failure.message, now, has_run=has_run)
        self._look_again(pool, now)
        refusal = pool.refusal(now)
        if refusal is not None:
            for ticket in pool.breaker.dismiss():
                ticket.refused(*refusal)
        elif 0 < pool.pause_s <= HELD_S:  # what waits is not to wait for the next tick besides
            loop = asyncio.get_running_loop()
            loop.call_later(pool.pause_s, self._start_due, pool, pool.retry_at)

    def _start_due(self, pool: Pool, due: float) -> None:
        self._look_again(pool, max(time.monotonic(), due))  # timers may be a little early

    def _is_ours(self, pool: Pool) -> bool:
        return self.pools.get(pool.name) is pool

    def _look_again(self, pool: Pool, now: float) -> None:
        if self._is_ours(pool):
            self.look(pool, now)

    def _remove(self, pool: Pool) -> None:
        """The revision is gone: nobody waits for it any longer, and its workers go when they are done."""
        del self.pools[pool.name]
        self._awake.pop(pool, None)
        for ticket in pool.breaker.dismiss():
            ticket.refused(*_GONE)
        for slot in pool.staying:
            self.retire(pool, slot)
        self._unreported[pool.name] = None
        self._changed.set()

    # -- tell others

    def _report(self, pool: Pool) -> None:
        record = dict(pool.report())
        if record != pool.reported:
            pool.reported = record
            self._unreported[pool.name] = record
            self._changed.set()

    async def publish(self) -> None:
        """Write what has changed to table `scales`, for ever."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            batch, self._unreported = self._unreported, {}
            try:
                await projection.write_many(self._store, "scales", batch)
            except (redis.exceptions.RedisError, OSError):
                self._unreported = {**batch, **self._unreported}
                self._changed.set()
            await asyncio.sleep(_REPORT_PAUSE_S)

    async def tick(self) -> None:
        """Look at every revision that is awake, every two seconds, for ever."""
        while True:
            await asyncio.sleep(TICK_S)
            now = time.monotonic()
            for pool in self.awake:
                self.look(pool, now)

    async def drain(self, limit_s: float) -> None:
        """Start nothing more, and retire every worker; returns when all are gone, after *limit_s* at most."""
        self._stopping = True
        for pool in self.awake:
            for slot in pool.staying:
                self.retire(pool, slot)
        for task in self._preparing:
            task.cancel()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._nobody.wait(), limit_s)


def _death(status: int) -> tuple[str, str]:
    """Reason and message for a worker that ended by itself although it had been ready."""
    if status < 0:
        return f"Signal{-status}", f"killed by signal {-status}"
    return f"ExitCode{status}", f"exit status {status}"
