"""What surrounds the deliveries: hosts of our own, metrics, health."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from eventing import binding
from eventing.broker import message
from eventing.broker.delivery import NO_ANSWER
from eventing.broker.lane_metrics import LaneMetrics
from eventing.broker.sender import Sender
from eventing.config import Config
from eventing.event import Event
from eventing.http import server

EVENT = Event(
    {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "traceparent": "00-1-2-03"}, b"x")


async def attempt(config, url, timeout_s=5, may_send=lambda: True):
    """One attempt of a sender of its own."""
    sender = Sender(config)
    try:
        told = asyncio.get_running_loop().create_future()
        async with asyncio.TaskGroup() as tasks:
            head = message.binary(EVENT.attributes)
            sender.send(sender.route(url, "ns", wants_reply=True), head, EVENT.data,
                        timeout_s=timeout_s, then=told.set_result, tasks=tasks, may_send=may_send)
            return await told
    finally:
        await sender.close()


async def test_services_are_dialled_at_the_activator(tmp_path):
    """A Service's host is never looked up: the activator's socket gets the request, Host and all."""
    config = Config(data_dir=tmp_path, port=8080)
    config.socket_dir.mkdir(parents=True, exist_ok=True)
    hosts = []

    def handle(exchange):
        hosts.append(exchange.header(b"host"))
        exchange.collect(1000, lambda body: exchange.respond(200))
    activator = await server.serve(handle, path=config.activator_socket)

    answer = await attempt(config, "http://hello.default.localhost:8080/")
    await activator.close(0)

    assert (answer.status, hosts) == (200, [b"hello.default.localhost:8080"])


async def test_nothing_is_sent_past_the_lease(tmp_path, subscriber):
    """A message that got its connection after the lease has ended is sent once there is a lease again."""
    asked = []

    def may_send():
        asked.append(len(subscriber.received))
        return len(asked) == 3

    answer = await attempt(Config(data_dir=tmp_path), subscriber.url, may_send=may_send)

    assert (answer.status, asked) == (200, [0, 0, 0])
    assert len(subscriber.received) == 1


async def test_trace_context_travels_both_ways_of_speaking(tmp_path, subscriber):
    """`traceparent` is an attribute of the event and a header of the request."""
    await attempt(Config(data_dir=tmp_path), subscriber.url)

    event, headers = subscriber.received[0]
    assert event.attributes["traceparent"] == headers[b"traceparent"].decode() == "00-1-2-03"


@pytest.mark.parametrize(("size_bytes", "is_taken"), [(1024, True), (2048, True), (2049, False)])
async def test_a_reply_may_be_twice_as_large_as_what_is_posted(tmp_path, subscriber, size_bytes, is_taken):
    """A larger one is no answer, whose reason names the limit."""
    head = [(b"ce-specversion", b"1.0"), (b"ce-id", b"r"), (b"ce-source", b"/s"), (b"ce-type", b"reply")]
    subscriber.answer = lambda exchange, event: exchange.respond(200, head, b"x" * size_bytes)

    answer = await attempt(Config(data_dir=tmp_path, body_limit_bytes=1024), subscriber.url)

    assert (answer.event is not None) is is_taken
    assert (b"larger than 2048 bytes" in answer.body) is not is_taken


async def test_what_is_no_answer(tmp_path, subscriber):
    """Nobody there, silence, too much, and a URL that is none are attempts without an answer."""
    config = Config(data_dir=tmp_path, body_limit_bytes=1024)
    subscriber.answer = subscriber.hold
    silent = await attempt(config, subscriber.url, timeout_s=0.05)
    subscriber.answer = lambda exchange, event: exchange.respond(200, (), b"x" * 10_000)
    large = await attempt(config, subscriber.url)
    url = subscriber.url
    await subscriber.stop()
    nobody = await attempt(config, url)

    nowhere = await attempt(config, "")
    for answer, words in ((silent, b"no answer within 0.05 s"), (large, b"larger than 2048 bytes"),
                          (nobody, b"nothing listens"), (nowhere, b"address is not known")):
        assert answer.status == NO_ANSWER
        assert words in answer.body


async def test_a_large_reply_comes_through(tmp_path, subscriber):
    """A reply may be as large as an event, also in JSON."""
    config = Config(data_dir=tmp_path, body_limit_bytes=100_000)
    reply = Event({"specversion": "1.0", "id": "2", "source": "/s", "type": "t"}, b"\xff" * 100_000)
    headers, body = binding.to_http(reply, structured=True)
    subscriber.answer = lambda exchange, event: exchange.respond(200, headers, body)

    assert (await attempt(config, subscriber.url)).event == reply


async def test_metrics(bench, subscriber, eventually):
    """Attempts are counted by trigger, partition and result."""
    subscriber.answer = lambda exchange, event: exchange.respond(
        200 if event.attributes["id"] != "2" else 400)
    dispatcher, _ = await bench.dispatcher()
    await bench.trigger("mine", subscriber.url)
    await bench.send("1", "2", "3")
    await bench.records(3)

    registry = CollectorRegistry()
    registry.register(LaneMetrics(lambda: dispatcher.partitions))
    text = generate_latest(registry).decode()

    labels = 'partition="0",'
    assert f'clarion_deliveries_total{{{labels}result="settled",trigger="shop/mine"}} 2.0' in text
    assert f'clarion_deliveries_total{{{labels}result="dead letter",trigger="shop/mine"}} 1.0' in text
    assert 'clarion_delivery_seconds_count{partition="0",trigger="shop/mine"} 3.0' in text
    assert 'clarion_partition_lag_seconds{broker="shop/default",partition="0"} 0.0' in text


async def test_says_what_it_holds(bench, subscriber, eventually):
    """Counts show in the representation."""
    dispatcher, _ = await bench.dispatcher()
    await bench.trigger("mine", subscriber.url)
    (partition,) = dispatcher.partitions

    assert repr(partition) == "<Partition shop/default/0 [1 lanes | 0 behind | 0 above the floor]>"
    assert repr(dispatcher) == "<Dispatcher [1 of 1 partitions | <Budget [0 of 1024 open]>]>"


async def test_an_invalid_filter_is_not_acknowledged(bench, subscriber, eventually):
    """A trigger whose filter does not compile matches nothing, and nobody says that it is matched."""
    await bench.dispatcher()
    await bench.put("bad", subscriber.url, filters=[{"nonsense": {"a": "b"}}])
    await bench.trigger("good", subscriber.url, filter={"type": "x"})

    await bench.send("1")
    await bench.send("2", type="x")
    await eventually(lambda: subscriber.received)

    assert subscriber.ids == ["2"]
    assert await bench.store.hkeys("clarion:table:lanes") == [b"shop/good/0"]


async def test_acknowledgements_are_not_repeated(bench, subscriber, store, tmp_path):
    """A new owner does not write again what `lanes` says already."""
    _, runtime = await bench.dispatcher()
    await bench.trigger("mine", subscriber.url)
    await bench.stop(runtime)
    async with bench.store.pubsub() as channel:
        await channel.subscribe("clarion:tables")
        await bench.dispatcher()
        await bench.trigger("other", subscriber.url)
        names = []
        while "lanes shop/other/0" not in names:
            message = await channel.get_message(ignore_subscribe_messages=True, timeout=5)
            if message is not None:
                names.append(message["data"].decode())

    assert names == ["triggers shop/other", "lanes shop/other/0"]


async def test_a_stalled_reader_is_reported(valkey, tmp_path, make_bench, eventually, monkeypatch):
    """When the store says nothing for seconds, the role is not well, and says so; then it is again."""
    monkeypatch.setattr("eventing.broker.dispatcher._STALLED_S", 1.5)  # the bound, for less waiting
    async with valkey.client() as store, make_bench(store, tmp_path) as bench:
        await bench.broker()
        dispatcher, runtime = await bench.dispatcher()
        await eventually(lambda: list(dispatcher.partitions))
        valkey.pause()
        await eventually(lambda: runtime.complaint)
        valkey.resume()
        await eventually(lambda: not runtime.complaint)
