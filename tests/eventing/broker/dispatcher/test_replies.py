"""Replies: stored before their delivery is settled, and counted down."""



def replying(subscriber, **attributes):
    """Let *subscriber* answer with an event."""
    headers = [(b"ce-specversion", b"1.0"), (b"ce-source", b"/reply"), (b"ce-type", b"replied"),
               *((b"ce-" + name.encode(), value.encode()) for name, value in attributes.items())]

    def answer(exchange, event):
        exchange.respond(200, [*headers, (b"ce-id", b"re-" + event.attributes["id"].encode())], b"hello")
    subscriber.answer = answer


async def test_a_reply_goes_through_the_broker(bench, subscriber, make_subscriber, eventually):
    """A reply is an event of the broker like any other, its own trigger included; TTL never shows."""
    second = await make_subscriber()
    replying(subscriber)
    await bench.dispatcher()
    await bench.trigger("first", subscriber.url, filter={"type": "t"})
    await bench.trigger("second", second.url, filter={"type": "replied"})

    await bench.send("1")
    await eventually(lambda: second.received)

    event, _ = second.received[0]
    assert (event.attributes["id"], event.data) == ("re-1", b"hello")
    assert "knativearrivaltime" in event.attributes
    assert not any("knativebrokerttl" in event.attributes
                   for event, _ in (*subscriber.received, *second.received))


async def test_a_loop_ends(bench, subscriber, eventually):
    """A trigger that answers its own kind of event goes round as often as the TTL says, and says so."""
    replying(subscriber)
    await bench.dispatcher()
    await bench.trigger("loop", subscriber.url)

    await bench.send("1", knativebrokerttl="5")
    records = await bench.records(4)

    assert subscriber.ids == ["1", "re-1", "re-re-1", "re-re-re-1"]
    assert sorted(record[-1] for record in records) == ["replied"] * 3 + ["reply dropped"]


async def test_the_replys_own_ttl_does_not_count(bench, subscriber, make_subscriber, eventually):
    """A subscriber cannot lengthen a loop by naming a TTL."""
    replying(subscriber, knativebrokerttl="200")
    await bench.dispatcher()
    await bench.trigger("first", subscriber.url, filter={"type": "t"})

    await bench.send("1", knativebrokerttl="9")
    await bench.records(1)

    stored = await bench.stored()
    assert [event.attributes["knativebrokerttl"] for event in stored] == ["8", "7"]


async def test_a_reply_that_is_no_event_fails_the_delivery(bench, subscriber, eventually, delivery):
    """A malformed reply, and a body that is none, are failed attempts."""
    answers = iter([([(b"ce-specversion", b"1.0"), (b"ce-id", b"1")], b""), ([], b"<html>"), ([], b"")])

    def answer(exchange, event):
        exchange.respond(200, *next(answers))
    subscriber.answer = answer
    await bench.dispatcher()
    await bench.trigger("mine", subscriber.url, delivery=delivery(retry=5))

    await bench.send("1")
    records = await bench.records(3)

    assert [record[-1] for record in records] == ["retry", "retry", "settled"]


async def test_a_202_is_no_reply(bench, subscriber, eventually):
    """An event in a 202 is not routed."""
    subscriber.answer = lambda exchange, event: exchange.respond(
        202, [(b"ce-specversion", b"1.0"), (b"ce-id", b"2"), (b"ce-source", b"/s"), (b"ce-type", b"t")])
    await bench.dispatcher()
    await bench.trigger("mine", subscriber.url)

    await bench.send("1")
    await bench.records(1)

    assert len(await bench.stored()) == 1
