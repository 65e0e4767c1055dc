"""A real RabbitMQ, a publisher that is not ours, and a sink that can go away."""

import asyncio
import contextlib
import uuid
from collections import Counter

import pika
import pika.exceptions
import pytest

from eventing import binding, projection
from eventing.http import server as http

UID = "3f1cbb7c-6d0a-4f6e-9d52-0d4f8f2f9a10"


class Publisher:
    """pika: publishes with confirms, as messages that survive a restart."""

    def __init__(self, server):
        self.server = server
        self.connection = None
        self.connect()

    def close(self):
        """Leave nothing open; the server may have gone before."""
        with contextlib.suppress(pika.exceptions.AMQPError):
            self.connection.close()

    def connect(self):
        """Connect, again after a restart of the server."""
        if self.connection is not None:
            self.close()
        self.connection = pika.BlockingConnection(pika.URLParameters(self.server.url))
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()

    def publish(self, body, *, exchange="", routing_key="", **properties):
        """One message; returns once the server has it."""
        properties = pika.BasicProperties(delivery_mode=2, **properties)
        self.channel.basic_publish(exchange, routing_key, body, properties, mandatory=True)

    def events(self, exchange, ids):
        """A binary CloudEvent for each of *ids*, in that order."""
        for id_ in ids:
            self.publish(b"{}", exchange=exchange, content_type="application/json", headers={
                "ce-specversion": "1.0", "ce-id": str(id_), "ce-type": "reading", "ce-source": "/meter"})

    def left_in(self, queue):
        """Messages of *queue* that nobody holds."""
        return self.channel.queue_declare(queue, passive=True).method.message_count


@pytest.fixture
def publisher(rabbitmq):
    """A connected publisher."""
    made = Publisher(rabbitmq)
    yield made
    made.close()


class Sink:
    """An HTTP server that can stop and come back; `answers` are the statuses that it gives first."""

    def __init__(self):
        self.events = []
        self.seen = Counter()  # how often each id was accepted
        self.answers = []
        self.delay_s = 0.0
        self.spread = None  # a random.Random: delays are between none and delay_s
        self.most_at_once = 0
        self._now = 0
        self._changed = asyncio.Event()
        self._port = 0
        self._server = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self._port}/"

    async def start(self):
        """Listen, on the same port as before."""
        self._server = await http.serve(self._handle, host="127.0.0.1", port=self._port)
        self._port = self._server.port

    async def stop(self):
        """Refuse connections."""
        await self._server.close(0)

    def _handle(self, exchange):
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        exchange.collect(1 << 20, lambda body: self._later(exchange, body))

    def _later(self, exchange, body):
        delay_s = self.delay_s if self.spread is None else self.spread.uniform(0, self.delay_s)
        asyncio.get_running_loop().call_later(delay_s, self._take, exchange, body)

    def _take(self, exchange, body):
        self._now -= 1
        status = self.answers.pop(0) if self.answers else 202
        if status == 202:
            event = binding.from_http(exchange.headers, body)
            self.events.append(event)
            self.seen[event.attributes["id"]] += 1
        exchange.respond(status)
        self._changed.set()

    @property
    def repeats(self):
        """How many events more than different ones were accepted."""
        return self.seen.total() - len(self.seen)

    async def until(self, condition):
        """Return once *condition* holds of the sink."""
        async with asyncio.timeout(40):
            while not condition(self):
                self._changed.clear()
                await self._changed.wait()


@pytest.fixture
async def sink():
    """A sink that listens."""
    made = Sink()
    await made.start()
    yield made
    await made.stop()


class Flow:
    """A RabbitmqSource as its reconciler projects it, with an exchange and a queue of its own."""

    def __init__(self, store, url, sink):
        number = uuid.uuid4().hex[:8]
        self.store = store
        self.queue, self.exchange = f"q-{number}", f"x-{number}"
        self.name = f"RabbitmqSource/default/s-{number}"
        self.secrets = {"uri": url}
        self.record = {
            "uid": UID, "generation": 1, "source": f"/source#{self.queue}", "sink": sink.url,
            "extensions": {}, "delivery": None, "secret_versions": ["1"],
            "spec": {"rabbitmqResourcesConfig": {"queueName": self.queue, "exchangeName": self.exchange,
                                                 "vhost": "/", "parallelism": 1, "predeclared": False}}}

    async def apply(self, *, parallelism=1, predeclared=False, **spec):
        """Write or change the source, and return once it is ready."""
        await self.project(parallelism=parallelism, predeclared=predeclared, **spec)
        return await self.until(lambda state: state["ready"])

    async def project(self, **spec):
        """Write or change the source."""
        config = self.record["spec"]["rabbitmqResourcesConfig"]
        config.update({key: spec.pop(key) for key in tuple(spec) if key in config})
        self.record["spec"].update(spec)
        self.record["generation"] += 1
        await projection.write(self.store, "source-secrets", self.name, self.secrets)
        await projection.write(self.store, "sources", self.name, self.record)

    async def until(self, condition):
        """The state that the sources role reports, once *condition* holds of this generation's."""
        async with asyncio.timeout(40):
            while True:
                state = (await projection.read(self.store, "source-states")).get(self.name)
                if state and state["generation"] == self.record["generation"] and condition(state):
                    return state
                await asyncio.sleep(0.02)


@pytest.fixture
def flow(store, rabbitmq, sink):
    """A RabbitmqSource to apply."""
    return Flow(store, rabbitmq.url, sink)
