"""A RabbitmqSource in the sources role, reading from a real RabbitMQ what `pika` wrote."""

import asyncio
import json
import random
import sys

import pytest

from eventing import projection
from sources.rabbitmq.message import EVENT_TYPE


async def test_messages(flow, sources, sink, publisher):
    """Binary and structured events arrive as they are, anything else as an event around its bytes."""
    await flow.apply()
    structured = {"specversion": "1.0", "id": "2", "type": "reading", "source": "/meter", "data": {"kwh": 4}}

    publisher.events(flow.exchange, [1])
    publisher.publish(json.dumps(structured).encode(), exchange=flow.exchange,
                      content_type="application/cloudevents+json")
    publisher.publish(b"4.2", exchange=flow.exchange, content_type="text/plain", message_id="3", timestamp=0)
    await sink.until(lambda sink: len(sink.events) == 3)

    assert [dict(event.attributes) for event in sink.events] == [
        {"specversion": "1.0", "id": "1", "type": "reading", "source": "/meter",
         "datacontenttype": "application/json"},
        {"specversion": "1.0", "id": "2", "type": "reading", "source": "/meter"},
        {"specversion": "1.0", "id": "3", "subject": "3", "type": EVENT_TYPE, "datacontenttype": "text/plain",
         "source": f"/source#{flow.queue}", "time": "1970-01-01T00:00:00Z"}]
    assert [event.data for event in sink.events] == [b"{}", b'{"kwh":4}', b"4.2"]


async def test_rabbitmqadmin(flow, sources, sink, rabbitmq):
    """What rabbitmqadmin publishes, with headers or without, is an event."""
    await flow.apply()
    headers = {"ce-specversion": "1.0", "ce-id": "b", "ce-type": "t", "ce-source": "/admin"}

    for payload, properties in (("plain", {"message_id": "p"}), ("{}", {"headers": headers})):
        await asyncio.to_thread(
            rabbitmq.admin, "publish", f"exchange={flow.exchange}", "routing_key=", f"payload={payload}",
            f"properties={json.dumps({'delivery_mode': 2, **properties})}")
    await sink.until(lambda sink: len(sink.events) == 2)

    assert [(event.attributes["id"], event.attributes["type"], event.data) for event in sink.events] == [
        ("p", EVENT_TYPE, b"plain"), ("b", "t", b"{}")]


async def test_order(flow, sources, sink, publisher):
    """With parallelism 1 messages are delivered in order, one at a time."""
    publisher.channel.queue_declare(flow.queue, durable=True)
    for number in range(30):
        publisher.publish(b"", routing_key=flow.queue, message_id=str(number))

    await flow.apply(predeclared=True)
    await sink.until(lambda sink: len(sink.events) == 30)

    assert [event.attributes["id"] for event in sink.events] == [str(number) for number in range(30)]
    assert sink.most_at_once == 1


async def test_parallelism(flow, sources, sink, publisher):
    """No more messages are in flight than parallelism says, and as many as that."""
    sink.delay_s = 0.05
    await flow.apply(parallelism=7)

    publisher.events(flow.exchange, range(70))
    await sink.until(lambda sink: len(sink.seen) == 70)

    assert sink.most_at_once == 7


async def test_slow_sink_bounds_what_is_held(flow, sources, sink, publisher):
    """Behind a sink that takes nothing no more messages than parallelism leave the queue."""
    sink.answers = [503] * 100_000
    await flow.apply(parallelism=7)

    publisher.events(flow.exchange, range(50))
    async with asyncio.timeout(20):
        while publisher.left_in(flow.queue) != 50 - 7:
            await asyncio.sleep(0.02)
    tried = 100_000 - len(sink.answers)
    await sink.until(lambda sink: 100_000 - len(sink.answers) > tried + 3 * 7)

    assert publisher.left_in(flow.queue) == 50 - 7


async def test_accepted_out_of_order(flow, sources, sink, publisher):
    """Messages that are accepted in another order than they came in are each acknowledged once."""
    sink.delay_s, sink.spread = 0.02, random.Random(1)
    await flow.apply(parallelism=100)

    publisher.events(flow.exchange, range(1000))
    await sink.until(lambda sink: len(sink.seen) == 1000)
    sink.delay_s = 0.0
    publisher.events(flow.exchange, ["last"])
    await sink.until(lambda sink: sink.seen["last"])

    assert sink.repeats == 0
    assert (await flow.until(lambda _: True))["ready"]


async def test_routing_keys(flow, sources, sink, publisher):
    """A topic exchange is declared and bound as exchangeConfig and queueConfig say."""
    await flow.apply(exchangeConfig={"type": "topic"}, queueConfig={"routingKeys": ["orders.*", "*.eu"]})

    for key in ("orders.us", "bills.eu"):
        publisher.publish(key.encode(), exchange=flow.exchange, routing_key=key)
    await sink.until(lambda sink: len(sink.events) == 2)
    publisher.channel.basic_publish(flow.exchange, "bills.us", b"not bound")

    assert [event.data for event in sink.events] == [b"orders.us", b"bills.eu"]


