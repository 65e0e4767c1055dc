"""KafkaSink against a real broker: what is answered 202 is in Kafka, as clients that are not ours read it."""

import asyncio
import contextlib
import gc
import gzip
import time
import uuid

import confluent_kafka
import pytest
from cloudevents.core.bindings import kafka as sdk

from eventing import binding, projection
from eventing.event import Event
from eventing.http.client import Client
from tests.servers import kafka as kafka_server

NAME = "KafkaSink/default/out"
URL = "http://kafka-sink-ingress.knative-eventing.svc.cluster.local/default/out"
EVENT = Event({"specversion": "1.0", "id": "1", "type": "t", "source": "/s", "partitionkey": "p",
               "datacontenttype": "application/json"}, b'{"a":1}')


def records(kafka, topic, count):
    """The first records of a topic, read by confluent-kafka."""
    consumer = confluent_kafka.Consumer({"bootstrap.servers": kafka.plain, "group.id": str(uuid.uuid4()),
                                         "auto.offset.reset": "earliest", "log_level": 0})
    consumer.subscribe([topic])
    found, deadline = [], time.monotonic() + 30
    with contextlib.closing(consumer):
        while len(found) < count:
            assert time.monotonic() < deadline, f"{len(found)} of {count} records"
            found += [each for each in consumer.consume(count, timeout=0.5) if each.error() is None]
    return found


class Sender:
    """A KafkaSink as its reconciler projects it, and HTTP to it."""

    def __init__(self, store, kafka, runtime):
        self.store = store
        self.kafka = kafka
        self.client = Client(dial=runtime.config.dial)
        self.runtime = runtime
        self.record = {"uid": str(uuid.uuid4()), "generation": 0, "secret_versions": [], "spec": {}}

    async def apply(self, topic, **spec):
        """Write or change the sink."""
        self.record["generation"] += 1
        self.record["spec"] = {"topic": topic, "bootstrapServers": [self.kafka.plain],
                               "contentMode": "binary", **spec}
        await projection.write(self.store, "sources", NAME, self.record)

    async def state(self, *, ready):
        """The reported state of what was written last, once it is so."""
        async with asyncio.timeout(30):
            while True:
                state = (await projection.read(self.store, "source-states")).get(NAME)
                if state and (state["ready"], state["generation"]) == (ready, self.record["generation"]):
                    return state
                await asyncio.sleep(0.01)

    async def post(self, event=EVENT, url=URL, method="POST"):
        """The answer to an event."""
        return await self.send(*binding.to_http(event), url=url, method=method)

    async def send(self, headers, body, url=URL, method="POST"):
        """The answer to a request."""
        return await self.client.request(method, url, headers, body, timeout_s=30, max_answer_bytes=10_000)

    def counted(self, result):
        """How many events had this result."""
        return self.runtime.metrics.get_sample_value(
            "clarion_source_events_total", {"source": NAME, "result": result})


@pytest.fixture
async def sender(store, kafka, sources):
    """A sink to apply, and the sources role that keeps it."""
    made = Sender(store, kafka, sources)
    yield made
    await made.client.close()


@pytest.mark.parametrize(("mode", "read"), [("binary", sdk.from_binary_event),
                                            ("structured", sdk.from_structured_event)])
async def test_content_mode(sender, kafka, mode, read):
    """What is answered 202 is a record that the CloudEvents SDK reads; its key is `partitionkey`."""
    topic = kafka.topic(3)
    await sender.apply(topic, contentMode=mode)
    await sender.state(ready=True)

    answer = await sender.post()

    assert answer.status == 202
    (record,) = await asyncio.to_thread(records, kafka, topic, 1)
    message = sdk.KafkaMessage(headers=dict(record.headers()), key=record.key(), value=record.value())
    event = read(message)
    assert record.key() == b"p"
    assert (event.get_id(), event.get_type(), event.get_source()) == ("1", "t", "/s")
    assert event.get_data() == {"a": 1}
    assert (sender.counted("accepted"), sender.counted("rejected")) == (1, 0)


async def test_batch(sender, kafka):
    """A batch is written whole before it is answered."""
    topic = kafka.topic()
    await sender.apply(topic)
    await sender.state(ready=True)
    events = [Event({**EVENT.attributes, "id": str(number)}, b"%d" % number) for number in range(300)]

    answer = await sender.send([(b"content-type", binding.BATCH.encode())], binding.to_batch(events))

    assert answer.status == 202
    found = await asyncio.to_thread(records, kafka, topic, 300)
    assert {record.value() for record in found} == {event.data for event in events}


async def test_not_acknowledged(sender, kafka):
    """While Kafka does not answer nobody hears 202, but that the event is to be sent again; which helps."""
    topic = kafka.topic()
    await sender.apply(topic)
    await sender.state(ready=True)

    with kafka.frozen():
        answer = await sender.post()
    again = await sender.post()

    assert (answer.status, answer.header(b"retry-after"), again.status) == (503, b"1", 202)
    assert (sender.counted("rejected"), sender.counted("accepted")) == (1, 1)


async def test_compressed(sender, kafka):
    """A body is inflated as the ingress does it; how else it may be sent is said."""
    topic = kafka.topic()
    await sender.apply(topic)
    await sender.state(ready=True)
    headers, body = binding.to_http(EVENT, structured=True)

    other = await sender.send([*headers, (b"content-encoding", b"br")], body)
    broken = await sender.send([*headers, (b"content-encoding", b"gzip")], body)
    answer = await sender.send([*headers, (b"content-encoding", b"gzip")], gzip.compress(body))

    assert (other.status, other.header(b"accept-encoding")) == (415, b"gzip")
    assert (broken.status, b"is not gzip" in broken.body) == (400, True)
    assert answer.status == 202
    (record,) = await asyncio.to_thread(records, kafka, topic, 1)
    assert record.value() == EVENT.data


