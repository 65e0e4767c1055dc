"""
Whatever a producer sends to the ingress, it gets an answer that says whose mistake it is, and none is a 5xx.

What was accepted can be read back and delivered. A failing example that was found once stands in SEEDS.
"""

import asyncio
import contextlib
import gzip
import json
import re
import socket

import pytest
import redis.asyncio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from eventing import binding, keys, projection
from eventing.broker import ingress, message
from eventing.broker.entry import decode
from eventing.cancellation import heeding
from eventing.config import Config
from eventing.event import Event
from eventing.runtime import Runtime

BROKER = "shop/default"
# 200 is the answer to OPTIONS, and 505 what HTTP says of another version.
KNOWN = {200, 202, 400, 404, 405, 408, 413, 414, 415, 417, 426, 431, 505}
HEADERS = {b"ce-specversion": b"1.0", b"ce-id": b"1", b"ce-source": b"/s", b"ce-type": b"t",
           b"content-type": b"application/json"}
MEMBERS = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

values = st.one_of(
    st.sampled_from([b"", b"%", b"%ff", b"%00", b"%0d%0a", b'"', b'"a\\', b"\xc3\xa4", b"\xff", b"\t", b"1.0",
                     b"0.3", b"-1", b"PT1H", b"P400D", b"9" * 30, b"2026-01-01T00:00:00Z", b"a:b:c", b"//[",
                     b"application/cloudevents+json", b"application/cloudevents-batch+json", b"a/b;c="]),
    st.binary(max_size=12).map(lambda raw: re.sub(rb"[\r\n\0]", b"", raw)))
names = st.one_of(
    st.sampled_from([*HEADERS, b"ce-subject", b"ce-time", b"ce-dataschema", b"ce-schemaurl", b"ce-data",
                     b"ce-datacontenttype", b"ce-datacontentencoding", b"ce-partitionkey", b"ce-delay",
                     b"ce-deliverat", b"ce-knativebrokerttl", b"ce-knativearrivaltime", b"ce-", b"ce-x_y",
                     b"traceparent", b"tracestate", b"content-encoding", b"x-request-id", b"knative-x",
                     b"x-b3-flags", b"retry-after", b"host", b"expect"]),
    st.text("ABCxyz019-_", min_size=1, max_size=6).map(lambda text: b"ce-" + text.encode()))
wild_headers = st.lists(st.tuples(names, values), max_size=5)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6)
members = st.dictionaries(
    st.sampled_from([*MEMBERS, "data", "data_base64", "time", "subject", "datacontenttype", "dataschema",
                     "datacontentencoding", "delay", "deliverat", "knativebrokerttl", "partitionkey", "X",
                     ""])
    | st.text(max_size=4), json_values, max_size=4)
events = members.map(lambda more: {**MEMBERS, **more})
texts = st.one_of(
    (events | json_values | st.lists(events | json_values, max_size=3)).map(json.dumps),
    st.sampled_from(["", "{", "[" * 2000, '{"a":' * 2000, '{"id":"1","id":"2"}', "\ufeff{}", "NaN", "1e999"]))
bodies = texts.map(lambda text: text.encode(errors="surrogatepass")) | st.binary(max_size=40)
types = st.sampled_from([b"application/json", b"application/cloudevents+json", b"text/plain",
                         b"application/cloudevents-batch+json", b"application/cloudevents+avro", b""])
SEEDS = [
    (b"POST /shop/default HTTP/1.1\r\nhost: x\r\nce-specversion: 1.0\r\nce-id: 1\r\nce-source: /\r\n"
     b"ce-type: t\r\ncontent-length: 2\r\n\r\n{}"),
    (b"POST /shop/default HTTP/1.1\r\nhost: x\r\ncontent-type: application/cloudevents-batch+json\r\n"
     b"transfer-encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n"),
    b"OPTIONS /shop/default HTTP/1.1\r\nhost: x\r\norigin: y\r\n\r\n",
]


class Door:
    """An ingress in a loop of its own, and what went wrong in it."""

    def __init__(self, runner, port, store):
        self.runner = runner
        self.port = port
        self.store = store
        self.wrong = []

    def ask(self, raw):
        """Statuses of the answers to *raw*; then a good event is accepted as ever."""
        answer = self.runner.run(self._talk(raw))
        assert self.runner.run(self._talk(SEEDS[0])).startswith(b"HTTP/1.1 202 ")
        assert self.wrong == []
        statuses = [int(status) for status in re.findall(rb"^HTTP/1\.1 (\d\d\d) ", answer, re.MULTILINE)]
        assert set(statuses) <= KNOWN, (statuses, answer)
        return statuses

    async def _talk(self, raw):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        answer = b""
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionError):
                writer.write(raw)
                writer.write_eof()
                answer = await reader.read()
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        return answer

    def newest(self):
        """The events of the partition, emptied after that."""
        return self.runner.run(self._newest())

    async def _newest(self):
        found = [decode(fields) for _, fields in await self.store.xrange(keys.events(BROKER, 0))]
        await self.store.delete(keys.events(BROKER, 0))
        return found


