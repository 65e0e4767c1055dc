"""
The probes of one worker, from the moment its program runs until it ends.

    startupProbe     asked alone, until it passes; failed for good -> on_failed, and nothing more is asked
    readinessProbe   until it passes -> on_ready; then, where that means anything, for as long as the worker
                     runs: `worker.unready` is why it fails, and worker.on_readiness is called at each change
    livenessProbe    beside it; failed -> on_dead, and nothing more is asked

What a program says before it is up is that nobody listens, mostly; so of a start only what lasts is told.
Numbers are thresholds.py's, one question is probing.py's, and what is done about the answers is whoever's
the callbacks are.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from serving.workers.backend import Worker
from serving.workers.probing import Asker, goes_on, trusts_socket
from serving.workers.thresholds import Probe, Streak, Timing

_QUIET_S = 2.0  # a start that takes longer says what it waits for
_AGAIN_S = 10.0  # between two lines about a worker that is unready for ever new reasons


@dataclass(frozen=True, kw_only=True)
class Probes:
    """What is asked of a worker; None: nothing."""

    startup: Probe | None
    readiness: Probe | None
    liveness: Probe | None

    @property
    def are_content_with_a_socket(self) -> bool:
        """Is a worker ready, as far as they go, before its program runs, when there is a socket for it?"""
        return self.startup is None and trusts_socket(self.readiness)

    @property
    def ask_elsewhere(self) -> bool:
        """Is a worker ready when there is a socket, but not at the address that it serves?"""
        asked = (self.readiness or {}).get("tcpSocket") or {}
        return bool(asked.get("port") or asked.get("host"))

    @property
    def lasts(self) -> bool:
        """Is there anything to ask a worker that is ready?"""
        return self.liveness is not None or goes_on(self.readiness)


class Vigil:
    """Asks, and tells."""

    def __init__(self, worker: Worker, probes: Probes, asker: Asker, note: Callable[[str], None]) -> None:
        """For *worker*; *note* adds a line to its log."""
        self._worker = worker
        self._probes = probes
        self._asker = asker
        self._note = note
        self._loop = asyncio.get_running_loop()
        self._began = self._tell_at = 0.0
        self.trouble = ""  # why it is not ready, as of the last question

    async def keep(self, *, on_ready: Callable[[], None], on_failed: Callable[[str], None],
                   on_dead: Callable[[str], None]) -> None:
        """Ask until cancelled, or until nothing more is to be asked."""
        self._began = self._loop.time()
        self._tell_at = self._began + _QUIET_S
        if self._probes.startup is not None:
            why = await self._until_started(self._probes.startup)
            if why:
                on_failed(f"Startup probe failed: {why}")
                return
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch_readiness(self._probes.readiness or {}, on_ready))
            if self._probes.liveness is not None:
                tasks.create_task(self._watch_liveness(self._probes.liveness, on_dead))

    async def _until_started(self, probe: Probe) -> str:
        """Return "" once it has passed; why not, after failureThreshold answers that say so."""
        timing = Timing.of(probe)
        left = timing.failures
        await self._reach(timing.delay_s)
        while True:
            asked = self._loop.time()
            why = await self._asker.ask(probe)
            if not why:
                if self._worker.unready:
                    self._note("Startup probe passed")
                self._worker.unready = ""
                return ""
            self._say_if_it_lasts(f"Startup probe failed: {why}")
            left -= 1
            if not left:
                return why
            await self._rest(asked, timing.period_s)

    async def _watch_readiness(self, probe: Probe, on_ready: Callable[[], None]) -> None:
        timing = Timing.of(probe)
        streak = Streak(timing, passing=self._worker.ready.done())
        await self._reach(timing.delay_s)
        while not self._worker.ready.done() or goes_on(probe):
            asked = self._loop.time()
            why = await self._asker.ask(probe)
            changed = streak.add(passed=not why)
            if changed and streak.passing:
                self._passes(on_ready)
            elif changed:
                self._say(f"Readiness probe failed: {why}")
            elif why and not streak.passing:
                self._say_if_it_lasts(f"Readiness probe failed: {why}")
            period_s = timing.period_s if self._worker.ready.done() else timing.starting_period_s
            await self._rest(asked, period_s)

    async def _watch_liveness(self, probe: Probe, on_dead: Callable[[str], None]) -> None:
        timing = Timing.of(probe)
        streak = Streak(timing, passing=True)
        await self._reach(timing.delay_s)
        while True:
            asked = self._loop.time()
            why = await self._asker.ask(probe)
            if streak.add(passed=not why):
                break
            await self._rest(asked, timing.period_s)
        on_dead(f"Liveness probe failed: {why}")

    def _passes(self, on_ready: Callable[[], None]) -> None:
        if self._worker.unready:
            self._note("Readiness probe passed: it gets requests")
        self._worker.unready = ""
        on_ready()
        self._worker.on_readiness()

    def _say_if_it_lasts(self, why: str) -> None:
        """It is not ready yet, or still not."""
        self.trouble = why
        if why != self._worker.unready and self._loop.time() >= self._tell_at:
            self._say(why)

    def _say(self, why: str) -> None:
        self._tell_at = self._loop.time() + _AGAIN_S
        self._worker.unready = why
        self._note(why)
        self._worker.on_readiness()

    async def _reach(self, delay_s: float) -> None:
        """Wait until the program has run for *delay_s*."""
        await self._rest(self._began, delay_s)

    async def _rest(self, since: float, period_s: float) -> None:
        await asyncio.sleep(max(0.0, since + period_s - self._loop.time()))
