"""
One run: start the system, let producers, triggers and the nemesis at it, heal, drain, and return the history.

    start -> ready -> [producers | nemesis | observer] -> heal -> drain -> at rest -> what is left -> stop
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import yaml

from tests.chaos import nemesis, producers, scenario, subscribers
from tests.chaos.clock import Clock
from tests.chaos.faults import Scene
from tests.chaos.history import History
from tests.chaos.observer import Observer
from tests.chaos.proxy import Proxy
from tests.chaos.subscribers import Subscribers
from tests.chaos.system import System

_QUIET_S = 2.0  # traffic before the first fault
_LOOK_S = 0.25


@dataclass
class Options:
    """What a run is made of."""

    seed: int
    duration_s: float
    faults: tuple[str, ...]
    rate_per_s: float = 100.0
    dispatchers: int = 2
    drain_s: float = 180.0
    program: tuple[str, ...] = ()  # in place of `clarion`
    say: Callable[[str], None] = field(default=lambda _: None)


class Run:
    """One run, and its history so far."""

    def __init__(self, options: Options):
        """Nothing is started."""
        self.options = options
        self.history = History(dispatchers=options.dispatchers)
        self.system = System(options.dispatchers)
        self.clock = Clock(self.system.directory, is_wanted="step-clock" in options.faults)
        self.system.program = options.program or self.clock.program or self.system.program
        self._observer = Observer(self.system, self.history.rows)

    async def run(self):
        """Run, and return the history; the system is stopped, and its directory is still there."""
        try:
            async with (Subscribers(self.history.receipts) as server,
                        Proxy(lambda: server.port) as subscriber,
                        Proxy(lambda: self.system.port) as ingress):
                self.options.say("starting")
                await self._start(server.port, subscriber.port)
                await self._live(Scene(self.system, ingress, subscriber, self.clock))
                self.history.final = await self._observer.final()
                self.history.final.strangers += await self._at_rest()
        finally:
            self.history.receipts += subscribers.calls(self.system.calls)
            self.history.final.strangers += await asyncio.to_thread(self.system.stop)
            self.history.final.exceptions = self.system.exceptions()
        return self.history

    async def _start(self, direct, cut):
        folder = self.system.directory / "function"
        folder.mkdir()
        (folder / "func.py").write_text(scenario.FUNCTION.replace("CALLS", repr(str(self.system.calls))))
        began = time.monotonic()
        self.system.begin()
        await self.system.wait_ready()
        self.history.start_s = time.monotonic() - began
        text = scenario.objects(f"http://127.0.0.1:{direct}", f"http://127.0.0.1:{cut}")
        await asyncio.to_thread(self.system.apply, list(yaml.safe_load_all(text)), self.system.directory)
        await asyncio.to_thread(self.system.wait_all_ready, "triggers", len(scenario.TRIGGERS))

    async def _live(self, scene):
        """Everything between the first event and the last."""
        options, history = self.options, self.history
        stopping, ended = asyncio.Event(), asyncio.Event()
        history.began = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            drained = asyncio.Event()
            tasks.create_task(self._observer.follow(drained))
            async with asyncio.TaskGroup() as publishing:
                for name, (compose, pause_s) in producers.cast(options.rate_per_s).items():
                    producer = producers.Producer(name, scene.ingress.port, history.sends, options.seed)
                    publishing.create_task(producer.run(compose, pause_s, stopping, ended))
                planned = nemesis.plan(options.seed, options.duration_s, options.faults, _QUIET_S)
                await nemesis.perform(planned, scene, history.faults, self._say_fault)
                remaining_s = history.began + options.duration_s - time.monotonic()
                await asyncio.sleep(max(0.0, remaining_s))
                options.say("healed; producers finish what they have begun")
                stopping.set()
                with contextlib.suppress(RuntimeError):  # the invariants will say so
                    await self.system.wait_ready()
                asyncio.get_running_loop().call_later(options.drain_s, ended.set)
            history.healed = max((fault.ended for fault in history.faults), default=time.monotonic())
            options.say("draining")
            await self._drain()
            drained.set()
        await self._observer.catch_up()

    async def _drain(self):
        """Wait until nothing waits any more."""
        deadline = time.monotonic() + self.options.drain_s
        while time.monotonic() < deadline:
            if await self._observer.waiting() == 0:
                self.history.drained = time.monotonic()
                return
            await asyncio.sleep(_LOOK_S)

    async def _at_rest(self):
        """Wait until the function is at zero; what should not run is returned if it runs on."""
        self.options.say("waiting for the function to fall to zero")
        deadline = time.monotonic() + self.options.drain_s
        while (found := self.system.strangers()) and time.monotonic() < deadline:
            await asyncio.sleep(_LOOK_S)
        return [f"{name} still runs" for name in found]

    def _say_fault(self, fault):
        name = f"{fault.name:<16}"
        self.options.say(f"{fault.began - self.history.began:7.1f} s  {name} {fault.what}")
