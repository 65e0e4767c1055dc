"""Knative's data plane: what a broker takes, and what its subscribers get. A test a clause (clauses.md)."""

import gzip
import json

import pytest

from tests.eventing.conformance.wire import FAST, HEADERS, failing, replying

STRUCTURED = {"content-type": "application/cloudevents+json"}
LONG = b'"' + b"x" * 36_862 + b'"'  # 36,864 bytes, as Knative's feature sends


def structured(**more):
    """A structured event."""
    return json.dumps({"specversion": "1.0", "id": "1", "source": "/s", "type": "t", **more}).encode()


@pytest.mark.parametrize("version", ["0.3", "1.0"])
def test_both_versions_are_taken_and_stay(broker, make_trigger, post, sink, version):
    """DP-1, DP-2, DataPlaneIngress: binary and structured events of 0.3 and 1.0; none is made another."""
    make_trigger(broker, sink)
    assert post(broker, {"ce-specversion": version, "ce-id": "binary"}).status == 202
    body = structured(specversion=version, id="structured")
    assert post(broker, whole=STRUCTURED, body=body).status == 202

    assert {request.headers["ce-specversion"] for request in sink.wait(2)} == {version}
    sink.until("binary", "structured")


@pytest.mark.parametrize(("headers", "body", "method", "status"), [
    pytest.param({**HEADERS, "ce-specversion": "7.0"}, b"", "POST", 400, id="an unknown version"),
    pytest.param({key: value for key, value in HEADERS.items() if key != "ce-id"}, b"", "POST", 400,
                 id="an event without id"),
    pytest.param({}, b"{}", "POST", 400, id="no event"),
    pytest.param(STRUCTURED, b"{", "POST", 400, id="a structured event that is no JSON"),
    pytest.param(HEADERS, b"", "GET", 405, id="another method"),
    pytest.param(HEADERS, b"", "PUT", 405, id="yet another method"),
])
def test_what_is_refused(broker, post, *, headers, body, method, status):
    """CP-00, DataPlaneIngress: what is malformed is a 400, another method a 405."""
    assert post(broker, whole=headers, body=body, method=method).status == status


def test_options(broker, post):
    """DP-4: OPTIONS lists POST in Allow, and allows every origin."""
    answer = post(broker, method="OPTIONS", body=b"")

    assert (answer.status, answer.headers["webhook-allowed-origin"]) == (200, "*")
    assert "POST" in answer.headers["allow"]


def test_negotiation_that_is_not_known_is_ignored(broker, post):
    """DP-5: a request to upgrade is answered as any other."""
    assert post(broker, {"upgrade": "h2c", "connection": "upgrade, http2-settings"}).status == 202


def test_a_repeat_is_accepted(broker, make_trigger, send, sink):
    """DP-8: an event that is sent again is accepted, and delivered, where no dedup window is asked for."""
    make_trigger(broker, sink)
    send(broker, "1", "1")

    sink.until("1", "1")


def test_attributes_and_data_are_untouched(broker, make_trigger, post, sink):
    """DP-3, CP-E5, DataPlaneDelivery: a POST in binary mode, with every attribute and byte that was sent."""
    make_trigger(broker, sink)
    sent = {"ce-id": "1", "ce-source": "/a b?c=d#e", "ce-type": "t", "ce-subject": "G%C3%A4nse %22%25",
            "ce-time": "2026-01-31T23:59:59.123456789+01:00", "ce-dataschema": "http://example.com/s",
            "ce-myextension": "X", "content-type": 'text/plain; charset="utf-8"'}
    data = bytes(range(256))
    assert post(broker, sent, data).status == 202

    (request,) = sink.wait(1)
    got = {name: request.headers[name] for name in sent}
    # A blank is written as the HTTP binding has it.
    assert got == sent | {"ce-source": "/a%20b?c=d#e", "ce-subject": "G%C3%A4nse%20%22%25"}
    assert request.body == data
    own = {name for name in request.headers if name.startswith("ce-")} - sent.keys()
    assert own == {"ce-specversion", "ce-knativearrivaltime"}


def test_headers_of_a_delivery(broker, make_trigger, send, sink):
    """DP-11, BrokerPreferHeaderCheck: `Prefer: reply`, the Trigger's namespace, and no TTL."""
    make_trigger(broker, sink)
    send(broker, "1")

    (request,) = sink.wait(1)
    assert request.headers["prefer"] == "reply"
    assert request.headers["kn-namespace"] == "default"
    assert "ce-knativebrokerttl" not in request.headers


def test_headers_that_travel_on(broker, make_trigger, post, make_sink):
    """Knative's pass-through: its list of headers goes to subscribers, those of an answer with the reply."""
    first, second = make_sink(), make_sink()
    make_trigger(broker, first, filter={"attributes": {"type": "t"}})
    make_trigger(broker, second, filter={"attributes": {"type": "reply"}})
    answer = replying()
    first.answer = lambda request, n: (200, {**answer(request, n)[1], "Knative-Hop": "2"}, b"{}")
    post(broker, {"X-Request-Id": "r", "Knative-Hop": "1", "X-B3-TraceId": "b", "Authorization": "no"})

    (request,), (reply,) = first.wait(1), second.wait(1)
    travels = ("x-request-id", "knative-hop", "x-b3-traceid", "authorization")
    assert [request.headers.get(name) for name in travels] == ["r", "1", "b", None]
    assert [reply.headers.get(name) for name in travels] == [None, "2", None, None]


