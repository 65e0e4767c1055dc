"""Batches and compressed bodies: what is stored of them, all or nothing, and what they may cost."""

import gzip
import json

import pytest

from eventing import keys, projection
from eventing.broker import body
from eventing.broker.entry import decode
from eventing.broker.group import BATCH_LIMIT_EVENTS
from eventing.errors import Rejected, TooLarge
from tests.eventing.broker.test_ingress import KEY, serving

BATCH = {"Host": "localhost", "Content-Type": "application/cloudevents-batch+json; charset=utf-8"}
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
pytestmark = pytest.mark.timeout(30)


def event(number, **more):
    """Make a small event."""
    return {"specversion": "1.0", "id": str(number), "source": "/s", "type": "t", "data": number, **more}


@pytest.fixture
async def role(store, tmp_path):
    """An ingress on the tests' common store."""
    async with serving(store, tmp_path) as role:
        yield role


async def stored(store, key=KEY):
    """Events in a stream."""
    return [decode(fields) for _, fields in await store.xrange(key)]


async def test_a_batch_is_stored_in_its_order_by_one_append(role, store):
    """Every event of a batch is an entry, stamped like one that comes alone."""
    answer = await role.send(headers=BATCH, body=json.dumps([event(n) for n in range(300)]).encode())

    assert answer.status == 202, answer.body
    found = await stored(store)
    assert [each.attributes["id"] for each in found] == [str(n) for n in range(300)]
    assert json.loads(found[7].data) == 7
    assert found[7].attributes["knativebrokerttl"] == "255"
    assert "clarion_append_group_events_count 1.0" in role.metrics()
    assert 'clarion_ingress_events_accepted_total{broker="shop/default"} 300.0' in role.metrics()


@pytest.mark.parametrize(("events", "status", "says"), [
    pytest.param([event(1), event(2, source="")], 400, b"event 1: source", id="one is no event"),
    pytest.param([event(1), event(2, knativebrokerttl="1")], 400, b"event 1: knativebrokerttl", id="no hops"),
    pytest.param([event(n) for n in range(BATCH_LIMIT_EVENTS + 1)], 413, b"1000", id="too many"),
    pytest.param({"specversion": "1.0"}, 400, b"array", id="no array"),
])
async def test_a_batch_with_one_bad_event_stores_nothing(role, store, events, status, says):
    """All or nothing: the line that refuses it names the event by its index."""
    answer = await role.send(headers=BATCH, body=json.dumps(events).encode())

    assert (answer.status, says in answer.body) == (status, True), answer.body
    assert await store.xlen(KEY) == 0


async def test_an_empty_batch_is_accepted(role, store):
    """It is valid, and there is nothing to store."""
    assert (await role.send(headers=BATCH, body=b"[]")).status == 202
    assert await store.xlen(KEY) == 0


async def test_a_batch_on_several_partitions_is_all_or_nothing(role, store):
    """Its events go to their own partitions; if one of these cannot take its events, none does."""
    await projection.write(store, "brokers", "shop/wide", {"uid": "u", "partitions": 3, "delivery": None})
    streams = [keys.events("shop/wide", number) for number in range(3)]
    while (await role.send(target="/shop/wide", headers=BATCH, body=b"[]")).status != 202:
        pass
    sent = json.dumps([event(n) for n in range(60)]).encode()

    assert (await role.send(target="/shop/wide", headers=BATCH, body=sent)).status == 202
    lengths = [await store.xlen(stream) for stream in streams]
    assert sum(lengths) == 60
    assert min(lengths) > 5


async def test_a_gzipped_event_is_inflated(role, store):
    """Content-Encoding is the request's, and the event's data is what was compressed."""
    body_ = gzip.compress(b'{"qty":2}')

    assert (await role.send(body=body_, Content_Encoding="gzip")).status == 202
    assert [each.data for each in await stored(store)] == [b'{"qty":2}']


async def test_what_inflates_beyond_the_limit_is_413(store, tmp_path):
    """A few bytes that would become many are refused; what just fits is taken."""
    async with serving(store, tmp_path, body_limit_bytes=10_000) as role:
        answer = await role.send(body=gzip.compress(b"x" * 10_001), Content_Encoding="gzip")
        assert (answer.status, b"10000" in answer.body) == (413, True)
        assert (await role.send(body=gzip.compress(b"x" * 10_000), Content_Encoding="gzip")).status == 202
    assert await store.xlen(KEY) == 1


async def test_an_unknown_encoding_is_told_which_one_is_known(role):
    """415 says how to send it instead."""
    answer = await role.send(Content_Encoding="zstd")

    assert (answer.status, answer.headers["accept-encoding"]) == (415, "gzip")


def test_all_members_of_a_gzip_file_are_inflated():
    """Members stand one after the other, and count together."""
    two = gzip.compress(b"a" * 10) + gzip.compress(b"b" * 10)

    assert body.plain(two, b" GZIP ", 20) == b"a" * 10 + b"b" * 10
    with pytest.raises(TooLarge, match="limit of 19"):
        body.plain(two, b"gzip", 19)


def test_a_gzip_file_that_is_cut_off_is_refused():
    """Half a body is no body."""
    with pytest.raises(Rejected, match="cut off"):
        body.plain(gzip.compress(b"a" * 1000)[:-9], b"gzip", 10_000)


@pytest.mark.parametrize(("headers", "wanted"), [
    pytest.param({"traceparent": TRACE, "tracestate": "a=b"}, (TRACE, "a=b"), id="a header is kept"),
    pytest.param({"traceparent": TRACE, "ce-traceparent": "mine"}, ("mine", None), id="the event's wins"),
    pytest.param({"traceparent": "junk"}, (None, None), id="what is no trace is not kept"),
])
async def test_a_trace_is_kept(role, store, headers, wanted):
    """The trace that a request belongs to travels with the event."""
    assert (await role.send(**headers)).status == 202

    [found] = await stored(store)
    assert (found.attributes.get("traceparent"), found.attributes.get("tracestate")) == wanted
