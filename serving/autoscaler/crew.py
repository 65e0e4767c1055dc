"""
The workers of all revisions: each is started, attended to its end, and retired, by a task of its own.

    start(pool) --> backend.start --> a slot of the pool --> ready --> exited
                          |                                    |         |
                          '-- StartFailed                      |         '-- by our will, or not
                                                               |-- its liveness fails: it is retired
                                                               '-- its readiness fails: it is given nothing
                                                                   until it passes again

A worker is retired in three steps: it is given nothing more; what it has ends; it is told to stop. So scaling
down ends no request. Whenever one gets ready, fails or ends, who decides is told (`look`); how many there
should be is not known here.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import structlog

from serving.activator.breaker import Slot
from serving.activator.pool import HELD_S, STABLE_S, Pool
from serving.autoscaler.reports import Reports
from serving.workers.backend import Backend, StartFailed, Worker

_log = structlog.get_logger(__name__)


class Crew:
    """Every worker that was asked for and is not gone yet."""

    def __init__(self, backend: Backend, tasks: asyncio.TaskGroup, reports: Reports,
                 pools: Mapping[str, Pool], look: Callable[[Pool, float], None]) -> None:
        """Own every worker's task in *tasks*; *look* is told what has changed with one of *pools*."""
        self._backend = backend
        self._tasks = tasks
        self._reports = reports
        self._pools = pools
        self._look = look
        self.is_stopping = False
        self._workers = 0  # asked for and not gone yet
        self._preparing: set[asyncio.Task[Any]] = set()  # whose worker is not forked yet
        self._nobody = asyncio.Event()
        self._nobody.set()

    def __repr__(self) -> str:
        """How many workers."""
        return f"<Crew [{self._workers} workers | {len(self._preparing)} not forked yet]>"

    def prepare(self, pool: Pool) -> None:
        """Do now what the first start would have to wait for."""
        task = self._tasks.create_task(self._backend.prepare(pool.name, pool.record))
        self._preparing.add(task)
        task.add_done_callback(self._preparing.discard)

    def start(self, pool: Pool) -> None:
        """Have one worker more of *pool*."""
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

    def _stop(self, pool: Pool, worker: Worker) -> None:
        # One that will not stop is killed after its revision's timeout, as Knative's pods are.
        self._tasks.create_task(self._backend.stop(worker, pool.timeout_s), name=f"stop {worker.id}")

    async def drain(self, awake: list[Pool], limit_s: float) -> None:
        """Start nothing more, and retire every worker; returns when all are gone, after *limit_s* at most."""
        self.is_stopping = True
        for pool in awake:
            for slot in pool.staying:
                self.retire(pool, slot)
        for task in self._preparing:
            task.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._nobody.wait()

    # -- one worker's life

    async def _tend(self, pool: Pool) -> None:
        """Start one worker of *pool* and stay with it to its end."""
        try:
            worker = await self._ask(pool)
        except StartFailed as failure:
            pool.starting -= 1
            self._failed(pool, failure, has_run=False)
        else:
            pool.starting -= 1
            await self._attend(pool, Slot(worker))
        finally:
            self._workers -= 1
            if not self._workers:
                self._nobody.set()

    async def _ask(self, pool: Pool) -> Worker:
        """Ask for the worker. What that waits for is reported; a role that ends does not wait for it."""
        def tell(reason: str, message: str) -> None:
            if pool.healthy is None:
                pool.reason, pool.message = reason, message
                self._reports.tell(pool)

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
        if self.is_stopping or not self._is_ours(pool):
            self.retire(pool, slot)
        elif worker.takes_early:
            pool.breaker.add(slot)
        worker.on_readiness = partial(self._go_by_readiness, pool, slot)
        await asyncio.wait([worker.ready])
        self._go_by_readiness(pool, slot)
        if worker.state == "failed":
            await self._backend.stop(worker, 0.0)
        await self._watch(pool, slot)
        pool.breaker.close(slot)
        pool.slots.remove(slot)
        self._ended(pool, slot)

    def _go_by_readiness(self, pool: Pool, slot: Slot) -> None:
        """Give *slot* requests while its worker is ready; what it has when that ends, it may finish."""
        now = time.monotonic()
        if slot.worker.state == "ready" and not slot.is_retired:
            if slot.worker.unready:
                pool.breaker.close(slot)
            elif not (slot.is_ready and slot.is_open):
                slot.ready_since = slot.ready_since or now
                pool.breaker.opened(slot)
        self._look_again(pool, now)

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
            grace_s = pool.liveness_grace_s
            await asyncio.wait([worker.exited], timeout=grace_s)
            if not worker.exited.done():
                self._backend.note(pool.name, worker, f"it did not end within {grace_s:g} s")
            await self._backend.stop(worker, 0.0)
        await asyncio.wait([worker.exited])

    def _ended(self, pool: Pool, slot: Slot) -> None:
        """The worker is gone: by our will, by its own, or at its start."""
        now = time.monotonic()
        lasted = slot.is_ready and (slot.has_answered or slot.lasted_s(now) >= STABLE_S)
        lasted = lasted and slot.worker.cause is None
        if lasted or (slot.is_ready and slot.is_retired and slot.worker.cause is None):
            pool.recovered()
        if slot.is_retired and slot.worker.cause is None and slot.lasted_s(now) >= STABLE_S:
            pool.calmed()
        if slot.is_retired or not self._is_ours(pool):
            self._look_again(pool, now)
            return
        why = None if slot.worker.ready.cancelled() else slot.worker.ready.exception()
        failure: BaseException | None = slot.worker.cause or why
        if not isinstance(failure, StartFailed):
            failure = StartFailed(*_death(slot.worker.exited.result()))
        _log.warning("worker died", revision=pool.name, worker=slot.worker.id, reason=failure.reason)
        if lasted:
            pool.relapsed(failure.reason, failure.message, now, slot.lasted_s(now))
            self._go_on(pool, now)
        else:
            self._failed(pool, failure, has_run=why is None)

    def _failed(self, pool: Pool, failure: StartFailed, *, has_run: bool) -> None:
        now = time.monotonic()
        pool.failed(failure.reason, failure.message, now, has_run=has_run)
        self._go_on(pool, now)

    def _go_on(self, pool: Pool, now: float) -> None:
        """A worker has died: another one takes its place, now or when its pause is over."""
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
        return self._pools.get(pool.name) is pool

    def _look_again(self, pool: Pool, now: float) -> None:
        if self._is_ours(pool):
            self._look(pool, now)


def _death(status: int) -> tuple[str, str]:
    """Reason and message for a worker that ended by itself although it had been ready."""
    if status < 0:
        return f"Signal{-status}", f"killed by signal {-status}"
    return f"ExitCode{status}", f"exit status {status}"