def test_a_trace_goes_on(broker, make_trigger, post, sink):
    """DP-10, DataPlaneObservability: a trace context that came as a header reaches the subscriber as one."""
    make_trigger(broker, sink)
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    post(broker, {"traceparent": parent, "tracestate": "a=b"})

    (request,) = sink.wait(1)
    assert (request.headers["traceparent"], request.headers["tracestate"]) == (parent, "a=b")


def test_long_events(broker, make_trigger, post, make_sink):
    """BrokerDeliverLongMessage, -LongResponseMessage: 36,864 bytes there, and as many back, once."""
    first, second = make_sink(), make_sink()
    first.answer = replying(LONG)
    make_trigger(broker, first, filter={"attributes": {"type": "t"}})
    make_trigger(broker, second, filter={"attributes": {"type": "reply"}})
    assert post(broker, body=LONG).status == 202

    second.until("re-1")
    first.until("1")
    assert [request.body for request in (*first.received, *second.received)] == [LONG, LONG]


def test_a_batch_and_a_compressed_event(broker, make_trigger, post, sink):
    """Beyond Knative: batches, whole or not at all, and gzip."""
    make_trigger(broker, sink)
    batch = {"content-type": "application/cloudevents-batch+json"}
    events = [json.loads(structured(id=str(number))) for number in range(3)]
    assert post(broker, whole=batch, body=json.dumps([*events, {}]).encode()).status == 400
    assert post(broker, whole=batch, body=json.dumps(events).encode()).status == 202
    assert post(broker, {"ce-id": "z", "content-encoding": "gzip"}, gzip.compress(b"{}")).status == 202

    sink.until("0", "1", "2", "z")


# Status of an answer -> how often the event is sent, with one retry; and whether it ends as a dead letter.
ANSWERS = {
    200: (1, False), 201: (1, False), 202: (1, False), 204: (1, False), 299: (1, False),
    300: (1, True), 301: (1, True), 304: (1, True), 400: (1, True), 401: (1, True), 403: (1, True),
    404: (2, True), 405: (1, True), 408: (2, True), 409: (2, True), 410: (1, True), 422: (1, True),
    429: (2, True), 451: (1, True), 499: (1, True), 500: (2, True), 501: (2, True), 502: (2, True),
    503: (2, True), 504: (2, True), 599: (2, True),
}


def test_what_answers_mean(broker, make_trigger, send, make_sink):
    """DP-6, DP-7, CP-E10, CP-E11, CP-E14: which answers end a delivery, are retried, and are failures."""
    sink, dead = make_sink(), make_sink()
    sink.answer = lambda request, n: int(request.id)
    make_trigger(broker, sink, delivery={"retry": 1, **FAST, "deadLetterSink": {"uri": dead.url}})
    send(broker, *map(str, ANSWERS))

    sink.until(*(str(status) for status, (times, _) in ANSWERS.items() for _ in range(times)))
    dead.until(*(str(status) for status, (_, is_dead) in ANSWERS.items() if is_dead))


@pytest.mark.parametrize(("status", "replies"), [(200, True), (201, False), (202, False)])
def test_which_answer_carries_a_reply(broker, make_trigger, send, make_sink, *, status, replies):
    """DP-12, DP-13, CP-E12: the event in a 200 is a reply; one in a 202, or another 2xx, is none."""
    asked, told = make_sink(), make_sink()
    asked.answer = lambda request, n: replying(status=status if request.id == "1" else 200)(request, n)
    make_trigger(broker, asked, filter={"attributes": {"type": "t"}})
    make_trigger(broker, told, filter={"attributes": {"type": "reply"}})
    send(broker, "1", "2")

    told.until(*(["re-1"] if replies else []), "re-2")


def test_delivery_format(broker, make_trigger, send, make_sink):
    """TriggerSupportsDeliveryFormat: json is structured mode, binary the attributes as headers."""
    for form, type_ in (("json", "application/cloudevents+json"), ("binary", "application/json")):
        sink = make_sink()
        make_trigger(broker, sink, delivery={"format": form}, filter={"attributes": {"type": form}})
        send(broker, form, type=form)
        (request,) = sink.wait(1)
        assert request.headers["content-type"] == type_
        assert ("ce-id" in request.headers) is (form == "binary")


def test_redelivery(broker, make_trigger, send, sink):
    """BrokerRedelivery: an event whose first deliveries fail is received in the end."""
    sink.answer = failing(3)
    make_trigger(broker, sink, delivery={"retry": 5, **FAST})
    send(broker, "1", "2")

    sink.until(*["1"] * 4, *["2"] * 4)
