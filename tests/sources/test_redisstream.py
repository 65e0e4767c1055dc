"""RedisStreamSource: entries of a real Valkey's streams, in the sources role."""

import asyncio
import json

import pytest

from eventing import projection
from sources.redisstream import EVENT_TYPE, to_event

NAME = "RedisStreamSource/default/orders"
ID = b"1769903999000-0"


@pytest.fixture
async def flow(store, sink, valkey_socket):
    """A RedisStreamSource as its reconciler projects it."""
    return {"uid": "3f1cbb7c-6d0a-4f6e-9d52-0d4f8f2f9a10", "generation": 1, "source": "/orders",
            "sink": sink.url, "extensions": {}, "delivery": None, "secret_versions": [],
            "spec": {"address": f"unix://{valkey_socket}", "stream": "orders", "group": "g", "consumers": 1}}


async def state_of(store, condition):
    """The reported state once *condition* holds of it."""
    async with asyncio.timeout(20):
        while True:
            state = (await projection.read(store, "source-states")).get(NAME)
            if state is not None and condition(state):
                return state
            await asyncio.sleep(0.01)


async def start(store, flow):
    """Apply the source and wait until it is ready."""
    await projection.write(store, "sources", NAME, flow)
    await state_of(store, lambda state: state["ready"] and state["generation"] == flow["generation"])


def test_event():
    """An entry's fields are an array of names and values; its id is the event's, and says when."""
    event = to_event(ID, {b"sku": b"7", b"bytes": b"\xff"}, "/orders")

    assert event[:2] == ({"specversion": "1.0", "id": ID.decode(), "type": EVENT_TYPE, "source": "/orders",
                      "datacontenttype": "application/json", "time": "2026-01-31T23:59:59.000Z"},
                     json.dumps(["sku", "7", "bytes", "\ufffd"], ensure_ascii=False,
                                separators=(",", ":")).encode())


def test_event_with_any_id():
    """An id that is no time leaves the time out."""
    assert "time" not in to_event(b"99999999999999999999-0", {b"a": b"b"}, "/s").attributes


async def test_entries(store, sources, sink, flow):
    """Entries arrive in order, and are acknowledged."""
    await start(store, flow)

    for number in range(20):
        await store.xadd("orders", {"n": number})
    await sink.until(lambda sink: len(sink.events) == 20)

    assert [json.loads(event.data) for event in sink.events] == [["n", str(n)] for n in range(20)]
    async with asyncio.timeout(10):
        while (await store.xpending("orders", "g"))["pending"]:
            await asyncio.sleep(0.01)


async def test_goes_on_where_it_stopped(store, sources, sink, flow):
    """A source that was away reads what came meanwhile; what was in flight comes again, and nothing else."""
    await start(store, flow)
    first = await store.xadd("orders", {"n": 1})
    await sink.until(lambda sink: sink.events)
    sink.answers = [503] * 1000
    held = await store.xadd("orders", {"n": 2})
    await sink.until(lambda sink: held.decode() in sink.asked)

    await projection.write(store, "sources", NAME, None)
    later = await store.xadd("orders", {"n": 3})
    sink.answers = []
    await start(store, flow | {"generation": 2})
    await sink.until(lambda sink: len(sink.events) == 3)

    assert [event.attributes["id"].encode() for event in sink.events] == [first, held, later]


async def test_trimmed(store, sources, sink, flow):
    """An entry that was trimmed while it was in flight does not stop the source."""
    await store.xgroup_create("orders", "g", mkstream=True)
    await store.xadd("orders", {"n": 1})
    await store.xreadgroup("g", "clarion", {"orders": ">"})
    await store.xtrim("orders", maxlen=0)

    await start(store, flow)
    await store.xadd("orders", {"n": 2})

    await sink.until(lambda sink: sink.events)
    assert json.loads(sink.events[0].data) == ["n", "2"]


async def test_refused(store, sources, sink, flow):
    """An entry that the sink refuses for good is skipped, and the next one is sent."""
    sink.answers = [400]
    await start(store, flow)

    for number in range(2):
        await store.xadd("orders", {"n": number})
    await sink.until(lambda sink: sink.events)

    assert json.loads(sink.events[0].data) == ["n", "1"]


async def test_side_by_side(store, sources, sink, flow):
    """With several consumers all entries arrive, once."""
    flow["spec"]["consumers"] = 10
    await start(store, flow)

    for number in range(100):
        await store.xadd("orders", {"n": number})
    await sink.until(lambda sink: len(sink.events) == 100)

    assert len({event.attributes["id"] for event in sink.events}) == 100


async def test_not_ready(store, sources, sink, flow):
    """A Redis that is away, and a key that is no stream, are the object's reasons, until they end."""
    away = {**flow["spec"], "address": "redis://127.0.0.1:1"}
    await projection.write(store, "sources", NAME, flow | {"spec": away})
    assert (await state_of(store, lambda state: not state["ready"]))["reason"] == "ConnectionFailed"

    await store.set("orders", "text")
    await projection.write(store, "sources", NAME, flow | {"generation": 2})
    state = await state_of(store, lambda state: state["generation"] == 2)
    assert (state["reason"], "WRONGTYPE" in state["message"]) == ("StreamFailed", True)

    await store.delete("orders")
    await state_of(store, lambda state: state["ready"])


@pytest.mark.parametrize(("spec", "message"), [
    ({"address": "redis://r:6379", "stream": "s"}, ""),
    ({}, "missing field(s): spec.address, spec.stream"),
    ({"address": "http://r", "stream": "s"},
     "invalid value: http://r: spec.address\nexpected redis://HOST:PORT/DATABASE"),
    ({"address": "redis://r", "stream": "s", "consumers": 0}, "expected 1 <= 0 <= 1000: spec.consumers"),
])
def test_admission(admit, spec, message):
    """A RedisStreamSource names an address and a stream."""
    made = {"apiVersion": "sources.knative.dev/v1alpha1", "kind": "RedisStreamSource",
            "metadata": {"name": "orders"}, "spec": {"sink": {"uri": "http://s/"}, **spec}}

    assert admit(made)[1] == message
