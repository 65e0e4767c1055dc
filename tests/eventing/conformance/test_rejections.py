"""Every refusal of the ingress, byte for byte: status, Allow, and the line that says what to mend."""

import gzip
import json

import pytest

from tests.eventing.conformance.wire import HEADERS

VERSION = "it must be 1.0 or 0.3 (header ce-specversion, or a structured event)"
URI = "is not a URI reference (RFC 3986, section 4.1)"
TYPED = "must be a string, a boolean, or a whole number of 32 bits"
TIME = "is not a time as in 2026-01-31T23:59:59Z (RFC 3339)"
ONE = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
STRUCTURED = {"content-type": "application/cloudevents+json"}
GZIP = {**HEADERS, "content-encoding": "gzip"}
BATCH = {"content-type": "application/cloudevents-batch+json"}


def without(*names):
    """Headers of a good event, some of them left out."""
    return {name: value for name, value in HEADERS.items() if name not in names}


def member(**more):
    """A structured event."""
    return json.dumps({**ONE, **more}).encode()


# What is wrong -> headers, body, status, line. "..." stands for what a library says.
CASES = {
    "no version": (without("ce-specversion"), b"", 400, f"specversion: is missing; {VERSION}"),
    "another version": ({**HEADERS, "ce-specversion": "2.0"}, b"", 400, f"specversion: is '2.0'; {VERSION}"),
    "no id": (without("ce-id"), b"", 400, "id: is missing; every event has one"),
    "no source": (without("ce-source"), b"", 400, "source: is missing; every event has one"),
    "no type": (without("ce-type"), b"", 400, "type: is missing; every event has one"),
    "blank id": ({**HEADERS, "ce-id": "%20"}, b"", 400, "id: is empty; every event has one"),
    "bad source": ({**HEADERS, "ce-source": "1:%zz"}, b"", 400, f"source: {URI}"),
    "bad subject": ({**HEADERS, "ce-subject": ""}, b"", 400, "subject: is empty; leave it out"),
    "bad time": ({**HEADERS, "ce-time": "today"}, b"", 400, f"time: {TIME}"),
    "bad schema": ({**HEADERS, "ce-dataschema": "/x"}, b"", 400,
                   "dataschema: is not an absolute URI (RFC 3986, section 4.3)"),
    "bad media type": ({**HEADERS, "content-type": "a b"}, b"", 400,
                       "datacontenttype: is not a media type as in application/json (RFC 9110, 8.3.1)"),
    "bad name": ({**HEADERS, "ce-x_y": "1"}, b"", 400,
                 "x_y: is not an attribute's name; use lower-case letters and digits"),
    "not UTF-8": ({**HEADERS, "ce-x": "%ff"}, b"", 400, "x: is not UTF-8; percent-encode it as such"),
    "not JSON": (STRUCTURED, b"{", 400, "body: is not JSON: ..."),
    "no object": (STRUCTURED, b"[]", 400, "body: an event is a JSON object"),
    "another format": ({"content-type": "application/cloudevents+avro"}, b"", 400, (
        "content-type: application/cloudevents+avro is not a format that is read here; "
        "send application/cloudevents+json")),
    "a number as id": (STRUCTURED, member(id=1), 400, "id: must be a string"),
    "a list as extension": (STRUCTURED, member(x=[]), 400, f"x: {TYPED}"),
    "a long number": (STRUCTURED, member(x=2**31), 400, f"x: {TYPED}"),
    "data twice": (STRUCTURED, member(data=1, data_base64=""), 400,
                   "data: is given twice, as data and as data_base64; send one"),
    "bad base64": (STRUCTURED, member(data_base64="!"), 400, "data_base64: is not base64 text"),
    "twice": (STRUCTURED, member(ext="1", EXT="2"), 400, "ext: is given more than once; send one value"),
    "no batch": (BATCH, b"{}", 400, "body: a batch is a JSON array of events"),
    "in a batch": (BATCH, json.dumps([ONE, {}]).encode(), 400,
                   f"event 1: specversion: is missing; {VERSION}"),
    "a large batch": (BATCH, json.dumps([ONE] * 1001).encode(), 413,
                      "a batch of 1001 events is over the limit of 1000"),
    "an encoding": ({**HEADERS, "content-encoding": "br"}, b"", 415,
                    "content-encoding: br is not read here; send gzip, or the body as it is"),
    "not gzip": (GZIP, b"no gzip", 400, "body: is not gzip, although content-encoding says so: ..."),
    "half a gzip": (GZIP, gzip.compress(b"{}" * 100)[:-9], 400, "body: the gzip data is cut off"),
    "large when inflated": (GZIP, gzip.compress(bytes(1024 * 1024 + 1)), 413,
                            "the inflated body is larger than the limit of 1048576 bytes"),
    "no hops": ({**HEADERS, "ce-knativebrokerttl": "1"}, b"", 400,
                "knativebrokerttl is 1: the event has been through too many brokers"),
    "a delay": ({**HEADERS, "ce-delay": "soon"}, b"", 400,
                'delay: "soon" is no duration, such as 30s, 10m, 7d or PT10M'),
    "a long delay": ({**HEADERS, "ce-delay": "P400D"}, b"", 400, "delay: is more than 366 days from now"),
    "a time to deliver": ({**HEADERS, "ce-deliverat": "soon"}, b"", 400, f"deliverat: {TIME}"),
    "a delay and a time": ({**HEADERS, "ce-deliverat": "x", "ce-delay": "1s"}, b"", 400,
                           "delay: deliverat is given too; send one of the two"),
    "no Service": ({**HEADERS, "host": "nobody.default.localhost"}, b"", 404,
                   "no Service answers at nobody.default.localhost"),
}


@pytest.fixture(scope="module")
def golden(instance):
    """A Broker that refusals do not harm."""
    instance.clarion("apply", "-f", "-", stdin=(
        "{apiVersion: eventing.knative.dev/v1, kind: Broker, metadata: {name: golden}}"))
    return "golden"


def check(answer, status, line):
    """The answer is that, and has the headers that all have; Allow is for brokers."""
    told = answer.body.decode()
    if line.endswith("..."):
        told = told[:len(line) - 3] + "...\n"
    assert (answer.status, told) == (status, f"{line}\n")
    assert answer.headers.get("allow") == (None if line.startswith("no Service") else "POST, OPTIONS")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("case", CASES)
def test_events(post, golden, case):
    """Whoever is refused is told which attribute, what is wrong with it, and what is allowed."""
    headers, body, status, line = CASES[case]

    check(post(golden, whole=headers, body=body), status, line)


@pytest.mark.parametrize(("method", "target", "status", "line"), [
    ("GET", "/default/golden", 405, "only POST and OPTIONS are allowed here"),
    ("POST", "/", 404, "POST events to /namespace/broker"),
    ("POST", "/default", 400, "POST events to /namespace/broker"),
    ("POST", "/default/golden/x", 400, "POST events to /namespace/broker"),
    ("POST", "/default/none", 404, "there is no broker default/none"),
])
def test_places(post, method, target, status, line):
    """A method that is not taken, and paths that are no broker's."""
    check(post(target, method=method), status, line)


def test_validity_comes_first(post):
    """Trap 12: a bad event for a Broker that is not there is a 400, a good one a 404."""
    check(post("none", whole=without("ce-id")), 400, "id: is missing; every event has one")
