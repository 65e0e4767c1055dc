"""
RedisStreamSource: an event for each entry of a Redis stream.

Where it stopped is kept in that Redis, by a consumer group: an entry is acknowledged once its event has been
accepted, and one that was read and not acknowledged is read again first. A crash anywhere repeats at most
`consumers` events and loses none. Entries stay in the stream.

    spec.address     redis://host:6379/0, rediss://..., unix:///path
    spec.stream      its key
    spec.group       the consumer group; the object's uid unless given; made at the stream's end, or at its
                     beginning if there is no stream yet
    spec.consumers   entries in flight: 1 (the default) keeps their order
    spec.username, spec.password.secretKeyRef        for the login

An entry's fields are the data, a JSON array `[name, value, ...]` as in Knative's source, whose words these
are. JSON is text: bytes of them that are not UTF-8 become U+FFFD there.
What the sink refuses for good goes to `delivery.deadLetterSink`, or is skipped with a log line and a count.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import orjson

from eventing.control import field, resource
from eventing.control.field import FieldError
from eventing.control.kind import Column, Defaults
from eventing.control.resource import Resource
from eventing.event import Event
from eventing.projection import Record
from sources.adapter import SECRET_VALUE, SecretKeyRef, source_kind
from sources.source import CeAttributes, Emit, NotReady, Refused, secrets_of, source, spec_of

if TYPE_CHECKING:
    import redis.asyncio

EVENT_TYPE = "dev.knative.sources.redisstream"

_FIELDS = {"address": str, "stream": str, "group": str, "consumers": int, "username": str,
           "password": SECRET_VALUE}
_SCHEMES = frozenset({"redis", "rediss", "unix"})
_MAX_CONSUMERS = 1000
# One member of the group for ever: what it had read before a crash is its own to read again.
_CONSUMER = "clarion"
_BLOCK_MS = 1000  # below the timeout that follows, which would end the read as an error
_ANSWER_S = 5.0

_Entry = tuple[bytes, Mapping[bytes, bytes] | None]  # id and fields; no fields: trimmed since it was read


@source("RedisStreamSource")
async def redisstream(record: Record, emit: Emit) -> None:
    """Emit an event for each entry, for ever; raises NotReady with the reason."""
    import redis.asyncio  # noqa: PLC0415  a kind is cheap to import
    import redis.exceptions  # noqa: PLC0415

    from eventing import cancellation  # noqa: PLC0415

    spec = spec_of(record)
    store = cancellation.heeding(redis.asyncio.Redis.from_url(
        spec["address"], username=spec.get("username"), password=secrets_of(record).get("password"),
        socket_timeout=_ANSWER_S, socket_connect_timeout=_ANSWER_S))
    try:
        await _Reader(store, record, emit).run()
    except redis.exceptions.AuthenticationError as error:
        raise NotReady("AuthenticationFailed", str(error)) from error
    except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError) as error:
        raise NotReady("ConnectionFailed", str(error)) from error
    except redis.exceptions.RedisError as error:
        raise NotReady("StreamFailed", str(error)) from error
    finally:
        await store.aclose()


class _Reader:
    """One source's member of the group."""

    def __init__(self, store: "redis.asyncio.Redis", record: Record, emit: Emit) -> None:
        spec = spec_of(record)
        self._store = store
        self._emit = emit
        self._source: str = record["source"]
        self._stream: str = spec["stream"]
        self._group: str = spec.get("group") or record["uid"]
        self._at_once: int = spec.get("consumers") or 1

    async def run(self) -> None:
        """First what was read before and not acknowledged, then what comes."""
        await self._join()
        self._emit.ready()
        after = "0"
        while True:
            entries = await self._read(after)
            if entries:
                await self._pass_on(entries)
            elif after != ">":
                after = ">"

    async def _join(self) -> None:
        import redis.exceptions  # noqa: PLC0415  imported by now

        try:
            await self._store.xgroup_create(self._stream, self._group, id="$", mkstream=True)
        except redis.exceptions.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def _read(self, after: str) -> Sequence[_Entry]:
        """Entries not acknowledged (*after* `0`), or new ones (`>`); empty if there are none now."""
        answer: Any = await self._store.xreadgroup(self._group, _CONSUMER, {self._stream: after},
                                                   count=self._at_once, block=_BLOCK_MS)
        streams = answer.items() if isinstance(answer, dict) else answer
        return [entry for _, entries in streams or () for entry in entries]

    async def _pass_on(self, entries: Sequence[_Entry]) -> None:
        async with asyncio.TaskGroup() as tasks:
            for id_, fields in entries:
                if fields:
                    tasks.create_task(self._send(to_event(id_, fields, self._source)))
        await self._store.xack(self._stream, self._group, *(id_ for id_, _ in entries))

    async def _send(self, event: Event) -> None:
        try:
            await self._emit(event)
        except Refused as refused:
            await self._emit.give_up(event, refused)


def to_event(id_: bytes, fields: Mapping[bytes, bytes], source_: str) -> Event:
    """The event of one entry; its time is the one in its id, when that is one."""
    attributes = {"specversion": "1.0", "id": id_.decode(), "type": EVENT_TYPE, "source": source_,
                  "datacontenttype": "application/json"}
    try:
        written = datetime.fromtimestamp(int(id_.partition(b"-")[0]) / 1000, UTC)
    except (ValueError, OverflowError, OSError):  # whoever wrote the entry chose its id
        pass
    else:
        attributes["time"] = written.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    texts = [part.decode(errors="replace") for pair in fields.items() for part in pair]
    return Event(attributes, orjson.dumps(texts))


def _default(redisstreamsource: Resource, old: Resource | None, defaults: Defaults) -> None:
    del old, defaults
    spec = redisstreamsource.setdefault("spec", {})
    if isinstance(spec, dict):
        spec.setdefault("consumers", 1)


def _validate(redisstreamsource: Resource, old: Resource | None, defaults: Defaults) -> list[FieldError]:
    del old, defaults
    spec = resource.spec(redisstreamsource)
    errors = [field.missing_field(name) for name in ("address", "stream") if not spec.get(name)]
    if spec.get("address") and not _is_address(str(spec["address"])):
        errors.append(field.invalid_value(spec["address"], "address", "expected redis://HOST:PORT/DATABASE"))
    consumers = spec.get("consumers")
    if not isinstance(consumers, int) or not 1 <= consumers <= _MAX_CONSUMERS:
        errors.append(field.out_of_bounds(consumers, 1, _MAX_CONSUMERS, "consumers"))
    return field.via_field(errors, "spec")


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in _SCHEMES and bool(parts.hostname or parts.path) and parts.port != 0
    except ValueError:
        return False


def _secrets(redisstreamsource: Resource) -> dict[str, SecretKeyRef]:
    ref = (resource.spec(redisstreamsource).get("password") or {}).get("secretKeyRef")
    return {"password": ref} if ref else {}


def _ce_attributes(redisstreamsource: Resource) -> CeAttributes:
    stream = str(resource.spec(redisstreamsource).get("stream") or "")
    return [{"type": EVENT_TYPE, "source": f"/{quote(stream)}"}]


KIND = source_kind(
    "RedisStreamSource", version="v1alpha1", columns=(Column("Stream", ".spec.stream"),), fields=_FIELDS,
    default=_default, validate=_validate, ce_attributes=_ce_attributes, secrets=_secrets,
)
