"""Dead letters: to the sink, or kept; never nowhere."""

import base64
import dataclasses

import pytest

from eventing.broker.deadletters import Sink
from eventing.errors import NotFound


async def test_to_the_sink(bench, subscriber, make_subscriber, eventually, delivery):
    """The sink gets the event with what went wrong, and nothing is kept."""
    sink = await make_subscriber()
    subscriber.answer = lambda exchange, event: exchange.respond(422, (), b"x" * 2000)
    await bench.dispatcher()
    await bench.trigger("mine", subscriber.url, delivery=delivery(retry=3, dead_letter_url=sink.url))
    letters = await bench.letters("mine")

    await bench.send("1", data=b"body")
    await eventually(lambda: sink.received)

    event, headers = sink.received[0]
    assert subscriber.ids == ["1"]
    assert (event.attributes["id"], event.data) == ("1", b"body")
    assert event.attributes["knativeerrordest"] == subscriber.url
    assert event.attributes["knativeerrorcode"] == "422"
    assert base64.b64decode(event.attributes["knativeerrordata"]) == b"x" * 768
    assert len(event.attributes["knativeerrordata"]) <= 1024
    assert "knativebrokerttl" not in event.attributes
    assert b"prefer" not in headers
    await bench.until_none(letters)


async def test_no_answer_is_a_500(bench, make_subscriber, eventually, delivery):
    """Without an answer the code is 500 and the data says what happened."""
    gone, sink = await make_subscriber(), await make_subscriber()
    await gone.stop()
    await bench.dispatcher()
    await bench.trigger("mine", gone.url, delivery=delivery(retry=1, dead_letter_url=sink.url))

    await bench.send("1")
    await eventually(lambda: sink.received)

    attributes = sink.received[0][0].attributes
    assert attributes["knativeerrorcode"] == "500"
    assert b"dispatch error: nothing listens at " in base64.b64decode(attributes["knativeerrordata"])


@pytest.mark.parametrize(("body", "data"), [
    (b"", None),
    (b"no stock", "bm8gc3RvY2s="),
    (b"line one\r\nx-evil: 1\n", "bGluZSBvbmUNCngtZXZpbDogMQo="),
    (b"x" * 768, base64.b64encode(b"x" * 768).decode()),
    (b"x" * 769, base64.b64encode(b"x" * 768).decode()),
    (b"\xff" * 5000, base64.b64encode(b"\xff" * 768).decode()),
], ids=["nothing", "a line", "lines", "as much as fits", "one byte more", "binary"])
async def test_error_extensions(bench, make_subscriber, eventually, body, data):
    """What the subscriber said goes along in base64, 1024 characters at the most; nothing is no attribute."""
    subscriber, sink = await make_subscriber(), await make_subscriber()
    subscriber.answer = lambda exchange, event: exchange.respond(400, (), body)
    await bench.dispatcher()
    await bench.trigger("mine", subscriber.url.removesuffix("/"), delivery={"dead_letter_url": sink.url})

    await bench.send("1")
    await eventually(lambda: sink.received)

    attributes = sink.received[0][0].attributes
    assert {name: value for name, value in attributes.items() if name.startswith("knativeerror")} == {
        "knativeerrordest": subscriber.url, "knativeerrorcode": "400",
        **({} if data is None else {"knativeerrordata": data})}


async def test_a_dead_letter_may_be_structured(bench, subscriber, make_subscriber, eventually, delivery):
    """`format: json` holds for the sink too."""
    sink = await make_subscriber()
    subscriber.answer = lambda exchange, event: exchange.respond(400)
    await bench.dispatcher()
    await bench.trigger("mine", subscriber.url,
                        delivery=delivery(dead_letter_url=sink.url, format="json"))

    await bench.send("1", data=b'{"n": 1}', datacontenttype="application/json")
    await eventually(lambda: sink.received)

    event, headers = sink.received[0]
    assert headers[b"content-type"] == b"application/cloudevents+json"
    assert event.data == b'{"n":1}'
    assert event.attributes["knativeerrorcode"] == "400"


async def test_the_sink_is_asked_again(bench, subscriber, make_subscriber, eventually, delivery):
    """Delivery to the sink has the same retries; what it does not take either is kept, with both reasons."""
    sink = await make_subscriber()
    subscriber.answer = lambda exchange, event: exchange.respond(400, (), b"no stock")
    sink.answer = lambda exchange, event: exchange.respond(503, (), b"full")
    await bench.dispatcher()
    await bench.trigger("mine", subscriber.url, delivery=delivery(retry=2, dead_letter_url=sink.url))
    letters = await bench.letters("mine")

    await bench.send("1")
    await eventually(lambda: len(sink.received) == 3)
    await bench.records(4)

    (letter,) = await letters.find()
    assert letter.reason == "the subscriber answered 400: no stock; the dead letter sink answered 503: full"
    assert (letter.attempts, letter.status, letter.destination, letter.body) == (
        1, 400, subscriber.url, b"no stock")
    assert letter.sink == Sink(3, 503, sink.url, b"full")
    assert len(sink.received) == 3

    await letters.redrive([letter.id])
    await bench.records(8)
    (again,) = await letters.find()
    assert again == dataclasses.replace(letter, id=again.id, when=again.when)


