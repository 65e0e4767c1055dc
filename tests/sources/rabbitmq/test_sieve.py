"""What RabbitMQ sends, in pieces of any size: deliveries come out, everything else goes on as it is."""

import asyncio
import contextlib
import random

import pytest
from pamqp import body, commands, frame, header, heartbeat

from sources.rabbitmq.message import Message
from sources.rabbitmq.sieve import Sieve


def delivered(tag, data, *, redelivered=False, pieces=1, **properties):
    """The frames of one delivery."""
    size = -(-len(data) // pieces) or 1
    frames = [commands.Basic.Deliver("ctag1.0", tag, redelivered, "x", "key"),
              header.ContentHeader(body_size=len(data), properties=commands.Basic.Properties(**properties)),
              *(body.ContentBody(data[at:at + size]) for at in range(0, len(data), size))]
    return b"".join(frame.marshal(each, 1) for each in frames)


OTHERS = [frame.marshal(each, channel) for each, channel in (
    (commands.Connection.Tune(), 0), (heartbeat.Heartbeat(), 0), (commands.Basic.ConsumeOk("ctag1.0"), 1),
    (commands.Basic.Cancel("ctag1.0"), 1), (commands.Channel.Close(404, "gone", 60, 20), 1))]


async def sift(data, sizes):
    """Deliveries, and what aiormq reads, of *data* in pieces of these *sizes*."""
    reader, found = asyncio.StreamReader(), []
    sieve = Sieve(reader, found.extend)
    passed = b""
    at = 0
    for size in sizes:
        reader.feed_data(data[at:at + size])
        at += size
        await asyncio.sleep(0)
    reader.feed_data(data[at:])
    reader.feed_eof()
    with contextlib.suppress(asyncio.IncompleteReadError):
        while True:
            passed += await sieve.readexactly(1)
    assert sieve.at_eof()
    return found, passed


@pytest.mark.parametrize("seed", range(10))
async def test_any_pieces(seed):
    """However it is cut, each delivery comes once and in order, and all else is passed on in order."""
    chance = random.Random(seed)
    bodies = [bytes(chance.randrange(3000)) for _ in range(20)]
    data, expected = b"", b""
    for tag, each in enumerate(bodies):
        data += delivered(tag, each, pieces=chance.randrange(1, 4), content_type="text/plain")
        if chance.random() < 0.4:
            other = chance.choice(OTHERS)
            data, expected = data + other, expected + other

    found, passed = await sift(data, [chance.randrange(1, 4000) for _ in range(30)])

    assert [(each.tag, each.message.body) for each in found] == list(enumerate(bodies))
    assert passed.replace(frame.marshal(heartbeat.Heartbeat(), 0), b"") == expected.replace(OTHERS[1], b"")


HEADERS = {"ce-id": "1", "text": "gr\u00fcn"}


@pytest.mark.parametrize("properties", [
    {}, {"content_type": "text/plain"}, {"headers": HEADERS}, {"headers": HEADERS, "delivery_mode": 2},
    {"headers": {**HEADERS, "number": 7, "table": {"a": [True, None]}}, "message_id": "m"},
    {"content_type": "a/b", "content_encoding": "gzip", "priority": 3, "app_id": "x", "message_id": "m"},
])
async def test_properties(properties):
    """A message's properties are what pamqp reads in them."""
    found, _ = await sift(delivered(7, b"x", redelivered=True, **properties), [])

    assert found == [(7, Message(b"x", properties.get("headers", {}), properties.get("content_type"),
                                 properties.get("message_id"), None, True))]


async def test_deliveries_are_signs_of_life():
    """aiormq, which sees no delivery, gets a heartbeat for them."""
    _, passed = await sift(delivered(1, b"x") * 3, [])

    assert passed == frame.marshal(heartbeat.Heartbeat(), 0)


async def test_another_protocol():
    """What is no frame is passed on as it is: aiormq says what is wrong with it."""
    assert await sift(b"AMQP\x00\x00\x09\x01", [3]) == ([], b"AMQP\x00\x00\x09\x01")
