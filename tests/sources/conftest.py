"""A real sink, and the sources role running over a real Valkey."""

import asyncio
import contextlib
from dataclasses import dataclass, field

import pytest
from prometheus_client import CollectorRegistry

from eventing import binding
from eventing.config import Config
from eventing.http import server as http
from eventing.runtime import Runtime
from sources import role
from tests.servers import provision
from tests.servers import rabbitmq as rabbitmq_server


@pytest.fixture(scope="session")
def rabbitmq():
    """A RabbitMQ node (tests/servers/rabbitmq.py); guarantees no empty queues."""
    with provision.needed("RabbitMQ", rabbitmq_server.serve) as server:
        yield server


@dataclass
class Sink:
    """An HTTP server that keeps what it accepts; `answers` are the statuses it gives first."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    events: list = field(default_factory=list)
    asked: list = field(default_factory=list)  # ids of all events, refused ones too
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def handle(self, exchange):
        """Take one event."""
        exchange.collect(1 << 20, lambda body: self._take(exchange, body))

    def _take(self, exchange, body):
        event = binding.from_http(exchange.headers, body)
        self.asked.append(event.attributes["id"])
        status = self.answers.pop(0) if self.answers else 202
        if status == 202:
            self.events.append(event)
        exchange.respond(status)
        self.changed.set()

    async def until(self, condition):
        """Return once *condition* holds of the sink."""
        async with asyncio.timeout(20):
            while not condition(self):
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture
async def sink():
    """A sink on a free port."""
    made = Sink()
    server = await http.serve(made.handle)
    made.url = f"http://127.0.0.1:{server.port}"
    yield made
    await server.close(0)


@pytest.fixture
async def sources(store, tmp_path):
    """The sources role, running."""
    runtime = Runtime(config=Config(data_dir=tmp_path), store=store, metrics=CollectorRegistry())
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(role.run(runtime))
        yield runtime
        runtime.stopping.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(running, 10)
