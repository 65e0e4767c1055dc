"""A publisher that is not ours, and RabbitmqSources as their reconciler projects them."""

import asyncio
import contextlib
import uuid

import pika
import pika.exceptions
import pytest

from eventing import projection

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