async def test_refused_goes_to_the_dead_letter_exchange(flow, sources, sink, publisher):
    """A message that the sink refuses for good is rejected: RabbitMQ dead-letters it; the rest goes on."""
    publisher.channel.queue_declare(f"{flow.queue}-dead", durable=True)
    sink.answers = [400]
    await flow.apply(queueConfig={"arguments": {"x-dead-letter-exchange": "",
                                                "x-dead-letter-routing-key": f"{flow.queue}-dead"}})

    publisher.events(flow.exchange, ["bad", "good"])
    await sink.until(lambda sink: sink.seen["good"])

    async with asyncio.timeout(10):
        while publisher.left_in(f"{flow.queue}-dead") == 0:
            await asyncio.sleep(0.02)
    assert sink.seen == {"good": 1}
    assert publisher.left_in(flow.queue) == 0
    assert sources.metrics.get_sample_value(
        "clarion_source_events_total", {"source": flow.name, "result": "rejected"}) == 1


async def test_refused_goes_to_the_dead_letter_sink(flow, sources, sink, publisher):
    """With a dead letter sink the event goes there, and the message is acknowledged."""
    flow.record["delivery"] = {"dead_letter_url": f"{sink.url}/dead", "retry": None}
    sink.answers = [400]
    await flow.apply()

    publisher.events(flow.exchange, ["bad", "good"])
    await sink.until(lambda sink: len(sink.seen) == 2)

    assert sink.events[0].attributes["knativeerrordest"] == sink.url
    assert sink.events[0].attributes["knativeerrorcode"] == "400"


WRONG = {
    "QueueFailed": ({"predeclared": True}, {}, "no queue"),
    "ExchangeFailed": ({"exchangeConfig": {"type": "topic"}}, {}, "inequivalent arg 'type'"),
    "ConnectionFailed": ({"vhost": "elsewhere"}, {}, "virtual host"),
    "AuthenticationFailed": ({}, {"password": "s3cret"}, "Login was refused"),
    "SecretInvalid": ({}, {"uri": "amqp://u:s3cret@h:port"}, "the Secret's uri"),
}


@pytest.mark.parametrize("reason", WRONG)
@pytest.mark.usefixtures("sources")
async def test_not_ready(flow, publisher, capfd, reason):
    """What is wrong with server or Secret is the object's reason, in words that have no Secret in them."""
    spec, secrets, words = WRONG[reason]
    publisher.channel.exchange_declare(flow.exchange, "headers", durable=True)
    flow.secrets.update(secrets)

    await flow.project(**spec)
    state = await flow.until(lambda state: not state["ready"])

    assert state["reason"] == reason
    assert words in state["message"]
    assert "s3cret" not in json.dumps(state) + "".join(capfd.readouterr())


@pytest.mark.usefixtures("sources")
async def test_nobody_there(flow):
    """Where nobody listens the reason names the place."""
    flow.secrets.update({"uri": "amqp://u:s3cret@127.0.0.1:1"})

    await flow.project()
    state = await flow.until(lambda state: not state["ready"])

    assert state["reason"] == "ConnectionFailed"
    assert state["message"].startswith("127.0.0.1:1: ")
    assert "s3cret" not in json.dumps(state)


async def test_missing_extra(flow, sources, monkeypatch):
    """Without aio-pika the object says what to install."""
    monkeypatch.setitem(sys.modules, "aio_pika", None)

    await flow.project()

    state = await flow.until(lambda state: not state["ready"])
    assert (state["reason"], "pip install 'clarion[rabbitmq]'" in state["message"]) == ("ClientMissing", True)


async def test_rotated_secret(flow, sources, sink, publisher):
    """A Secret that is put right is used, without a change of the object."""
    flow.secrets["password"] = "wrong"
    await flow.project()
    await flow.until(lambda state: state["reason"] == "AuthenticationFailed")

    flow.secrets["password"] = "guest"
    flow.record["secret_versions"] = ["2"]
    await flow.apply()


async def test_one_failure_touches_no_other(flow, sources, sink, publisher, store):
    """A source whose server is away leaves its neighbour alone."""
    other = {**flow.record, "spec": {"rabbitmqResourcesConfig": {"queueName": "q", "exchangeName": "x"}}}
    await projection.write(store, "source-secrets", "RabbitmqSource/default/other", {"uri": "127.0.0.1:1"})
    await projection.write(store, "sources", "RabbitmqSource/default/other", other)
    await flow.apply()

    publisher.events(flow.exchange, ["a"])

    await sink.until(lambda sink: sink.seen["a"])
