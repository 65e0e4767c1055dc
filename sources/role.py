"""
The sources role: keeps one coroutine alive for each object in the projection `sources`, sinks among them.

    record appears   -> its coroutine is started
    record changes   -> cancelled, and once it has ended started with the new one
    record goes      -> cancelled
    coroutine raises -> reported as not ready with the reason; started again after 1 s, 2 s, 4 s .. 30 s
                        (after 1 s again once it has been ready)

One source's failure touches no other. States are reported in batches, and only when they differ from what
is known, so 10,000 sources that come up together cost a few writes and idle ones none.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from weakref import WeakValueDictionary

import redis.exceptions
import structlog

from eventing import projection
from eventing.http import server
from eventing.http.client import Client
from eventing.instance import reachable
from eventing.projection import Record
from eventing.runtime import Runtime, end
from sources import sink, source
from sources.batches import Batches
from sources.doors import Doors, Entrance
from sources.emitter import Emitter, batches_to
from sources.ledger import Ledger
from sources.places import Places
from sources.tally import Tally

_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 30.0
_REPORT_EVERY_S = 0.1  # a person does not see it; ten thousand states fit in one write

Run = Callable[[Record], Awaitable[None]]

log = structlog.get_logger(__name__)


class Sources:
    """All running sources of one process."""

    def __init__(self, runtime: Runtime, client: Client) -> None:
        """Send through *client*."""
        self._store = runtime.store
        self._client = client
        self._api = f"http://{reachable(runtime.config.host)}:{runtime.config.control_port}"
        self._brokers = f"{runtime.config.data_url}/"  # what the addresses of our own brokers begin with
        self._shared: WeakValueDictionary[str, Batches] = WeakValueDictionary()  # of small sources, by sink
        self._places = Places(runtime.store)
        self._tally = Tally()
        runtime.metrics.register(self._tally)
        self._runs: dict[str, set[asyncio.Task[None]]] = {}  # by name: the last, and those that are ending
        self._states: dict[str, Record] = {}  # not written yet
        self._written: dict[str, Record] = {}
        self._changed = asyncio.Event()
        self._tasks = asyncio.TaskGroup()
        self.doors = Doors(runtime.config.body_limit_bytes, self._tasks)

    def __repr__(self) -> str:
        """Counts."""
        return f"<Sources [{len(self._runs)} running | {len(self._states)} states to report]>"

    async def run(self) -> None:
        """Follow the projection until cancelled."""
        self._written = await projection.read(self._store, "source-states")
        try:
            async with self._tasks:
                self._tasks.create_task(self._report())
                self._tasks.create_task(self._places.run())
                follower = projection.Follower(self._store, {"sources": self._on_change})
                await follower.run()
        finally:
            await self._places.write()

    def _on_change(self, name: str, record: Record | None) -> None:
        for run in self._runs.get(name, ()):
            if not run.cancelling():  # one that is ending already may take its time
                run.cancel()
        kind, _, where = name.partition("/")
        as_source, as_sink = source.named(kind), sink.named(kind)
        if record is None:
            self._tally.forget(name)
            self._states.pop(name, None)
            self._written.pop(name, None)
            if as_sink is not None:
                self.doors.remove(where)
        elif as_source is not None:
            emit = self._emitter(as_source, name, record)
            self._start(lambda found: as_source.run(found, emit), emit, name, record)
        elif as_sink is not None:
            entrance = Entrance(functools.partial(self._set_state, name, record), self._tally.counts(name))
            self.doors.add(where, entrance)
            self._start(lambda found: as_sink(found, entrance), entrance, name, record)

    def _emitter(self, kind: source.Source, name: str, record: Record) -> Emitter:
        return Emitter(self._client, record, name=name, count=self._tally.counts(name),
                       on_state=functools.partial(self._set_state, name, record),
                       on_place=functools.partial(self._places.say, record["uid"]),
                       ledger=Ledger(self._store, record["uid"]),
                       batches=self._batches(kind, record["sink"]))

    def _start(self, run: Run, way: Emitter | Entrance, name: str, record: Record) -> None:
        """Begin a run of one source or sink."""
        before = frozenset(self._runs.get(name, ()))
        task = self._tasks.create_task(self._keep(run, way, name, record, before))
        self._runs[name] = {task, *before}
        task.add_done_callback(functools.partial(self._ended, name))

    def _ended(self, name: str, task: asyncio.Task[None]) -> None:
        self._runs[name].remove(task)
        if not self._runs[name]:
            del self._runs[name]

    async def _keep(self, run: Run, way: Emitter | Entrance, name: str, record: Record,
                    before: frozenset[asyncio.Task[None]]) -> None:
        """Run one source or sink, once all its runs *before* have ended; again and again if it fails."""
        if before:
            await asyncio.wait(before)
        wait_s = _FIRST_WAIT_S
        while True:
            way.was_ready = False
            try:
                await run(record | {"secrets": await self._secrets(name, record),
                                    "place": await self._places.read(record["uid"]), "api": self._api})
            except source.NotReady as error:
                problem = error.reason, str(error)
            except Exception as error:  # noqa: BLE001  whatever it raises is its own failure only
                problem = "SourceFailed", f"{type(error).__name__}: {error}"
            else:
                return  # one that is done is done
            way.not_ready(*problem)
            wait_s = _FIRST_WAIT_S if way.was_ready else wait_s
            log.warning("source failed", source=name, reason=problem[0], error=problem[1], again_in_s=wait_s)
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, _LONGEST_WAIT_S)

    def _batches(self, kind: source.Source, url: str) -> Batches | None:
        """How events to *url* go together; None if it is no broker of ours, all of which take batches."""
        if not url.startswith(self._brokers):
            return None
        if not kind.is_small:
            return batches_to(self._client, url)
        shared = self._shared.get(url)
        if shared is None:
            shared = self._shared[url] = batches_to(self._client, url)
        return shared

    async def _secrets(self, name: str, record: Record) -> Record:
        """What the reconciler wrote into `source-secrets` before it wrote *record*."""
        if not record.get("secret_versions"):
            return {}
        return await projection.read_one(self._store, "source-secrets", name) or {}

    def _set_state(self, name: str, record: Record, reason: str = "", message: str = "",
                   status: Mapping[str, Any] | None = None, *, sink: str = "") -> None:
        """Report the state of one source; no *reason*: it is well; *sink*: why its sink is not."""
        state = {"uid": record["uid"], "generation": record["generation"], "ready": not reason,
                 "reason": reason, "message": message, **({"status": status} if status else {}),
                 **({"sink": sink} if sink else {})}
        if self._written.get(name) == state:
            self._states.pop(name, None)
            return
        self._states[name] = state
        self._changed.set()

    async def _report(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            states, self._states = self._states, {}
            self._written |= states  # before they are: what is said meanwhile is compared with these
            try:
                await projection.write_many(self._store, "source-states", states)
            except (redis.exceptions.RedisError, OSError):
                for name in states:
                    self._written.pop(name, None)
                self._states = states | self._states
                self._changed.set()
            await asyncio.sleep(_REPORT_EVERY_S)


async def run(runtime: Runtime) -> None:
    """The role: until `stopping`, then nothing more is emitted; what was accepted is safe with the broker."""
    source.load()
    client = Client(dial=runtime.config.dial)
    try:
        async with asyncio.TaskGroup() as tasks:
            sources = Sources(runtime, client)
            running = tasks.create_task(sources.run())
            listener = await _listen(runtime, sources.doors)
            runtime.ready()
            await runtime.stopping.wait()
            # First what senders wait for, while the sinks are still connected.
            await listener.close(runtime.config.drain_s)
            await end([running])
    finally:
        await client.close()


async def _listen(runtime: Runtime, doors: Doors) -> server.Server:
    path = runtime.config.sinks_socket
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # a killed predecessor left it
    return await server.serve(doors.handle, path=path)