async def test_kept_where_no_sink_is(bench, subscriber, eventually, delivery):
    """Without a sink a dead letter is kept with the answer that it died of."""
    subscriber.answer = lambda exchange, event: exchange.respond(500, (), b"no stock")
    await bench.dispatcher()
    await bench.trigger("mine", subscriber.url, delivery=delivery(retry=1))
    letters = await bench.letters("mine")

    await bench.send("1", data=b"body")
    (letter,) = await bench.until(letters.find)

    assert letter == await letters.show(letter.id)
    assert (letter.event.attributes["id"], letter.event.data) == ("1", b"body")
    assert (letter.attempts, letter.status, letter.destination) == (2, 500, subscriber.url)
    assert (letter.reason, letter.body) == ("the subscriber answered 500: no stock", b"no stock")


async def test_redrive(bench, subscriber, eventually, delivery):
    """A redriven dead letter gets all its attempts again, and is one no more when it is delivered."""
    subscriber.answer = lambda exchange, event: exchange.respond(500)
    await bench.dispatcher()
    await bench.trigger("mine", subscriber.url, delivery=delivery(retry=1))
    letters = await bench.letters("mine")
    await bench.send("1", "2")
    first, second = await bench.until(lambda: bench.at_least(2, letters))

    statuses = iter([500, 200])
    subscriber.answer = lambda exchange, event: exchange.respond(next(statuses))
    assert await letters.redrive([first.id, first.id]) == 2
    await bench.until(lambda: bench.at_most(1, letters))

    assert [second] == await letters.find()
    assert subscriber.ids[4:] == [first.event.attributes["id"]] * 2


async def test_a_redrive_that_fails_keeps_the_letter(bench, subscriber, eventually, delivery):
    """A letter that fails again is a letter again, with the newer reason."""
    subscriber.answer = lambda exchange, event: exchange.respond(400)
    await bench.dispatcher()
    await bench.trigger("mine", subscriber.url)
    letters = await bench.letters("mine")
    await bench.send("1")
    (letter,) = await bench.until(letters.find)

    subscriber.answer = lambda exchange, event: exchange.respond(410)
    await letters.redrive([letter.id])
    await bench.records(2)

    (letter,) = await letters.find()
    assert letter.reason == "the subscriber answered 410"


async def test_purge(bench, subscriber, eventually, delivery):
    """A purged dead letter is gone, also from a redrive that has not begun."""
    subscriber.answer = lambda exchange, event: exchange.respond(400)
    _, runtime = await bench.dispatcher()
    await bench.trigger("mine", subscriber.url)
    letters = await bench.letters("mine")
    await bench.send("1")
    (letter,) = await bench.until(letters.find)
    await bench.stop(runtime)

    await letters.redrive([letter.id])
    assert await letters.purge([letter.id]) == 1
    await bench.dispatcher()
    await bench.until_waiting(letters, 0)

    assert subscriber.ids == ["1"]
    with pytest.raises(NotFound):
        await letters.show(letter.id)


async def test_pages(bench, subscriber, eventually):
    """Dead letters are listed in pages, over all partitions, each once."""
    await bench.broker(partitions=3)
    subscriber.answer = lambda exchange, event: exchange.respond(400)
    await bench.dispatcher()
    await bench.trigger("mine", subscriber.url)
    letters = await bench.letters("mine")
    await bench.send(*range(50), partitions=3)
    await bench.until(lambda: bench.at_least(50, letters))

    found, page = [], await letters.find(limit=7)
    while page:
        found += page
        page = await letters.find(limit=7, after=page[-1].id)

    assert sorted(int(letter.event.attributes["id"]) for letter in found) == list(range(50))


@pytest.mark.parametrize("name", ["", "1", "9.1-1", "0.x-1", "0.1", "-1.1-1"])
async def test_no_such_letter(bench, subscriber, name):
    """A name that no dead letter has is not found, whatever it looks like."""
    await bench.dispatcher()
    await bench.trigger("mine", subscriber.url)
    letters = await bench.letters("mine")

    with pytest.raises(NotFound):
        await letters.show(name)