@pytest.fixture(scope="module")
def door(valkey_socket, tmp_path_factory):
    """A running ingress with the broker shop/default."""
    with asyncio.Runner() as runner:
        made = runner.run(_open(runner, valkey_socket, tmp_path_factory.mktemp("door")))
        door, runtime, task = made
        yield door
        runtime.stopping.set()
        runner.run(_closed(door, task))


async def _open(runner, valkey_socket, directory):
    store = heeding(redis.asyncio.Redis(unix_socket_path=str(valkey_socket)))
    await store.flushall()
    await projection.write(store, "brokers", BROKER, {"uid": "u", "partitions": 1, "delivery": None})
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    runtime = Runtime(config=Config(data_dir=directory, port=port, drain_s=1, body_limit_bytes=10_000),
                      store=store, metrics=CollectorRegistry())
    door = Door(runner, port, store)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: door.wrong.append(context))
    task = loop.create_task(ingress.run(runtime))
    async with asyncio.timeout(10):
        while not runtime.is_ready:
            await asyncio.sleep(0.005)
    return door, runtime, task


async def _closed(door, task):
    await task
    await door.store.aclose()


def request(headers, body, target=b"/shop/default"):
    """A POST that ends its connection."""
    lines = b"".join(b"%b: %b\r\n" % header for header in headers)
    return b"POST %b HTTP/1.1\r\nhost: x\r\nconnection: close\r\n%bcontent-length: %d\r\n\r\n%b" % (
        target, lines, len(body), body)


def deliverable(event):
    """What was accepted can be sent in every mode, and is read as the same event."""
    seen = message.outgoing(event.attributes)
    head = message.binary(event.attributes) + event.headers
    lines = [line.split(b": ", 1) for line in head.split(b"\r\n")[:-1]]
    back = binding.from_http([tuple(line) for line in lines], event.data or b"")
    assert {name: back.attributes.get(name) for name in seen} == seen
    head, body = message.structured(Event(event.attributes, event.data))
    assert binding.from_json(body).attributes == seen


@given(wild_headers, bodies)
@FEW
@example([(b"ce-x", b"%00")], b"")
@example([(b"ce-x", b"\xc3\xa4")], b"")
@example([(b"content-encoding", b"gzip")], b"")
def test_binary_events(door, headers, body):
    """Attributes that are none, too many, of any bytes; bodies of any."""
    sent = [*(header for header in HEADERS.items() if header[0] not in dict(headers)), *headers]
    (status,) = door.ask(request(sent, body)) or (400,)  # a broken head may end the connection

    found = door.newest()
    assert len(found) == (2 if status == 202 else 1)
    for event in found:
        deliverable(event)


@given(types, bodies, st.sampled_from([None, b"gzip", b"x-gzip", b"identity", b"br", b"gzip, gzip"]),
       st.booleans(), st.integers(0, 60))
@FEW
@example(b"application/cloudevents+json", b"[" * 5000, None, False, 0)
@example(b"application/cloudevents-batch+json", b"[" + b"0," * 2000 + b"0]", None, False, 0)
@example(b"application/json", b"\0" * 9_000_000, b"gzip", True, 0)
def test_bodies(door, type_, body, encoding, is_packed, cut):  # noqa: PLR0917  hypothesis' arguments
    """Structured and batched events that are none, and compressed ones that are not, or only half."""
    packed = gzip.compress(body) if is_packed else body
    headers = [(b"content-type", type_)]
    if encoding is not None:
        headers.append((b"content-encoding", encoding))
    (status,) = door.ask(request(headers, packed[:len(packed) - cut] if cut else packed))

    found = door.newest()
    assert status == 202 or len(found) == 1
    for event in found:
        deliverable(event)


@given(st.sampled_from(SEEDS), st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=6), st.integers(0, 9)),
                                        min_size=1, max_size=4))
@FEW
def test_wild_bytes(door, raw, changes):
    """Requests that are spoilt anywhere, at the level of the socket."""
    for where, junk, cut in changes:
        at = int(where * len(raw))
        raw = raw[:at] + junk + raw[at + cut:]
    door.ask(raw)

    for event in door.newest():
        deliverable(event)


@given(st.binary(min_size=1, max_size=30))
@FEW
def test_targets(door, raw):
    """Any path is a broker, or none."""
    target = b"/" + re.sub(rb"[\0-\x20\x7f-\xff]", b"", raw)
    assert set(door.ask(request(HEADERS.items(), b"", target))) <= {202, 400, 404}
    door.newest()