def library_tasks():
    """Tasks of aiokafka's senders."""
    return [task for task in asyncio.all_tasks() if task.get_coro().__qualname__.startswith("Sender.")]


async def test_ends_while_kafka_hangs(sender, kafka):
    """A sink that is deleted while Kafka answers nothing ends all the same, and leaves no task behind."""
    await sender.apply(kafka.topic())
    await sender.state(ready=True)
    assert (await sender.post()).status == 202  # its client knows the topic's leader now
    complaints = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["message"]))

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        with kafka.frozen():
            posted = tasks.create_task(sender.post())
            while len(library_tasks()) < 2:  # the one that is there always, and the request
                await asyncio.sleep(0.01)
            await projection.write(sender.store, "sources", NAME, None)
            while library_tasks():
                gc.collect()
                await asyncio.sleep(0.01)

    assert (await posted).status == 503
    assert complaints == []


async def test_refused(sender, kafka):
    """What no repetition helps is told so: wrong path or method, no event, too large for the topic."""
    topic = kafka.topic(**{"max.message.bytes": "1000"})
    await sender.apply(topic)
    await sender.state(ready=True)

    answers = {
        "path": await sender.post(url=URL.replace("/out", "/other")),
        "method": await sender.post(method="OPTIONS"),
        "no event": await sender.send([(b"content-type", b"text/plain")], b"x"),
        "size": await sender.post(Event(EVENT.attributes, b"x" * 2000)),
    }

    assert {what: answer.status for what, answer in answers.items()} == {
        "path": 404, "method": 405, "no event": 400, "size": 413}


async def test_topic(sender, kafka):
    """A topic that is not there is waited for, and created where the sink says how; events are told 503."""
    topic = f"made-{uuid.uuid4().hex[:8]}"
    await sender.apply(topic)
    state = await sender.state(ready=False)
    assert (state["reason"], state["message"]) == (
        "TopicNotFound", f"the cluster has no topic {topic}; it is waited for")
    assert (await sender.post()).status == 503

    await sender.apply(topic, numPartitions=3, replicationFactor=1)
    await sender.state(ready=True)

    assert (await sender.post()).status == 202
    assert len(kafka.admin.list_topics(topic, timeout=10).topics[topic].partitions) == 3

    await sender.apply(f"{topic}-twice", numPartitions=1, replicationFactor=2)
    state = await sender.state(ready=False)
    assert state["reason"] == "FailedToCreateTopic"
    assert "replication" in state["message"].lower()


async def test_secret(sender, kafka):
    """A Secret in Knative's form says how to connect; what is wrong with it is said without a value of it."""
    topic = kafka.topic()
    secret = {"protocol": "SASL_PLAINTEXT", "sasl.mechanism": "SCRAM-SHA-512", "user": kafka_server.USER,
              "password": "wrong-one"}
    sender.record["secret_versions"] = ["1"]
    await projection.write(sender.store, "source-secrets", NAME, secret)
    await sender.apply(topic, bootstrapServers=[kafka.sasl])
    state = await sender.state(ready=False)
    assert state["reason"] == "AuthenticationFailed"
    assert "wrong-one" not in state["message"]

    await projection.write(sender.store, "source-secrets", NAME, {**secret, "protocol": "SASL"})
    await sender.apply(topic, bootstrapServers=[kafka.sasl])
    assert (await sender.state(ready=False))["message"] == (
        "key protocol of the Secret is none of PLAINTEXT, SASL_PLAINTEXT, SSL, SASL_SSL")

    await projection.write(sender.store, "source-secrets", NAME,
                           {**secret, "password": kafka_server.PASSWORD})
    await sender.apply(topic, bootstrapServers=[kafka.sasl])
    await sender.state(ready=True)
    assert (await sender.post()).status == 202


async def test_without_its_secret(sender):
    """Who sends to a sink whose Secret is missing is told to come again, and why."""
    sender.record["problem"] = 'failed to get protocol: secret "kafka" not found in namespace default'
    await sender.apply("t")
    state = await sender.state(ready=False)

    answer = await sender.post()

    assert (state["reason"], state["message"]) == ("SecretNotFound", sender.record["problem"])
    assert (answer.status, answer.header(b"retry-after")) == (503, b"1")
    assert answer.body.decode() == f"the sink is not connected: {state['message']}\n"


async def test_certificate(sender, kafka):
    """With SSL the broker is checked against `ca.crt`, and `user.crt` is shown unless `user.skip` is set."""
    topic = kafka.topic()
    files = {"ca.crt": "ca.crt", "user.crt": "client.crt", "user.key": "client.key"}
    secret = {key: (kafka.directory / name).read_text() for key, name in files.items()} | {"protocol": "SSL"}
    sender.record["secret_versions"] = ["1"]
    await projection.write(sender.store, "source-secrets", NAME, {**secret, "user.skip": "true"})
    await sender.apply(topic, bootstrapServers=[kafka.tls])
    await sender.state(ready=False)

    await projection.write(sender.store, "source-secrets", NAME, secret)
    await sender.apply(topic, bootstrapServers=[kafka.tls])
    await sender.state(ready=True)

    assert (await sender.post()).status == 202


async def test_deleted(sender, kafka):
    """A sink that is deleted is 404."""
    await sender.apply(kafka.topic())
    await sender.state(ready=True)

    await projection.write(sender.store, "sources", NAME, None)

    async with asyncio.timeout(10):
        while (await sender.post()).status != 404:
            await asyncio.sleep(0.01)
