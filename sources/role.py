"""
The sources role: keeps one coroutine alive for each object in the projection `sources`.

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
from collections.abc import Mapping
from typing import Any
from weakref import WeakValueDictionary

import redis.exceptions
import structlog

from eventing import cancellation, projection
from eventing.http.client import Client
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

log = structlog.get_logger(__name__)


class Sources:
    """All running sources of one process."""

    def __init__(self, runtime: Runtime, client: Client) -> None:
        """Send through *client*."""
        self._store = runtime.store
        self._client = client
        self._brokers = f"{runtime.config.data_url}/"  # what the addresses of our own brokers begin with
        self._shared: WeakValueDictionary[str, Batches] = WeakValueDictionary()  # of small sources, by sink
        self._places = Places(runtime.store)
        self._tally = Tally()
        runtime.metrics.register(self._tally)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._states: dict[str, Record | None] = {}  # not written yet
        self._written: dict[str, Record] = {}
        self._changed = asyncio.Event()
        self._tasks = asyncio.TaskGroup()
        self.doors = Doors(runtime.config.body_limit_bytes, self._tasks)

    def __repr__(self) -> str:
        """Counts."""
        return f"<Sources [{len(self._running)} running | {len(self._states)} states to report]>"

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
        if (before := self._running.pop(name, None)) is not None:
            before.cancel()
        kind, _, where = name.partition("/")
        if record is None:
            self._tally.forget(name)
            self.doors.remove(where)
        elif (found := source.named(kind)) is not None:
            emit = self._emitter(found, name, record)
            self._running[name] = self._tasks.create_task(self._keep(found.run, emit, name, record, before))
        elif (run := sink.named(kind)) is not None:
            entrance = Entrance(functools.partial(self._set_state, name, record), self._tally.counts(name))
            self.doors.add(where, entrance)
            self._running[name] = self._tasks.create_task(self._keep(run, entrance, name, record, before))

    def _emitter(self, kind: source.Source, name: str, record: Record) -> Emitter:
        emit = Emitter(self._client, record, name=name, count=self._tally.counts(name),
                       on_state=functools.partial(self._set_state, name, record),
                       on_place=functools.partial(self._places.say, record["uid"]),
                       ledger=Ledger(self._store, record["uid"]),
                       batches=self._batches(kind, record["sink"]))
        wait_s = _FIRST_WAIT_S
        while True:
            emit.was_ready = False
            try:
                around = {"secrets": await self._secrets(name, record),
                          "place": await self._places.read(record["uid"])}
                await kind.run(record | around, emit)
            except source.NotReady as error:
                problem = error.reason, str(error)
            except Exception as error:  # noqa: BLE001  whatever a source raises is its own failure only
                problem = "SourceFailed", f"{type(error).__name__}: {error}"
            else:
                return  # a source that is done is done
            self._set_state(name, record, *problem)
            wait_s = _FIRST_WAIT_S if emit.was_ready else wait_s
            log.warning("source failed", source=name, reason=problem[0], error=problem[1], again_in_s=wait_s)
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, _LONGEST_WAIT_S)

    def _batches(self, kind: source.Source, sink: str) -> Batches | None:
        """How events to *sink* go together; None if it is no broker of ours, all of which take batches."""
        if not sink.startswith(self._brokers):
            return None
        if not kind.is_small:
            return batches_to(self._client, sink)
        shared = self._shared.get(sink)
        if shared is None:
            shared = self._shared[sink] = batches_to(self._client, sink)
        return shared

    async def _secrets(self, name: str, record: Record) -> Record:
        """What the reconciler wrote into `source-secrets` before it wrote *record*."""
        if not record.get("secret_versions"):
            return {}
        return await projection.read_one(self._store, "source-secrets", name) or {}

    def _set_state(self, name: str, record: Record, reason: str = "", message: str = "",
                   status: Mapping[str, Any] | None = None) -> None:
        """Report the state of one source; no *reason* means that it is well."""
        state = {"uid": record["uid"], "generation": record["generation"], "ready": not reason,
                 "reason": reason, "message": message, **({"status": status} if status else {})}
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
            try:
                await projection.write_many(self._store, "source-states", states)
            except (redis.exceptions.RedisError, OSError):
                self._states = states | self._states
                self._changed.set()
            else:
                self._written.update({name: state for name, state in states.items() if state})
            cancellation.heed()
            await asyncio.sleep(_REPORT_EVERY_S)


async def run(runtime: Runtime) -> None:
    """The role: until `stopping`, then nothing more is emitted; what was accepted is safe with the broker."""
    source.load()
    client = Client(dial=runtime.config.dial)
    try:
        async with asyncio.TaskGroup() as tasks:
            sources = tasks.create_task(Sources(runtime, client).run())
            runtime.ready()
            await runtime.stopping.wait()
            await end([sources])
    finally:
        await client.close()
