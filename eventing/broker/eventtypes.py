"""
Which types of events a role has seen, told to the control plane, which makes EventTypes of them.

Behind Knative's flag `eventtype-auto-create` of ConfigMap config-features, off unless it is `enabled`. While
it is off nothing is looked at; while it is on an event costs one look-up in a set, and the first of its type
and source a record in the projection `event-types`, written later by a task of its own: no event waits.

    event -> seen? -> [pending] -> projection event-types -> kinds/eventtype.py makes it and takes the record

What was noted is forgotten after `FORGET_S`, and then told again when it is seen again: so an EventType that
somebody deleted comes back, and one that could not be made is. Of types and sources without end only the
first `SEEN_LIMIT` are noted in that time.
"""

import asyncio
import contextlib
import hashlib
import re
import time
from collections.abc import Mapping

import redis.asyncio
import redis.exceptions
import structlog

from eventing import projection
from eventing.projection import Record

TABLE = "event-types"
FEATURES = "knative-eventing/config-features"  # the record of projection `configs`
FLAG = "eventtype-auto-create"

SEEN_LIMIT = 2000  # types and sources of one role in FORGET_S
FORGET_S = 600.0
# What is longer names no type that a person would look up in a list.
_LONGEST_CHARACTERS = 1024
_LINGER_S = 0.25  # types that are seen for the first time together are told together
_BATCH = 100
_AWAY_S = 1.0
_STORE_AWAY = (redis.exceptions.RedisError, OSError, TimeoutError)

_NAME_LIMIT = 253  # RFC 1123, and what Knative cuts names to: it leaves room for ten characters
_NAME_ROOM = 10
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NOT_IN_NAMES = re.compile(r"[^-.a-z0-9]+")

log = structlog.get_logger(__name__)


def is_enabled(features: Mapping[str, str] | None) -> bool:
    """Whether the flag is on, by the data of config-features (None: there is no such ConfigMap)."""
    return str((features or {}).get(FLAG, "")).lower() == "enabled"


def name_of(reference: str, type_: str, source: str) -> str:
    """Name of the EventType that is made for *reference*, `namespace/name` (Knative's scheme)."""
    namespace, _, name = reference.partition("/")
    digest = hashlib.md5(f"{type_}{source}{namespace}{name}".encode(), usedforsecurity=False).hexdigest()
    made = f"et-{name}-{digest}"
    if len(made) <= _NAME_LIMIT and _NAME.fullmatch(made):
        return made
    return _NOT_IN_NAMES.sub("", made[:_NAME_LIMIT - _NAME_ROOM].lower()).strip("-.")


class EventTypes:
    """What one role has seen; `run` is the task that tells."""

    def __init__(self, store: redis.asyncio.Redis) -> None:
        """Note nothing until `on_config` says that the flag is on."""
        self.is_on = False
        self._store = store
        self._seen: set[tuple[str, str, str, str]] = set()
        self._pending: dict[str, Record] = {}
        self._has_pending = asyncio.Event()
        self._forget_at = time.monotonic() + FORGET_S

    def __repr__(self) -> str:
        """Counts."""
        return f"<EventTypes [{len(self._seen)} seen | {len(self._pending)} to tell]>"

    def on_config(self, name: str, record: Record | None) -> None:
        """Projection `configs`: whether the flag is on."""
        if name == FEATURES:
            self.is_on = is_enabled(record)
            if not self.is_on:
                self._seen.clear()
                self._pending.clear()

    def note(self, kind: str, reference: str, attributes: Mapping[str, str]) -> None:
        """
        Take note of an event's *attributes*; the flag is on.

        It was seen at *reference*, `namespace/name` of a Broker, or of the Trigger whose subscriber answered
        with it; *kind* says which.
        """
        key = (kind, reference, attributes["type"], attributes["source"])
        if key in self._seen or len(self._seen) >= SEEN_LIMIT:
            return
        schema = attributes.get("dataschema") or attributes.get("schemaurl") or ""
        if max(map(len, (*key, schema))) > _LONGEST_CHARACTERS:
            return
        self._seen.add(key)
        namespace, _, name = reference.partition("/")
        type_, source = key[2:]
        record = {"type": type_, "source": source, "schema": schema, "kind": kind, "name": name}
        self._pending[f"{namespace}/{name_of(reference, type_, source)}"] = record
        self._has_pending.set()

    async def run(self) -> None:
        """Tell what was noted, for ever; a store that is away is told later."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, self._forget_at - time.monotonic())):
                    await self._has_pending.wait()
            if time.monotonic() >= self._forget_at:
                self._seen.clear()
                self._forget_at = time.monotonic() + FORGET_S
            await asyncio.sleep(_LINGER_S)
            self._has_pending.clear()
            try:
                await self._tell()
            except _STORE_AWAY as error:
                log.debug("event types told later", error=str(error))
                self._has_pending.set()
                await asyncio.sleep(_AWAY_S)

    async def _tell(self) -> None:
        while self._pending:
            batch = dict(list(self._pending.items())[:_BATCH])
            await projection.write_many(self._store, TABLE, batch)
            for name in batch:
                self._pending.pop(name, None)
