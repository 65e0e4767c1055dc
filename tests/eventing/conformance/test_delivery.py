"""Routing, replies, retries and dead letters: Knative's clauses and features, over the wire (clauses.md)."""

import base64

import pytest

from tests.eventing.conformance.wire import FAST, failing, replying


def dead_letters(sink, **more):
    """A DeliverySpec with that sink."""
    return {"deadLetterSink": {"uri": sink.url}, **FAST, **more}


@pytest.mark.parametrize(("brokers", "first", "second"), [
    pytest.param(None, (None, 0, ""), None, id="dlq-test-0: nothing fails, nothing is retried"),
    pytest.param({"retry": 3}, (None, 3, ""), (None, 4, "broker"), id="dlq-test-1"),
    pytest.param({}, ({"retry": 3}, 3, ""), ({"retry": 1, "none": True}, 2, "nowhere"), id="dlq-test-2"),
    pytest.param({"retry": 1}, ({"retry": 3}, 3, ""), (None, 2, "broker"), id="dlq-test-3"),
    pytest.param({"retry": 1}, ({"retry": 3}, 4, "own"), (None, 2, "broker"), id="dlq-test-4"),
])
def test_dead_letter_sinks(make_broker, make_trigger, send, make_sink, *, brokers, first, second):
    """
    Features dlq-test-0 to 4, CP-B9: whose retries and whose dead letter sink count.

    Of each trigger: its DeliverySpec (None: the Broker's), how often its subscriber fails, and where the
    event ends: "" with the subscriber.
    """
    of_broker, has_sink = make_sink(), bool(brokers)
    spec = {"retry": 0, **FAST, **(brokers or {})}
    broker = make_broker(delivery={**spec, "deadLetterSink": {"uri": of_broker.url}} if has_sink else spec)
    ends = []
    for number, case in enumerate(filter(None, (first, second))):
        own, times, end = case
        sink, letters = make_sink(), make_sink()
        sink.answer = failing(times)
        delivery = {**FAST, **own} if own is not None else None
        if delivery is not None and not delivery.pop("none", False):
            delivery["deadLetterSink"] = {"uri": letters.url}
        make_trigger(broker, sink, filter={"attributes": {"type": str(number)}},
                     **({} if delivery is None else {"delivery": delivery}))
        send(broker, str(number), type=str(number))
        ends.append((sink, letters, times, end))

    for number, (sink, letters, times, end) in enumerate(ends):
        sink.wait(times if end else times + 1)
        if end in ("own", "broker"):
            {"own": letters, "broker": of_broker}[end].until(str(number))
        assert (letters.ids == []) is (end != "own")
    assert len(of_broker.ids) == sum(end == "broker" for *_, end in ends)


@pytest.mark.parametrize(("filters", "expected"), [
    pytest.param([None], [True], id="routing-test-0: no filter"),
    pytest.param(["other"], [False], id="routing-test-1: a filter that does not match"),
    pytest.param(["t"], [True], id="routing-test-2: one that does"),
    pytest.param(["t", "t"], [True, True], id="routing-test-3: two that do"),
    pytest.param(["t", "other"], [True, False], id="routing-test-4: one of two"),
    pytest.param([None, None], [True, True], id="routing-test-6: two without"),
])
def test_routing(broker, make_trigger, send, make_sink, *, filters, expected):
    """Features routing-test-0 to 6 (5 is below): who gets an event."""
    sinks = [make_sink() for _ in filters]
    for sink, type_ in zip(sinks, filters, strict=True):
        make_trigger(broker, sink, filter={"attributes": {"type": type_}} if type_ else {})
    every = make_sink()
    make_trigger(broker, every)
    send(broker, "1")
    send(broker, "last", type="end")

    every.until("1", "last")  # an entry is matched against all triggers at once
    for sink, type_, gets in zip(sinks, filters, expected, strict=True):
        sink.until(*(["1"] if gets else []), *(["last"] if type_ is None else []))


def test_equal_destinations_get_a_delivery_each(broker, make_trigger, send, sink):
    """CP-E3, CP-E4: each Trigger is evaluated once for an event, and delivers on its own."""
    for _ in range(3):
        make_trigger(broker, sink)
    send(broker, "1", "2")

    sink.until("1", "1", "1", "2", "2", "2")


def test_replies_go_to_all_triggers(broker, make_trigger, send, make_sink):
    """CP-E6, routing-test-5: a reply is evaluated against all Triggers, the one that made it too."""
    own, other = make_sink(), make_sink()
    own.answer = lambda request, n: replying()(request, n) if not request.id.startswith("re-") else 200
    make_trigger(broker, own)
    make_trigger(broker, other, filter={"attributes": {"type": "reply"}})
    send(broker, "1")

    own.until("1", "re-1")
    other.until("re-1")


@pytest.mark.parametrize("class_", ["MTChannelBasedBroker", "Kafka", "RabbitMQBroker"])
def test_a_loop_of_replies_ends(make_broker, make_trigger, post, sink, class_):
    """Trap 20: replies enter with one hop less, whatever the Broker's class, so a loop ends."""
    broker = make_broker({"eventing.knative.dev/broker.class": class_})
    sink.answer = replying(type="t")
    make_trigger(broker, sink)
    assert post(broker, {"ce-knativebrokerttl": "4"}).status == 202

    sink.until("1", "re-1", "re-re-1")


