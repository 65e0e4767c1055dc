"""
The control plane of one process, put together: store, objects, reconciler and lease.

Every process that runs it can serve the API; the one that holds the lease reconciles. `run` is its life:

1. load the resources and follow their log;
2. make the namespaces that exist from the start;
3. wait for the lease, then reconcile, until `stopping` is set; what loses the lease, because the store was
   away for too long, waits for it anew;
4. end the watches, let running reconciliations finish, give the lease up.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import redis.asyncio
import structlog

from eventing.config import Config
from eventing.control.core import NAMESPACE
from eventing.control.failure import Failure
from eventing.control.lease import Lease, LeaseLost
from eventing.control.objects import LASTING_NAMESPACES, Objects
from eventing.control.reconcile import Reconciler
from eventing.control.store import Store

log = structlog.get_logger(__name__)


class Plane:
    """What the API serves and what reconciles it; kinds must be registered (imported) before this is made."""

    def __init__(self, config: Config, server: redis.asyncio.Redis,
                 clock: Callable[[], float] = time.time) -> None:
        """Keep everything in *server*; *clock* gives Unix time."""
        self.config = config
        self.store = Store(server)
        self.objects = Objects(self.store, clock)
        self.reconciler = Reconciler(config=config, objects=self.objects, server=server, clock=clock)
        self.started = asyncio.Event()  # the API may serve
        self._lease = Lease(server)

    def __repr__(self) -> str:
        """The parts."""
        return f"<Plane {self.store!r} {self.reconciler!r}>"

    async def run(self, stopping: asyncio.Event) -> None:
        """Live until *stopping* is set."""
        async with asyncio.TaskGroup() as tasks:
            followers = [tasks.create_task(self.store.run()),
                         tasks.create_task(self.reconciler.reports.run())]
            ending = tasks.create_task(self._end_watches(stopping))
            await self.store.loaded.wait()
            await self._make_namespaces()
            self.started.set()
            await self._reconcile(stopping)
            await ending
            for follower in followers:
                follower.cancel()

    async def _end_watches(self, stopping: asyncio.Event) -> None:
        await stopping.wait()
        self.store.end_watches()

    async def _make_namespaces(self) -> None:
        for name in LASTING_NAMESPACES:
            if self.store.get(NAMESPACE, "", name) is None:
                with suppress(Failure):  # another control process was first
                    await self.objects.create(NAMESPACE, "", {"metadata": {"name": name}})

    async def _reconcile(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set() and await self._acquire(stopping):
            try:
                async with asyncio.TaskGroup() as tasks:
                    keeping = tasks.create_task(self._lease.keep())
                    await self.reconciler.run(stopping)
                    keeping.cancel()
            except* LeaseLost as lost:
                log.warning("lease lost; waiting for it", reason=str(lost.exceptions[0]))
            finally:
                await self._lease.release()

    async def _acquire(self, stopping: asyncio.Event) -> bool:
        """Wait for the lease or the end, whichever is first; whether it is the lease."""
        async with asyncio.TaskGroup() as tasks:
            waits = [tasks.create_task(self._lease.acquire()), tasks.create_task(stopping.wait())]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            is_ours = waits[0].done()
            for wait in waits:
                wait.cancel()
        return is_ours