def test_a_malformed_reply_fails_the_delivery(broker, make_trigger, send, make_sink):
    """DataPlaneDelivery: a reply that is no event, and a body that is none, are failed attempts."""
    sink, dead = make_sink(), make_sink()
    sink.answer = lambda request, n: ((200, {"ce-specversion": "1.0"}, b"") if request.id == "half"
                                      else (200, {}, b"hello"))
    make_trigger(broker, sink, delivery=dead_letters(dead, retry=1))
    send(broker, "half", "text")

    sink.until("half", "half", "text", "text")
    dead.until("half", "text")


def test_a_transformation(broker, make_trigger, send, make_sink):
    """BrokerWorkFlowWithTransformation: one sees all, one answers, and what it answers goes to a third."""
    log, transformer, transformed = make_sink(), make_sink(), make_sink()
    transformer.answer = replying(b'{"new":1}', type="transformed")
    make_trigger(broker, log)
    make_trigger(broker, transformer, filter={"attributes": {"type": "t"}})
    make_trigger(broker, transformed, filter={"attributes": {"type": "transformed"}})
    send(broker, "1")

    log.until("1", "re-1")
    transformed.until("re-1")
    assert transformed.received[0].body == b'{"new":1}'


@pytest.mark.parametrize(("answer", "code", "data"), [
    pytest.param((422, {}, b""), "422", None, id="SubscriberErrorNodata"),
    pytest.param((422, {}, b"catch me\nif you can"), "422", b"catch me\nif you can",
                 id="SubscriberErrorWithdata"),
    pytest.param((400, {}, b"x" * 2000), "400", b"x" * 768, id="a long one is cut so that it fits"),
])
def test_error_extensions(broker, make_trigger, send, make_sink, *, answer, code, data):
    """BrokerDeadLetterSinkExtensions, trap 5: destination, code and body, 1,024 characters at most."""
    sink, dead = make_sink(), make_sink()
    sink.answer = lambda request, n: answer
    make_trigger(broker, sink, delivery=dead_letters(dead))
    send(broker, "1")

    headers = dead.wait(1)[0].headers
    assert headers["ce-knativeerrordest"] == sink.url
    assert headers["ce-knativeerrorcode"] == code
    told = headers.get("ce-knativeerrordata")
    assert (told and base64.b64decode(told)) == data
    assert len(told or "") <= 1024
    assert "prefer" not in headers


def test_an_unreachable_subscriber(broker, make_trigger, send, make_sink):
    """SubscriberUnreachable, SourceToSinkWithDLQ: nobody there and a URL that is none end in the sink."""
    dead = make_sink()
    for url in ("http://127.0.0.1:9", "bad://uri"):
        make_trigger(broker, url, delivery=dead_letters(dead))
    send(broker, "1")

    assert {(each.headers["ce-knativeerrordest"], each.headers["ce-knativeerrorcode"])
            for each in dead.wait(2)} == {("http://127.0.0.1:9/", "500"), ("bad://uri/", "500")}


def test_a_flaky_subscriber(broker, make_trigger, send, make_sink):
    """SourceToSinkWithFlakyDLQ: each event is at the subscriber or in the sink, once."""
    sink, dead = make_sink(), make_sink()
    sink.answer = lambda request, n: 400 if request.id in "12" else 200
    make_trigger(broker, sink, delivery=dead_letters(dead))
    send(broker, "1", "2", "3")

    sink.until("1", "2", "3")
    dead.until("1", "2")


def test_a_bad_trigger_is_nobody_elses_affair(make_broker, make_trigger, send, make_sink):
    """BadTriggerDoesNotAffectOkTrigger, SourceToTriggerSinkWithDLSDontUseBrokers: letters go to one sink."""
    good, of_broker, own = make_sink(), make_sink(), make_sink()
    broker = make_broker(delivery=dead_letters(of_broker, retry=0))
    make_trigger(broker, good)
    make_trigger(broker, "bad://uri")
    make_trigger(broker, "bad://uri", delivery=dead_letters(own))
    send(broker, "1", "2")

    for sink in (good, of_broker, own):
        sink.until("1", "2")


def test_a_subscriber_that_asks_for_time(set_flags, broker, make_trigger, send, sink):
    """Experimental feature retry_after: behind its flag, `Retry-After` lengthens the wait."""
    set_flags({"delivery-retryafter": "enabled"})
    sink.answer = lambda request, n: (429, {"Retry-After": "1"}, b"") if n == 0 else 200
    make_trigger(broker, sink, delivery={"retry": 2, **FAST, "retryAfterMax": "PT0.1S"})
    send(broker, "1")

    sink.until("1", "1")


def test_a_subscriber_that_takes_too_long(broker, make_trigger, send, make_sink, until):
    """Experimental feature delivery_timeout: an attempt ends after `timeout`, and is repeated."""
    sink = make_sink()
    held = []

    def answer(request, n):
        if n == 0:
            held.append(request)
            until(lambda: len(sink.received) > 1, what="the second attempt")
        return 200
    sink.answer = answer
    make_trigger(broker, sink, delivery={"retry": 1, **FAST, "timeout": "PT0.1S"})
    send(broker, "1")

    sink.until("1", "1")
    assert len(held) == 1
